// Detection of finished batches, and the text of their notification. Pure: the clock is an argument.

import { FarmState } from '../link/messages';
import type { Counts, FarmStatus, TaskDetails, TaskInfo } from '../link/messages';
import { unfinishedOf } from '../link/model';
import { formatCount, formatSeconds, oneLine, plural } from '../queue/format';

/** A batch: everything that a farm ran from an empty queue to the next empty queue. */
export interface Batch {
  readonly farm: string;
  readonly succeeded: number;
  readonly failed: number;
  readonly aborted: number;
  readonly seconds: number;
}

interface StartedBatch {
  readonly at: number;
  readonly counts: Counts;
}

/** Detector of finished batches, by the counts of each farm. */
export class Batches {
  private readonly started = new Map<string, StartedBatch>();
  private readonly idle = new Map<string, Counts>();
  private listed: ReadonlySet<string> | null = null;

  /** Apply the farms' status at `now`, in seconds; return the batches that have finished since the last call. */
  apply(farms: readonly FarmStatus[], now: number): Batch[] {
    // a new farm has run nothing before
    const isNew = (name: string): boolean => this.listed !== null && !this.listed.has(name);
    for (const { name } of farms) if (isNew(name)) this.idle.set(name, {});
    const finished = farms.map(farm => this.applyOne(farm, now)).filter(batch => batch !== null);
    const names = new Set(farms.map(farm => farm.name));
    this.listed = names;
    for (const known of [this.started, this.idle]) {
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    }
    return finished;
  }

  private applyOne({ name, state, counts }: FarmStatus, now: number): Batch | null {
    // a farm that does not answer may still run: wait for its next counts
    if (state !== FarmState.LIVE || !counts) return null;
    const batch = this.started.get(name);
    const before = batch?.counts ?? this.idle.get(name);
    if (unfinishedOf(counts) > 0) {
      // a batch continues after a restart of the controller
      if (batch === undefined) this.started.set(name, { at: now, counts: before ?? counts });
      return null;
    }
    this.idle.set(name, counts);
    this.started.delete(name);
    if (before === undefined) return null;
    const ended = {
      succeeded: countSince(before.succeeded, counts.succeeded),
      failed: countSince(before.failed, counts.failed),
      aborted: countSince(before.aborted, counts.aborted)
    };
    if (ended.succeeded + ended.failed + ended.aborted === 0) return null;
    return { farm: name, ...ended, seconds: now - (batch?.at ?? now) };
  }
}

// finished tasks may have been cleared meanwhile
function countSince(before = 0, now = 0): number {
  return Math.max(0, now - before);
}

/** Return two batches of one farm as one. */
export function addBatches(a: Batch, b: Batch): Batch {
  const { farm } = a;
  const [succeeded, failed, aborted] = [a.succeeded + b.succeeded, a.failed + b.failed, a.aborted + b.aborted];
  return { farm, succeeded, failed, aborted, seconds: a.seconds + b.seconds };
}

export function sizeOf({ succeeded, failed, aborted }: Batch): number {
  return succeeded + failed + aborted;
}

/** The task that a notification names. `why`: the type and the text of its exception; empty if it did not fail. */
export interface NamedTask {
  readonly taskid: number;
  readonly name: string;
  readonly why: string;
}

/** Return the first of the `n` tasks that ended last. */
export function firstOfLast(tasks: readonly TaskInfo[], n: number): TaskInfo | undefined {
  const byEnd = [...tasks].sort((a, b) => (a.completed ?? 0) - (b.completed ?? 0) || a.taskid - b.taskid);
  return byEnd[Math.max(0, byEnd.length - n)];
}

/** Name a task, with the reason of its failure: lists may leave out the type of the exception. */
export function nameTask({ task, exception = '' }: TaskDetails): NamedTask {
  const { taskid, message, reason } = task;
  const type = exception.slice(exception.lastIndexOf('.') + 1);
  const text = oneLine(message, 200);
  const isTyped = text.startsWith(type) || task.state !== 'failed';
  const why = task.state === 'failed' ? (isTyped ? text : [type, text].filter(Boolean).join(': ')) || reason : '';
  return { taskid, name: oneLine(task.name ?? task.label, 60) || `task ${taskid}`, why };
}

/**
 * Write `fit failed: KeyError: 'b'`, `12 of 500 tasks failed, first: fit: KeyError: 'b'`, or
 * `12 tasks succeeded, in 1:05 min`.
 *
 * @param named the only task, or the first one that failed, if it is known.
 * @param isOnly whether there is only one farm; else its name is written.
 */
export function batchText(batch: Batch, named: NamedTask | null, isOnly: boolean): string {
  const { farm, succeeded, failed, aborted, seconds } = batch;
  const n = sizeOf(batch);
  const ofFarm = isOnly ? '' : ` of ${farm}`;
  const time = seconds >= 1 ? `, in ${formatSeconds(seconds)}` : '';
  if (failed > 0) {
    const why = named?.why ? `: ${named.why}` : '';
    if (n === 1) return `${named ? named.name : '1 task'}${ofFarm} failed${why || time}`;
    const subject = failed === n ? plural(n, 'task') : `${formatCount(failed)} of ${plural(n, 'task')}`;
    return `${subject}${ofFarm} failed${named ? `, first: ${named.name}${why}` : time}`;
  }
  const subject = `${n === 1 && named ? named.name : plural(n, 'task')}${ofFarm}`;
  if (succeeded === n) return `${subject} succeeded${time}`;
  if (aborted === n) return `${subject} aborted${time}`;
  return `${subject} ended: ${formatCount(succeeded)} succeeded, ${formatCount(aborted)} aborted${time}`;
}

/** Whether users want a notification: of failures and of long batches, but not of their own aborts. */
export function isNotable(batch: Batch, longerThan: number): boolean {
  return batch.failed > 0 || (batch.succeeded > 0 && batch.seconds >= longerThan);
}
