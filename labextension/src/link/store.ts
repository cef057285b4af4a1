// The page's copy of one farm's state. Several views may share it.

import { Lanes } from './lanes';
import { FarmState, VIEW_PROTOCOL } from './messages';
import type { FarmStatus, QueueDelta, QueueSnapshot, ViewMessage, ViewQuestion } from './messages';
import { Queue } from './model';
import { Rates } from './rates';

// an unanswered question is repeated, but not with each message that comes meanwhile
const ASK_AGAIN_AFTER = 5;

// a busy queue sends more often: after this long, another page may have made the kernel stop sending
const SILENT_AFTER = 60;

/** Message for a page whose protocol is not that of the other end. */
export const OTHER_VERSION =
  'This page was loaded from another version of taskfc_ext. Save your notebooks, and reload the page.';

/** Whether the farm has no running process. */
export function isAbsent(state: FarmState): boolean {
  return state === FarmState.STOPPED || state === FarmState.DEAD;
}

export class QueueStore {
  queue = new Queue('');
  rates = new Rates();
  lanes = new Lanes();
  /** Status of the farm; `null`: unknown. */
  status: FarmStatus | null = null;
  /** A message for users if this page cannot follow the farm; else empty. */
  problem = '';

  private readonly listeners = new Set<() => void>();
  // from the last list; `null`: none was received
  private farms: readonly FarmStatus[] | null = null;
  private askedAt = -Infinity;
  private receivedAt = -Infinity;
  // the controller's clock when this page saw the farm end: its last message may be much older
  private endedAt = -Infinity;

  /**
   * @param ask sends a question to the kernel or the server.
   * @param now this page's clock, in seconds.
   */
  constructor(
    private readonly ask: (question: ViewQuestion) => void,
    readonly now: () => number = () => Date.now() / 1000
  ) {}

  /** The farm that is followed; empty before `show`. */
  get farm(): string {
    return this.queue.farm;
  }

  /** Whether a snapshot was received. */
  get isKnown(): boolean {
    return this.queue.seq >= 0;
  }

  /** Whether a list of farms was received. */
  get isListed(): boolean {
    return this.farms !== null;
  }

  /** Whether the numbers are up to date. A kernel sends no list of farms while all is well. */
  get isLive(): boolean {
    if (!this.isKnown || this.problem) return false;
    return this.status === null ? this.farms === null : this.status.state === FarmState.LIVE;
  }

  /** The controller's clock, in seconds; if the farm is not live, the time at which it last was. */
  get wall(): number {
    return this.isLive ? this.now() + this.queue.ahead : Math.max(this.queue.wall, this.endedAt);
  }

  /** Call `listener` after each change. Returns a function that ends this. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  receive(message: ViewMessage): void {
    this.receivedAt = this.now();
    if (message.type === 'farms') {
      const before = this.status;
      const wall = this.isLive ? this.wall : -Infinity;
      this.farms = message.farms;
      this.status = this.statusOf(this.farm);
      if (this.status !== null && isAbsent(this.status.state)) {
        this.endedAt = Math.max(this.endedAt, wall);
      }
      this.problem = message.protocol === VIEW_PROTOCOL ? '' : OTHER_VERSION;
      // new processes number their messages from the start: their deltas do not continue ours
      if (before?.identity && this.status?.identity && before.identity !== this.status.identity) this.watch();
    } else if (message.farm !== this.farm) {
      return;
    } else {
      this.apply(message);
    }
    this.notify();
  }

  /** Follow this farm instead of the one before. */
  show(farm: string): void {
    if (farm === this.farm && this.farm) return;
    if (this.farm) this.ask({ ask: 'unwatch', farm: this.farm });
    this.queue = new Queue(farm);
    this.rates = new Rates();
    this.lanes = new Lanes();
    this.endedAt = -Infinity;
    this.status = this.statusOf(farm);
    if (farm) this.watch();
    this.notify();
  }

  /** Note that no messages come any more. `problem`: a message for users, shown until the next list of farms. */
  disconnect(problem: string): void {
    this.problem = problem;
    this.notify();
  }

  /** Watch the farm again after a loss of the connection. */
  resubscribe(): void {
    if (this.farm) this.watch();
  }

  /** Watch the farm again if no message came for long although tasks run. */
  checkSilence(): void {
    const quietSince = Math.max(this.receivedAt, this.askedAt);
    if (this.isLive && (this.queue.counts.running ?? 0) > 0 && this.now() - quietSince > SILENT_AFTER) this.watch();
  }

  private statusOf(name: string): FarmStatus | null {
    return this.farms?.find(farm => farm.name === name) ?? null;
  }

  private apply(message: QueueSnapshot | QueueDelta): void {
    const before = this.queue.seq;
    const result = this.queue.apply(message, this.now());
    if (result === 'gap' && this.now() - this.askedAt > ASK_AGAIN_AFTER) this.watch();
    if (result !== 'applied' || (message.type === 'delta' && message.seq <= before)) return;
    if (message.type === 'snapshot') this.askedAt = -Infinity; // the next gap is a new one
    this.rates.apply(message);
    this.lanes.apply(message);
  }

  private watch(): void {
    this.askedAt = this.now();
    this.ask({ ask: 'watch', farm: this.farm });
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}
