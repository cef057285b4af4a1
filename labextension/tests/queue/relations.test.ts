// The tasks before and after a task.

import { expect, test } from 'vitest';
import { StateCode } from '../../src/link/messages';
import type { Batch } from '../../src/link/messages';
import { Queue } from '../../src/link/model';
import { findAfter, findBefore, MOST_RELATED } from '../../src/queue/relations';

function queueOf(...batches: Batch[]): Queue {
  const queue = new Queue('default');
  const runs = batches.map(({ first, n }) => [first, n, StateCode.WAITING] as const);
  const facts = { farm: 'default', incarnation: 1, wall: 0, counts: {}, n_workers: 0, workers: [], engine: null, no_room: '' };
  queue.apply({ type: 'snapshot', seq: 1, ...facts, batches, runs, rows: {}, ends: [] }, 0);
  return queue;
}

test('a task has those that its batch names, and those whose batches name it', () => {
  const queue = queueOf(
    { first: 0, n: 2, label: 'load' },
    { first: 2, n: 3, label: 'fit', after: [0, 1] },
    { first: 5, n: 1, label: 'plot', after: [4] }
  );
  expect(findBefore(queue, 3)).toEqual({ taskids: [0, 1], n: 2 });
  expect(findAfter(queue, 0)).toEqual({ taskids: [2, 3, 4], n: 3 });
  expect(findAfter(queue, 4)).toEqual({ taskids: [5], n: 1 });
  expect([findBefore(queue, 0), findAfter(queue, 5)]).toEqual([{ taskids: [], n: 0 }, { taskids: [], n: 0 }]);
});

test('of many, some are named and all are counted', () => {
  const queue = queueOf(
    { first: 0, n: 100, label: 'load' },
    { first: 100, n: 5000, label: 'fit', after: Array.from({ length: 100 }, (_, id) => id), n_after: 700 }
  );
  const before = findBefore(queue, 100);
  const after = findAfter(queue, 7);
  expect([before.taskids.length, before.n]).toEqual([MOST_RELATED, 700]);
  expect([after.taskids.length, after.n]).toEqual([MOST_RELATED, 5000]);
});
