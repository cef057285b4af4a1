// The state of a group of tasks, counted in a queue. Pure.

import { StateCode } from '../link/messages';
import type { GroupOfTasks } from '../link/messages';
import { isFinished } from '../link/model';
import type { Queue } from '../link/model';
import { formatCount, formatSeconds, oneLine, plural } from '../queue/format';
import { idsOf } from './ranges';
import { newestRetry } from './situation';

/** The action of a group's button, and the text on it. */
export type GroupVerb = 'abort all' | 'retry failed';

const MAX_FAILURES = 5;

// the client's clock and the controller's may differ, and a farm takes a while to start
const SUBMITTED_WITHIN_S = 120;

export interface GroupHead {
  readonly state: string;
  readonly facts: readonly string[];
  readonly nTasks: number;
  readonly nSucceeded: number;
  readonly nFailed: number;
  readonly nAborted: number;
  /** The failures that are shown: which task, and why. */
  readonly failures: readonly (readonly [string, string])[];
  readonly failed: readonly number[];
  readonly unfinished: readonly number[];
  readonly isRetried: boolean;
  readonly offers: readonly GroupVerb[];
}

/** Whether the tasks of a group are those that this queue lists, and not others of the same ids in a fresh store. */
export function isOfQueue(queue: Queue, { ranges, submitted }: Pick<GroupOfTasks, 'ranges' | 'submitted'>): boolean {
  const listed = idsOf(ranges).find(id => queue.placeOf(id) >= 0);
  const at = listed === undefined ? undefined : queue.batchAt(queue.placeOf(listed))?.submitted;
  return at === undefined || Math.abs(at - submitted) < SUBMITTED_WITHIN_S;
}

/** Return the state of a group; a retried task counts as its newest retry. `wall`: the controller's clock. */
export function headOfGroup(queue: Queue, { ranges, submitted, state: saved }: GroupOfTasks, wall: number): GroupHead {
  const count = new Count(queue);
  const ids = idsOf(ranges);
  for (const id of ids) count.add(id);
  const { nSucceeded, nUnlisted, failed, aborted, unfinished, isRetried } = count;
  const n = { failed: failed.length, aborted: aborted.length, left: unfinished.length };
  const done = ids.length - n.left;
  // failed ones may be among those that are not listed any more; the kernel may have seen that
  const isSaved = nUnlisted > 0 && !isRetried && ['failed', 'aborted'].includes(saved);
  const best = isSaved ? saved : 'succeeded';
  const state = n.left ? 'running' : n.failed ? 'failed' : n.aborted ? 'aborted' : best;
  const seconds = Math.max(0, (n.left ? wall : count.lastEnd || wall) - submitted);
  const rate = done / seconds;
  const shown = failed.slice(0, MAX_FAILURES);
  const words = { succeeded: nSucceeded, failed: n.failed, aborted: n.aborted, running: count.nRunning };
  const byState = Object.entries(words).filter(([word, number]) => number > 0 && (number < ids.length || word !== state));
  return {
    state,
    facts: [
      n.left ? `${formatCount(done)} of ${formatCount(ids.length)}` : plural(ids.length, 'task'),
      ...byState.map(([word, number]) => `${formatCount(number)} ${word}`),
      ...(nUnlisted ? [`${formatCount(nUnlisted)} ended before`] : []),
      // a retry may come hours later
      ...(isRetried ? [] : [formatSeconds(seconds), ...rateFacts(done, n.left, rate)])
    ],
    nTasks: ids.length,
    nSucceeded: nSucceeded + nUnlisted,
    nFailed: n.failed,
    nAborted: n.aborted,
    failures: shown.map(id => [`task ${id}`, oneLine(queue.notes.get(id)?.message)] as const),
    failed: [...failed, ...aborted],
    unfinished,
    isRetried,
    offers: [...(n.left ? ['abort all' as const] : []), ...(n.failed + n.aborted ? ['retry failed' as const] : [])]
  };
}

function rateFacts(done: number, left: number, rate: number): string[] {
  if (!done || !Number.isFinite(rate)) return [];
  const shown = rate >= 10 ? formatCount(Math.round(rate)) : String(Number(rate.toPrecision(2)));
  return [`${shown} a second`, ...(left ? [`about ${formatSeconds(left / rate)} left`] : [])];
}

/** Counts tasks by their states. */
class Count {
  nSucceeded = 0;
  nRunning = 0;
  /** Finished tasks that the queue does not list any more. */
  nUnlisted = 0;
  lastEnd = 0;
  isRetried = false;
  readonly failed: number[] = [];
  readonly aborted: number[] = [];
  readonly unfinished: number[] = [];

  constructor(private readonly queue: Queue) {}

  add(first: number): void {
    const { queue } = this;
    const id = newestRetry(queue, first);
    const place = queue.placeOf(id);
    this.isRetried ||= id !== first;
    if (place < 0) {
      this.nUnlisted += 1;
      return;
    }
    const state = queue.stateAt(place);
    this.lastEnd = Math.max(this.lastEnd, queue.columns.completed[place] ?? 0);
    if (state === StateCode.SUCCEEDED) this.nSucceeded += 1;
    else if (state === StateCode.FAILED) this.failed.push(id);
    else if (isFinished(state)) this.aborted.push(id);
    else this.unfinished.push(id);
    if (state === StateCode.RUNNING) this.nRunning += 1;
  }
}
