// The drawer: the details of one task, beside or below the table.

import type { Host } from '../link/host';
import { StateCode } from '../link/messages';
import type { TaskDetails, TaskProgress } from '../link/messages';
import { isFinished } from '../link/model';
import { Poll } from '../link/poll';
import type { QueueStore } from '../link/store';
import { Actions } from './actions';
import { make, setAttribute, setHidden, setText } from './dom';
import {
  baseName,
  formatBytes,
  formatCount,
  formatProgress,
  formatRunning,
  formatSeconds,
  formatTime,
  oneLine,
  percentOf,
  plainText
} from './format';
import { Graph } from './graph';
import { iconOf, makeIcon, setIcon } from './icons';
import { makeOutputElements, splitOutputs } from './outputs';
import { stateText } from './row';
import { nameOf } from './select';

// pixels from its end within which a log is scrolled along
const NEAR_END = 24;

export interface DrawerOptions {
  readonly store: QueueStore;
  readonly host: Host;
  readonly report: (text: string, isProblem?: boolean) => void;
  /** Whether the page is visible. */
  readonly isSeen: () => boolean;
  readonly onClose: () => void;
  /** Show another task. */
  readonly onChoose: (taskid: number) => void;
}

export class Drawer {
  readonly element: HTMLElement;
  private readonly icon = makeIcon('waiting');
  private readonly title = make('bdi', { class: 'taskfc-name' });
  private readonly facts = make('dl', { class: 'taskfc-facts' });
  private readonly fact = new Map<string, HTMLElement>();
  private readonly bar = make('div', {
    class: 'taskfc-progress',
    role: 'progressbar',
    'aria-valuemin': 0,
    'aria-valuemax': 100
  });
  private readonly filled = make('span');
  private readonly problem = make('p', { class: 'taskfc-problem', hidden: true });
  private readonly death = makeSection('Death of its worker');
  private readonly traceback = makeSection('Traceback', true);
  private readonly result = makeSection('Result');
  private readonly shown = makeSection('Output');
  private readonly log = makeSection('Printed');
  private readonly source = makeSection('Code', true);
  private readonly graph: Graph;
  private readonly cut = make('p', { class: 'taskfc-faint' });
  private readonly sourceCut = make('p', { class: 'taskfc-faint' });
  private readonly actions: Actions;
  private readonly poll: Poll;
  private readonly cell: HTMLButtonElement;
  private outputsVersion: string | null = null;
  private waitsFor = ''; // only the details say it

