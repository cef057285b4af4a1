// The table: a window on the list of tasks, with at most a hundred rows in the page for any length of the queue.

import type { QueueStore } from '../link/store';
import { make, newId, setAttribute } from './dom';
import { makeIcon, setIcon } from './icons';
import type { Listing } from './listing';
import { COLUMNS, Row } from './row';
import { startsDescending } from './select';
import type { SortKey } from './select';
import { Selection } from './selection';

export const ROW_HEIGHT = 24; // as in JupyterLab's lists

/** Most rows in the page. */
export const MAX_DOM_ROWS = 100;

const BEYOND = 6; // extra rows above and below the visible ones, for scrolling

// rows by which the focused one may have moved in a new list to keep its place in view
const MOST_FOLLOWED = 50;

// assumed while the table has no size, as in a hidden panel
const DEFAULT_HEIGHT = 320;

export interface TableEvents {
  /** Called when the selection or the focus has changed. */
  onSelect(): void;
  /** Called to show the details of a task. */
  onOpen(taskid: number): void;
  /** Called to show the actions on the selection, at a place in the page. */
  onMenu(x: number, y: number): void;
  /** Called when Escape was pressed. */
  onEscape(): void;
}

export class Table {
  readonly element: HTMLElement;
  readonly selection = new Selection();
  private readonly head: HTMLElement;
  private readonly space: HTMLElement;
  private readonly rows = new Map<number, Row>();
  private readonly spare: Row[] = [];
  private readonly idBase = newId();
  private nRows = 0;
  // the row of the focused task when the list last had it
  private focusedAt = 0;
  private lastHeight = 0;
  private readonly resized: ResizeObserver | null;

  constructor(
    private readonly store: QueueStore,
    private readonly listing: Listing,
    private readonly events: TableEvents
  ) {
    this.head = make('div', { role: 'row', class: 'taskfc-head', 'aria-rowindex': 1 });
    for (const column of COLUMNS) this.head.append(this.makeHeader(column.key, column.title, column.about));
    this.space = make('div', { class: 'taskfc-space', role: 'rowgroup' });
    const grid = { role: 'grid', tabindex: 0, 'aria-label': 'Tasks', 'aria-multiselectable': 'true' };
    const headGroup = make('div', { role: 'rowgroup', class: 'taskfc-head-group' }, this.head);
    this.element = make('div', { ...grid, class: 'taskfc-table' }, headGroup, this.space);
    this.element.addEventListener('scroll', () => this.render(), { passive: true });
    this.element.addEventListener('keydown', event => this.onKey(event));
    this.space.addEventListener('click', event => this.onClick(event));
    this.element.addEventListener('contextmenu', event => this.onContextMenu(event));
    this.resized = typeof ResizeObserver === 'undefined' ? null : new ResizeObserver(() => this.onResize());
    this.resized?.observe(this.element);
  }

  dispose(): void {
    this.resized?.disconnect();
  }

  focus(): void {
    this.element.focus({ preventScroll: true });
  }

  /** Show a new list. Sorted by id, the rows in view keep their place; else the row with the focus does. */
  relist(before: Float64Array): void {
    const first = Math.floor(this.element.scrollTop / ROW_HEIGHT);
    const isById = this.listing.criteria.sort === 'id';
    const { focus } = this.selection;
    const then = isById || focus < 0 ? first : before.indexOf(focus);
    const isInView = then >= first && then <= first + this.visibleHeight / ROW_HEIGHT;
    this.render();
    const anchor = isById ? before[first] : focus;
    if (first === 0 || anchor === undefined || anchor < 0 || !isInView) return;
    const now = this.listing.ids.indexOf(anchor);
    // a task that has ended goes to another part of the list, and is not followed there
    const isNear = isById || Math.abs(now - then) <= MOST_FOLLOWED;
    if (now >= 0 && now !== then && isNear) this.element.scrollTop += (now - then) * ROW_HEIGHT;
  }

  scrollToTop(): void {
    this.element.scrollTop = 0;
  }

  /** Select this task and scroll to it; return whether the list has it. */
  reveal(taskid: number): boolean {
    const row = this.listing.ids.indexOf(taskid);
    if (row < 0) return false;
    this.selection.choose(taskid);
    this.scrollTo(row);
    this.render();
    this.events.onSelect();
    return true;
  }

