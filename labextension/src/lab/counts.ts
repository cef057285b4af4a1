// What the status bar says, and which failures are news. Pure.

import { FarmState } from '../link/messages';
import type { Counts, FarmStatus } from '../link/messages';
import { formatCount } from '../queue/format';

/** Failed tasks of each farm at the time that somebody looked last. */
export type Seen = Readonly<Record<string, number>>;

/** Tasks of a farm that are waiting for something, or for a worker. */
export function queuedOf(counts: Counts): number {
  return (counts.waiting ?? 0) + (counts.scheduled ?? 0);
}

/** Tasks of a farm that have not ended. */
export function unfinishedOf(counts: Counts): number {
  return queuedOf(counts) + (counts.running ?? 0);
}

/** What all farms that answer have together. */
export interface Totals {
  readonly running: number;
  readonly queued: number;
  /** Failed since somebody looked last. */
  readonly failed: number;
}

export function totalsOf(farms: readonly FarmStatus[], seen: Seen): Totals {
  let running = 0;
  let queued = 0;
  let failed = 0;
  for (const { name, state, counts } of farms) {
    if (state !== FarmState.LIVE || !counts) continue;
    running += counts.running ?? 0;
    queued += queuedOf(counts);
    failed += Math.max(0, (counts.failed ?? 0) - (seen[name] ?? 0));
  }
  return { running, queued, failed };
}

/** Return what is seen by somebody who looks now. Of farms that do not answer, what was seen before. */
export function seenNow(farms: readonly FarmStatus[], before: Seen): Seen {
  const seen: Record<string, number> = {};
  for (const { name, counts } of farms) seen[name] = counts ? (counts.failed ?? 0) : (before[name] ?? 0);
  return seen;
}

/** Return the same after failed tasks were cleared: those that fail from now on are news. */
export function seenAtMost(farms: readonly FarmStatus[], before: Seen): Seen {
  const now = seenNow(farms, before);
  return Object.fromEntries(Object.entries(now).map(([name, failed]) => [name, Math.min(failed, before[name] ?? 0)]));
}

/** `3 running · 12 queued`; empty when there is nothing to say. */
export function statusText({ running, queued, failed }: Totals): string {
  const parts = [];
  if (running > 0) parts.push(`${formatCount(running)} running`);
  if (queued > 0) parts.push(`${formatCount(queued)} queued`);
  if (failed > 0) parts.push(`${formatCount(failed)} failed`);
  return parts.join(' · ');
}
