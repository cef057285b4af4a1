// The counts of a group, from a queue.

import { expect, test } from 'vitest';
import { headOfGroup, isOfQueue } from '../../src/card/group-head';
import { isGroup } from '../../src/card/live-group';
import { idsOf } from '../../src/card/ranges';
import { StateCode } from '../../src/link/messages';
import type { Batch, GroupOfTasks, QueueSnapshot } from '../../src/link/messages';
import { Queue } from '../../src/link/model';

const group: GroupOfTasks = {
  version: 1, card: 'c', farm: 'default', ranges: [[10, 13], [20, 20]], submitted: 900, title: 'map fit',
  state: 'running', as_of: 900
};

const batch: Batch = { first: 10, n: 11, label: 'fit', submitted: 905 };

function queueOf(more: Partial<QueueSnapshot>): Queue {
  const queue = new Queue('default');
  queue.apply({
    type: 'snapshot', seq: 0, farm: 'default', incarnation: 1, wall: 1000, counts: {}, n_workers: 1, workers: [],
    engine: null, no_room: '', batches: [batch], runs: [], rows: {}, ends: [], ...more
  }, 0);
  return queue;
}

function rows(...states: readonly [number, StateCode][]): QueueSnapshot['rows'] {
  return {
    ids: states.map(([id]) => id),
    states: states.map(([, state]) => state),
    workers: states.map(() => 0), attempts: states.map(() => 1), started: states.map(() => 0),
    completed: states.map(([, state]) => (state === StateCode.RUNNING ? 0 : 950)), seconds: states.map(() => 1),
    notes: { 11: { message: 'ValueError: no' } }
  } as QueueSnapshot['rows'];
}

test('running tasks, ends and failures are counted, of this group only', () => {
  const queue = queueOf({
    runs: [[13, 2, StateCode.SCHEDULED], [20, 1, StateCode.SCHEDULED]],
    rows: rows([10, StateCode.SUCCEEDED], [11, StateCode.FAILED], [12, StateCode.RUNNING])
  });
  const head = headOfGroup(queue, group, 1000);
  expect(head.state).toBe('running');
  expect(head.facts).toEqual([
    '2 of 5', '1 succeeded', '1 failed', '1 running', '1:40 min', '0.02 a second', 'about 2:30 min left'
  ]);
  expect(head.failures).toEqual([['task 11', 'ValueError: no']]);
  expect([head.failed, head.unfinished, head.offers]).toEqual([[11], [12, 13, 20], ['abort all', 'retry failed']]);
});

test('a retried task counts as its newest retry', () => {
  const ended = [10, 12, 13, 20].map(id => [id, StateCode.SUCCEEDED] as const);
  const retry: Batch = { first: 30, n: 1, label: 'fit', submitted: 990, retry_of: [11] };
  const queue = queueOf({
    batches: [batch, retry],
    rows: rows(...(ended.slice(0, 1) as [number, StateCode][]), [11, StateCode.FAILED],
      ...(ended.slice(1) as [number, StateCode][]), [30, StateCode.SUCCEEDED])
  });
  const head = headOfGroup(queue, group, 1000);
  expect([head.state, head.facts, head.isRetried, head.offers]).toEqual(['succeeded', ['5 tasks'], true, []]);
});

test('a group that has failed does not succeed when its failed tasks are not listed any more', () => {
  const queue = queueOf({ rows: rows([20, StateCode.SUCCEEDED]) });
  expect(headOfGroup(queue, { ...group, state: 'failed' }, 1000).state).toBe('failed');
  expect(headOfGroup(queue, { ...group, state: 'running' }, 1000).state).toBe('succeeded');
});

test('finished tasks that the queue does not list any more have ended', () => {
  const head = headOfGroup(queueOf({ rows: rows([20, StateCode.SUCCEEDED]) }), group, 1000);
  expect(head.facts.slice(0, 3)).toEqual(['5 tasks', '1 succeeded', '4 ended before']);
});

test('tasks of the same ids in a fresh store are others', () => {
  const queue = queueOf({ rows: rows([20, StateCode.SUCCEEDED]) });
  expect([isOfQueue(queue, group), isOfQueue(queue, { ...group, submitted: 1 })]).toEqual([true, false]);
});

test('only data of this version are a group', () => {
  expect(isGroup(group)).toBe(true);
  for (const other of [null, 3, {}, { ...group, version: 2 }, { ...group, title: 1 }]) expect(isGroup(other)).toBe(false);
  for (const ranges of [undefined, [], [[1]], [3], [['a', 'b']], [[0, 1e12]], [[0, 60_000], [70_000, 130_000]]]) {
    expect(isGroup({ ...group, ranges })).toBe(false); // a notebook may have any data, and must not block the page
  }
  expect(idsOf([[3, 5], [9, 9]])).toEqual([3, 4, 5, 9]);
});
