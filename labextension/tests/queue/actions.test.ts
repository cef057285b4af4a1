// Actions on tasks: which apply, and the command to clear.

import { describe, expect, test } from 'vitest';
import { clearCommand, findOffers } from '../../src/queue/actions';
import { StateCode } from '../../src/link/messages';
import type { Counts, Run } from '../../src/link/messages';
import { Queue } from '../../src/link/model';

function queueOf(runs: readonly Run[], counts: Counts = {}): Queue {
  const queue = new Queue('default');
  const whole = { n_workers: 1, workers: [], engine: null, no_room: '', batches: [], rows: {}, ends: [] };
  queue.apply({ type: 'snapshot', seq: 0, farm: 'default', incarnation: 1, wall: 1000, counts, runs, ...whole }, 0);
  return queue;
}

describe('the actions for a selection', () => {
  test('apply to at least one task, also to the last', () => {
    const runs: Run[] = [
      [0, 1, StateCode.SUCCEEDED],
      [1, 1, StateCode.SCHEDULED],
      [2, 1, StateCode.SCHEDULED, true]
    ];
    expect([...findOffers(queueOf(runs), [0, 1, 2])].sort()).toEqual(['abort', 'hold', 'move', 'release', 'retry']);
    expect([...findOffers(queueOf(runs), [2])].sort()).toEqual(['abort', 'move', 'release']);
  });
});

describe('the command to clear', () => {
  const runs: Run[] = [
    [0, 2, StateCode.SUCCEEDED],
    [2, 1, StateCode.RUNNING],
    [3, 1, StateCode.FAILED]
  ];

  test('names the listed tasks', () => {
    expect(clearCommand(queueOf(runs, { succeeded: 2, failed: 1 }))).toEqual({ do: 'clear', taskids: [0, 1, 3] });
  });

  test('is for all if more have finished than are listed', () => {
    expect(clearCommand(queueOf(runs, { succeeded: 20, failed: 1 }))).toEqual({ do: 'clear' });
  });
});
