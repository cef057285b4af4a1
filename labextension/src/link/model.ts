// The tasks of one farm's queue in columns, a place for each task, by ascending id. Pure: the clock is an argument.

import { Columns } from './columns';
import { StateCode } from './messages';
import type { Batch, Counts, EngineInfo, Note, QueueDelta, QueueSnapshot, Rows, Run, WorkerInfo } from './messages';

/** Finished tasks that are kept: as many as a user scrolls through. The controller has them all. */
export const MAX_FINISHED = 10_000;

// a margin, so that a queue that ends a thousand tasks a second does not move its columns with every message
const FINISHED_SLACK = 1_000;

// one object for all held tasks without any other note
const HELD: Note = { held: true };

/** Result of a message. `gap`: an earlier one is missing, a snapshot is needed; `foreign`: it is of another farm. */
export type Applied = 'applied' | 'gap' | 'foreign';

export function isFinished(state: number): boolean {
  return state >= StateCode.SUCCEEDED;
}

const FINAL: ReadonlySet<string> = new Set(['succeeded', 'failed', 'aborted']);

/** Whether a state, as a word, is an end. */
export function isFinal(state: string): boolean {
  return FINAL.has(state);
}

/** Return the number of tasks that wait for others or for a worker. */
export function queuedOf({ waiting = 0, scheduled = 0 }: Counts): number {
  return waiting + scheduled;
}

/** Return the number of tasks that have not ended. */
export function unfinishedOf(counts: Counts): number {
  return queuedOf(counts) + (counts.running ?? 0);
}

/** Return the number of tasks that have ended and were not cleared. */
export function finishedOf({ succeeded = 0, failed = 0, aborted = 0 }: Counts): number {
  return succeeded + failed + aborted;
}

/**
 * The queue of one farm, as far as a page knows it.
 *
 * Messages have states, not changes, so that applying one twice does no harm. A task keeps its place until `shape`
 * grows.
 */
export class Queue {
  /** Number of tasks. */
  n = 0;
  columns = new Columns(0);
  batches: Batch[] = [];
  readonly notes = new Map<number, Note>();
  counts: Counts = {};
  workers: readonly WorkerInfo[] = [];
  nWorkers = 0;
  engine: EngineInfo | null = null;
  /** Sentences for people while the farm's store has no room; empty: it has. */
  noRoom = '';
  incarnation = 0;
  /** Of the last message; -1: there has been no snapshot. */
  seq = -1;
  /** The controller's clock at the last message, in seconds. */
  wall = 0;
  /** The controller's clock less this page's, in seconds. */
  ahead = 0;
  /** Grows whenever tasks have moved to other places. */
  shape = 0;
  /** Grows with each message. */
  version = 0;
  /** Grows whenever there are other batches. */
  naming = 0;

  // ids of finished tasks in the order of their ends: the first are removed first
  private finished: number[] = [];

  constructor(readonly farm: string) {}

  /** Apply a message. `now`: this page's clock, in seconds. */
  apply(message: QueueSnapshot | QueueDelta, now: number): Applied {
    if (message.farm !== this.farm) return 'foreign';
    if (message.type === 'snapshot') {
      this.removeAll();
      this.incarnation = message.incarnation;
    } else if (this.seq < 0 || message.seq > this.seq + 1) {
      return 'gap';
    }
    // a delta from before the snapshot may be outdated
    else if (message.seq <= this.seq) return 'applied';
    this.seq = message.seq;
    this.wall = message.wall;
    this.ahead = message.wall - now;
    this.counts = message.counts;
    this.nWorkers = message.n_workers;
    this.workers = message.workers ?? this.workers;
    this.engine = message.engine ?? null;
    this.noRoom = message.no_room ?? '';
    this.addBatches(message.batches ?? []);
    this.makePlaces(message.runs ?? [], message.rows?.ids ?? []);
    this.applyRuns(message.runs ?? []);
    this.applyRows(message.rows ?? {});
    this.clear(message.type === 'delta' ? (message.cleared ?? []) : []);
    this.removeOldest(message.type === 'snapshot');
    this.version += 1;
    return 'applied';
  }

  /** Return the place of a task; -1: unknown. */
  placeOf(taskid: number): number {
    const place = this.firstFrom(taskid);
    return place < this.n && this.columns.ids[place] === taskid ? place : -1;
  }

  idAt(place: number): number {
    return this.columns.ids[place] ?? -1;
  }

  stateAt(place: number): StateCode {
    return (this.columns.states[place] ?? StateCode.WAITING) as StateCode;
  }

  batchAt(place: number): Batch | undefined {
    return this.batches[this.columns.batches[place] ?? -1];
  }

  /** Return the task that the one at this place retries. */
  retryOfAt(place: number): number | undefined {
    const batch = this.batchAt(place);
    return batch?.retry_of?.[this.columns.ids[place]! - batch.first];
  }

