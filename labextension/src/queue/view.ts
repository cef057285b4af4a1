// The view of one farm's live queue: counts, rate, lanes of workers, and a table with a drawer.

import type { Host } from '../link/host';
import { StateCode } from '../link/messages';
import type { ViewMessage } from '../link/messages';
import { finishedOf, unfinishedOf } from '../link/model';
import { QueueStore } from '../link/store';
import { Actions, showMessage } from './actions';
import { Banner } from './banner';
import { make, newId, setAttribute, setHidden, setText } from './dom';
import { Drawer, goToCell } from './drawer';
import { FilterBar } from './filter-bar';
import { formatCount, plainText, plural } from './format';
import { Header } from './header';
import { LanesView } from './lanes-view';
import { Listing } from './listing';
import { copyText, Menu } from './menu';
import type { MenuItem } from './menu';
import { ALL, nameOf, ownersOf } from './select';
import { Table } from './table';

// also shown after all tasks were cleared
const NO_TASKS = 'There are no tasks. Put %%task on top of a cell to submit one. Cleared tasks are not listed.';

const TICK_MS = 1000; // run times and the last minute go on without messages

export class QueueView {
  private readonly store: QueueStore;
  private readonly root: HTMLElement;
  private readonly banner: Banner;
  private readonly header: Header;
  private readonly lanes: LanesView;
  private readonly filter: FilterBar;
  private readonly actions: Actions;
  private readonly listing: Listing;
  private readonly table: Table;
  private readonly drawer: Drawer;
  private readonly menu: Menu;
  private readonly emptyText = make('span');
  private readonly showAllButton = make(
    'button',
    { type: 'button', class: 'taskfc-button', hidden: true },
    'Show all tasks'
  );
  private readonly empty = make('div', { class: 'taskfc-empty', hidden: true }, this.emptyText, this.showAllButton);
  private readonly shown = make('span', { class: 'taskfc-shown' });
  private readonly message = make('span', { class: 'taskfc-said', role: 'status', 'aria-live': 'polite' });
  private readonly cleanups: (() => void)[] = [];
  private frame = 0;
  private isOnScreen = true;
  private naming = -1;
  // the task to select when the next list is complete; -1: none
  private toReveal = -1;
  private before = new Float64Array(0);

  /**
   * @param node parent element; its other children stay.
   * @param host the host of the node.
   * @param store state of the farm, which several views may share; by default a new one.
   */
  constructor(
    readonly node: HTMLElement,
    readonly host: Host,
    store?: QueueStore
  ) {
    this.store = store ?? new QueueStore(question => host.ask(question));
    const { report } = this;
    this.listing = new Listing(this.store, () => this.relist());
    this.banner = new Banner(this.store);
    this.header = new Header(this.store, states => this.choose({ states }));
    this.lanes = new LanesView(this.store, taskid => this.open(taskid), host.kind === 'widget');
    this.filter = new FilterBar(criteria => this.choose(criteria));
    this.table = new Table(this.store, this.listing, {
      onSelect: () => this.onSelect(),
      onOpen: taskid => this.openDrawer(taskid),
      onMenu: (x, y) => this.openMenu(x, y),
      onEscape: () => this.onEscape()
    });
    const getTaskids = (): Iterable<number> => this.table.selection.ids;
    const restoreFocus = (): void => this.table.focus();
    this.actions = new Actions({ store: this.store, host, getTaskids, report, hasQueueButtons: true, restoreFocus });
    const isSeen = (): boolean => this.isSeen;
    this.menu = new Menu(restoreFocus);
    const onChoose = (taskid: number): void => this.open(taskid);
    this.drawer = new Drawer({ store: this.store, host, report, isSeen, onClose: () => this.closeDrawer(), onChoose });
    this.root = this.assemble();
    node.append(this.root);
    this.listen();
    this.update();
    this.listing.choose({});
  }

  /** The farm that is shown; empty before `show`. */
  get farm(): string {
    return this.store.farm;
  }

  /** Handle a message from the host. Messages about other farms are ignored. */
  receive(message: ViewMessage): void {
    this.store.receive(message);
  }

  /** Show this farm: unwatch the one before and watch this one. */
  show(farm: string): void {
    if (farm === this.farm) return;
    this.closeDrawer();
    this.toReveal = -1;
    this.actions.withdraw();
    this.table.selection.clear();
    showMessage(this.message, '');
    this.store.show(farm);
    this.listing.choose({});
  }

