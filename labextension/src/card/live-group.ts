// The card of a group of tasks, drawn from the state of its farm; where that is not known, the saved form.

import { CARD_VERSION, MAX_IDS } from '../link/messages';
import type { GroupOfTasks } from '../link/messages';
import type { Follower } from '../link/shared-queues';
import { oneLine } from '../queue/format';
import { ActionRow } from './action-row';
import { adviceOnStale, KERNEL_BACK_AFTER_MS, momentOf, startLine } from './advice';
import type { Advice } from './advice';
import type { CardDesk } from './desk';
import { headOfGroup, isOfQueue } from './group-head';
import type { GroupHead, GroupVerb } from './group-head';
import { GroupView } from './group-view';
import { isFinal } from './headline';
import type { CardHost, DrawnCard, Hidden } from './host';
import { actInKernel, findLiveButtons } from './kernel-parts';
import { farmSituation } from './situation';

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
  private readonly madeAt = performance.now();
  private readonly ends: (() => void)[];
  private group: GroupOfTasks | null = null;
  private follower: Follower | null = null;
  private head: GroupHead | null = null;
  // the queue that was counted last, and when it may be counted again
  private counted = '';
  private due = -Infinity;

  constructor(
    private readonly desk: CardDesk,
    private readonly host: CardHost
  ) {
    host.place.append(this.row.element);
    this.ends = [desk.link.onChange(() => this.update()), desk.onTick(() => this.update())];
  }

  show(data: unknown): void {
    const before = this.group;
    this.group = isGroup(data) ? data : null;
    if (this.group?.farm !== before?.farm) {
      this.follower?.dispose();
      this.follower = null;
    }
    if (JSON.stringify(this.group?.ranges) !== JSON.stringify(before?.ranges)) this.head = null;
    this.due = -Infinity;
    this.counted = '';
    this.update();
  }

  dispose(): void {
    this.follower?.dispose();
    this.ends.forEach(end => end());
  }

  update(): void {
    const { group } = this;
    const { link, queues } = this.desk;
    if (group === null) return this.showSaved();
    const status = link.status(group.farm);
    // a notebook may name any farm: only those that exist are watched
    if (status !== undefined) this.follower ??= queues.follow(group.farm, () => this.update());
    const farm = farmSituation(link.state, link.isKnown, status);
    if (farm === 'live' && this.follower?.store.isLive) this.showLive(group, this.follower);
    else if (farm === 'asleep' && !isFinal(group.state)) this.showAsleep(group);
    else if (farm === 'unreachable') this.showUnreachable(group);
    else if (this.head === null) this.showSaved();
    else this.draw(group, this.head, status?.message ?? '');
  }

  private showAsleep({ farm, as_of: asOf }: GroupOfTasks): void {
    const notice = `As of ${momentOf(asOf)}. Its farm does not run, and the tasks wait; they go on with`;
    this.showSaved([], 'buttons', [notice, startLine(farm)]);
  }

  private showUnreachable(group: GroupOfTasks): void {
    const isKept = isFinal(group.state) || findLiveButtons(this.host.kernelParts()) !== null;
    if (isKept || performance.now() - this.madeAt < KERNEL_BACK_AFTER_MS) return this.showSaved();
    const first = group.ranges[0]![0];
    const last = group.ranges[group.ranges.length - 1]![1];
    this.showSaved([], 'buttons', adviceOnStale(group.as_of, `%task status ${first}-${last}`));
  }

  private showLive(group: GroupOfTasks, { store }: Follower): void {
    const { queue } = store;
    const counted = `${queue.incarnation} ${queue.version}`;
    const isIdle = counted === this.counted && (this.head === null || this.head.unfinished.length === 0);
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
    const noRoom = head.unfinished.length > 0 ? oneLine(this.follower?.store.queue.noRoom, 600) : '';
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
    const { link } = this.desk;
    const identity = link.status(group.farm)?.identity ?? '';
    if (verb === 'abort all') {
      return (await link.command(group.farm, { do: 'abort', taskids: head.unfinished, identity })).said;
    }
    const answer = actInKernel(this.host.kernelParts(), 'retry', group.ranges[0]![0], show);
    if (answer !== null) return answer;
    return (await link.command(group.farm, { do: 'retry', taskids: head.failed, identity })).said;
  }
}
