// Lanes and rates.

import { describe, expect, test } from 'vitest';
import { Lanes } from '../../src/link/lanes';
import type { Outcome } from '../../src/link/lanes';
import { StateCode } from '../../src/link/messages';
import type { QueueDelta, QueueSnapshot, Rows } from '../../src/link/messages';
import { RATE_SECONDS, Rates } from '../../src/link/rates';

function delta(wall: number, rows: Rows = {}, nEnded = 0, workers: number[] | null = null): QueueDelta {
  const idle = { pid: 1, state: 'idle', running: null, held: 0, problem: '', waits_for: [], is_substitute: false, place: '' };
  const infos = workers?.map(worker => ({ worker, ...idle }));
  const counts = { n_ended: nEnded };
  return { type: 'delta', seq: 1, farm: 'f', wall, counts, n_workers: 1, rows, workers: infos ?? null };
}

function snapshot(wall: number, nEnded: number, ends: number[] = [], incarnation = 1): QueueSnapshot {
  const rest = { n_workers: 1, workers: [], engine: null, no_room: '', batches: [], runs: [], rows: {} };
  return { type: 'snapshot', seq: 0, farm: 'f', incarnation, wall, counts: { n_ended: nEnded }, ends, ...rest };
}

function ran(id: number, worker: number, from: number, to: number, state: StateCode = StateCode.SUCCEEDED): Rows {
  const times = { started: [0], completed: [to], seconds: [to - from] };
  return { ids: [id], states: [state], workers: [worker], attempts: [1], ...times };
}

function runs(id: number, worker: number, started: number): Rows {
  const times = { started: [started], completed: [0], seconds: [0] };
  return { ids: [id], states: [StateCode.RUNNING], workers: [worker], attempts: [1], ...times };
}

function drawn(lanes: Lanes, wall: number): [number, number, number, Outcome][] {
  return lanes
    .read(wall)
    .flatMap(lane =>
      lane.segments.map(({ from, to, outcome }): [number, number, number, Outcome] => [lane.worker, from, to, outcome])
    );
}

describe('lanes', () => {
  test('show running and ended attempts, and a repeated one once', () => {
    const lanes = new Lanes();
    lanes.apply(delta(100, runs(1, 0, 95), 0, [0, 1]));
    expect(drawn(lanes, 101)).toEqual([[0, 95, 101, 'running']]);
    lanes.apply(delta(110, ran(1, 0, 95, 108, StateCode.FAILED)));
    lanes.apply(delta(110, ran(1, 0, 95, 108, StateCode.FAILED)));
    lanes.apply(delta(111, runs(2, 0, 109)));
    expect(drawn(lanes, 112)).toEqual([
      [0, 95, 108, 'failed'],
      [0, 109, 112, 'running']
    ]);
    expect(lanes.read(112).map(lane => lane.worker)).toEqual([0, 1]);
  });

  test('show a lost attempt up to the message about its end', () => {
    const lanes = new Lanes();
    lanes.apply(delta(100, runs(1, 0, 95), 0, [0]));
    lanes.apply(
      delta(103, { ids: [1], states: [StateCode.SCHEDULED], workers: [0], started: [0], completed: [0], seconds: [0] })
    );
    expect(drawn(lanes, 104)).toEqual([[0, 95, 103, 'again']]);
  });

  test('drop segments after a minute, and a gone worker, which stands below the others, with its last one', () => {
    const lanes = new Lanes();
    lanes.apply(delta(100, ran(1, 7, 95, 99), 0, [7]));
    lanes.apply(delta(101, {}, 0, [8]));
    expect(lanes.read(101).map(lane => [lane.worker, lane.isPresent])).toEqual([
      [8, true],
      [7, false]
    ]);
    expect(drawn(lanes, 160)).toEqual([]);
    lanes.apply(delta(161));
    expect(lanes.read(161).map(lane => lane.worker)).toEqual([8]);
  });

  test('merge dense segments, and show a failure among them', () => {
    const lanes = new Lanes();
    for (let at = 0; at < 6000; at++) {
      const from = 100 + at / 100;
      lanes.apply(
        delta(from + 0.01, ran(at, 0, from, from + 0.009, at === 3000 ? StateCode.FAILED : StateCode.SUCCEEDED))
      );
    }
    const segments = lanes.read(160)[0]!.segments;
    expect(segments.length).toBeLessThanOrEqual(260);
    expect(segments.reduce((sum, segment) => sum + segment.n, 0)).toBe(6000);
    expect(segments.filter(segment => segment.outcome === 'failed')).toMatchObject([{ taskid: 3000 }]);
  });
});

describe('rates', () => {
  test('are counted from a growing total', () => {
    const rates = new Rates();
    rates.apply(snapshot(1000.5, 70));
    rates.apply(delta(1001.2, {}, 73));
    rates.apply(delta(1001.9, {}, 75));
    rates.apply(delta(1003.1, {}, 76));
    expect(rates.read(1004).slice(-4)).toEqual([0, 5, 0, 1]);
    expect(rates.read(1004)).toHaveLength(RATE_SECONDS);
    expect(rates.mean(1004)).toBe(0.6);
    expect(rates.read(1100).every(ends => ends === 0)).toBe(true);
  });

  test('begin with the numbers of the snapshot', () => {
    const rates = new Rates();
    rates.apply(snapshot(1000.5, 70, [1, 2, 3]));
    expect(rates.read(1001).slice(-3)).toEqual([1, 2, 3]);
  });

  test('continue after a snapshot without numbers, and start again with another controller', () => {
    const rates = new Rates();
    rates.apply(snapshot(1000, 0));
    rates.apply(delta(1000.5, {}, 4));
    rates.apply(snapshot(1001.5, 6));
    expect(rates.read(1002).slice(-2)).toEqual([4, 2]);
    rates.apply(snapshot(1003, 0, [], 2));
    expect(rates.read(1004).every(ends => ends === 0)).toBe(true);
  });
});
