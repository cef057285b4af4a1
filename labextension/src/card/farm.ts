// The farm of one card: its situation, its queue while that is up to date, and the commands of the card's buttons.

import type { FarmStatus } from '../link/messages';
import type { Follower } from '../link/shared-queues';
import type { QueueStore } from '../link/store';
import { oneLine } from '../queue/format';
import { KERNEL_BACK_AFTER_MS } from './advice';
import type { CardDesk } from './desk';
import type { CardHost } from './host';
import { findLiveButtons } from './kernel-parts';
import { farmSituation } from './situation';
import type { FarmSituation } from './situation';

export class CardFarm {
  private readonly madeAt = performance.now();
  private readonly ends: (() => void)[];
  private name = '';
  private follower: Follower | null = null;
  private wasLive = false;
  private isDisposed = false;

  /** @param draw draws the card: the farm has changed, or a second has passed. */
  constructor(
    private readonly desk: CardDesk,
    private readonly host: Pick<CardHost, 'isInView' | 'kernelParts'>,
    private readonly draw: () => void
  ) {
    this.ends = [desk.link.onChange(draw), desk.onTick(draw)];
  }

  /** The farm from now on; empty: none. */
  follow(name: string): void {
    if (name === this.name) return;
    this.follower?.dispose();
    this.follower = null;
    this.wasLive = false;
    this.name = name;
  }

  dispose(): void {
    this.isDisposed = true;
    this.follow('');
    this.ends.forEach(end => end());
  }

  /** Its status in the list of farms; `undefined`: it is not listed. */
  get status(): FarmStatus | undefined {
    return this.desk.link.status(this.name);
  }

  /** Its queue; `null` unless that is up to date. */
  get store(): QueueStore | null {
    return this.follower?.store.isLive ? this.follower.store : null;
  }

  /** A sentence for people while its store has no room; empty: it has. */
  get noRoom(): string {
    return oneLine(this.follower?.store.queue.noRoom, 600);
  }

  /** Return its situation; subscribe to its queue if it exists: a notebook may name any farm. */
  situate(): FarmSituation {
    const { status } = this;
    if (status !== undefined && !this.isDisposed) {
      this.follower ??= this.desk.queues.follow(this.name, () => this.onQueue());
    }
    return farmSituation(this.desk.link.state, this.desk.link.isKnown, status);
  }

  /** Whether a kernel keeps the card true where the page cannot, or may come back to do so. */
  mayHaveKernel(): boolean {
    const isNew = performance.now() - this.madeAt < KERNEL_BACK_AFTER_MS;
    return isNew || findLiveButtons(this.host.kernelParts()) !== null;
  }

  /** Have its processes of now carry out a command; returns a line about the result. */
  async command(verb: 'abort' | 'retry', taskids: readonly number[]): Promise<string> {
    const identity = this.status?.identity ?? '';
    return (await this.desk.link.command(this.name, { do: verb, taskids, identity })).said;
  }

  /** Draw a change at once where it is seen; else only the begin and the end of news, and the rest with the ticks. */
  private onQueue(): void {
    const isLive = this.store !== null;
    if (this.host.isInView() || isLive !== this.wasLive) this.draw();
    this.wasLive = isLive;
  }
}
