// Buttons for actions on tasks. Destructive actions ask first and then report the result.

import { problemOf } from '../link/host';
import type { Host } from '../link/host';
import { MAX_IDS, StateCode } from '../link/messages';
import type { AnyCommand, Clear, CommandAnswer } from '../link/messages';
import { finishedOf, isFinished } from '../link/model';
import type { Queue } from '../link/model';
import type { QueueStore } from '../link/store';
import { make, setAttribute, setHidden, setText } from './dom';
import { formatBytes, oneLine, plural } from './format';
import { makeIcon } from './icons';
import type { MenuItem } from './menu';

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
  { action: 'hold', icon: 'hold', title: 'Hold', about: 'Keep the selected tasks from starting' },
  { action: 'release', icon: 'release', title: 'Release', about: 'Allow the selected tasks to start' },
  { action: 'move', icon: 'priority', title: 'Priority', about: 'Change the priority of the selected tasks' },
  {
    action: 'retry-failed',
    icon: 'retryFailed',
    title: 'Retry failed',
    about: 'Run again all failed tasks that were not retried yet'
  },
  { action: 'clear', icon: 'clear', title: 'Clear finished', about: 'Delete all finished tasks and their results' }
];

/** Actions on the whole queue, not on the selection. */
const ON_ALL: ReadonlySet<Action> = new Set<Action>(['clear', 'retry-failed']);

// of a large selection, only this many tasks are examined for possible actions
const MOST_EXAMINED = 2000;

