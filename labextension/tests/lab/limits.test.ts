// Validation of the input of dialogs.

import { expect, test } from 'vitest';

import { isManyWorkers, checkName, checkWorkers } from '../../src/lab/limits';

test.each(['default', 'night', 'a.b-c_D', '0'])('%s is a valid name', name => {
  expect(checkName(name)).toBe('');
});

test.each(['', 'two words', '.hidden', 'a/b', 'ä', 'x'.repeat(65)])('%j is not a valid name', name => {
  expect(checkName(name)).toContain('up to 64 letters');
});

test.each([0, 1, 10_000])('%d workers are valid', n => {
  expect(checkWorkers(n)).toBe('');
});

test.each([-1, 1.5, 10_001, NaN, Infinity])('%d workers are not valid', n => {
  expect(checkWorkers(n)).toContain('from 0 to 10,000');
});

test('many more workers than now need a confirmation', () => {
  expect([isManyWorkers(64, 2), isManyWorkers(65, 2), isManyWorkers(100, 200)]).toEqual([false, true, false]);
});