  /** Open the drawer of a task and scroll to it. If a filter hides it, the filter is cleared. */
  open(taskid: number): void {
    if (!this.table.reveal(taskid)) {
      this.table.selection.choose(taskid);
      this.toReveal = taskid; // a long list takes a moment to make
      this.showAll();
    }
    this.openDrawer(taskid);
  }

  /** Put the keyboard's focus into the table. */
  focus(): void {
    this.table.focus();
  }

  /** Remove the view from the page and end its timers and listeners. */
  dispose(): void {
    cancelAnimationFrame(this.frame);
    for (const cleanUp of this.cleanups) cleanUp();
    this.listing.dispose();
    this.table.dispose();
    this.drawer.dispose();
    this.root.remove();
  }

  private readonly report = (text: string, isProblem = false): void => showMessage(this.message, text, isProblem);

  private get isSeen(): boolean {
    return this.isOnScreen && document.visibilityState !== 'hidden';
  }

  private assemble(): HTMLElement {
    const foot = make('div', { class: 'taskfc-foot' }, this.shown, this.message);
    const left = make('div', { class: 'taskfc-list' }, this.table.element, this.empty);
    const body = make('div', { class: 'taskfc-body' }, left, this.drawer.element);
    const parts = [this.header, this.lanes, this.filter, this.actions].map(part => part.element);
    const id = newId();
    const inside = make('div', { class: 'taskfc-inside', id }, this.banner.element, ...parts, body, foot);
    const root = make(
      'section',
      { class: 'taskfc-queue', 'data-host': this.host.kind, 'aria-label': 'Task queue' },
      inside,
      this.menu.element
    );
    // keys in the view must not reach the notebook, where letters and arrows are shortcuts
    if (this.host.kind === 'widget') {
      root.setAttribute('data-lm-suppress-shortcuts', 'true');
      root.addEventListener('keydown', event => event.stopPropagation());
    }
    return root;
  }

  private listen(): void {
    this.cleanups.push(this.store.onChange(() => this.onChange()));
    this.showAllButton.addEventListener('click', () => {
      this.showAll();
      this.filter.focus();
    });
    const tick = setInterval(() => this.isSeen && this.tick(), TICK_MS);
    this.cleanups.push(() => clearInterval(tick));
    const onVisible = (): void => this.onChange();
    document.addEventListener('visibilitychange', onVisible);
    this.cleanups.push(() => document.removeEventListener('visibilitychange', onVisible));
    if (typeof IntersectionObserver === 'undefined') return;
    const observer = new IntersectionObserver(entries => {
      this.isOnScreen = entries.some(entry => entry.isIntersecting);
      if (this.isOnScreen) this.onChange();
    });
    observer.observe(this.root);
    this.cleanups.push(() => observer.disconnect());
  }

