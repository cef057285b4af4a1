// The live queue of one farm: counts, throughput, worker lanes, and a table with a drawer.

import type { Host } from './host';
import type { ViewMessage } from './messages';
import { QueueStore } from './store';

export class QueueView {
  private readonly store: QueueStore;

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
    this.store.show(farm);
  }

  /** The connection was lost and is there again: ask anew for what is shown. */
  reconnected(): void {
    this.store.reconnected();
  }

  /** Open the drawer of a task, and scroll to it, also when a filter hides it. */
  open(_taskid: number): void {}

  /** Put the keyboard's focus into the table. */
  focus(): void {}

  /** Take it off the page, and stop everything that it has begun. The host's other views stay. */
  dispose(): void {}
}
