import { describe, expect, test } from 'vitest';
import { clearOf, offersFor } from '../../src/queue/actions';
import { StateCode } from '../../src/link/messages';
import type { Counts, Run } from '../../src/link/messages';
import { Queue } from '../../src/link/model';

function queueOf(runs: readonly Run[], counts: Counts = {}): Queue {
  const queue = new Queue('default');
  const whole = { n_workers: 1, workers: [], batches: [], rows: {}, ends: [] };
  queue.take({ type: 'snapshot', seq: 0, farm: 'default', incarnation: 1, wall: 1000, counts, runs, ...whole }, 0);
  return queue;
}

describe('what is offered for a selection', () => {
  test('is what does something with any of it, also with the last', () => {
    const runs: Run[] = [
      [0, 1, StateCode.SUCCEEDED],
      [1, 1, StateCode.SCHEDULED],
      [2, 1, StateCode.SCHEDULED, true]
    ];
    expect([...offersFor(queueOf(runs), [0, 1, 2])].sort()).toEqual(['abort', 'hold', 'move', 'release', 'retry']);
    expect([...offersFor(queueOf(runs), [2])].sort()).toEqual(['abort', 'move', 'release']);
  });
});

describe('clearing what has finished', () => {
  const runs: Run[] = [
    [0, 2, StateCode.SUCCEEDED],
    [2, 1, StateCode.RUNNING],
    [3, 1, StateCode.FAILED]
  ];

  test('means what is listed', () => {
    expect(clearOf(queueOf(runs, { succeeded: 2, failed: 1 }))).toEqual({ do: 'clear', taskids: [0, 1, 3] });
  });

  test('means all where more have finished than are listed', () => {
    expect(clearOf(queueOf(runs, { succeeded: 20, failed: 1 }))).toEqual({ do: 'clear' });
  });
});
