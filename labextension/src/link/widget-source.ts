// The source of a widget's messages: its kernel, or the Jupyter server when that kernel is gone.

import { FarmsLink } from './farms';
import type { PageSubscriber } from './farms';
import type { ViewQuestion } from './messages';
import type { Server } from './server';
import type { QueueStore } from './store';
import type { ToKernel } from './transport';

const GONE = 'The kernel was restarted, and this is not live any more. Run %task widget again.';

/** Much shorter than the time after which a kernel holds a widget for unused. */
export const KEEP_ALIVE_EVERY_MS = 60_000;

export class WidgetSource {
  private link: FarmsLink | null = null;
  private subscriber: PageSubscriber | null = null;
  private isGone = false;
  private readonly timer: ReturnType<typeof setInterval>;

  /**
   * @param toKernel sends to the kernel; throws if the connection is closed.
   * @param storeOf returns the store that gets the server's messages.
   * @param server the server of this page, if it has one.
   */
  constructor(
    private readonly toKernel: (message: ToKernel) => void,
    private readonly storeOf: () => QueueStore,
    private readonly server: Server | null
  ) {
    this.timer = setInterval(() => this.keepAlive(), KEEP_ALIVE_EVERY_MS);
  }

  /** Whether the kernel that made the widget still runs, as far as this page knows. */
  readonly isAlive = (): boolean => !this.isGone;

  readonly ask = (question: ViewQuestion): void => {
    if (this.subscriber !== null) this.subscriber.ask(question);
    else this.trySend(question);
  };

  /** Send a message to the kernel. Throws an `Error` with a message for users if the kernel is gone. */
  readonly send = (message: ToKernel): void => {
    if (!this.trySend(message)) throw new Error(GONE);
  };

  /** Go on through the server: the kernel was restarted, and the new one does not know this widget. */
  switchToServer(): void {
    if (this.isGone) return;
    this.isGone = true;
    clearInterval(this.timer);
    const store = this.storeOf();
    store.disconnect(GONE);
    if (this.server === null) return;
    this.link = new FarmsLink(this.server);
    this.subscriber = this.link.subscribe(message => store.receive(message));
    store.resubscribe();
    void this.link.connect();
  }

  dispose(): void {
    clearInterval(this.timer);
    this.subscriber?.dispose();
    this.link?.dispose();
  }

  private keepAlive(): void {
    this.trySend({ looking: true });
  }

  private trySend(message: ToKernel): boolean {
    if (this.isGone) return false;
    try {
      this.toKernel(message);
      return true;
    } catch {
      // the page gets no event when a kernel dies and is started again
      this.switchToServer();
      return false;
    }
  }
}
