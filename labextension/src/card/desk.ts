// The parts that all cards of a page share: the connection, a subscription for each farm, a line of requests, a clock.

import type { FarmsLink } from '../link/farms';
import { Requests } from '../link/requests';
import type { SharedQueues } from '../link/shared-queues';

const TICK_MS = 1000;

export class CardDesk {
  readonly requests = new Requests();
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    readonly link: FarmsLink,
    readonly queues: SharedQueues
  ) {}

  /** Call `listener` every second while the page is visible, and when it becomes so. Returns a function that ends this. */
  onTick(listener: () => void): () => void {
    this.listeners.add(listener);
    if (this.timer === undefined) {
      this.timer = setInterval(this.tick, TICK_MS);
      document.addEventListener('visibilitychange', this.tick);
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0) return;
      clearInterval(this.timer);
      document.removeEventListener('visibilitychange', this.tick);
      this.timer = undefined;
    };
  }

  private readonly tick = (): void => {
    if (!document.hidden) for (const listener of [...this.listeners]) listener();
  };
}