  /** Draw the visible rows. */
  render(): void {
    const { ids } = this.listing;
    const height = this.visibleHeight;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_HEIGHT) - BEYOND);
    const many = Math.min(MAX_DOM_ROWS, Math.ceil(height / ROW_HEIGHT) + 2 * BEYOND);
    const last = Math.min(ids.length, first + many);
    this.space.style.height = `${ids.length * ROW_HEIGHT}px`;
    setAttribute(this.element, 'aria-rowcount', String(ids.length + 1));
    const visible = ids.subarray(first, last);
    const free = this.release(new Set(visible));
    const { ids: selected, focus } = this.selection;
    let next = this.space.firstElementChild;
    visible.forEach((taskid, at) => {
      const row = this.rowOf(taskid, free);
      row.show(taskid, first + at, (first + at) * ROW_HEIGHT, selected.has(taskid), taskid === focus);
      // elements keep the order of the list, for screen readers
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

  /** Update the texts of the rows. */
  fill(): void {
    const wall = this.store.wall;
    const now = this.store.now();
    for (const row of this.rows.values()) row.fill(this.store.queue, wall, now);
  }

  /** The height that is left for rows below the headers. */
  private get visibleHeight(): number {
    return (this.element.clientHeight || DEFAULT_HEIGHT) - ROW_HEIGHT;
  }

  private rowOf(taskid: number, free: Row[]): Row {
    let row = this.rows.get(taskid);
    if (row === undefined) {
      row = free.shift() ?? this.spare.pop() ?? new Row(`${this.idBase}-${this.nRows++}`);
      this.rows.set(taskid, row);
    }
    return row;
  }

  /** Return the rows of tasks that are not visible any more. They stay in the page, to be reused at once. */
  private release(visible: ReadonlySet<number>): Row[] {
    const free = [...this.rows.values()].filter(row => !visible.has(row.taskid));
    for (const row of free) this.rows.delete(row.taskid);
    return free;
  }

  // headers

  private makeHeader(key: SortKey, title: string, about: string): HTMLElement {
    const button = make('button', { type: 'button', class: 'taskfc-header', title: about }, title);
    button.append(makeIcon('down'));
    button.addEventListener('click', () => this.sortBy(key));
    return make('div', { role: 'columnheader', class: `taskfc-cell taskfc-cell-${key}`, 'data-key': key }, button);
  }

  private sortBy(key: SortKey): void {
    const { sort, isDescending } = this.listing.criteria;
    this.listing.choose({ sort: key, isDescending: key === sort ? !isDescending : startsDescending(key) });
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
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey;
    // the second click of two meets another row if the drawer has moved them
    if (taskid < 0 || (isPlain && event.detail > 1)) return;
    if (event.shiftKey) this.selection.extend(taskid, this.listing.ids);
    else if (event.ctrlKey || event.metaKey) this.selection.toggle(taskid);
    else this.selection.choose(taskid);
    this.focus();
    this.onSelectionChange();
    if (isPlain) this.events.onOpen(taskid);
  }

  private onContextMenu(event: MouseEvent): void {
    const isBrowsers = event.shiftKey && event.button === 2;
    if (isBrowsers || event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    event.stopPropagation();
    const taskid = this.taskAt(event);
    if (taskid < 0) return this.openMenu();
    this.openMenu(taskid, event.clientX, event.clientY);
  }

  /** Open the menu of the selection, or of this task if it is not selected; at the focused row if no place is given. */
  private openMenu(taskid = this.selection.focus, x?: number, y?: number): void {
    if (taskid < 0 || this.listing.ids.indexOf(taskid) < 0) return;
    if (!this.selection.ids.has(taskid)) {
      this.selection.choose(taskid);
      this.onSelectionChange();
    }
    if (x !== undefined && y !== undefined) return this.events.onMenu(x, y);
    this.scrollTo(this.listing.ids.indexOf(taskid));
    this.render();
    const { left, bottom } = (this.rows.get(taskid)?.element ?? this.element).getBoundingClientRect();
    this.events.onMenu(left + ROW_HEIGHT, bottom);
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
    this.selection.selectAll(this.listing.ids);
    this.onSelectionChange();
    return true;
  }

  private onPlainKey(event: KeyboardEvent): boolean {
    const { focus } = this.selection;
    if (event.key === 'ContextMenu' || (event.key === 'F10' && event.shiftKey)) {
      this.openMenu();
    } else if (event.key === 'Escape') {
      this.events.onEscape();
    } else if (event.key === 'Enter') {
      if (focus >= 0) this.events.onOpen(focus);
    } else if (event.key === ' ') {
      if (focus >= 0) this.selection.toggle(focus);
      this.onSelectionChange();
    } else {
      const row = this.rowFor(event.key);
      if (row === null) return false;
      this.goTo(row, event.shiftKey);
    }
    return true;
  }

  /** Return the row that a key goes to; `null`: the key does not move the focus. */
  private rowFor(key: string): number | null {
    const last = this.listing.ids.length - 1;
    const at = this.focusedRow();
    const page = Math.max(1, Math.floor(this.visibleHeight / ROW_HEIGHT) - 1);
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

  /** Return the row with the focus; if the list has lost its task, the row where that was. */
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
    this.onSelectionChange();
  }

  private scrollTo(row: number): void {
    const top = row * ROW_HEIGHT;
    const height = this.visibleHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + ROW_HEIGHT > this.element.scrollTop + height) this.element.scrollTop = top + ROW_HEIGHT - height;
  }

  /** Keep the focused row in view when the drawer takes half of the room. */
  private onResize(): void {
    const row = this.focusedRow();
    const top = row * ROW_HEIGHT - this.element.scrollTop;
    if (row >= 0 && top >= 0 && top < this.lastHeight) this.scrollTo(row);
    this.lastHeight = this.visibleHeight;
    this.render();
  }

  private onSelectionChange(): void {
    this.render();
    this.events.onSelect();
  }
}
