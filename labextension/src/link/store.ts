// What a page knows of one farm. Several views may show it: they look at the same numbers.

import { Lanes } from './lanes';
import { FarmState, VIEW_PROTOCOL } from './messages';
import type { FarmStatus, QueueDelta, QueueSnapshot, ViewMessage, ViewQuestion } from './messages';
import { Queue } from './model';
import { Rates } from './rates';

// a question that nobody answered is asked again at the next message, but not at each
const ASK_AGAIN_AFTER = 5;

// another page may have told the kernel to send no more: a queue at work is not silent for so long
const SILENT_AFTER = 60;

/** What a page is told that speaks otherwise than the other end. */
export const OTHER_VERSION =
  'This page was loaded from another version of taskfc_ext. Save your notebooks, and reload the page.';

/** Whether no process of a farm is there. */
export function isAbsent(state: FarmState): boolean {
  return state === FarmState.STOPPED || state === FarmState.DEAD;
}

export class QueueStore {
  queue = new Queue('');
  rates = new Rates();
  lanes = new Lanes();
  /** How the farm is; `null`: nobody has said so. */
  status: FarmStatus | null = null;
  /** A sentence for people where this page cannot follow what it is told. */
  problem = '';

  private readonly listeners = new Set<() => void>();
  // those of the last list; `null`: there was none
  private farms: readonly FarmStatus[] | null = null;
  private askedAt = -Infinity;
  private heardAt = -Infinity;
  // the controller's clock when somebody saw its farm end: a quiet one had said nothing for long
  private endedAt = -Infinity;

  /**
   * @param ask sends a question to whoever knows.
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

  /** There are numbers to show. */
  get isKnown(): boolean {
    return this.queue.seq >= 0;
  }

  /** Somebody has said which farms there are. */
  get isListed(): boolean {
    return this.farms !== null;
  }

  /** The numbers are those of now. A kernel says nothing of the farm's state while all is well. */
  get isLive(): boolean {
    if (!this.isKnown || this.problem) return false;
    return this.status === null ? this.farms === null : this.status.state === FarmState.LIVE;
  }

  /** The controller's clock, in seconds; where the farm is not live, that of when it was known to be. */
  get wall(): number {
    return this.isLive ? this.now() + this.queue.ahead : Math.max(this.queue.wall, this.endedAt);
  }

  /** Call back after each change; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  receive(message: ViewMessage): void {
    this.heardAt = this.now();
    if (message.type === 'farms') {
      const before = this.status;
      const wall = this.isLive ? this.wall : -Infinity;
      this.farms = message.farms;
      this.status = this.statusOf(this.farm);
      if (this.status !== null && isAbsent(this.status.state)) {
        this.endedAt = Math.max(this.endedAt, wall);
      }
      this.problem = message.protocol === VIEW_PROTOCOL ? '' : OTHER_VERSION;
      // other processes have other numbers; their deltas would not follow ours
      if (before?.identity && this.status?.identity && before.identity !== this.status.identity) this.watch();
    } else if (message.farm !== this.farm) {
      return;
    } else {
      this.take(message);
    }
    this.tell();
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
    this.tell();
  }

  /** Nobody tells of the farm any more. `problem`: a sentence for people, until somebody says how farms are. */
  lose(problem: string): void {
    this.problem = problem;
    this.tell();
  }

  /** The connection was lost and is there again. */
  reconnected(): void {
    if (this.farm) this.watch();
  }

  /** Ask anew if nothing was said for long although tasks run. */
  doubtSilence(): void {
    const quietSince = Math.max(this.heardAt, this.askedAt);
    if (this.isLive && (this.queue.counts.running ?? 0) > 0 && this.now() - quietSince > SILENT_AFTER) this.watch();
  }

  private statusOf(name: string): FarmStatus | null {
    return this.farms?.find(farm => farm.name === name) ?? null;
  }

  private take(message: QueueSnapshot | QueueDelta): void {
    const before = this.queue.seq;
    const taken = this.queue.take(message, this.now());
    if (taken === 'gap' && this.now() - this.askedAt > ASK_AGAIN_AFTER) this.watch();
    if (taken !== 'taken' || (message.type === 'delta' && message.seq <= before)) return;
    if (message.type === 'snapshot') this.askedAt = -Infinity; // the next gap is another one
    this.rates.take(message);
    this.lanes.take(message);
  }

  private watch(): void {
    this.askedAt = this.now();
    this.ask({ ask: 'watch', farm: this.farm });
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}
