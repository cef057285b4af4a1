// Where a widget hears of its farm: from its kernel; and when that is gone, from the Jupyter server, if it knows farms.

import { FarmsLink } from './farms';
import type { Follower } from './farms';
import type { ViewQuestion } from './messages';
import type { Server } from './server';
import type { QueueStore } from './store';
import type { ToKernel } from './transport';

const GONE = 'The kernel was restarted, and this is not live any more. Run %task widget again.';

/** Far more often than a kernel holds a widget for one that nobody looks at. */
export const LOOKING_EVERY_MS = 60_000;

export class Source {
  private link: FarmsLink | null = null;
  private follower: Follower | null = null;
  private isGone = false;
  private readonly timer: ReturnType<typeof setInterval>;

  /**
   * @param toKernel throws where the connection to the kernel is closed.
   * @param storeOf returns what is told; asked when there is something to tell.
   * @param server the server of this page; `null`: it has none.
   */
  constructor(
    private readonly toKernel: (message: ToKernel) => void,
    private readonly storeOf: () => QueueStore,
    private readonly server: Server | null
  ) {
    this.timer = setInterval(() => this.look(), LOOKING_EVERY_MS);
  }

  /** The kernel that made the widget is there, as far as this page knows. */
  readonly isThere = (): boolean => !this.isGone;

  readonly ask = (question: ViewQuestion): void => {
    if (this.follower !== null) this.follower.ask(question);
    else this.tryToSay(question);
  };

  /** Say something to the kernel. Throws an `Error` with a sentence for people where it is gone. */
  readonly say = (message: ToKernel): void => {
    if (!this.tryToSay(message)) throw new Error(GONE);
  };

  /** The kernel was restarted: another one has its place, which knows nothing of this widget. */
  lost(): void {
    if (this.isGone) return;
    this.isGone = true;
    clearInterval(this.timer);
    const store = this.storeOf();
    store.lose(GONE);
    if (this.server === null) return;
    this.link = new FarmsLink(this.server);
    this.follower = this.link.follow(message => store.receive(message));
    store.reconnected();
    void this.link.connect();
  }

  dispose(): void {
    clearInterval(this.timer);
    this.follower?.dispose();
    this.link?.dispose();
  }

  private look(): void {
    this.tryToSay({ looking: true });
  }

  private tryToSay(message: ToKernel): boolean {
    if (this.isGone) return false;
    try {
      this.toKernel(message);
      return true;
    } catch {
      // a kernel that has died and come back says nothing to its widgets
      this.lost();
      return false;
    }
  }
}
