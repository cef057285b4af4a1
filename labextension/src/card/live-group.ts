// The card of a group of tasks, drawn from the state of its farm; where that is not known, the saved form.

import { CARD_VERSION, MAX_IDS } from '../link/messages';
import type { GroupOfTasks } from '../link/messages';
import { isFinal } from '../link/model';
import type { QueueStore } from '../link/store';
import { ActionRow } from './action-row';
import { adviceOnStale, momentOf, startLine } from './advice';
import type { Advice } from './advice';
import type { CardDesk } from './desk';
import { CardFarm } from './farm';
import { headOfGroup, isOfQueue } from './group-head';
import type { GroupHead, GroupVerb } from './group-head';
import { GroupView } from './group-view';
import type { CardHost, DrawnCard, Hidden } from './host';
import { actInKernel } from './kernel-parts';

// counting takes at most this part of the time: a group may have 100,000 tasks
const SHARE = 20;

/** Whether the data of an output are those of a group that this page understands, and can count. */
export function isGroup(data: unknown): data is GroupOfTasks {
  const group = data as Partial<GroupOfTasks> | null;
  if (typeof group !== 'object' || group?.version !== CARD_VERSION) return false;
  const isText = [group.card, group.farm, group.title, group.state].every(text => typeof text === 'string');
  return isText && typeof group.submitted === 'number' && Array.isArray(group.ranges) && areRanges(group.ranges);
}

/** Whether these are some ranges of not too many ids: a notebook may have any data. */
function areRanges(ranges: readonly unknown[]): boolean {
  let nIds = 0;
  for (const range of ranges) {
    const [first, last] = Array.isArray(range) ? (range as unknown[]) : [];
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) return false;
    nIds += Math.max(0, (last as number) - (first as number)) + 1;
  }
  return nIds > 0 && nIds <= MAX_IDS;
}

export class LiveGroup implements DrawnCard {
  private readonly view = new GroupView();
  private readonly row = new ActionRow<GroupVerb>((verb, show) => this.act(verb, show));
  private readonly farm: CardFarm;
  private group: GroupOfTasks | null = null;
  private head: GroupHead | null = null;
  // the queue that was counted last, and when it may be counted again
  private counted = '';
  private due = -Infinity;

  constructor(
    desk: CardDesk,
    private readonly host: CardHost
  ) {
    host.place.append(this.row.element);
    this.farm = new CardFarm(desk, host, () => this.update());
  }

  show(data: unknown): void {
    const before = this.group;
    this.group = isGroup(data) ? data : null;
    this.farm.follow(this.group?.farm ?? '');
    if (JSON.stringify(this.group?.ranges) !== JSON.stringify(before?.ranges)) this.head = null;
    this.due = -Infinity;
    this.counted = '';
    this.update();
  }

  dispose(): void {
    this.farm.dispose();
  }

  update(): void {
    const { group } = this;
    if (group === null) return this.showSaved();
    const situation = this.farm.situate();
    const { status, store } = this.farm;
    if (situation === 'live' && store !== null) this.showLive(group, store);
    else if (situation === 'asleep' && !isFinal(group.state)) this.showAsleep(group);
    else if (situation === 'unreachable') this.showUnreachable(group);
    else if (this.head === null) this.showSaved();
    else this.draw(group, this.head, status?.message ?? '');
  }

  private showAsleep({ farm, as_of: asOf }: GroupOfTasks): void {
    const notice = `As of ${momentOf(asOf)}. Its farm does not run, and the tasks wait; they go on with`;
    this.showSaved([], 'buttons', [notice, startLine(farm)]);
  }

  private showUnreachable(group: GroupOfTasks): void {
    if (isFinal(group.state) || this.farm.mayHaveKernel()) return this.showSaved();
    const first = group.ranges[0]![0];
    const last = group.ranges[group.ranges.length - 1]![1];
    this.showSaved([], 'buttons', adviceOnStale(group.as_of, `%task status ${first}-${last}`));
  }

  private showLive(group: GroupOfTasks, store: QueueStore): void {
    const { queue } = store;
    const hasEnded = this.head?.unfinished.length === 0;
    // once it has ended, only a retry or a clear changes it, and those change which tasks there are
    const counted = hasEnded ? `${queue.incarnation} ${queue.naming} ${queue.n}` : `${queue.version}`;
    const isIdle = counted === this.counted && (this.head === null || hasEnded);
    if (isIdle || performance.now() < this.due || (this.head !== null && !this.host.isInView())) return;
    const began = performance.now();
    this.counted = counted;
    this.head = isOfQueue(queue, group) ? headOfGroup(queue, group, store.wall) : null;
    if (this.head === null) this.showSaved();
    // the kernel has seen all ends, and the queue lists the newest finished tasks only
    else if (isFinal(group.state) && !this.head.isRetried) this.showSaved(this.head.offers, 'buttons');
    else this.draw(group, this.head, '');
    const now = performance.now();
    this.due = now + SHARE * (now - began);
  }

  private draw(group: GroupOfTasks, head: GroupHead, notice: string): void {
    if (this.view.element.parentElement === null) this.host.place.prepend(this.view.element);
    this.host.showSaved(false);
    this.view.show(group.title, head, notice);
    const noRoom = head.unfinished.length > 0 ? this.farm.noRoom : '';
    this.finish(head.offers, 'all', [noRoom]);
  }

  /** Show the saved form, with a line and what to type at its end. */
  private showSaved(offers: readonly GroupVerb[] = [], hidden: Hidden = 'none', advice: Advice = []): void {
    this.view.element.remove(); // a page has one card of a group
    this.host.showSaved(true);
    this.finish(offers, hidden, advice);
  }

  /** Offer the buttons in one step: a question that is open stays open when the form under it changes. */
  private finish(offers: readonly GroupVerb[], hidden: Hidden, [notice = '', typed = '']: Advice = []): void {
    this.row.offer(`of ${this.group?.title ?? ''}`, offers);
    this.row.advise(notice, typed);
    this.row.setHidden(hidden === 'none');
    this.host.hideKernelParts(hidden);
  }

  private async act(verb: GroupVerb, show: (text: string) => void): Promise<string> {
    const { group, head } = this;
    if (group === null || head === null) return '';
    if (verb === 'abort all') return this.farm.command('abort', head.unfinished);
    const answer = actInKernel(this.host.kernelParts(), 'retry', group.ranges[0]![0], show);
    return answer ?? this.farm.command('retry', head.failed);
  }
}
