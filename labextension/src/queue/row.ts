// One row of the table: an element that is reused for other tasks.

import { StateCode } from '../link/messages';
import type { Note } from '../link/messages';
import { isFinished } from '../link/model';
import type { Queue } from '../link/model';
import { make, setAttribute, setHidden, setText } from './dom';
import { baseName, formatAgo, formatRunning, formatSeconds, formatTime, oneLine, percentOf, STATE_NAMES } from './format';
import { iconOf, makeIcon, setIcon } from './icons';
import { nameOf } from './select';
import type { SortKey } from './select';

export interface Column {
  readonly key: SortKey;
  readonly title: string;
  /** Tooltip of the header. */
  readonly about: string;
}

export const COLUMNS: readonly Column[] = [
  { key: 'id', title: 'Id', about: 'Id: tasks are numbered in the order of submission' },
  { key: 'state', title: 'State', about: 'State: unfinished tasks first, running ones before all, then failed ones' },
  { key: 'name', title: 'Task', about: 'Name of the task, or of its code' },
  { key: 'owner', title: 'Notebook', about: 'Notebook or script that submitted it' },
  { key: 'worker', title: 'Worker', about: 'Worker that runs it or ran it last' },
  { key: 'attempts', title: 'Attempts', about: 'Attempts started' },
  { key: 'elapsed', title: 'Time', about: 'Run time of the current or last attempt' },
  { key: 'submitted', title: 'Submitted', about: 'Time since it was submitted' },
  { key: 'priority', title: 'Priority', about: 'Priority: tasks with larger numbers start first' }
];

/** Name a state, with its reason or the time to its next attempt: `waiting (held)`, `scheduled (again in 5 s)`. */
export function stateText(state: StateCode, note: Note | undefined, wall: number): string {
  const name = STATE_NAMES[state];
  if (note === undefined) return name;
  if (note.stopping && !isFinished(state)) return 'stopping';
  if (note.held && !isFinished(state)) return `${name} (held)`;
  if (note.reason && note.reason !== 'error' && note.reason !== name) return `${name} (${oneLine(note.reason, 30)})`;
  const wait = (note.not_before ?? 0) - wall;
  return wait > 0 && state !== StateCode.RUNNING ? `${name} (again in ${formatRunning(wait)})` : name;
}

export class Row {
  readonly element: HTMLElement;
  taskid = -1;
  private readonly cells: Readonly<Record<SortKey, HTMLElement>>;
  private readonly icon = makeIcon('waiting');
  private readonly state = make('span', { class: 'taskfc-word' });
  private readonly name = make('bdi', { class: 'taskfc-name' });
  private readonly message = make('bdi', { class: 'taskfc-message' });
  private readonly owner = make('bdi');
  private readonly percent = make('span', { class: 'taskfc-percent' });
  private readonly bar = make('span', { class: 'taskfc-bar' });
  private top = -1;

  constructor(id: string) {
    const cell = (key: SortKey, ...children: Node[]): HTMLElement =>
      make('div', { role: 'gridcell', class: `taskfc-cell taskfc-cell-${key}` }, ...children);
    this.cells = {
      id: cell('id'),
      state: cell('state', this.icon, this.state),
      name: cell('name', this.name, this.message, this.percent, this.bar),
      owner: cell('owner', this.owner),
      worker: cell('worker'),
      attempts: cell('attempts'),
      elapsed: cell('elapsed'),
      submitted: cell('submitted'),
      priority: cell('priority')
    };
    this.element = make('div', { role: 'row', class: 'taskfc-row', id }, ...COLUMNS.map(({ key }) => this.cells[key]));
  }

  /** Show a task in row `row` of the table. `isSelected`, `isFocused`: see `Selection`. */
  show(taskid: number, row: number, top: number, isSelected: boolean, isFocused: boolean): void {
    this.taskid = taskid;
    if (this.top !== top) this.element.style.transform = `translateY(${top}px)`;
    this.top = top;
    setAttribute(this.element, 'aria-rowindex', String(row + 2)); // the first row has the headers
    setAttribute(this.element, 'aria-selected', String(isSelected));
    this.element.classList.toggle('taskfc-mod-focus', isFocused);
  }

  /** Update the texts of the task. `wall`: the controller's clock; `now`: this page's. */
  fill(queue: Queue, wall: number, now: number): void {
    const place = queue.placeOf(this.taskid);
    if (place < 0) return; // it was cleared; the next list is without it
    const state = queue.stateAt(place);
    const note = queue.noteAt(place);
    const batch = queue.batchAt(place);
    const worker = queue.columns.workers[place]!;
    const name = nameOf(batch);
    setText(this.cells.id, String(this.taskid));
    this.fillState(state, note, wall);
    setText(this.name, name);
    this.fillNote(state, note, queue.retryOfAt(place));
    setAttribute(
      this.cells.name,
      'title',
      [name, oneLine(note?.message), oneLine(batch?.owner)].filter(Boolean).join('\n')
    );
    setText(this.owner, oneLine(baseName(batch?.owner ?? ''), 60));
    setAttribute(this.cells.owner, 'title', oneLine(batch?.owner) || null);
    setText(this.cells.worker, worker < 0 ? '' : String(worker));
    setText(this.cells.attempts, queue.columns.attempts[place] ? String(queue.columns.attempts[place]) : '');
    const elapsed = queue.elapsedAt(place, wall);
    setText(this.cells.elapsed, state === StateCode.RUNNING ? formatRunning(elapsed) : formatSeconds(elapsed));
    const submitted = batch?.submitted ?? 0;
    setText(this.cells.submitted, submitted ? formatAgo(wall - submitted) : '');
    setAttribute(this.cells.submitted, 'title', formatTime(submitted - queue.ahead, now));
    setText(this.cells.priority, String(queue.priorityAt(place) || ''));
  }

  private fillState(state: StateCode, note: Note | undefined, wall: number): void {
    const text = stateText(state, note, wall);
    const picture = iconOf(state, note?.held === true && !isFinished(state), text === 'stopping');
    setIcon(this.icon, picture);
    setAttribute(this.element, 'data-state', picture);
    setText(this.state, text);
    setAttribute(this.cells.state, 'title', text);
  }

  private fillNote(state: StateCode, note: Note | undefined, retryOf: number | undefined): void {
    const progress = state === StateCode.RUNNING ? (note?.progress ?? null) : null;
    const percent = progress && percentOf(progress);
    const retryText = retryOf === undefined ? '' : `retry of ${retryOf}`;
    const described = oneLine(progress?.description);
    const message = oneLine(note?.message);
    setText(this.message, [retryText, described, message].filter(Boolean).join(' · '));
    // in a narrow view, the reason takes the place of the run time
    this.element.classList.toggle('taskfc-mod-reason', message !== '' && state !== StateCode.RUNNING);
    setText(this.percent, percent === null ? '' : `${percent} %`);
    setHidden(this.bar, percent === null);
    if (percent !== null) this.bar.style.width = `${percent}%`;
  }
}
