// What each worker has done in the last minute: one lane of segments each. Pure: the clock is an argument.

import { StateCode } from './messages';
import type { QueueDelta, QueueSnapshot, Rows, WorkerInfo } from './messages';
import { isFinished } from './model';

/** Seconds that lanes show. */
export const LANE_SECONDS = 60;

// what is shorter is drawn as one with what is beside it: a lane has no more than 240 segments
const SHORTEST = LANE_SECONDS / 240;

/** `again`: the attempt came to nothing, and the task has another one. */
export type Outcome = 'running' | 'succeeded' | 'failed' | 'aborted' | 'again';

export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly outcome: Outcome;
  /** Of the task, or of the last of them. */
  readonly taskid: number;
  /** Tasks that are drawn as one. */
  readonly n: number;
}

export interface Lane {
  readonly worker: number;
  readonly segments: readonly Segment[];
  /** It is there now. */
  readonly isThere: boolean;
}

interface Kept {
  segments: Segment[];
  /** Until when it is known what the worker did. */
  until: number;
  running: { taskid: number; started: number } | null;
}

interface End {
  readonly worker: number;
  readonly segment: Segment;
}

const OUTCOMES: Readonly<Partial<Record<number, Outcome>>> = {
  [StateCode.SUCCEEDED]: 'succeeded',
  [StateCode.FAILED]: 'failed',
  [StateCode.ABORTED]: 'aborted'
};

// of several outcomes in one place, the one that is seen
const WEIGHT: Readonly<Record<Outcome, number>> = { running: 0, succeeded: 1, again: 2, aborted: 3, failed: 4 };

export class Lanes {
  private readonly kept = new Map<number, Kept>();
  private there: readonly WorkerInfo[] = [];

  take(message: QueueSnapshot | QueueDelta): void {
    if (message.type === 'snapshot') for (const lane of this.kept.values()) lane.running = null;
    this.there = message.workers ?? this.there;
    const rows = message.rows ?? {};
    const ends = endsOf(rows, this.kept, message.wall).sort((a, b) => a.segment.to - b.segment.to);
    for (const { worker, segment } of ends) {
      if (segment.to > message.wall - LANE_SECONDS) add(this.lane(worker), segment);
    }
    this.takeRunning(rows);
    this.forget(message.wall);
  }

  /** The lanes of the workers that are there, and below them of those that were there in the last minute. */
  read(wall: number): readonly Lane[] {
    const there = new Set(this.there.map(worker => worker.worker));
    const isGone = (worker: number): number => (there.has(worker) ? 0 : 1);
    const all = [...new Set([...there, ...this.kept.keys()])].sort((a, b) => isGone(a) - isGone(b) || a - b);
    return all
      .map(worker => ({ worker, isThere: there.has(worker), segments: this.segments(worker, wall) }))
      .filter(lane => lane.isThere || lane.segments.length > 0);
  }

  private segments(worker: number, wall: number): Segment[] {
    const lane = this.kept.get(worker);
    if (lane === undefined) return [];
    const shown = lane.segments.filter(segment => segment.to > wall - LANE_SECONDS);
    const running = lane.running;
    if (running !== null) {
      shown.push({ from: running.started, to: wall, outcome: 'running', taskid: running.taskid, n: 1 });
    }
    return shown;
  }

  private takeRunning(rows: Rows): void {
    const ids = rows.ids ?? [];
    for (let row = 0; row < ids.length; row++) {
      const worker = rows.workers?.[row] ?? -1;
      if (worker < 0) continue;
      const started = rows.started?.[row] ?? 0;
      const lane = this.lane(worker);
      if (rows.states?.[row] === StateCode.RUNNING && started) lane.running = { taskid: ids[row]!, started };
      else if (lane.running?.taskid === ids[row]) lane.running = null;
    }
  }

  private lane(worker: number): Kept {
    let lane = this.kept.get(worker);
    if (lane === undefined) this.kept.set(worker, (lane = { segments: [], until: 0, running: null }));
    return lane;
  }

  private forget(wall: number): void {
    const there = new Set(this.there.map(worker => worker.worker));
    for (const [worker, lane] of this.kept) {
      const first = lane.segments.findIndex(segment => segment.to > wall - LANE_SECONDS);
      if (first !== 0) lane.segments.splice(0, first < 0 ? lane.segments.length : first);
      if (!there.has(worker)) lane.running = null;
      if (lane.segments.length === 0 && !there.has(worker)) this.kept.delete(worker);
    }
  }
}

/** The attempts that these rows say have ended. */
function endsOf(rows: Rows, kept: ReadonlyMap<number, Kept>, wall: number): End[] {
  const ends: End[] = [];
  const ids = rows.ids ?? [];
  for (let row = 0; row < ids.length; row++) {
    const worker = rows.workers?.[row] ?? -1;
    const state = rows.states?.[row] ?? 0;
    if (worker < 0 || state === StateCode.RUNNING) continue;
    const taskid = ids[row]!;
    const running = kept.get(worker)?.running;
    const began = running?.taskid === taskid ? running.started : undefined;
    const to = isFinished(state) ? (rows.completed?.[row] ?? 0) : wall;
    const seconds = rows.seconds?.[row] ?? 0;
    const from = isFinished(state) && seconds ? to - seconds : began;
    if (from === undefined || !to) continue;
    ends.push({ worker, segment: { from, to, outcome: OUTCOMES[state] ?? 'again', taskid, n: 1 } });
  }
  return ends;
}

/** Add what a worker has done after all that is known of it. What is told again is known already. */
function add(lane: Kept, segment: Segment): void {
  if (segment.to <= lane.until) return;
  lane.until = segment.to;
  const last = lane.segments[lane.segments.length - 1];
  const isDense = last !== undefined && segment.from - last.to < SHORTEST / 2 && segment.to - last.from < SHORTEST;
  if (!isDense) {
    lane.segments.push(segment);
    return;
  }
  const seen = WEIGHT[segment.outcome] >= WEIGHT[last.outcome] ? segment : last;
  lane.segments[lane.segments.length - 1] = {
    from: last.from,
    to: segment.to,
    outcome: seen.outcome,
    taskid: seen.taskid,
    n: last.n + segment.n
  };
}
