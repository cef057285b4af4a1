// What can be done with tasks: buttons that ask first where something is lost, and say what came of it.

import type { Host } from '../link/host';
import { MAX_IDS, StateCode } from '../link/messages';
import type { AnyCommand, Clear, CommandAnswer } from '../link/messages';
import { finishedOf, isFinished } from '../link/model';
import type { Queue } from '../link/model';
import type { QueueStore } from '../link/store';
import { make, setAttribute, setHidden, setText } from './dom';
import { oneLine, plural } from './format';
import { makeIcon } from './icons';

export type Action = 'abort' | 'retry' | 'hold' | 'release' | 'move' | 'clear' | 'retry-failed';

interface Kind {
  readonly action: Action;
  readonly icon: string;
  readonly title: string;
  readonly about: string;
}

const KINDS: readonly Kind[] = [
  { action: 'abort', icon: 'abort', title: 'Abort', about: 'Abort the selected tasks, queued or running' },
  { action: 'retry', icon: 'retry', title: 'Retry', about: 'Run the selected tasks again' },
  { action: 'hold', icon: 'hold', title: 'Hold', about: 'Keep the selected tasks from the workers' },
  { action: 'release', icon: 'release', title: 'Release', about: 'Let the selected tasks be given out again' },
  { action: 'move', icon: 'priority', title: 'Priority', about: 'Give the selected tasks another priority' },
  {
    action: 'retry-failed',
    icon: 'retryFailed',
    title: 'Retry failed',
    about: 'Run all failed tasks again that were not retried yet'
  },
  { action: 'clear', icon: 'clear', title: 'Clear finished', about: 'Forget all finished tasks and their results' }
];

/** Buttons of the queue, not of what is selected. */
const OF_ALL: ReadonlySet<Action> = new Set<Action>(['clear', 'retry-failed']);

// of a large selection, so many tasks are looked at to tell what can be done
const LOOKED_AT = 2000;

/** Which of these tasks an action is for. */
export function isFor(action: Action, queue: Queue, taskid: number): boolean {
  const place = queue.placeOf(taskid);
  if (place < 0) return false;
  const state = queue.stateAt(place);
  const isHeld = queue.noteAt(place)?.held === true;
  if (action === 'retry' || action === 'clear') return isFinished(state);
  if (action === 'hold') return !isFinished(state) && state !== StateCode.RUNNING && !isHeld;
  if (action === 'release') return !isFinished(state) && isHeld;
  if (action === 'move') return !isFinished(state) && state !== StateCode.RUNNING;
  return action === 'abort' && !isFinished(state);
}

/** The actions that do something with at least one of these tasks. */
export function offersFor(queue: Queue, taskids: Iterable<number>): ReadonlySet<Action> {
  const offers = new Set<Action>();
  let looked = 0;
  for (const taskid of taskids) {
    for (const { action } of KINDS) if (!OF_ALL.has(action) && isFor(action, queue, taskid)) offers.add(action);
    looked += 1;
    if (offers.size === KINDS.length - OF_ALL.size || looked === LOOKED_AT) break;
  }
  return offers;
}

/**
 * Forget the finished tasks that are listed now: not those that end while somebody is asked, or a kernel does not hear.
 * Where more have finished than are listed, all.
 */
export function clearOf(queue: Queue): Clear {
  const taskids: number[] = [];
  for (let place = 0; place < queue.n; place++) if (isFinished(queue.stateAt(place))) taskids.push(queue.idAt(place));
  const isWhole = taskids.length > 0 && taskids.length >= finishedOf(queue.counts);
  return isWhole ? { do: 'clear', taskids } : { do: 'clear' };
}

export interface ActionsOptions {
  readonly store: QueueStore;
  readonly host: Host;
  /** The tasks that the buttons are for. */
  readonly chosen: () => Iterable<number>;
  /** Say a line, and what to type instead. */
  readonly say: (text: string, isProblem?: boolean) => void;
  /** Also the buttons for the whole queue. */
  readonly hasOfAll: boolean;
  /** Where the keyboard goes when a question is answered and its button is gone. */
  readonly back: () => void;
}

export class Actions {
  readonly element: HTMLElement;
  private readonly choices = make('div', {
    class: 'taskfc-buttons-of-tasks',
    role: 'toolbar',
    'aria-label': 'Actions'
  });
  private readonly question = make('div', { class: 'taskfc-question', role: 'group', hidden: true });
  private readonly buttons = new Map<Action, HTMLButtonElement>();

