// Filtering and sorting of tasks.

import { expect, test } from 'vitest';
import { FakeFarm } from '../../demo/fake-farm';
import { StateCode } from '../../src/link/messages';
import { Queue } from '../../src/link/model';
import { ALL, ownersOf, select, selectNow } from '../../src/queue/select';
import type { Criteria } from '../../src/queue/select';

const queue = new Queue('default');
queue.apply(
  {
    type: 'snapshot',
    seq: 0,
    farm: 'default',
    incarnation: 1,
    wall: 1000,
    counts: {},
    n_workers: 1,
    workers: [], engine: null, no_room: '',
    batches: [
      { first: 0, n: 2, label: 'fit', name: 'Zeta', owner: 'a.ipynb', submitted: 10 },
      { first: 2, n: 2, label: 'alpha', owner: 'b.ipynb', submitted: 30, priority: 5 },
      { first: 12, n: 1, label: 'beta', submitted: 20 }
    ],
    runs: [[0, 1, StateCode.SCHEDULED]],
    rows: {
      ids: [1, 2, 3, 12],
      states: [StateCode.RUNNING, StateCode.FAILED, StateCode.SUCCEEDED, StateCode.WAITING],
      workers: [2, 1, 0, -1],
      attempts: [1, 3, 1, 0],
      started: [900, 0, 0, 0],
      completed: [0, 950, 960, 0],
      seconds: [0, 7, 0.5, 0],
      notes: { 2: { message: 'ValueError: no such COLUMN' }, 12: { priority: -3 } }
    },
    ends: []
  },
  0
);

function ids(criteria: Partial<Criteria>): number[] {
  const places = selectNow(queue, { ...ALL, sort: 'id', isDescending: false, ...criteria }, 1000);
  return Array.from(places, place => queue.idAt(place));
}

test.each([
  ['', [0, 1, 2, 3, 12]],
  ['zeta', [0, 1]],
  ['FIT', [0, 1]],
  ['b.ipynb', [2, 3]],
  ['column', [2]],
  ['alpha column', [2]],
  ['alpha zeta', []],
  ['1', [1, 12]],
  ['12', [12]],
  ['2', [2]],
  ['  fit  ', [0, 1]],
  ['<b>', []]
])('text %j finds %j', (text, found) => {
  expect(ids({ text })).toEqual(found);
});

test('states and owner restrict the list', () => {
  expect(ids({ states: new Set([StateCode.FAILED, StateCode.RUNNING]) })).toEqual([1, 2]);
  expect(ids({ owner: 'a.ipynb' })).toEqual([0, 1]);
  expect(ids({ owner: 'a.ipynb', states: new Set([StateCode.RUNNING]), text: 'zeta' })).toEqual([1]);
  expect(ids({ owner: 'c.ipynb' })).toEqual([]);
  expect(ownersOf(queue)).toEqual(['a.ipynb', 'b.ipynb']);
});

test.each([
  ['id', false, [0, 1, 2, 3, 12]],
  ['id', true, [12, 3, 2, 1, 0]],
  ['state', false, [1, 0, 12, 2, 3]],
  ['state', true, [3, 2, 12, 0, 1]],
  ['owner', false, [12, 1, 0, 3, 2]],
  ['owner', true, [3, 2, 1, 0, 12]],
  ['name', false, [3, 2, 12, 1, 0]],
  ['name', true, [1, 0, 12, 3, 2]],
  ['worker', false, [3, 2, 1, 12, 0]],
  ['worker', true, [1, 2, 3, 12, 0]],
  ['attempts', true, [2, 3, 1, 12, 0]],
  ['elapsed', true, [1, 2, 3, 12, 0]],
  ['elapsed', false, [3, 2, 1, 12, 0]],
  ['submitted', true, [3, 2, 12, 1, 0]],
  ['priority', true, [3, 2, 1, 0, 12]]
] as const)('sorted by %s, descending %s', (sort, isDescending, order) => {
  expect(ids({ sort, isDescending })).toEqual(order);
});

test('a large queue takes many slices, and tasks that move meanwhile are found', () => {
  const farm = new FakeFarm({ queued: 50_000, rate: 100 });
  const large = new Queue('default');
  large.apply(farm.snapshot(), 0);
  for (let at = 0; at < 10; at++) large.apply(farm.step(0.2), 0);
  const criteria: Criteria = { ...ALL, text: 'fit', sort: 'name' };
  const slices = select(large, criteria, 0);
  let n = 1;
  for (; n < 5; n++) expect(slices.next().done).toBe(false);
  farm.command({ do: 'clear' });
  large.apply(farm.step(0.2), 0);
  let slice = slices.next();
  for (; !slice.done; n++) slice = slices.next();
  expect(n).toBeGreaterThan(12);
  expect(slice.value).toEqual(selectNow(large, criteria, 0));
  expect(slice.value.length).toBeGreaterThan(1000);
});

test('by state, queued tasks stand in the order in which they start, all others with the newest first', () => {
  const farm = new Queue('default');
  const counts = { type: 'snapshot', seq: 0, farm: 'default', incarnation: 1, wall: 0, counts: {}, n_workers: 0 } as const;
  const runs = [
    [0, 2, StateCode.SUCCEEDED],
    [2, 2, StateCode.SCHEDULED],
    [4, 2, StateCode.RUNNING],
    [6, 2, StateCode.WAITING]
  ] as [number, number, StateCode][];
  farm.apply({ ...counts, workers: [], engine: null, no_room: '', batches: [], runs, rows: {}, ends: [] }, 0);
  const shown = (isDescending: boolean): number[] =>
    [...selectNow(farm, { ...ALL, isDescending }, 0)].map(place => farm.idAt(place));
  expect(shown(false)).toEqual([5, 4, 2, 3, 6, 7, 1, 0]);
  expect(shown(true)).toEqual([1, 0, 6, 7, 2, 3, 5, 4]);
});