  constructor(private readonly options: DrawerOptions) {
    const { store, host, report } = options;
    const close = make('button', {
      type: 'button',
      class: 'taskfc-button taskfc-mod-plain',
      title: 'Close',
      'aria-label': 'Close'
    });
    close.append(makeIcon('close'));
    close.addEventListener('click', () => options.onClose());
    this.cell = make('button', { type: 'button', class: 'taskfc-button taskfc-mod-plain', hidden: !host.goToCell });
    this.cell.append(makeIcon('cell'));
    setAttribute(this.cell, 'title', 'Go to the cell');
    setAttribute(this.cell, 'aria-label', 'Go to the cell');
    this.cell.addEventListener('click', () => void goToCell(host, store, this.taskid, report));
    const head = make('div', { class: 'taskfc-drawer-head' }, this.icon, make('h3', {}, this.title), this.cell, close);
    this.bar.append(this.filled);
    const getTaskids = (): number[] => (this.taskid < 0 ? [] : [this.taskid]);
    const restoreFocus = (): void => this.element.focus({ preventScroll: true });
    this.actions = new Actions({ store, host, getTaskids, report, hasQueueButtons: false, restoreFocus });
    this.log.body.before(this.cut);
    this.source.body.after(this.sourceCut);
    this.graph = new Graph(options.onChoose);
    const parts = [this.problem, this.death, this.traceback, this.result, this.shown, this.log, this.graph, this.source];
    const body = make('div', { class: 'taskfc-drawer-body', tabindex: 0, role: 'group', 'aria-label': 'Details' });
    body.append(this.facts, this.bar, ...parts.map(part => ('element' in part ? part.element : part)));
    this.element = make(
      'section',
      { class: 'taskfc-drawer', tabindex: -1, hidden: true },
      head,
      this.actions.element,
      body
    );
    this.element.addEventListener('keydown', event => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      options.onClose();
    });
    this.poll = new Poll(host, options.isSeen, {
      onDetails: details => this.showDetails(details),
      onProblem: problem => this.showProblem(problem)
    });
  }

  /** The task that is shown; -1: the drawer is closed. */
  get taskid(): number {
    return this.poll?.taskid ?? -1;
  }

  open(taskid: number): void {
    setHidden(this.element, false);
    if (taskid === this.taskid) return;
    this.actions.withdraw();
    this.outputsVersion = null;
    this.waitsFor = '';
    for (const part of [this.death, this.traceback, this.result, this.shown, this.log, this.source]) part.clear();
    this.facts.replaceChildren();
    this.fact.clear();
    setHidden(this.problem, true);
    setText(this.cut, '');
    setText(this.sourceCut, '');
    this.poll.begin(this.options.store.farm, taskid);
    this.update();
  }

  close(): void {
    this.poll.stop();
    setHidden(this.element, true);
  }

  /** Show the task's facts in the queue as they are now. */
  update(): void {
    if (this.taskid < 0) return;
    const { queue, wall } = this.options.store;
    const place = queue.placeOf(this.taskid);
    this.actions.update();
    this.graph.update(queue, this.taskid);
    if (place < 0) return;
    const state = queue.stateAt(place);
    const note = queue.noteAt(place);
    const batch = queue.batchAt(place);
    const name = nameOf(batch);
    const text = stateText(state, note, wall);
    setIcon(this.icon, iconOf(state, note?.held === true && !isFinished(state), text === 'stopping'));
    setAttribute(this.element, 'data-state', this.icon.getAttribute('data-icon'));
    setText(this.title, `${this.taskid} · ${name}`);
    setAttribute(this.element, 'aria-label', `Task ${this.taskid}, ${name}`);
    this.setFact('State', text);
    this.setFact('Message', oneLine(note?.message || (isFinished(state) ? '' : this.waitsFor)));
    if (batch?.name) this.setFact('Code', oneLine(batch.label));
    const elapsed = queue.elapsedAt(place, wall);
    this.setFact('Run time', state === StateCode.RUNNING ? formatRunning(elapsed) : formatSeconds(elapsed));
    const worker = queue.columns.workers[place]!;
    this.setFact('Worker', worker < 0 ? '' : String(worker));
    this.setFact('Attempts', formatCount(queue.columns.attempts[place]!) + deathsText(note?.deaths ?? 0));
    const retryOf = queue.retryOfAt(place);
    this.setTimes(batch?.submitted ?? 0, queue.columns.started[place]!, queue.columns.completed[place]!);
    this.setFact('Priority', String(queue.priorityAt(place) || ''));
    this.setFact('Retry of', retryOf === undefined ? '' : `task ${retryOf}`);
    this.setFact('From', oneLine(batch?.owner));
    this.setProgress(state === StateCode.RUNNING ? (note?.progress ?? null) : null);
  }

  dispose(): void {
    this.poll.stop();
  }

  private setTimes(submitted: number, started: number, completed: number): void {
    const { queue, now } = this.options.store;
    const format = (at: number): string => (at ? formatTime(at - queue.ahead, now()) : '');
    this.setFact('Submitted', format(submitted));
    this.setFact('Started', format(started));
    this.setFact('Ended', format(completed));
  }

  private setProgress(progress: TaskProgress | null): void {
    const percent = progress && percentOf(progress);
    this.setFact('Progress', progress ? formatProgress(progress) : '');
    setHidden(this.bar, percent === null);
    if (percent === null || !progress) return;
    this.filled.style.width = `${percent}%`;
    setAttribute(this.bar, 'aria-valuenow', String(percent));
    setAttribute(this.bar, 'aria-valuetext', formatProgress(progress));
    setAttribute(this.bar, 'aria-label', `Progress of task ${this.taskid}`);
  }

  private setFact(name: string, text: string): void {
    let value = this.fact.get(name);
    if (value === undefined) {
      if (!text) return;
      value = make('dd', {}, make('bdi'));
      this.fact.set(name, value);
      this.facts.append(make('div', { class: 'taskfc-fact' }, make('dt', {}, name), value));
    }
    setText(value.firstElementChild!, text);
    setHidden(value.parentElement!, !text);
  }

  private showDetails(details: TaskDetails): void {
    setHidden(this.problem, true);
    this.waitsFor = details.task.message;
    this.death.setText(plainText(details.note ?? ''));
    this.traceback.setText(plainText(details.traceback ?? ''));
    this.log.setText(plainText(details.log ?? ''), true);
    const nCut = details.n_cut ?? 0;
    setText(this.cut, nCut > 0 ? `${formatCount(nCut)} characters before this are not shown` : '');
    if (details.source) {
      this.source.setText(plainText(details.source));
      const nAfter = details.n_source_cut ?? 0;
      setText(this.sourceCut, nAfter > 0 ? `${formatCount(nAfter)} characters after this are not shown` : '');
    }
    if (details.outputs == null || (details.version ?? '') === this.outputsVersion) return;
    this.outputsVersion = details.version ?? '';
    const [results, others] = splitOutputs(details.outputs);
    this.shown.show(makeOutputElements(others));
    const isPickled = results.length === 0 && !details.source && details.size != null;
    if (isPickled) this.result.setText(`${formatBytes(details.size)}, pickled: %task result ${this.taskid} shows it`);
    else this.result.show(makeOutputElements(results));
  }

  private showProblem(problem: string): void {
    setText(this.problem, oneLine(problem));
    setHidden(this.problem, false);
  }

}

