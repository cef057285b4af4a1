// The last minute of each worker as a lane of segments. Pure: the clock is an argument.

import { StateCode } from './messages';
import type { QueueDelta, QueueSnapshot, Rows, WorkerInfo } from './messages';
import { isFinished } from './model';

/** Number of seconds that a lane shows. */
export const LANE_SECONDS = 60;

// shorter segments are merged with their neighbours: a lane has at most about 240
const SHORTEST = LANE_SECONDS / 240;

/** Outcome of an attempt. `again`: it was lost, and the task gets another one. */
export type Outcome = 'running' | 'succeeded' | 'failed' | 'aborted' | 'again';

export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly outcome: Outcome;
  /** Id of the task, or of the last one. */
  readonly taskid: number;
  /** Number of tasks in this segment. */
  readonly n: number;
}

export interface Lane {
  readonly worker: number;
  readonly segments: readonly Segment[];
  /** Whether the worker still exists. */
  readonly isPresent: boolean;
}

interface LaneState {
  segments: Segment[];
  /** End of the last segment. */
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

// of merged segments, the outcome with the largest weight is drawn
const WEIGHT: Readonly<Record<Outcome, number>> = { running: 0, succeeded: 1, again: 2, aborted: 3, failed: 4 };

export class Lanes {
  private readonly lanes = new Map<number, LaneState>();
  private workers: readonly WorkerInfo[] = [];

  /** Apply a message. */
  apply(message: QueueSnapshot | QueueDelta): void {
    if (message.type === 'snapshot') for (const lane of this.lanes.values()) lane.running = null;
    this.workers = message.workers ?? this.workers;
    const rows = message.rows ?? {};
    const ends = endsOf(rows, this.lanes, message.wall).sort((a, b) => a.segment.to - b.segment.to);
    for (const { worker, segment } of ends) {
      if (segment.to > message.wall - LANE_SECONDS) append(this.lane(worker), segment);
    }
    this.applyRunning(rows);
    this.removeOld(message.wall);
  }

  /** Return the lanes of the present workers, and below them those of workers that left in the last minute. */
  read(wall: number): readonly Lane[] {
    const present = new Set(this.workers.map(worker => worker.worker));
    const isGone = (worker: number): number => (present.has(worker) ? 0 : 1);
    const all = [...new Set([...present, ...this.lanes.keys()])].sort((a, b) => isGone(a) - isGone(b) || a - b);
    return all
      .map(worker => ({ worker, isPresent: present.has(worker), segments: this.segments(worker, wall) }))
      .filter(lane => lane.isPresent || lane.segments.length > 0);
  }

  private segments(worker: number, wall: number): Segment[] {
    const lane = this.lanes.get(worker);
    if (lane === undefined) return [];
    const shown = lane.segments.filter(segment => segment.to > wall - LANE_SECONDS);
    const running = lane.running;
    if (running !== null) {
      shown.push({ from: running.started, to: wall, outcome: 'running', taskid: running.taskid, n: 1 });
    }
    return shown;
  }

  private applyRunning(rows: Rows): void {
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

  private lane(worker: number): LaneState {
    let lane = this.lanes.get(worker);
    if (lane === undefined) this.lanes.set(worker, (lane = { segments: [], until: 0, running: null }));
    return lane;
  }

  private removeOld(wall: number): void {
    const present = new Set(this.workers.map(worker => worker.worker));
    for (const [worker, lane] of this.lanes) {
      const first = lane.segments.findIndex(segment => segment.to > wall - LANE_SECONDS);
      if (first !== 0) lane.segments.splice(0, first < 0 ? lane.segments.length : first);
      if (!present.has(worker)) lane.running = null;
      if (lane.segments.length === 0 && !present.has(worker)) this.lanes.delete(worker);
    }
  }
}

/** Return the attempts that end with these rows. */
function endsOf(rows: Rows, lanes: ReadonlyMap<number, LaneState>, wall: number): End[] {
  const ends: End[] = [];
  const ids = rows.ids ?? [];
  for (let row = 0; row < ids.length; row++) {
    const worker = rows.workers?.[row] ?? -1;
    const state = rows.states?.[row] ?? 0;
    if (worker < 0 || state === StateCode.RUNNING) continue;
    const taskid = ids[row]!;
    const running = lanes.get(worker)?.running;
    const began = running?.taskid === taskid ? running.started : undefined;
    const to = isFinished(state) ? (rows.completed?.[row] ?? 0) : wall;
    const seconds = rows.seconds?.[row] ?? 0;
    const from = isFinished(state) && seconds ? to - seconds : began;
    if (from === undefined || !to) continue;
    ends.push({ worker, segment: { from, to, outcome: OUTCOMES[state] ?? 'again', taskid, n: 1 } });
  }
  return ends;
}

/** Append a segment to a lane; one that is not newer than the last was received before. */
function append(lane: LaneState, segment: Segment): void {
  if (segment.to <= lane.until) return;
  lane.until = segment.to;
  const last = lane.segments[lane.segments.length - 1];
  const isDense = last !== undefined && segment.from - last.to < SHORTEST / 2 && segment.to - last.from < SHORTEST;
  if (!isDense) {
    lane.segments.push(segment);
    return;
  }
  const shown = WEIGHT[segment.outcome] >= WEIGHT[last.outcome] ? segment : last;
  lane.segments[lane.segments.length - 1] = {
    from: last.from,
    to: segment.to,
    outcome: shown.outcome,
    taskid: shown.taskid,
    n: last.n + segment.n
  };
}
