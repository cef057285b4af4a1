// The farm and the task of a card, as far as a page knows them. Pure.

import type { LinkState } from '../link/farms';
import { FarmState } from '../link/messages';
import type { FarmStatus, TaskCard } from '../link/messages';
import { finishedOf, unfinishedOf } from '../link/model';
import type { Queue } from '../link/model';

/**
 * The farm of a card. `unknown`: its state was not received yet; `unreachable`: this page cannot follow it; `away`: it
 * does not answer now; `asleep`: it does not run.
 */
export type FarmSituation = 'unknown' | 'unreachable' | 'away' | 'asleep' | 'live';

/** Connections that do not come back by themselves. */
const UNREACHABLE: ReadonlySet<LinkState> = new Set<LinkState>(['absent', 'foreign', 'refused']);

/** Return the situation of a farm. `status`: from the list of farms; `isListed`: there is a list. */
export function farmSituation(link: LinkState, isListed: boolean, status: FarmStatus | undefined): FarmSituation {
  if (UNREACHABLE.has(link)) return 'unreachable';
  if (!isListed) return 'unknown';
  if (status === undefined) return 'unreachable'; // a farm of another machine, or one whose store was deleted
  if (status.state === FarmState.LIVE) return 'live';
  if (status.state === FarmState.CONNECTING) return 'away';
  return status.state === FarmState.REFUSED ? 'unreachable' : 'asleep';
}

/**
 * The task of a card. `unlisted`: the queue lists the newest finished tasks only, and not this one; `cleared`: its
 * store does not have it any more; `dropped`: the farm has a fresh store, with another task of its id.
 */
export type TaskSituation = 'listed' | 'unlisted' | 'cleared' | 'dropped';

/** Return the situation of a task in a queue that was received. */
export function taskSituation(queue: Queue, { taskid, submitted }: Pick<TaskCard, 'taskid' | 'submitted'>): TaskSituation {
  const place = queue.placeOf(taskid);
  if (place >= 0) {
    const batch = queue.batchAt(place);
    // a fresh store counts from 0 again
    return batch?.submitted === undefined || batch.submitted === submitted ? 'listed' : 'dropped';
  }
  return queue.n < finishedOf(queue.counts) + unfinishedOf(queue.counts) ? 'unlisted' : 'cleared';
}

const retries = new WeakMap<Queue, { naming: number; newer: Map<number, number> }>();

/** Return the newest retry of a task, directly or through others; the task itself if there is none. */
export function newestRetry(queue: Queue, taskid: number): number {
  let known = retries.get(queue);
  if (known === undefined || known.naming !== queue.naming) {
    const newer = new Map<number, number>();
    for (const { first, retry_of: old } of queue.batches) old?.forEach((id, at) => newer.set(id, first + at));
    retries.set(queue, (known = { naming: queue.naming, newer }));
  }
  let newest = taskid;
  for (let next = known.newer.get(newest); next !== undefined && next > newest; next = known.newer.get(newest)) {
    newest = next;
  }
  return newest;
}
