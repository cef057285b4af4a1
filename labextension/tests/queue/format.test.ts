// Formatting of values and clean-up of texts.

import { expect, test } from 'vitest';
import * as format from '../../src/queue/format';

test.each([
  [0, '0.00 s'],
  [9.99, '9.99 s'],
  [12.34, '12.3 s'],
  [59.96, '1:00 min'],
  [125, '2:05 min'],
  [3723, '1:02:03 h'],
  [86_400 * 30, '30 days'],
  [NaN, '']
])('%d seconds are %j', (seconds, text) => expect(format.formatSeconds(seconds)).toBe(text));

test.each([
  [0, '0'],
  [9999, '9,999'],
  [10_000, '10k'],
  [12_340, '12.3k'],
  [100_000, '100k'],
  [1_250_000, '1.3M']
])('%d is %j in narrow places', (count, text) => expect(format.shortCount(count)).toBe(text));

test.each([
  [0.2, 'now'],
  [59, '59 s ago'],
  [61, '1 min ago'],
  [7300, '2 h ago'],
  [90_000, '1 day ago']
])('%d seconds ago is %j', (seconds, text) => expect(format.formatAgo(seconds)).toBe(text));

test.each([
  [{ done: 42, total: 100, description: 'fit' }, '42 % (42 of 100) fit'],
  [{ done: 99.9, total: 100, description: '' }, '99 % (99.9 of 100)'],
  [{ done: 200, total: 100, description: '' }, '100 % (200 of 100)'],
  [{ done: 1234, total: null, description: '' }, '1,234 done'],
  [{ done: 3, total: 0, description: '' }, '3 done']
])('progress %j is %j', (progress, text) => expect(format.formatProgress(progress)).toBe(text));

test('a time of another day has its date', () => {
  const noon = new Date(2026, 1, 3, 12, 5, 9).getTime() / 1000;
  expect(format.formatTime(noon, noon + 60)).toBe('12:05:09');
  expect(format.formatTime(noon, noon + 86_400)).toBe('2026-02-03 12:05:09');
  expect(format.formatTime(0, noon)).toBe('');
});

test.each([
  ['\u001b[31mred\u001b[0m', 'red'],
  ['\u001b]8;;http://x\u0007link\u001b]8;;\u0007', 'link'],
  ['10%\r50%\r100%\ndone\r\n', '100%\ndone\n'],
  ['a\u202egnp.exe\u0000\u0008', 'agnp.exe'],
  ['<b>\t"&', '<b>\t"&']
])('%j is safe to show as %j', (text, plain) => expect(format.plainText(text)).toBe(plain));

test('one line is one line, however long the text', () => {
  expect(format.oneLine(' a\n\tb  c ')).toBe('a b c');
  expect(format.oneLine('x'.repeat(10_000))).toHaveLength(301);
  expect(format.oneLine(null)).toBe('');
});

test('the tasks that a worker waits for', () => {
  const worker = { worker: 0, pid: 1, state: 'waiting', running: 3, held: 1, problem: '', is_substitute: false, place: '' };
  expect(format.waitsText(undefined)).toBe('');
  expect(format.waitsText({ ...worker, waits_for: [] })).toBe('');
  expect(format.waitsText({ ...worker, waits_for: [12] })).toBe('task 12');
  expect(format.waitsText({ ...worker, waits_for: [12, 13] })).toBe('tasks 12, 13');
});

test('rates, plurals and paths', () => {
  expect([0, 0.42, 12.3].map(format.formatRate)).toEqual(['', '0.4 /s', '12 /s']);
  expect([format.plural(1, 'task'), format.plural(1200, 'task')]).toEqual(['1 task', '1,200 tasks']);
  expect(['a/b.ipynb', 'C:\\x\\y.py', 'plain'].map(format.baseName)).toEqual(['b.ipynb', 'y.py', 'plain']);
});
