// The copy of a queue from snapshots and deltas.

import { describe, expect, test } from 'vitest';
import { FakeFarm } from '../../demo/fake-farm';
import { StateCode } from '../../src/link/messages';
import type { QueueDelta, QueueSnapshot } from '../../src/link/messages';
import { finishedOf, MAX_FINISHED, Queue, queuedOf, unfinishedOf } from '../../src/link/model';

const empty: QueueSnapshot = {
  type: 'snapshot',
  seq: 0,
  farm: 'default',
  incarnation: 1,
  wall: 1000,
  counts: {},
  n_workers: 1,
  workers: [], engine: null, no_room: '',
  batches: [],
  runs: [],
  rows: {},
  ends: []
};

test('tasks that wait for others count as unfinished', () => {
  const counts = { waiting: 1, scheduled: 20, running: 300, succeeded: 4000, failed: 50_000, aborted: 600_000 };
  expect([queuedOf(counts), unfinishedOf(counts), finishedOf(counts)]).toEqual([21, 321, 654_000]);
  expect([queuedOf({}), unfinishedOf({ waiting: 2 }), finishedOf({})]).toEqual([0, 2, 0]);
});

function delta(seq: number, more: Partial<QueueDelta> = {}): QueueDelta {
  return { type: 'delta', seq, farm: 'default', wall: 1000 + seq, counts: {}, n_workers: 1, ...more };
}

function queueOf(...messages: (QueueSnapshot | QueueDelta)[]): Queue {
  const queue = new Queue('default');
  for (const message of messages) expect(queue.apply(message, 0)).toBe('applied');
  return queue;
}

/** All facts of a queue's tasks. */
function tasksOf(queue: Queue): unknown[] {
  return Array.from({ length: queue.n }, (_, place) => ({
    id: queue.idAt(place),
    state: queue.stateAt(place),
    worker: queue.columns.workers[place],
    attempts: queue.columns.attempts[place],
    started: queue.columns.started[place],
    completed: queue.columns.completed[place],
    seconds: queue.columns.seconds[place],
    label: queue.batchAt(place)?.label,
    note: queue.noteAt(place)
  }));
}

describe('a snapshot and deltas', () => {
  test('give the same as a later snapshot', () => {
    const farm = new FakeFarm({ queued: 300, workers: 4, rate: 50 });
    const followed = queueOf(farm.snapshot());
    for (let at = 0; at < 40; at++) {
      if (at === 10) farm.submit(20, 1);
      if (at === 20) farm.command({ do: 'hold', taskids: [280, 290] });
      if (at === 25) farm.command({ do: 'abort', taskids: [250, 251] });
      if (at === 30) farm.command({ do: 'clear' });
      expect(followed.apply(farm.step(0.2), 0)).toBe('applied');
    }
    const asked = queueOf(farm.snapshot());
    expect(farm.nEnded).toBeGreaterThan(200);
    expect(tasksOf(followed)).toEqual(tasksOf(asked));
    expect(followed.batches).toEqual(asked.batches);
    expect([...followed.notes.keys()].sort()).toEqual([...asked.notes.keys()].sort());
    expect(followed.counts).toEqual(asked.counts);
  });

  test('that repeat themselves change nothing', () => {
    const batches = [{ first: 0, n: 3, label: 'f' }];
    const rows = {
      ids: [1],
      states: [StateCode.FAILED],
      workers: [0],
      attempts: [1],
      started: [0],
      completed: [9],
      seconds: [2]
    };
    const queue = queueOf({ ...empty, batches, runs: [[0, 3, StateCode.SCHEDULED]] }, delta(1, { rows }));
    const before = tasksOf(queue);
    queue.apply(delta(2, { rows, batches }), 0);
    expect(tasksOf(queue)).toEqual(before);
    expect(queue.batches).toHaveLength(1);
  });

  test('with a missing delta are a gap, and change nothing', () => {
    const queue = queueOf({ ...empty, batches: [{ first: 0, n: 1, label: 'f' }], runs: [[0, 1, StateCode.WAITING]] });
    expect(queue.apply(delta(2, { runs: [[0, 1, StateCode.RUNNING]] }), 0)).toBe('gap');
    expect(queue.stateAt(0)).toBe(StateCode.WAITING);
    expect(queue.apply({ ...empty, seq: 2, runs: [[0, 1, StateCode.RUNNING]] }, 0)).toBe('applied');
    expect(queue.apply(delta(3), 0)).toBe('applied');
    expect(queue.stateAt(0)).toBe(StateCode.RUNNING);
  });

  test('of which a delta is older than the snapshot ignore it', () => {
    const queue = queueOf({ ...empty, seq: 5, runs: [[0, 1, StateCode.RUNNING]] });
    expect(queue.apply(delta(5, { runs: [[0, 1, StateCode.WAITING]] }), 0)).toBe('applied');
    expect(queue.stateAt(0)).toBe(StateCode.RUNNING);
  });

  test('without a snapshot, or of another farm, are not applied', () => {
    const queue = new Queue('default');
    expect(queue.apply(delta(0), 0)).toBe('gap');
    expect(queue.apply({ ...empty, farm: 'other' }, 0)).toBe('foreign');
    expect(queue.seq).toBe(-1);
  });

  test('remove a note with a row or a run that has none', () => {
    const rows = { ids: [0, 1], states: [2, 2], notes: { 0: { held: true }, 1: { held: true } } };
    const queue = queueOf(
      { ...empty, rows },
      delta(1, { rows: { ids: [0], states: [2] }, runs: [[1, 1, StateCode.SCHEDULED]] })
    );
    expect(queue.notes.size).toBe(0);
  });
});

