// What people type into dialogs, and what they are told of it.

import { expect, test } from 'vitest';

import { isManyWorkers, problemOfName, problemOfWorkers } from '../../src/lab/limits';

test.each(['default', 'night', 'a.b-c_D', '0'])('%s is a name', name => {
  expect(problemOfName(name)).toBe('');
});

test.each(['', 'two words', '.hidden', 'a/b', 'ä', 'x'.repeat(65)])('%j is none', name => {
  expect(problemOfName(name)).toContain('up to 64 letters');
});

test.each([0, 1, 10_000])('%d workers can be', n => {
  expect(problemOfWorkers(n)).toBe('');
});

test.each([-1, 1.5, 10_001, NaN, Infinity])('%d workers cannot: nothing is made of them in silence', n => {
  expect(problemOfWorkers(n)).toContain('from 0 to 10,000');
});

test('many more than there are is confirmed', () => {
  expect([isManyWorkers(64, 2), isManyWorkers(65, 2), isManyWorkers(100, 200)]).toEqual([false, true, false]);
});
