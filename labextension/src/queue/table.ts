// The table: a window on the list of tasks, with at most a hundred rows in the page, whatever is queued.

import type { QueueStore } from '../link/store';
import { make, newId, setAttribute } from './dom';
import { makeIcon, setIcon } from './icons';
import type { Listing } from './listing';
import { COLUMNS, Row } from './row';
import type { SortKey } from './select';
import { Selection } from './selection';

export const ROW_HEIGHT = 24; // as in JupyterLab's lists

/** Rows in the page. */
export const MAX_DOM_ROWS = 100;

const BEYOND = 6; // rows above and below those that are seen, so that scrolling finds them

// where nothing has a size (a hidden panel): enough to begin with
const USUAL_HEIGHT = 320;

export interface TableEvents {
  /** Other tasks are selected, or the keyboard is at another one. */
  selected(): void;
  /** Show the details of this task. */
  opened(taskid: number): void;
  /** Escape was pressed. */
  escaped(): void;
}

export class Table {
  readonly element: HTMLElement;
  readonly selection = new Selection();
  private readonly head: HTMLElement;
  private readonly space: HTMLElement;
  private readonly rows = new Map<number, Row>();
  private readonly spare: Row[] = [];
  private readonly idBase = newId();
  private made = 0;
  // the row of the task that the keyboard is at, when the list last had it
  private focusedAt = 0;
  private lastHeight = 0;
  private readonly resized: ResizeObserver | null;

  constructor(
    private readonly store: QueueStore,
    private readonly listing: Listing,
    private readonly events: TableEvents
  ) {
    this.head = make('div', { role: 'row', class: 'taskfc-head', 'aria-rowindex': 1 });
    for (const column of COLUMNS) this.head.append(this.header(column.key, column.title, column.about));
    this.space = make('div', { class: 'taskfc-space', role: 'rowgroup' });
    const grid = { role: 'grid', tabindex: 0, 'aria-label': 'Tasks', 'aria-multiselectable': 'true' };
    const headGroup = make('div', { role: 'rowgroup', class: 'taskfc-head-group' }, this.head);
    this.element = make('div', { ...grid, class: 'taskfc-table' }, headGroup, this.space);
    this.element.addEventListener('scroll', () => this.render(), { passive: true });
    this.element.addEventListener('keydown', event => this.onKey(event));
    this.space.addEventListener('click', event => this.onClick(event));
    this.space.addEventListener('dblclick', event => this.onDoubleClick(event));
    this.resized = typeof ResizeObserver === 'undefined' ? null : new ResizeObserver(() => this.onResize());
    this.resized?.observe(this.element);
  }

  dispose(): void {
    this.resized?.disconnect();
  }

  focus(): void {
    this.element.focus({ preventScroll: true });
  }

  /** The list is another one: what was looked at stays where it is, as far as the list allows. */
  relist(before: Float64Array): void {
    const first = Math.floor(this.element.scrollTop / ROW_HEIGHT);
    const anchor = before[first];
    const isById = this.listing.criteria.sort === 'id';
    this.render();
    if (first === 0 || anchor === undefined || !isById) return;
    const now = this.listing.ids.indexOf(anchor);
    if (now >= 0 && now !== first) this.element.scrollTop += (now - first) * ROW_HEIGHT;
  }

  scrollToTop(): void {
    this.element.scrollTop = 0;
  }

  /** Go to this task, where the list has it. */
  reveal(taskid: number): boolean {
    const row = this.listing.ids.indexOf(taskid);
    if (row < 0) return false;
    this.selection.choose(taskid);
    this.scrollTo(row);
    this.render();
    this.events.selected();
    return true;
  }