describe('batches', () => {
  test('have the task that each one retries', () => {
    const batches = [
      { first: 0, n: 2, label: 'f' },
      { first: 2, n: 2, label: 'f', retry_of: [1, 0] }
    ];
    const queue = queueOf({ ...empty, batches, runs: [[0, 4, StateCode.SUCCEEDED]] });
    expect([0, 1, 2, 3].map(id => queue.retryOfAt(queue.placeOf(id)))).toEqual([undefined, undefined, 1, 0]);
  });

  test('that come after their tasks are assigned to them', () => {
    const queue = queueOf({ ...empty, runs: [[10, 4, StateCode.WAITING]] });
    expect(queue.batchAt(0)).toBeUndefined();
    queue.apply(delta(1, { batches: [{ first: 12, n: 2, label: 'late' }] }), 0);
    queue.apply(delta(2, { batches: [{ first: 10, n: 2, label: 'later' }] }), 0);
    expect([0, 1, 2, 3].map(place => queue.batchAt(place)?.label)).toEqual(['later', 'later', 'late', 'late']);
  });

  test('of any size can be held and released', () => {
    const held: QueueSnapshot = { ...empty, runs: [[0, 4, StateCode.SCHEDULED, true]] };
    const queue = queueOf(held, delta(1, { runs: [[1, 2, StateCode.SCHEDULED, false]] }));
    expect([0, 1, 2, 3].map(place => queue.noteAt(place)?.held ?? false)).toEqual([true, false, false, true]);
  });

  test('are removed with their last task', () => {
    const batches = [
      { first: 0, n: 2, label: 'a' },
      { first: 2, n: 2, label: 'b' }
    ];
    const queue = queueOf({ ...empty, batches, runs: [[0, 4, StateCode.SUCCEEDED]] });
    queue.apply(delta(1, { cleared: [[0, 3]] }), 0);
    expect(tasksOf(queue)).toMatchObject([{ id: 3, label: 'b' }]);
    expect(queue.batches.map(batch => batch.label)).toEqual(['b']);
    queue.apply(delta(2, { cleared: [[3, 1]] }), 0);
    expect([queue.n, queue.batches.length]).toEqual([0, 0]);
  });
});

