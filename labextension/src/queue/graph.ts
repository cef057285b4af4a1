// A small picture of a task's dependencies: boxes for the tasks before it, for itself, and for those after it.

import type { Queue } from '../link/model';
import { isFinished } from '../link/model';
import { make, makeSvg, newId, setHidden } from './dom';
import { formatCount, oneLine, STATE_NAMES } from './format';
import { iconOf, makeIcon } from './icons';
import { findAfter, findBefore } from './relations';
import type { Related } from './relations';
import { nameOf } from './select';

export class Graph {
  readonly element = make('div', { class: 'taskfc-part', hidden: true });
  private readonly ids = [newId(), newId()] as const;
  // what the picture was made of
  private made = '';
  private searched = '';
  private before: Related = { taskids: [], n: 0 };
  private after: Related = { taskids: [], n: 0 };

  /** @param onChoose is called with the task whose box was clicked. */
  constructor(private readonly onChoose: (taskid: number) => void) {}

  /** Show the dependencies of a task as they are now; nothing if it has none. */
  update(queue: Queue, taskid: number): void {
    const searched = `${queue.farm} ${taskid} ${queue.naming}`;
    if (searched !== this.searched) {
      this.searched = searched;
      this.before = findBefore(queue, taskid);
      this.after = findAfter(queue, taskid);
    }
    const { before, after } = this;
    setHidden(this.element, before.n + after.n === 0);
    const shown = [...before.taskids, -1, taskid, -1, ...after.taskids];
    const made = [before.n, after.n, ...shown.map(id => `${id}:${describe(queue, id)}`)].join(' ');
    if (made === this.made) return;
    this.made = made;
    const isInside = this.element.contains(document.activeElement);
    const focused = isInside ? document.activeElement?.getAttribute('data-task') : null;
    const itself = make('span', { class: 'taskfc-box taskfc-mod-this' }, ...contents(queue, taskid));
    this.element.replaceChildren(
      make('h4', {}, 'Dependencies'),
      ...this.side(queue, before, 'Comes after', this.ids[0]),
      ...(before.n > 0 ? [makeArrow()] : []),
      itself,
      ...(after.n > 0 ? [makeArrow()] : []),
      ...this.side(queue, after, 'Followed by', this.ids[1])
    );
    if (focused) this.element.querySelector<HTMLElement>(`[data-task="${focused}"]`)?.focus();
  }

  private side(queue: Queue, { taskids, n }: Related, title: string, id: string): HTMLElement[] {
    if (n === 0) return [];
    const boxes = taskids.map(taskid => make('li', {}, this.box(queue, taskid)));
    const more = n - taskids.length;
    if (more > 0) boxes.push(make('li', { class: 'taskfc-more' }, `and ${formatCount(more)} more`));
    const label = make('div', { class: 'taskfc-related', id }, title);
    return [label, make('ul', { class: 'taskfc-boxes', 'aria-labelledby': id }, ...boxes)];
  }

  private box(queue: Queue, taskid: number): HTMLElement {
    if (queue.placeOf(taskid) < 0) {
      return make('span', { class: 'taskfc-box taskfc-mod-gone', title: 'It is not listed any more' }, `${taskid}`);
    }
    const label = `Task ${taskid} ${describe(queue, taskid)}`;
    const attributes = { type: 'button', class: 'taskfc-box', title: label, 'aria-label': label, 'data-task': taskid };
    const button = make('button', attributes, ...contents(queue, taskid));
    button.addEventListener('click', () => this.onChoose(taskid));
    return button;
  }
}

/** Return the name and the state of a task; empty if it is not listed. */
function describe(queue: Queue, taskid: number): string {
  const place = queue.placeOf(taskid);
  if (place < 0) return '';
  return `${oneLine(nameOf(queue.batchAt(place)), 60)}, ${stateOf(queue, place)}`;
}

function stateOf(queue: Queue, place: number): string {
  const state = queue.stateAt(place);
  const note = queue.noteAt(place);
  if (isFinished(state)) return STATE_NAMES[state];
  return note?.stopping ? 'stopping' : note?.held ? 'held' : STATE_NAMES[state];
}

function contents(queue: Queue, taskid: number): Node[] {
  const place = queue.placeOf(taskid);
  const text = make('bdi', { class: 'taskfc-name' }, `${taskid} · ${nameOf(queue.batchAt(place))}`);
  if (place < 0) return [text];
  const state = stateOf(queue, place);
  return [makeIcon(iconOf(queue.stateAt(place), state === 'held', state === 'stopping')), text];
}

function makeArrow(): Element {
  const arrow = makeSvg('svg', { viewBox: '0 0 16 12', class: 'taskfc-arrow', 'aria-hidden': 'true' });
  arrow.append(makeSvg('path', { d: 'M8 0v10M4.5 6.5L8 10l3.5-3.5', fill: 'none', stroke: 'currentColor' }));
  return arrow;
}