/** Show the cell of a task, or report that it was not found. */
export async function goToCell(
  host: Host,
  store: QueueStore,
  taskid: number,
  report: DrawerOptions['report']
): Promise<void> {
  const batch = store.queue.batchAt(store.queue.placeOf(taskid));
  const { name = null, label = '', owner = '' } = batch ?? {};
  const isFound = await host.goToCell?.({ farm: store.farm, taskid, name, label, owner }).catch(() => false);
  if (isFound) return;
  const place = owner ? `in ${oneLine(baseName(owner))} or in any open notebook` : 'in any open notebook';
  const advice = 'If its notebook was renamed or moved, open it and try again';
  const missing = `The card of task ${taskid} was not found ${place}; only tasks made with %%task have one.`;
  report(`${missing} ${advice}; %task show ${taskid} shows a new card.`, true);
}

function deathsText(n: number): string {
  if (n === 0) return '';
  return `, ${formatCount(n)} ended by the death of ${n === 1 ? 'its worker' : 'their workers'}`;
}

interface Section {
  readonly element: HTMLElement;
  readonly body: HTMLElement;
  /** Show this text, or hide the section if it is empty. `isFollowed`: scroll along if the end is in view. */
  setText(text: string, isFollowed?: boolean): void;
  show(elements: readonly HTMLElement[]): void;
  clear(): void;
}

/** Make a section. `isCode`: lines are not wrapped. */
function makeSection(title: string, isCode = false): Section {
  const body = make('div', { class: 'taskfc-section-body' });
  const kind = isCode ? 'taskfc-text taskfc-mod-code' : 'taskfc-text';
  const pre = make('pre', { class: kind, tabindex: 0, 'aria-label': title, role: 'group' });
  const element = make('div', { class: 'taskfc-part', hidden: true }, make('h4', {}, title), body);
  const show = (elements: readonly HTMLElement[]): void => {
    body.replaceChildren(...elements);
    setHidden(element, elements.length === 0);
  };
  return {
    element,
    body,
    show,
    clear: () => {
      setText(pre, '');
      show([]);
    },
    setText(text, isFollowed = false) {
      if (pre.parentElement === body && pre.textContent === text) return;
      const isNew = pre.parentElement !== body;
      const isAtEnd = isNew || pre.scrollTop + pre.clientHeight > pre.scrollHeight - NEAR_END;
      if (isNew || !text) show(text ? [pre] : []);
      append(pre, text);
      if (isFollowed && isAtEnd) pre.scrollTop = pre.scrollHeight;
    }
  };
}

/** Set the text; if it only grows, append the rest, which keeps a selection. */
function append(pre: HTMLElement, text: string): void {
  const last = pre.lastChild;
  if (last instanceof Text && pre.childNodes.length === 1 && text.startsWith(last.data)) {
    if (text.length > last.data.length) last.appendData(text.slice(last.data.length));
  } else {
    setText(pre, text);
  }
}