  private onChange(): void {
    this.listing.refresh();
    if (this.frame !== 0 || !this.isSeen) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.update();
    });
  }

  private update(): void {
    const { store } = this;
    setAttribute(this.root, 'aria-label', store.farm ? `Tasks of farm ${store.farm}` : 'Tasks');
    this.root.classList.toggle('taskfc-mod-stale', store.isKnown && !store.isLive);
    this.banner.update();
    this.header.update();
    this.lanes.update();
    if (store.queue.naming !== this.naming) {
      this.naming = store.queue.naming;
      this.filter.offerOwners(ownersOf(store.queue));
    }
    this.fillRows();
    this.actions.update();
    this.drawer.update();
    this.updateFoot();
  }

  private tick(): void {
    if (this.host.kind === 'widget') this.store.checkSilence();
    this.header.tick();
    this.lanes.update();
    this.fillRows();
    this.drawer.update();
  }

  /** Update the rows, unless their order is about to change: a task that has ended would stand among running ones. */
  private fillRows(): void {
    if (this.listing.isCurrent) this.table.fill();
  }

  private choose(criteria: Parameters<Listing['choose']>[0]): void {
    this.table.scrollToTop();
    this.listing.choose(criteria);
  }

  private showAll(): void {
    this.filter.reset();
    this.header.choose(ALL.states);
    this.choose({ text: '', states: ALL.states, owner: null });
  }

  private relist(): void {
    // actions affect visible tasks only
    if (this.table.selection.keep(this.listing.ids)) this.actions.update();
    this.table.relist(this.before);
    this.before = this.listing.ids;
    // the list may not have it yet: the snapshot of a farm that was just chosen is on its way
    if (this.toReveal >= 0 && this.table.reveal(this.toReveal)) this.toReveal = -1;
    this.updateFoot();
  }

  private updateFoot(): void {
    const { queue, isKnown } = this.store;
    const { counts } = queue;
    const all = queue.n;
    const nListed = this.listing.ids.length;
    const isFiltered = nListed < all && isFiltering(this.listing);
    const nSelected = this.table.selection.ids.size;
    const total = finishedOf(counts) + unfinishedOf(counts);
    const listed = isFiltered ? `${formatCount(nListed)} of ${plural(all, 'task')}` : plural(all, 'task');
    const older = total > all ? `, ${formatCount(total - all)} older ones not listed` : '';
    this.root.classList.toggle('taskfc-mod-many', nSelected > 1);
    const selected = nSelected > 0 ? ` · ${formatCount(nSelected)} selected` : '';
    setText(this.shown, isKnown ? listed + older + selected : '');
    setText(this.emptyText, nListed > 0 ? '' : this.textIfEmpty(all));
    setHidden(this.showAllButton, !isFiltered || this.listing.isWorking);
    setHidden(this.empty, nListed > 0);
    setHidden(this.table.element, nListed === 0);
    const hasNone = !isKnown || (total === 0 && all === 0);
    setHidden(this.filter.element, hasNone);
    setHidden(this.actions.element, hasNone);
  }

  private textIfEmpty(all: number): string {
    if (!this.store.farm) return 'No farm is chosen.';
    if (!this.store.isKnown) return this.banner.isShown ? '' : 'Connecting …';
    if (this.listing.isWorking) return '';
    return all === 0 ? NO_TASKS : 'No task matches the filter.';
  }

  private onSelect(): void {
    this.toReveal = -1;
    this.actions.update();
    this.updateFoot();
    const { focus } = this.table.selection;
    if (!this.drawer.element.hidden && focus >= 0) this.openDrawer(focus);
  }

  private openDrawer(taskid: number): void {
    this.root.classList.add('taskfc-mod-open');
    this.drawer.open(taskid);
  }

  /** Show the actions on the selected tasks, and those on the one with the focus. */
  private openMenu(x: number, y: number): void {
    const { store, host, table } = this;
    const { focus: taskid, ids } = table.selection;
    const { queue } = store;
    const place = queue.placeOf(taskid);
    const isFailed = queue.stateAt(place) === StateCode.FAILED;
    const chosen = [...ids].sort((a, b) => a - b);
    const names = (): string => [...new Set(chosen.map(id => nameOf(queue.batchAt(queue.placeOf(id)))))].join('\n');
    const copy = (what: string, text: () => string | Promise<string>, isEnabled = true): MenuItem => ({
      label: `Copy ${what}`,
      isEnabled,
      run: () => void this.copy(what, text)
    });
    const isOne = ids.size === 1;
    const show = { label: 'Details', icon: 'details', isEnabled: true, run: () => this.openDrawer(taskid) };
    const go = {
      label: 'Go to the cell',
      icon: 'cell',
      isEnabled: isOne,
      run: () => void goToCell(host, store, taskid, this.report)
    };
    const label = isOne ? `Task ${taskid}` : plural(ids.size, 'task');
    const copies = [
      copy(isOne ? 'id' : 'ids', () => chosen.join(',')),
      copy(isOne ? 'name' : 'names', names),
      copy('error', () => this.errorOf(taskid), isOne && isFailed)
    ];
    this.menu.open(label, [[show, ...(host.goToCell ? [go] : [])], this.actions.items(), copies], x, y);
  }

  private async copy(what: string, text: () => string | Promise<string>): Promise<void> {
    const isCopied = await copyText(await text());
    this.report(isCopied ? `Copied the ${what}.` : `This page may not use the clipboard: select the ${what} to copy.`, !isCopied);
  }

  /** Return the traceback of a failed task, or its message. */
  private async errorOf(taskid: number): Promise<string> {
    const { store, host } = this;
    const details = await host.details(store.farm, taskid).catch(() => null);
    return plainText(details?.traceback || details?.task.message || store.queue.notes.get(taskid)?.message || '');
  }

  private closeDrawer(): void {
    if (this.drawer.element.hidden) return;
    this.root.classList.remove('taskfc-mod-open');
    this.drawer.close();
    this.table.focus();
  }

  private onEscape(): void {
    if (!this.drawer.element.hidden) return this.closeDrawer();
    this.table.selection.clear();
    this.table.render();
    this.onSelect();
  }
}

function isFiltering({ criteria }: Listing): boolean {
  return criteria.text.trim() !== '' || criteria.states.size > 0 || criteria.owner !== null;
}
