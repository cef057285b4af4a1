// When a batch has finished, and what is said of it. Pure: the clock is an argument.

import { FarmState } from '../link/messages';
import type { Counts, FarmStatus } from '../link/messages';
import { formatCount, formatSeconds, plural } from '../queue/format';
import { unfinishedOf } from './counts';

/** A batch: what a farm had to do from the moment that it had anything to do until nothing was left. */
export interface Batch {
  readonly farm: string;
  readonly succeeded: number;
  readonly failed: number;
  readonly aborted: number;
  readonly seconds: number;
}

interface Begun {
  readonly at: number;
  readonly counts: Counts;
}

/** Notices what has finished, by the counts of each farm. */
export class Batches {
  private readonly begun = new Map<string, Begun>();
  private readonly idle = new Map<string, Counts>();
  private listed: ReadonlySet<string> | null = null;

  /** Take in how the farms are at `now`, in seconds; return the batches that have finished since the last time. */
  take(farms: readonly FarmStatus[], now: number): Batch[] {
    // one that nobody had heard of before has done nothing before
    const isNew = (name: string): boolean => this.listed !== null && !this.listed.has(name);
    for (const { name } of farms) if (isNew(name)) this.idle.set(name, {});
    const finished = farms.map(farm => this.takeOne(farm, now)).filter(batch => batch !== null);
    const names = new Set(farms.map(farm => farm.name));
    this.listed = names;
    for (const known of [this.begun, this.idle]) {
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    }
    return finished;
  }

  private takeOne({ name, state, counts }: FarmStatus, now: number): Batch | null {
    // while it does not answer it may have done anything; it says so when it does
    if (state !== FarmState.LIVE || !counts) return null;
    const batch = this.begun.get(name);
    const before = batch?.counts ?? this.idle.get(name);
    if (unfinishedOf(counts) > 0) {
      // a batch goes on where its controller was started anew
      if (batch === undefined) this.begun.set(name, { at: now, counts: before ?? counts });
      return null;
    }
    this.idle.set(name, counts);
    this.begun.delete(name);
    if (before === undefined) return null;
    const ended = {
      succeeded: since(before.succeeded, counts.succeeded),
      failed: since(before.failed, counts.failed),
      aborted: since(before.aborted, counts.aborted)
    };
    if (ended.succeeded + ended.failed + ended.aborted === 0) return null;
    return { farm: name, ...ended, seconds: now - (batch?.at ?? now) };
  }
}

// finished tasks may have been cleared meanwhile
function since(before = 0, now = 0): number {
  return Math.max(0, now - before);
}

/** `12 tasks have ended: 10 succeeded, 2 failed, in 1:05 min`. The farm is named where it is not the only one. */
export function batchText(batch: Batch, isOnly: boolean): string {
  const { farm, succeeded, failed, aborted, seconds } = batch;
  const n = succeeded + failed + aborted;
  const what = `${plural(n, 'task')}${isOnly ? '' : ` of ${farm}`}`;
  const time = seconds >= 1 ? `, in ${formatSeconds(seconds)}` : '';
  if (succeeded === n) return `${what} succeeded${time}`;
  if (failed === n) return `${what} failed${time}`;
  const parts = [];
  if (succeeded > 0) parts.push(`${formatCount(succeeded)} succeeded`);
  if (failed > 0) parts.push(`${formatCount(failed)} failed`);
  if (aborted > 0) parts.push(`${formatCount(aborted)} aborted`);
  return n === aborted ? `${what} aborted${time}` : `${what} ended: ${parts.join(', ')}${time}`;
}

/** Whether anybody wants to be told: of what went wrong, and of what took long. Aborts are nobody's news. */
export function isNews(batch: Batch, longerThan: number): boolean {
  return batch.failed > 0 || (batch.succeeded > 0 && batch.seconds >= longerThan);
}
