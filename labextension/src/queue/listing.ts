// The list of tasks that a table shows, made in slices, so that a page with a hundred thousand tasks stays responsive.

import type { QueueStore } from '../link/store';
import { ALL, select } from './select';
import type { Criteria } from './select';

const SLICE_MS = 8;

// at most a seventh of the page's time goes into lists: one that takes long to make is made less often
const REST_FACTOR = 6;

export class Listing {
  /** Task ids, in the order of the table. */
  ids = new Float64Array(0);
  criteria: Criteria = ALL;

  private slices: Generator<void, Int32Array> | null = null;
  private isStale = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private spentMs = 0;
  private readonly channel = new MessageChannel();
  private isDisposed = false;

  /** @param onDone is called with each new list. */
  constructor(
    private readonly store: QueueStore,
    private readonly onDone: () => void
  ) {
    this.channel.port1.onmessage = () => this.work();
  }

  /** Whether a new list is in the making, while `ids` still has the old one. */
  get isWorking(): boolean {
    return this.slices !== null;
  }

  /** Whether `ids` has the order of the queue as it is now. */
  get isCurrent(): boolean {
    return this.slices === null && !this.isStale;
  }

  /** Make the list with other criteria, at once. */
  choose(criteria: Partial<Criteria>): void {
    this.criteria = { ...this.criteria, ...criteria };
    this.begin();
  }

  /** Make the list again after a change of the queue, now or when its rest is over. */
  refresh(): void {
    this.isStale = true;
    if (this.slices !== null) return;
    // the first tasks appear at once
    if (this.timer === undefined || this.ids.length === 0) this.begin();
  }

  dispose(): void {
    this.isDisposed = true;
    clearTimeout(this.timer);
    this.channel.port1.close();
    this.slices = null;
  }

  private begin(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.isStale = false;
    this.spentMs = 0;
    this.slices = select(this.store.queue, this.criteria, this.store.wall);
    // the first slice at once: a short list is complete before the next frame
    this.work();
  }

  private work(): void {
    if (this.slices === null || this.isDisposed) return;
    const from = performance.now();
    for (;;) {
      const slice = this.slices.next();
      const spent = performance.now() - from;
      if (slice.done) {
        this.spentMs += spent;
        this.slices = null;
        this.finish(slice.value);
        return;
      }
      if (spent > SLICE_MS) {
        this.spentMs += spent;
        this.channel.port2.postMessage(null);
        return;
      }
    }
  }

  private finish(places: Int32Array): void {
    const known = this.store.queue.columns.ids;
    const ids = new Float64Array(places.length);
    for (let row = 0; row < places.length; row++) ids[row] = known[places[row]!]!;
    this.ids = ids;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.isStale && !this.isDisposed) this.begin();
    }, this.spentMs * REST_FACTOR);
    this.onDone();
  }
}