describe('places', () => {
  test('are in the order of ids, also if older tasks come later', () => {
    const queue = queueOf({ ...empty, runs: [[5, 2, StateCode.WAITING]] });
    queue.apply(
      delta(1, {
        runs: [
          [0, 2, StateCode.RUNNING],
          [9, 1, StateCode.WAITING]
        ],
        rows: { ids: [3], states: [5] }
      }),
      0
    );
    const ids = Array.from({ length: queue.n }, (_, place) => queue.idAt(place));
    expect(ids).toEqual([0, 1, 3, 5, 6, 9]);
    expect(ids.map(id => queue.placeOf(id))).toEqual([0, 1, 2, 3, 4, 5]);
    expect(queue.placeOf(4)).toBe(-1);
    expect(queue.stateAt(2)).toBe(StateCode.FAILED);
  });

  test('hold a task once that is in a run and in a row', () => {
    const queue = queueOf({
      ...empty,
      runs: [[0, 2, StateCode.SCHEDULED]],
      rows: { ids: [1], states: [3], workers: [4] }
    });
    expect(tasksOf(queue)).toMatchObject([{ state: 2 }, { state: 3, worker: 4 }]);
  });
});

describe('bounds', () => {
  test('keep the newest finished tasks', () => {
    const queue = queueOf({
      ...empty,
      batches: [{ first: 0, n: 40_000, label: 'f' }],
      runs: [[0, 40_000, StateCode.SCHEDULED]]
    });
    for (let seq = 1; seq <= 15; seq++) {
      const ids = Array.from({ length: 2000 }, (_, at) => (seq - 1) * 2000 + at);
      const same = (value: number): number[] => ids.map(() => value);
      const rows = { ids, states: same(StateCode.SUCCEEDED), completed: same(1000 + seq), seconds: same(1) };
      queue.apply(delta(seq, { rows }), 0);
    }
    const finished = tasksOf(queue).filter(task => (task as { state: number }).state === StateCode.SUCCEEDED).length;
    expect(finished).toBeGreaterThanOrEqual(MAX_FINISHED);
    expect(finished).toBeLessThan(MAX_FINISHED * 1.2);
    expect(queue.placeOf(0)).toBe(-1);
    expect(queue.placeOf(29_999)).toBeGreaterThanOrEqual(0);
    expect(queue.n - finished).toBe(10_000);
  });

  test('keep the latest ends of a snapshot, in any order of ids', () => {
    const ids = Array.from({ length: MAX_FINISHED + 50 }, (_, at) => at);
    const completed = ids.map(id => 100_000 - id);
    const queue = queueOf({ ...empty, rows: { ids, states: ids.map(() => 4), completed } });
    expect(queue.n).toBe(MAX_FINISHED);
    expect(queue.placeOf(0)).toBe(0);
    expect(queue.placeOf(MAX_FINISHED + 49)).toBe(-1);
  });

  test('hold a hundred thousand queued tasks in a few megabytes', () => {
    const queue = queueOf(new FakeFarm().snapshot());
    expect(queue.n).toBe(100_000);
    const columns = Object.values(queue.columns).filter(column => ArrayBuffer.isView(column));
    expect(columns.reduce((bytes, column) => bytes + column.byteLength, 0)).toBeLessThan(6e6);
    expect(queue.notes.size).toBe(0);
  });
});

test('run time: of a running attempt by the controller’s clock, of an ended one as received', () => {
  const rows = {
    ids: [0, 1, 2],
    states: [StateCode.RUNNING, StateCode.SUCCEEDED, StateCode.ABORTED],
    started: [990, 0, 0],
    completed: [0, 999, 999],
    seconds: [0, 2.5, 0]
  };
  const queue = queueOf({ ...empty, rows });
  expect([0, 1, 2].map(place => queue.elapsedAt(place, 1005))).toEqual([15, 2.5, NaN]);
});
