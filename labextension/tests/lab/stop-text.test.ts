// What the question before a stop says of a farm's tasks.

import { expect, test } from 'vitest';

import { stopText } from '../../src/lab/stop-text';
import type { Counts, FarmStatus } from '../../src/link/messages';

const farm = (counts: Counts | undefined, isInMemory = false): FarmStatus => ({
  name: 'a', state: 'live', counts, in_memory: isInMemory
});

test.each([
  [{ running: 1, scheduled: 2 }, '1 running task will be stopped, and run again from the beginning after the next start. 2 queued tasks will be kept.'],
  [{ waiting: 1 }, '1 queued task will be kept.'],
  [{ succeeded: 3 }, 'There are no unfinished tasks. Results are kept.'],
  [undefined, 'There are no unfinished tasks. Results are kept.']
])('a farm with a store on the disk and %j', (counts, text) => {
  expect(stopText(farm(counts))).toBe(text);
});

test('a farm in memory loses all of it', () => {
  const text = 'This farm keeps its tasks in memory only: 3 unfinished tasks and all results will be gone.';
  expect(stopText(farm({ running: 1, scheduled: 1, waiting: 1, succeeded: 5 }, true))).toBe(text);
});
