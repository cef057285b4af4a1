// The live queue of one farm: counts, throughput, worker lanes, and a table with a drawer.

import type { Host } from '../link/host';
import type { ViewMessage } from '../link/messages';
import { finishedOf } from '../link/model';
import { QueueStore } from '../link/store';
import { Actions, sayIn } from './actions';
import { Banner } from './banner';
import { make, newId, setAttribute, setHidden, setText } from './dom';
import { Drawer } from './drawer';
import { FilterBar } from './filter-bar';
import { formatCount, plural } from './format';
import { Header } from './header';
import { LanesView } from './lanes-view';
import { Listing } from './listing';
import { ALL, ownersOf } from './select';
import { Table } from './table';

// also true where there were some
const NO_TASKS = 'There are no tasks: put %%task on a cell to make one. Cleared ones are forgotten.';

const TICK_MS = 1000; // run times and the last minute go on by themselves

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
  private readonly emptySays = make('span');
  private readonly everything = make('button', { type: 'button', class: 'taskfc-button', hidden: true }, 'Show all tasks');
  private readonly empty = make('div', { class: 'taskfc-empty', hidden: true }, this.emptySays, this.everything);
  private readonly shown = make('span', { class: 'taskfc-shown' });
  private readonly said = make('span', { class: 'taskfc-said', role: 'status', 'aria-live': 'polite' });
  private readonly ends: (() => void)[] = [];
  private frame = 0;
  private isOnScreen = true;
  private naming = -1;
  // a task to go to in the list that is being made; -1: none
  private toReveal = -1;
  private before = new Float64Array(0);

  /**
   * @param node where it goes; what is in it stays.
   * @param host where the node lives.
   * @param store what has been told; several views may share one. A view that has been given none makes its own.
   */
  constructor(
    readonly node: HTMLElement,
    readonly host: Host,
    store?: QueueStore
  ) {
    this.store = store ?? new QueueStore(question => host.ask(question));
    const say = (text: string, isProblem = false): void => sayIn(this.said, text, isProblem);
    this.listing = new Listing(this.store, () => this.relist());
    this.banner = new Banner(this.store);
    this.header = new Header(this.store, states => this.choose({ states }));
    this.lanes = new LanesView(this.store, taskid => this.open(taskid), host.kind === 'widget');
    this.filter = new FilterBar(criteria => this.choose(criteria));
    this.table = new Table(this.store, this.listing, {
      selected: () => this.selected(),
      opened: taskid => this.openDrawer(taskid),
      escaped: () => this.escape()
    });
    const chosen = (): Iterable<number> => this.table.selection.ids;
    const back = (): void => this.table.focus();
    this.actions = new Actions({ store: this.store, host, chosen, say, hasOfAll: true, back });
    const isSeen = (): boolean => this.isSeen;
    this.drawer = new Drawer({ store: this.store, host, say, isSeen, closed: () => this.closeDrawer() });
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

  /** Take in what the host was told. Messages about other farms do nothing. */
  receive(message: ViewMessage): void {
    this.store.receive(message);
  }

  /** Show this farm from now on: unwatches the one before, and asks to watch this one. */
  show(farm: string): void {
    if (farm === this.farm) return;
    this.closeDrawer();
    this.actions.withdraw();
    this.table.selection.clear();
    sayIn(this.said, '');
    this.store.show(farm);
    this.listing.choose({});
  }

  /** The connection was lost and is there again: ask anew for what is shown. */
  reconnected(): void {
    this.store.reconnected();
  }

  /** Open the drawer of a task, and scroll to it, also when a filter hides it. */
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

  /** Take it off the page, and stop everything that it has begun. The host's other views stay. */
  dispose(): void {
    cancelAnimationFrame(this.frame);
    for (const end of this.ends) end();
    this.listing.dispose();
    this.table.dispose();
    this.drawer.dispose();
    this.root.remove();
  }

  private get isSeen(): boolean {
    return this.isOnScreen && document.visibilityState !== 'hidden';
  }

  private assemble(): HTMLElement {
    const foot = make('div', { class: 'taskfc-foot' }, this.shown, this.said);
    const left = make('div', { class: 'taskfc-list' }, this.table.element, this.empty);
    const body = make('div', { class: 'taskfc-body' }, left, this.drawer.element);
    const parts = [this.header, this.lanes, this.filter, this.actions].map(part => part.element);
    const id = newId();
    const inside = make('div', { class: 'taskfc-inside', id }, this.banner.element, ...parts, body, foot);
    const root = make(
      'section',
      { class: 'taskfc-queue', 'data-host': this.host.kind, 'aria-label': 'Task queue' },
      inside
    );
    // in a notebook, letters and arrows are shortcuts of its command mode: what is typed here is meant for the queue
    if (this.host.kind === 'widget') {
      root.setAttribute('data-lm-suppress-shortcuts', 'true');
      root.addEventListener('keydown', event => event.stopPropagation());
    }
    return root;
  }

  private listen(): void {
    this.ends.push(this.store.onChange(() => this.changed()));
    this.everything.addEventListener('click', () => {
      this.showAll();
      this.filter.focus();
    });
    const tick = setInterval(() => this.isSeen && this.tick(), TICK_MS);
    this.ends.push(() => clearInterval(tick));
    const onVisible = (): void => this.changed();
    document.addEventListener('visibilitychange', onVisible);
    this.ends.push(() => document.removeEventListener('visibilitychange', onVisible));
    if (typeof IntersectionObserver === 'undefined') return;
    const observer = new IntersectionObserver(entries => {
      this.isOnScreen = entries.some(entry => entry.isIntersecting);
      if (this.isOnScreen) this.changed();
    });
    observer.observe(this.root);
    this.ends.push(() => observer.disconnect());
  }

  private changed(): void {
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
    this.sayShown();
  }

  private tick(): void {
    if (this.host.kind === 'widget') this.store.doubtSilence();
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
    // an action is for what is seen, never for what a filter hides
    if (this.table.selection.keep(this.listing.ids)) this.actions.update();
    this.table.relist(this.before);
    this.before = this.listing.ids;
    const taskid = this.toReveal;
    this.toReveal = -1;
    if (taskid >= 0) this.table.reveal(taskid);
    this.sayShown();
  }

  private sayShown(): void {
    const { queue, isKnown } = this.store;
    const { counts } = queue;
    const all = queue.n;
    const passing = this.listing.ids.length;
    const isFiltered = passing < all && isFiltering(this.listing);
    const nSelected = this.table.selection.ids.size;
    const total = finishedOf(counts) + (counts.waiting ?? 0) + (counts.scheduled ?? 0) + (counts.running ?? 0);
    const listed = isFiltered ? `${formatCount(passing)} of ${plural(all, 'task')}` : plural(all, 'task');
    const older = total > all ? `, ${formatCount(total - all)} older ones not listed` : '';
    this.root.classList.toggle('taskfc-mod-many', nSelected > 1);
    const selected = nSelected > 0 ? ` · ${formatCount(nSelected)} selected` : '';
    setText(this.shown, isKnown ? listed + older + selected : '');
    setText(this.emptySays, passing > 0 ? '' : this.sayEmpty(all));
    setHidden(this.everything, !isFiltered || this.listing.isWorking);
    setHidden(this.empty, passing > 0);
    setHidden(this.table.element, passing === 0);
    const hasNone = !isKnown || (total === 0 && all === 0);
    setHidden(this.filter.element, hasNone);
    setHidden(this.actions.element, hasNone);
  }

  private sayEmpty(all: number): string {
    if (!this.store.farm) return 'No farm is chosen.';
    if (!this.store.isKnown) return this.banner.isShown ? '' : 'Connecting …';
    if (this.listing.isWorking) return '';
    return all === 0 ? NO_TASKS : 'No task passes the filter.';
  }

  private selected(): void {
    this.actions.update();
    this.sayShown();
    const { focus } = this.table.selection;
    if (!this.drawer.element.hidden && focus >= 0) this.openDrawer(focus);
  }

  private openDrawer(taskid: number): void {
    this.root.classList.add('taskfc-mod-open');
    this.drawer.open(taskid);
  }

  private closeDrawer(): void {
    if (this.drawer.element.hidden) return;
    this.root.classList.remove('taskfc-mod-open');
    this.drawer.close();
    this.table.focus();
  }

  private escape(): void {
    if (!this.drawer.element.hidden) return this.closeDrawer();
    this.table.selection.clear();
    this.table.render();
    this.selected();
  }
}

function isFiltering({ criteria }: Listing): boolean {
  return criteria.text.trim() !== '' || criteria.states.size > 0 || criteria.owner !== null;
}
