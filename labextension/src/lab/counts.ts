// Counts for the status bar: totals of all farms, and failures that the user has not seen. Pure.

import { FarmState } from '../link/messages';
import type { FarmStatus } from '../link/messages';
import { queuedOf } from '../link/model';
import { formatCount } from '../queue/format';

/** Failed tasks of each farm when the user last looked at the queue. */
export type Seen = Readonly<Record<string, number>>;

/** Totals of all live farms. */
export interface Totals {
  readonly running: number;
  readonly queued: number;
  /** Failed since the user last looked. */
  readonly failed: number;
  /** A farm's disk is full. */
  readonly isFull?: boolean;
}

export function sumCounts(farms: readonly FarmStatus[], seen: Seen): Totals {
  let running = 0;
  let queued = 0;
  let failed = 0;
  let isFull = false;
  for (const { name, state, counts, no_room: noRoom } of farms) {
    if (state === FarmState.LIVE && noRoom) isFull = true;
    if (state !== FarmState.LIVE || !counts) continue;
    running += counts.running ?? 0;
    queued += queuedOf(counts);
    failed += Math.max(0, (counts.failed ?? 0) - (seen[name] ?? 0));
  }
  return { running, queued, failed, ...(isFull && { isFull }) };
}

/** Mark all failures as seen. For farms without counts, the former number stays. */
export function markSeen(farms: readonly FarmStatus[], before: Seen): Seen {
  const seen: Record<string, number> = {};
  for (const { name, counts } of farms) seen[name] = counts ? (counts.failed ?? 0) : (before[name] ?? 0);
  return seen;
}

/** Lower the seen failures to the present ones: after a clear, new failures count as unseen. */
export function lowerSeen(farms: readonly FarmStatus[], before: Seen): Seen {
  const now = markSeen(farms, before);
  return Object.fromEntries(Object.entries(now).map(([name, failed]) => [name, Math.min(failed, before[name] ?? 0)]));
}

/** Write `3 running · 12 queued · disk full`; empty if all are zero. */
export function statusText({ running, queued, failed, isFull }: Totals): string {
  const parts = [];
  if (running > 0) parts.push(`${formatCount(running)} running`);
  if (queued > 0) parts.push(`${formatCount(queued)} queued`);
  if (failed > 0) parts.push(`${formatCount(failed)} failed`);
  if (isFull) parts.push('disk full');
  return parts.join(' · ');
}
