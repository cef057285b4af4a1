// Results of commands, with one farm and with several.

import { expect, test } from 'vitest';

import { addFarm } from '../../src/lab/answers';

test.each([
  ['Cleared 3 finished tasks.', true, 'Cleared 3 finished tasks.'],
  ['Cleared 3 finished tasks.', false, 'Farm night.a: Cleared 3 finished tasks.'],
  ['The farm stops; it is late.', true, 'The farm stops; it is late.'],
  ['The farm stops; it is late.', false, 'Farm night.a stops; it is late.'],
  ['Farm night.a runs, with 2 workers.', false, 'Farm night.a runs, with 2 workers.'],
  ["Farm 'night.a' has not answered for 10 s.", false, "Farm 'night.a' has not answered for 10 s."],
  ['Tonight.ab is another word.', false, 'Farm night.a: Tonight.ab is another word.']
])('%s, isOnly: %s', (said, isOnly, text) => {
  expect(addFarm('night.a', said, isOnly)).toBe(text);
});