  noteAt(place: number): Note | undefined {
    return this.notes.get(this.idAt(place));
  }

  priorityAt(place: number): number {
    return this.noteAt(place)?.priority ?? this.batchAt(place)?.priority ?? 0;
  }

  /** Return the run time of the current or last attempt, in seconds; NaN: unknown. `wall`: the controller's clock. */
  elapsedAt(place: number, wall: number): number {
    const { started, seconds, completed, states } = this.columns;
    if (states[place] === StateCode.RUNNING && started[place]) return Math.max(0, wall - started[place]!);
    return completed[place] && seconds[place] ? seconds[place]! : NaN;
  }

  /** Return the first place whose task has this id or a larger one. */
  private firstFrom(taskid: number): number {
    const ids = this.columns.ids;
    let low = 0;
    let high = this.n;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ids[middle]! < taskid) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private removeAll(): void {
    this.n = 0;
    this.columns = new Columns(0);
    this.batches = [];
    this.notes.clear();
    this.finished = [];
    this.shape += 1;
    this.naming += 1;
  }

  private addBatches(added: readonly Batch[]): void {
    const known = this.batches;
    const last = known[known.length - 1];
    if (added.length === 0) return;
    this.naming += 1;
    const isAscending = added.every((batch, at) => batch.first > (added[at - 1] ?? last ?? { first: -1 }).first);
    if (isAscending) {
      added.forEach(batch => known.push(batch));
    } else {
      const byFirst = new Map([...known, ...added].map(batch => [batch.first, batch]));
      this.batches = [...byFirst.values()].sort((a, b) => a.first - b.first);
    }
    if (!isAscending) {
      this.assignBatches();
      this.shape += 1;
    } else for (let at = known.length - added.length; at < known.length; at++) this.assignBatch(at);
  }

  /** Set the batch of its tasks, which may have been received before it. */
  private assignBatch(at: number): void {
    const { first, n } = this.batches[at]!;
    if (this.n === 0 || this.columns.ids[this.n - 1]! < first) return;
    this.columns.batches.fill(at, this.firstFrom(first), this.firstFrom(first + n));
  }

  private assignBatches(): void {
    let at = 0;
    for (let place = 0; place < this.n; place++) {
      const id = this.columns.ids[place]!;
      while (at < this.batches.length && this.batches[at]!.first + this.batches[at]!.n <= id) at++;
      const batch = this.batches[at];
      this.columns.batches[place] = batch !== undefined && batch.first <= id ? at : -1;
    }
  }

  /** Make places for new tasks. */
  private makePlaces(runs: readonly Run[], ids: readonly number[]): void {
    const added = merge(sort(this.newTasksOf(runs)), sort(ids.filter(id => this.placeOf(id) < 0)));
    if (added.length === 0) return;
    const last = this.n === 0 ? -1 : this.columns.ids[this.n - 1]!;
    if (added[0]! > last) this.append(added);
    else this.merge(added);
  }

  private newTasksOf(runs: readonly Run[]): Float64Array {
    const unknown = new Float64Array(runs.reduce((sum, [, n]) => sum + n, 0));
    let n = 0;
    for (const [first, many] of runs) {
      let place = this.firstFrom(first);
      for (let id = first; id < first + many; id++) {
        if (place < this.n && this.columns.ids[place] === id) place++;
        else unknown[n++] = id;
      }
    }
    return unknown.subarray(0, n);
  }

  private append(added: Float64Array): void {
    const end = this.n + added.length;
    if (end > this.columns.capacity) {
      const grown = new Columns(Math.max(end, Math.ceil(this.columns.capacity * 1.5), 1024));
      grown.copy(this.columns, 0, this.n, 0);
      this.columns = grown;
    }
    this.columns.ids.set(added, this.n);
    this.columns.reset(this.n, end, StateCode.WAITING);
    this.assignBatchesFrom(this.n, end);
    this.n = end;
  }

  private assignBatchesFrom(from: number, end: number): void {
    let at = firstAfter(this.batches, this.columns.ids[from]!) - 1;
    for (let place = from; place < end; place++) {
      const id = this.columns.ids[place]!;
      while ((this.batches[at + 1]?.first ?? Infinity) <= id) at++;
      const batch = this.batches[at];
      this.columns.batches[place] = batch !== undefined && id < batch.first + batch.n ? at : -1;
    }
  }

  private merge(added: Float64Array): void {
    const before = this.columns;
    const merged = new Columns(this.n + added.length + 1024);
    let at = 0;
    let from = 0;
    for (let next = 0; next < added.length;) {
      const end = this.firstFrom(added[next]!);
      merged.copy(before, from, end, at);
      at += end - from;
      from = end;
      const following = end < this.n ? before.ids[end]! : Infinity;
      const first = at;
      for (; next < added.length && added[next]! < following; next++) merged.ids[at++] = added[next]!;
      merged.reset(first, at, StateCode.WAITING);
    }
    merged.copy(before, from, this.n, at);
    this.n = at + this.n - from;
    this.columns = merged;
    this.assignBatches();
    this.shape += 1;
  }

