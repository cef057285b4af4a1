// The first line of a card, and its buttons, from what is known of the task. Pure.

import { StateCode } from '../link/messages';
import type { TaskCard, TaskInfo, TaskProgress } from '../link/messages';
import { isFinal, isFinished } from '../link/model';
import type { Queue } from '../link/model';
import { formatRunning, formatSeconds, formatTime, oneLine } from '../queue/format';
import { stateText } from '../queue/row';
import { nameOf } from '../queue/select';
import type { Verb } from './action-row';

export interface Headline {
  readonly taskid: number;
  readonly title: string;
  /** The state as one word, which decides colour and icon. */
  readonly state: string;
  /** The state with its reason. */
  readonly text: string;
  readonly facts: readonly string[];
  readonly progress: TaskProgress | null;
  /** Seconds that the running attempt has taken; NaN: unknown. */
  readonly elapsed: number;
  readonly hasBegun: boolean;
  readonly isFinal: boolean;
  readonly offers: readonly Verb[];
}

/** Return the buttons of a task. */
export function offersOf(state: string): readonly Verb[] {
  if (!isFinal(state)) return state === 'stopping' ? [] : ['abort'];
  return state === 'succeeded' ? [] : ['retry'];
}

/**
 * Return the line of a task that the queue lists. `wall`: the controller's clock; `waitsFor`: what its details say it
 * waits for, of which a queue says only what does not change with each task.
 */
export function headlineOfPlace(queue: Queue, place: number, wall: number, waitsFor = ''): Headline {
  const code = queue.stateAt(place);
  const note = queue.noteAt(place);
  const text = stateText(code, note, wall);
  const attempts = queue.columns.attempts[place] ?? 0;
  const elapsed = queue.elapsedAt(place, wall);
  const retryOf = queue.retryOfAt(place);
  const state = text.split(' ')[0]!;
  return {
    taskid: queue.idAt(place),
    title: nameOf(queue.batchAt(place)),
    state,
    text,
    facts: [
      code === StateCode.RUNNING ? formatRunning(elapsed) : formatSeconds(elapsed),
      ...attemptFacts(attempts, retryOf),
      isFinished(code) ? '' : oneLine(note?.message || (code < StateCode.RUNNING ? waitsFor : ''))
    ].filter(Boolean),
    progress: code === StateCode.RUNNING ? (note?.progress ?? null) : null,
    elapsed,
    hasBegun: attempts > 0 || isFinished(code),
    isFinal: isFinished(code),
    offers: offersOf(state)
  };
}

/** Return the line of a task that has ended, from its details. */
export function headlineOfEnded(task: TaskInfo): Headline {
  const reason = task.reason && task.reason !== 'error' && task.reason !== task.state ? ` (${oneLine(task.reason)})` : '';
  return {
    taskid: task.taskid,
    title: oneLine(task.name ?? task.label),
    state: task.state,
    text: task.state + reason,
    facts: [formatSeconds(task.elapsed ?? NaN), ...attemptFacts(task.attempts, task.retry_of ?? undefined)].filter(Boolean),
    progress: null,
    elapsed: NaN,
    hasBegun: true,
    isFinal: isFinal(task.state),
    offers: offersOf(task.state)
  };
}

/** Return the line of an unfinished task whose farm does not run, as it was seen last. `now`: in seconds. */
export function headlineOfAsleep(card: TaskCard, seen: Headline | null, why: string, now: number): Headline {
  const was = seen === null ? `${card.state} as of ${formatTime(card.as_of, now)}` : seen.state;
  return {
    taskid: seen?.taskid ?? card.taskid,
    title: seen?.title ?? oneLine(card.title),
    state: 'waiting',
    text: `waiting (${why})`,
    facts: [`was ${was}`],
    progress: null,
    elapsed: NaN,
    hasBegun: false,
    isFinal: false,
    offers: []
  };
}

function attemptFacts(attempts: number, retryOf: number | undefined): string[] {
  return [attempts > 1 ? `attempt ${attempts}` : '', retryOf === undefined ? '' : `retry of ${retryOf}`];
}