  /** Draw the rows that are seen. */
  render(): void {
    const { ids } = this.listing;
    const height = this.seenHeight;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_HEIGHT) - BEYOND);
    const many = Math.min(MAX_DOM_ROWS, Math.ceil(height / ROW_HEIGHT) + 2 * BEYOND);
    const last = Math.min(ids.length, first + many);
    this.space.style.height = `${ids.length * ROW_HEIGHT}px`;
    setAttribute(this.element, 'aria-rowcount', String(ids.length + 1));
    const seen = ids.subarray(first, last);
    const free = this.release(new Set(seen));
    const { ids: selected, focus } = this.selection;
    let next = this.space.firstElementChild;
    seen.forEach((taskid, at) => {
      const row = this.rowOf(taskid, free);
      row.show(taskid, first + at, (first + at) * ROW_HEIGHT, selected.has(taskid), taskid === focus);
      // in the page they have the order of the list, as whoever reads it aloud goes through it
      if (row.element === next) next = next.nextElementSibling;
      else this.space.insertBefore(row.element, next);
    });
    for (const row of free) row.element.remove();
    this.spare.push(...free);
    const focused = ids.indexOf(focus);
    if (focused >= 0) this.focusedAt = focused;
    setAttribute(this.element, 'aria-activedescendant', this.rows.get(focus)?.element.id ?? null);
    this.fill();
    this.markSorted();
  }

  /** Say anew how the tasks are that are seen. */
  fill(): void {
    const wall = this.store.wall;
    const now = this.store.now();
    for (const row of this.rows.values()) row.fill(this.store.queue, wall, now);
  }

  /** The height of the rows that are seen: the headers stay on top of them. */
  private get seenHeight(): number {
    return (this.element.clientHeight || USUAL_HEIGHT) - ROW_HEIGHT;
  }

  private rowOf(taskid: number, free: Row[]): Row {
    let row = this.rows.get(taskid);
    if (row === undefined) {
      row = free.shift() ?? this.spare.pop() ?? new Row(`${this.idBase}-${this.made++}`);
      this.rows.set(taskid, row);
    }
    return row;
  }

  /** Take the rows from tasks that are not seen. They stay in the page: others are about to be shown in them. */
  private release(seen: ReadonlySet<number>): Row[] {
    const free = [...this.rows.values()].filter(row => !seen.has(row.taskid));
    for (const row of free) this.rows.delete(row.taskid);
    return free;
  }

  // headers

  private header(key: SortKey, title: string, about: string): HTMLElement {
    const button = make('button', { type: 'button', class: 'taskfc-header', title: about }, title);
    button.append(makeIcon('down'));
    button.addEventListener('click', () => this.sortBy(key));
    return make('div', { role: 'columnheader', class: `taskfc-cell taskfc-cell-${key}`, 'data-key': key }, button);
  }

  private sortBy(key: SortKey): void {
    const { sort, isDescending } = this.listing.criteria;
    // what is large or new comes first; names and workers begin with the first
    const startsDescending = key !== 'name' && key !== 'worker' && key !== 'state';
    this.listing.choose({ sort: key, isDescending: key === sort ? !isDescending : startsDescending });
    this.scrollToTop();
    this.markSorted();
  }

  private markSorted(): void {
    const { sort, isDescending } = this.listing.criteria;
    for (const header of this.head.children) {
      const isIt = header.getAttribute('data-key') === sort;
      setAttribute(header, 'aria-sort', isIt ? (isDescending ? 'descending' : 'ascending') : null);
      if (isIt) setIcon(header.querySelector('svg')!, isDescending ? 'down' : 'up');
    }
  }

  // pointer

  private taskAt(event: Event): number {
    const element = (event.target as Element).closest('.taskfc-row');
    for (const row of this.rows.values()) if (row.element === element) return row.taskid;
    return -1;
  }

  private onClick(event: MouseEvent): void {
    const taskid = this.taskAt(event);
    if (taskid < 0) return;
    if (event.shiftKey) this.selection.extend(taskid, this.listing.ids);
    else if (event.ctrlKey || event.metaKey) this.selection.toggle(taskid);
    else this.selection.choose(taskid);
    this.focus();
    this.changed();
  }

  private onDoubleClick(event: MouseEvent): void {
    const taskid = this.taskAt(event);
    if (taskid >= 0) this.events.opened(taskid);
  }

  // keyboard

  private onKey(event: KeyboardEvent): void {
    if (event.altKey || event.target instanceof HTMLButtonElement) return;
    const isHandled = event.ctrlKey || event.metaKey ? this.onControlKey(event) : this.onPlainKey(event);
    if (!isHandled) return;
    event.preventDefault();
    event.stopPropagation();
  }

  private onControlKey(event: KeyboardEvent): boolean {
    if (event.key.toLowerCase() !== 'a') return false;
    this.selection.all(this.listing.ids);
    this.changed();
    return true;
  }

  private onPlainKey(event: KeyboardEvent): boolean {
    const { focus } = this.selection;
    if (event.key === 'Escape') {
      this.events.escaped();
    } else if (event.key === 'Enter') {
      if (focus >= 0) this.events.opened(focus);
    } else if (event.key === ' ') {
      if (focus >= 0) this.selection.toggle(focus);
      this.changed();
    } else {
      const row = this.rowFor(event.key);
      if (row === null) return false;
      this.goTo(row, event.shiftKey);
    }
    return true;
  }

  /** The row that a key leads to; `null`: it leads nowhere. */
  private rowFor(key: string): number | null {
    const last = this.listing.ids.length - 1;
    const at = this.focusedRow();
    const page = Math.max(1, Math.floor(this.seenHeight / ROW_HEIGHT) - 1);
    switch (key) {
      case 'ArrowDown':
        return Math.min(last, at + 1);
      case 'ArrowUp':
        return Math.max(0, at - 1);
      case 'PageDown':
        return Math.min(last, Math.max(0, at) + page);
      case 'PageUp':
        return Math.max(0, at - page);
      case 'Home':
        return 0;
      case 'End':
        return last;
      default:
        return null;
    }
  }

  /** Where the keyboard is; a task that the list has lost leaves it where it was seen last. */
  private focusedRow(): number {
    const row = this.listing.ids.indexOf(this.selection.focus);
    return row >= 0 || this.selection.focus < 0 ? row : Math.min(this.focusedAt, this.listing.ids.length) - 1;
  }

  private goTo(row: number, isRange: boolean): void {
    const taskid = this.listing.ids[row];
    if (taskid === undefined) return;
    if (isRange) this.selection.extend(taskid, this.listing.ids);
    else this.selection.choose(taskid);
    this.scrollTo(row);
    this.changed();
  }

  private scrollTo(row: number): void {
    const top = row * ROW_HEIGHT;
    const height = this.seenHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + ROW_HEIGHT > this.element.scrollTop + height) this.element.scrollTop = top + ROW_HEIGHT - height;
  }

  /** What has the keyboard stays in sight when the drawer takes half of the place. */
  private onResize(): void {
    const row = this.focusedRow();
    const top = row * ROW_HEIGHT - this.element.scrollTop;
    if (row >= 0 && top >= 0 && top < this.lastHeight) this.scrollTo(row);
    this.lastHeight = this.seenHeight;
    this.render();
  }

  private changed(): void {
    this.render();
    this.events.selected();
  }
}