/** Whether an action applies to a task. */
export function appliesTo(action: Action, queue: Queue, taskid: number): boolean {
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

/** Return the actions that apply to at least one of these tasks. */
export function findOffers(queue: Queue, taskids: Iterable<number>): ReadonlySet<Action> {
  const offers = new Set<Action>();
  let nExamined = 0;
  for (const taskid of taskids) {
    for (const { action } of KINDS) if (!ON_ALL.has(action) && appliesTo(action, queue, taskid)) offers.add(action);
    nExamined += 1;
    if (offers.size === KINDS.length - ON_ALL.size || nExamined === MOST_EXAMINED) break;
  }
  return offers;
}

/**
 * Make the command that clears the tasks that are listed as finished now, not those that end before it arrives. If more
 * have finished than are listed, it clears all.
 */
export function clearCommand(queue: Queue): Clear {
  const taskids: number[] = [];
  for (let place = 0; place < queue.n; place++) if (isFinished(queue.stateAt(place))) taskids.push(queue.idAt(place));
  const isWhole = taskids.length > 0 && taskids.length >= finishedOf(queue.counts);
  return isWhole ? { do: 'clear', taskids } : { do: 'clear' };
}

export interface ActionsOptions {
  readonly store: QueueStore;
  readonly host: Host;
  /** Returns the tasks that the buttons act on. */
  readonly getTaskids: () => Iterable<number>;
  /** Show a message. */
  readonly report: (text: string, isProblem?: boolean) => void;
  /** Whether there are buttons for the whole queue as well. */
  readonly hasQueueButtons: boolean;
  /** Move the keyboard's focus after a question, as its buttons are gone. */
  readonly restoreFocus: () => void;
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
    const kinds = KINDS.filter(kind => options.hasQueueButtons || !ON_ALL.has(kind.action));
    for (const kind of kinds) {
      const button = this.button(kind);
      this.buttons.set(kind.action, button);
      this.choices.append(button);
    }
    this.question.addEventListener('keydown', event => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.closeQuestion();
    });
    this.element = make('div', { class: 'taskfc-actions' }, this.choices, this.question);
  }

  /** Remove an open question. */
  withdraw(): void {
    setHidden(this.question, true);
    setHidden(this.choices, false);
    this.question.replaceChildren();
  }

  /** Enable the buttons that can do something now. An open question stays. */
  update(): void {
    const { store } = this.options;
    const offers = findOffers(store.queue, this.options.getTaskids());
    const { counts } = store.queue;
    for (const [action, button] of this.buttons) {
      const isOffered =
        (action === 'clear' && finishedOf(counts) > 0) ||
        (action === 'retry-failed' && (counts.failed ?? 0) > 0) ||
        offers.has(action);
      // not `disabled`: that would take the keyboard's focus away
      setAttribute(button, 'aria-disabled', isOffered && store.isLive ? null : 'true');
    }
    this.swapHoldAndRelease(offers.has('hold'), offers.has('release'));
  }

  /** Show hold and release in one place if only one of them can be used, so that other buttons do not move. */
  private swapHoldAndRelease(canHold: boolean, canRelease: boolean): void {
    const hold = this.buttons.get('hold')!;
    const release = this.buttons.get('release')!;
    const focused = document.activeElement;
    setHidden(release, !canRelease);
    setHidden(hold, canRelease && !canHold);
    if (focused === hold && hold.hidden) release.focus();
    if (focused === release && release.hidden) hold.focus();
  }

  /** Return the actions on the selection as items of a menu. */
  items(): MenuItem[] {
    const { store, getTaskids } = this.options;
    const offers = findOffers(store.queue, getTaskids());
    const shown = KINDS.filter(({ action }) => !ON_ALL.has(action) && (action !== 'release' || offers.has(action)));
    return shown.map(({ action, icon, title }) => ({
      label: title,
      icon,
      isEnabled: offers.has(action) && store.isLive,
      run: () => this.start(action)
    }));
  }

  private button({ action, icon, title, about }: Kind): HTMLButtonElement {
    const attributes = {
      type: 'button',
      class: 'taskfc-button',
      title: this.options.hasQueueButtons ? about : about.replace('the selected tasks', 'this task'),
      'aria-label': title,
      'data-action': action
    };
    const button = make('button', attributes, makeIcon(icon), make('span', { class: 'taskfc-word' }, title));
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-disabled') !== 'true') this.start(action);
    });
    return button;
  }

  private start(action: Action): void {
    const { queue } = this.options.store;
    if (action === 'clear') return this.askClear();
    if (action === 'retry-failed') return void this.send([{ do: 'retry-failed' }]);
    const applicable = [...this.options.getTaskids()].filter(taskid => appliesTo(action, queue, taskid));
    const taskids = applicable.sort((a, b) => a - b);
    if (taskids.length === 0) return;
    if (action === 'move') return this.askPriority(taskids);
    if (action === 'abort') return this.ask(`Abort ${nameTasks(taskids)}?`, 'Yes, abort', { do: 'abort', taskids });
    void this.send([{ do: action, taskids }]);
  }

  private ask(text: string, yes: string, command: AnyCommand): void {
    const agree = make('button', { type: 'button', class: 'taskfc-button taskfc-mod-warn' }, yes);
    const { identity } = this;
    agree.addEventListener('click', () => {
      this.closeQuestion();
      void this.send([command], identity);
    });
    this.showQuestion(text, agree, this.makeNoButton());
    agree.focus();
  }

  private askClear(): void {
    const { host, store } = this.options;
    const finished = plural(finishedOf(store.queue.counts), 'finished task');
    const text = `Delete ${finished} of all notebooks, with their results and outputs?`;
    this.ask(text, 'Yes, clear', clearCommand(store.queue));
    const asked = this.question.firstElementChild!;
    void host.storeBytes(store.farm).then(
      bytes => bytes !== null && asked.isConnected && setText(asked, `${text} ${storeText(bytes)}`),
      () => undefined
    );
  }

  private askPriority(taskids: readonly number[]): void {
    const { queue } = this.options.store;
    const { identity } = this;
    const label = `Priority of ${nameTasks(taskids)}`;
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
    const form = make('form', { class: 'taskfc-form' }, input, set, this.makeNoButton('Cancel'));
    form.addEventListener('submit', event => {
      event.preventDefault();
      const priority = input.valueAsNumber;
      if (!Number.isInteger(priority) || !input.checkValidity()) return input.focus();
      this.closeQuestion();
      void this.send([{ do: 'move', taskids, priority }], identity);
    });
    this.showQuestion(label, form);
    input.select();
  }

  private makeNoButton(text = 'No'): HTMLButtonElement {
    const no = make('button', { type: 'button', class: 'taskfc-button' }, text);
    no.addEventListener('click', () => this.closeQuestion());
    return no;
  }

  private showQuestion(text: string, ...answers: HTMLElement[]): void {
    this.question.replaceChildren(make('span', {}, text), ...answers);
    setAttribute(this.question, 'aria-label', text);
    setHidden(this.question, false);
    setHidden(this.choices, true);
  }

  private closeQuestion(): void {
    this.withdraw();
    this.options.restoreFocus();
  }

  /** The identity of the farm that is shown now: a question is about its tasks, even if the farm restarts meanwhile. */
  private get identity(): string {
    return this.options.store.status?.identity ?? '';
  }

  private async send(commands: readonly AnyCommand[], identity = this.identity): Promise<void> {
    const { host, store, report } = this.options;
    report('Working …');
    for (const command of commands.flatMap(splitCommand)) {
      try {
        const answer = await host.command(store.farm, { ...command, ...(identity && { identity }) }, report);
        report(messageOf(answer), !answer.ok);
        if (!answer.ok) return;
      } catch (error) {
        report(problemOf(error), true);
        return;
      }
    }
  }
}

/** Write the size of a store, for a question before a clear. */
export function storeText(bytes: number): string {
  return `The store takes ${formatBytes(bytes)} of the disk.`;
}

function messageOf(answer: CommandAnswer): string {
  return answer.said || (answer.ok ? 'done' : 'refused');
}

function nameTasks(taskids: readonly number[]): string {
  return taskids.length === 1 ? `task ${taskids[0]}` : plural(taskids.length, 'task');
}

/** Split a command into several with at most `MAX_IDS` tasks each. */
function splitCommand(command: AnyCommand): AnyCommand[] {
  if (!('taskids' in command) || !command.taskids || command.taskids.length <= MAX_IDS) return [command];
  const parts: AnyCommand[] = [];
  for (let from = 0; from < command.taskids.length; from += MAX_IDS) {
    parts.push({ ...command, taskids: command.taskids.slice(from, from + MAX_IDS) });
  }
  return parts;
}

/** Show the latest message in an `aria-live` element. */
export function showMessage(element: HTMLElement, text: string, isProblem = false): void {
  element.classList.toggle('taskfc-mod-problem', isProblem);
  setText(element, oneLine(text, 500));
}
