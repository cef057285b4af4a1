// Detection of finished batches, and the text of their notification. Pure: the clock is an argument.

import { FarmState } from '../link/messages';
import type { Counts, FarmStatus } from '../link/messages';
import { unfinishedOf } from '../link/model';
import { formatCount, formatSeconds, plural } from '../queue/format';

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

/** Write `12 tasks ended: 10 succeeded, 2 failed, in 1:05 min`, with the farm's name unless it is the only one. */
export function batchText(batch: Batch, isOnly: boolean): string {
  const { farm, succeeded, failed, aborted, seconds } = batch;
  const n = succeeded + failed + aborted;
  const subject = `${plural(n, 'task')}${isOnly ? '' : ` of ${farm}`}`;
  const time = seconds >= 1 ? `, in ${formatSeconds(seconds)}` : '';
  if (succeeded === n) return `${subject} succeeded${time}`;
  if (failed === n) return `${subject} failed${time}`;
  const parts = [];
  if (succeeded > 0) parts.push(`${formatCount(succeeded)} succeeded`);
  if (failed > 0) parts.push(`${formatCount(failed)} failed`);
  if (aborted > 0) parts.push(`${formatCount(aborted)} aborted`);
  return n === aborted ? `${subject} aborted${time}` : `${subject} ended: ${parts.join(', ')}${time}`;
}

/** Whether users want a notification: of failures and of long batches, but not of their own aborts. */
export function isNotable(batch: Batch, longerThan: number): boolean {
  return batch.failed > 0 || (batch.succeeded > 0 && batch.seconds >= longerThan);
}