  constructor(private readonly options: ActionsOptions) {
    const kinds = KINDS.filter(kind => options.hasOfAll || !OF_ALL.has(kind.action));
    for (const kind of kinds) {
      const button = this.button(kind);
      this.buttons.set(kind.action, button);
      this.choices.append(button);
    }
    this.question.addEventListener('keydown', event => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.answered();
    });
    this.element = make('div', { class: 'taskfc-actions' }, this.choices, this.question);
  }

  /** Ask no more: what was asked about is not shown any more. */
  withdraw(): void {
    setHidden(this.question, true);
    setHidden(this.choices, false);
    this.question.replaceChildren();
  }

  /** Offer what can be done now. A question that is being asked stays. */
  update(): void {
    const { store } = this.options;
    const offers = offersFor(store.queue, this.options.chosen());
    const { counts } = store.queue;
    for (const [action, button] of this.buttons) {
      const isOffered =
        (action === 'clear' && finishedOf(counts) > 0) ||
        (action === 'retry-failed' && (counts.failed ?? 0) > 0) ||
        offers.has(action);
      // not `disabled`: that would take the focus from whoever has it there
      setAttribute(button, 'aria-disabled', isOffered && store.isLive ? null : 'true');
    }
    this.takeTurns(offers.has('hold'), offers.has('release'));
  }

  /** Hold and release have one place where only one of them is of use: what is right of them stays where it is. */
  private takeTurns(canHold: boolean, canRelease: boolean): void {
    const hold = this.buttons.get('hold')!;
    const release = this.buttons.get('release')!;
    const had = document.activeElement;
    setHidden(release, !canRelease);
    setHidden(hold, canRelease && !canHold);
    if (had === hold && hold.hidden) release.focus();
    if (had === release && release.hidden) hold.focus();
  }

  private button({ action, icon, title, about }: Kind): HTMLButtonElement {
    const attributes = {
      type: 'button',
      class: 'taskfc-button',
      title: this.options.hasOfAll ? about : about.replace('the selected tasks', 'this task'),
      'aria-label': title,
      'data-action': action
    };
    const button = make('button', attributes, makeIcon(icon), make('span', { class: 'taskfc-word' }, title));
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-disabled') !== 'true') this.begin(action);
    });
    return button;
  }

  private begin(action: Action): void {
    const { queue } = this.options.store;
    if (action === 'clear') {
      const finished = plural(finishedOf(queue.counts), 'finished task');
      return this.ask(`Forget ${finished}, with all results?`, 'Yes, clear', clearOf(queue));
    }
    if (action === 'retry-failed') return void this.send([{ do: 'retry-failed' }]);
    const taskids = [...this.options.chosen()].filter(taskid => isFor(action, queue, taskid)).sort((a, b) => a - b);
    if (taskids.length === 0) return;
    if (action === 'move') return this.askPriority(taskids);
    if (action === 'abort') return this.ask(`Abort ${which(taskids)}?`, 'Yes, abort', { do: 'abort', taskids });
    void this.send([{ do: action, taskids }]);
  }

  private ask(text: string, yes: string, command: AnyCommand): void {
    const agree = make('button', { type: 'button', class: 'taskfc-button taskfc-mod-warn' }, yes);
    const { identity } = this;
    agree.addEventListener('click', () => {
      this.answered();
      void this.send([command], identity);
    });
    this.pose(text, agree, this.no());
    agree.focus();
  }

  private askPriority(taskids: readonly number[]): void {
    const { queue } = this.options.store;
    const { identity } = this;
    const label = `Priority of ${which(taskids)}`;
    const input = make('input', {
      type: 'number',
      step: 1,
      required: true,
      class: 'taskfc-input taskfc-priority',
      'aria-label': label
    });
    input.min = '-1000000';
    input.max = '1000000';
    input.value = String(queue.priorityAt(queue.placeOf(taskids[0]!)));
    const set = make('button', { type: 'submit', class: 'taskfc-button' }, 'Set');
    const form = make('form', { class: 'taskfc-form' }, input, set, this.no('Cancel'));
    form.addEventListener('submit', event => {
      event.preventDefault();
      const priority = input.valueAsNumber;
      if (!Number.isInteger(priority) || !input.checkValidity()) return input.focus();
      this.answered();
      void this.send([{ do: 'move', taskids, priority }], identity);
    });
    this.pose(label, form);
    input.select();
  }

  private no(text = 'No'): HTMLButtonElement {
    const no = make('button', { type: 'button', class: 'taskfc-button' }, text);
    no.addEventListener('click', () => this.answered());
    return no;
  }

  private pose(text: string, ...answers: HTMLElement[]): void {
    this.question.replaceChildren(make('span', {}, text), ...answers);
    setAttribute(this.question, 'aria-label', text);
    setHidden(this.question, false);
    setHidden(this.choices, true);
  }

  private answered(): void {
    this.withdraw();
    this.options.back();
  }

  /** The processes whose tasks are shown: what is asked about is theirs, also if others have their place by the answer. */
  private get identity(): string {
    return this.options.store.status?.identity ?? '';
  }

  private async send(commands: readonly AnyCommand[], identity = this.identity): Promise<void> {
    const { host, store, say } = this.options;
    say('Working …');
    for (const command of commands.flatMap(inParts)) {
      try {
        const answer = await host.command(store.farm, { ...command, ...(identity && { identity }) }, say);
        say(saidOf(answer), !answer.ok);
        if (!answer.ok) return;
      } catch (error) {
        say(error instanceof Error ? error.message : String(error), true);
        return;
      }
    }
  }
}

function saidOf(answer: CommandAnswer): string {
  return answer.said || (answer.ok ? 'done' : 'that was refused');
}

function which(taskids: readonly number[]): string {
  return taskids.length === 1 ? `task ${taskids[0]}` : plural(taskids.length, 'task');
}

/** One command has at most `MAX_IDS` tasks. */
function inParts(command: AnyCommand): AnyCommand[] {
  if (!('taskids' in command) || !command.taskids || command.taskids.length <= MAX_IDS) return [command];
  const parts: AnyCommand[] = [];
  for (let from = 0; from < command.taskids.length; from += MAX_IDS) {
    parts.push({ ...command, taskids: command.taskids.slice(from, from + MAX_IDS) });
  }
  return parts;
}

/** Show in an `aria-live` element what was said last. */
export function sayIn(element: HTMLElement, text: string, isProblem = false): void {
  element.classList.toggle('taskfc-mod-problem', isProblem);
  setText(element, oneLine(text, 500));
}