  private applyRuns(runs: readonly Run[]): void {
    for (const [first, n, state, held] of runs) {
      const from = this.firstFrom(first);
      const end = this.firstFrom(first + n);
      if (isFinished(state)) for (let place = from; place < end; place++) this.noteEnd(place);
      this.columns.reset(from, end, state);
      if (held) for (let place = from; place < end; place++) this.notes.set(this.idAt(place), HELD);
      else if (this.notes.size > 0) for (let place = from; place < end; place++) this.notes.delete(this.idAt(place));
    }
  }

  private applyRows(rows: Rows): void {
    const columns = this.columns;
    const notes = rows.notes ?? {};
    const ids = rows.ids ?? [];
    for (let row = 0; row < ids.length; row++) {
      const id = ids[row]!;
      const place = this.placeOf(id);
      const state = rows.states?.[row] ?? StateCode.WAITING;
      if (isFinished(state)) this.noteEnd(place);
      columns.states[place] = state;
      columns.workers[place] = rows.workers?.[row] ?? -1;
      columns.attempts[place] = rows.attempts?.[row] ?? 0;
      columns.started[place] = rows.started?.[row] ?? 0;
      columns.completed[place] = rows.completed?.[row] ?? 0;
      columns.seconds[place] = rows.seconds?.[row] ?? 0;
      const note = notes[id];
      if (note !== undefined) this.notes.set(id, note);
      else this.notes.delete(id);
    }
  }

  private noteEnd(place: number): void {
    if (!isFinished(this.stateAt(place))) this.finished.push(this.idAt(place));
  }

  private clear(cleared: readonly (readonly [number, number])[]): void {
    let n = 0;
    for (const [first, many] of cleared) {
      const from = this.firstFrom(first);
      const end = this.firstFrom(first + many);
      this.columns.states.fill(0, from, end);
      n += end - from;
    }
    if (n > 0) this.compact();
  }

  private removeOldest(isSnapshot: boolean): void {
    if (isSnapshot) {
      const ended = (id: number): number => this.columns.completed[this.placeOf(id)]!;
      // each place is looked up once, not with each comparison
      const order = this.finished.map(id => [ended(id), id] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      this.finished = order.map(([, id]) => id);
    }
    if (this.finished.length <= MAX_FINISHED + (isSnapshot ? 0 : FINISHED_SLACK)) return;
    const removed = this.finished.splice(0, this.finished.length - MAX_FINISHED);
    for (const id of removed) this.columns.states[this.placeOf(id)] = 0;
    this.compact();
  }

  /** Remove the tasks whose state is 0, and the batches without tasks. */
  private compact(): void {
    const before = this.columns;
    const after = new Columns(before.capacity);
    const batches: Batch[] = [];
    let at = 0;
    let last = -1;
    for (let from = 0; from < this.n;) {
      if (before.states[from] === 0) {
        this.notes.delete(before.ids[from]!);
        from++;
        continue;
      }
      let end = from;
      for (; end < this.n && before.states[end] !== 0; end++) {
        const batch = before.batches[end]!;
        if (batch >= 0 && batch !== last) batches.push(this.batches[batch]!);
        if (batch >= 0) last = batch;
      }
      after.copy(before, from, end, at);
      at += end - from;
      from = end;
    }
    this.columns = after;
    this.n = at;
    this.batches = batches;
    this.finished = this.finished.filter(id => this.placeOf(id) >= 0);
    this.assignBatches();
    this.shape += 1;
    this.naming += 1;
  }
}

/** Return the first index whose batch begins after this id. */
function firstAfter(batches: readonly Batch[], taskid: number): number {
  let low = 0;
  let high = batches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (batches[middle]!.first <= taskid) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Return these ids in order; messages usually have them so already. */
function sort(ids: ArrayLike<number>): Float64Array {
  const ordered = ids instanceof Float64Array ? ids : Float64Array.from(ids);
  for (let at = 1; at < ordered.length; at++) if (ordered[at - 1]! > ordered[at]!) return ordered.sort();
  return ordered;
}

/** Merge two sorted lists without duplicates. */
function merge(a: Float64Array, b: Float64Array): Float64Array {
  const all = new Float64Array(a.length + b.length);
  let n = 0;
  for (let inA = 0, inB = 0; inA < a.length || inB < b.length;) {
    const takesA = inB === b.length || (inA < a.length && a[inA]! <= b[inB]!);
    const id = takesA ? a[inA++]! : b[inB++]!;
    if (n === 0 || all[n - 1] !== id) all[n++] = id;
  }
  return all.subarray(0, n);
}
