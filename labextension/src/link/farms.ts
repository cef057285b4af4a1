// The page's one connection to the farms of this user: a WebSocket that reconnects, and commands over HTTP.

import { FarmState, VIEW_PROTOCOL } from './messages';
import type {
  AnyCommand,
  CommandAnswer,
  Farms,
  FarmStatus,
  TaskDetails,
  TaskInfo,
  Tasks,
  ViewMessage,
  ViewQuestion
} from './messages';
import { unfinishedOf } from './model';
import { askStoreBytes, farmPath, mayRest, NOT_INSTALLED, request, taskPath, tasksPath } from './server';
import type { Server } from './server';
import { OTHER_VERSION } from './store';

/**
 * State of the connection. `absent`: the server does not have the extension; `foreign`: it has another version of it;
 * `refused`: this user has no permission. These three are final until a user tries again.
 */
export type LinkState = 'connecting' | 'live' | 'lost' | 'absent' | 'foreign' | 'refused';

const MESSAGES: Readonly<Record<LinkState, string>> = {
  connecting: '',
  live: '',
  lost: 'The Jupyter server does not answer. This is the last state received; the page keeps trying to reconnect.',
  absent: NOT_INSTALLED,
  foreign: OTHER_VERSION,
  refused: 'You are not allowed to see task farms on this server. Sign in again, or ask its administrator.'
};

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;

// a shorter connection does not reset the delay: a server that closes each connection at once must not be flooded
const STABLE_AFTER = 10_000;

// a page in the background needs no queue; a short look at another page is not worth a new snapshot
const PAUSE_AFTER = 20_000;

// then a page in the background needs no connection either, if nothing runs: a proxy counts each as activity
const REST_AFTER = 60_000;

/** Return the milliseconds before the `n`th try. `random`, 0 to 1, spreads the pages of a server that restarts. */
export function delayBefore(n: number, random: number): number {
  return Math.min(FIRST_DELAY * 2 ** Math.min(n, 10), LONGEST_DELAY) * (0.5 + random / 2);
}

/** One subscriber in this page: a view of a queue, or the list of running tasks. */
export class PageSubscriber {
  readonly watched = new Set<string>();

  constructor(
    private readonly farms: FarmsLink,
    readonly receive: (message: ViewMessage) => void
  ) {}

  ask(question: ViewQuestion): void {
    this.farms.handle(this, question);
  }

  dispose(): void {
    for (const farm of [...this.watched]) this.ask({ ask: 'unwatch', farm });
    this.farms.remove(this);
  }
}

export class FarmsLink {
  /** All farms, by name, as last received. */
  farms: readonly FarmStatus[] = [];
  state: LinkState = 'connecting';

  private readonly subscribers = new Set<PageSubscriber>();
  private readonly listeners = new Set<() => void>();
  private socket: WebSocket | null = null;
  private last: Farms | null = null;
  private tries = 0;
  private openedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pauseTimer: ReturnType<typeof setTimeout> | undefined;
  private restTimer: ReturnType<typeof setTimeout> | undefined;
  private isOpen = false;
  private isPaused = false;
  private isDisposed = false;

  constructor(
    private readonly server: Server,
    private readonly page: Document = document
  ) {
    page.addEventListener('visibilitychange', this.onVisibility);
    if (page.hidden) this.onVisibility();
  }

  /** A message for users while there is no connection: the problem, and advice. */
  get message(): string {
    return MESSAGES[this.state];
  }

  /** Whether a list of farms was received; before that, an empty `farms` means nothing. */
  get isKnown(): boolean {
    return this.last !== null;
  }

  /** Return the status of a farm; `undefined` if there is no farm of this name. */
  status(name: string): FarmStatus | undefined {
    return this.farms.find(farm => farm.name === name);
  }

  /** Call `listener` when the farms or the connection change. Returns a function that ends this. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Send `receive` the list of farms, and the queues that the subscriber asks to watch. */
  subscribe(receive: (message: ViewMessage) => void): PageSubscriber {
    const subscriber = new PageSubscriber(this, receive);
    this.subscribers.add(subscriber);
    this.sendFarms(subscriber);
    return subscriber;
  }

  /** Connect now, without waiting for the next try. */
  async connect(): Promise<void> {
    if (this.isDisposed || this.socket !== null) return;
    clearTimeout(this.timer);
    const socket = (this.socket = await this.openSocket());
    if (socket === null) return;
    socket.onopen = () => this.onOpen();
    socket.onmessage = (event: MessageEvent<string>) => this.receive(JSON.parse(event.data) as ViewMessage);
    socket.onclose = () => this.onClose(socket);
  }

  /** Send a command. Rejects with an `Error` whose message is for users. */
  command(farm: string, command: AnyCommand): Promise<CommandAnswer> {
    return request(this.server, farmPath(farm), JSON.stringify(command));
  }

  details(farm: string, taskid: number, known?: string, isWithSource?: boolean): Promise<TaskDetails> {
    return request(this.server, taskPath(farm, taskid, known, isWithSource));
  }

  /** Get the `n` newest tasks in a state, newest last. */
  async tasks(farm: string, state: string, n: number): Promise<readonly TaskInfo[]> {
    return (await request<Tasks>(this.server, tasksPath(farm, state, n))).tasks;
  }

  /** Get the size of a farm's store in bytes; `null` if the server does not answer. */
  storeBytes(farm: string): Promise<number | null> {
    return askStoreBytes(this.server, farm);
  }

  dispose(): void {
    this.isDisposed = true;
    this.page.removeEventListener('visibilitychange', this.onVisibility);
    clearTimeout(this.timer);
    clearTimeout(this.pauseTimer);
    clearTimeout(this.restTimer);
    this.socket?.close();
  }

  /** Handle a question of a subscriber. The server is asked to unwatch a queue when its last subscriber does. */
  handle(subscriber: PageSubscriber, { ask, farm }: ViewQuestion): void {
    if (ask === 'watch') {
      subscriber.watched.add(farm);
      this.send({ ask, farm });
      // a store that shows another farm has no status of it yet
      this.sendFarms(subscriber);
    } else if (subscriber.watched.delete(farm) && !this.collectWatched().has(farm)) {
      this.send({ ask, farm });
    }
  }

  remove(subscriber: PageSubscriber): void {
    this.subscribers.delete(subscriber);
  }

  /** Send the list of farms to a subscriber, after the current task: its constructor may still be running. */
  private sendFarms(subscriber: PageSubscriber): void {
    queueMicrotask(() => {
      if (this.last !== null && this.subscribers.has(subscriber)) subscriber.receive(this.last);
    });
  }

  private collectWatched(): Set<string> {
    return new Set([...this.subscribers].flatMap(subscriber => [...subscriber.watched]));
  }

  private send(question: ViewQuestion): void {
    if (this.isOpen && this.state === 'live' && !this.isPaused) this.socket?.send(JSON.stringify(question));
  }

  /** Open a socket. On failure, return `null`, set the state, and start a timer if the cause is temporary. */
  private async openSocket(): Promise<WebSocket | null> {
    let status: number;
    try {
      // a WebSocket that is refused does not publish why
      status = (await this.server.request('farms')).status;
    } catch {
      status = 0;
    }
    if (this.isDisposed || this.socket !== null) return this.socket;
    if (status === 200) return this.server.socket();
    if (status === 404) this.disconnect('absent');
    else if (status === 401 || status === 403) this.disconnect('refused');
    else this.retryLater();
    return null;
  }

  private onOpen(): void {
    this.openedAt = Date.now();
    this.isOpen = true;
    this.setState('live');
    if (!this.isPaused) for (const farm of this.collectWatched()) this.send({ ask: 'watch', farm });
  }

  private onClose(socket: WebSocket): void {
    if (this.socket !== socket) return;
    this.socket = null;
    this.isOpen = false;
    if (this.state === 'live' && Date.now() - this.openedAt > STABLE_AFTER) this.tries = 0;
    if (!this.isDisposed && this.state !== 'foreign') this.retryLater();
  }

  private retryLater(): void {
    this.disconnect('lost');
    // a page in the background connects when it is visible again
    if (!this.page.hidden) this.timer = setTimeout(() => void this.connect(), delayBefore(this.tries, Math.random()));
    this.tries += 1;
  }

  /** Set the state, and report all farms as connecting: nothing more is known of them. */
  private disconnect(state: LinkState): void {
    this.setState(state);
    if (this.last === null) return;
    const farms = this.farms.map(farm => ({ ...farm, state: FarmState.CONNECTING, message: this.message }));
    this.publish({ ...this.last, farms });
  }

  private receive(message: ViewMessage): void {
    if (message.type === 'farms') {
      this.farms = message.farms;
      this.last = message;
      if (message.protocol !== VIEW_PROTOCOL) {
        this.setState('foreign');
        this.socket?.close();
      }
    }
    this.publish(message);
    if (message.type !== 'farms') return;
    this.notifyListeners();
    if (this.isPaused) this.restIfIdle();
  }

  private publish(message: ViewMessage): void {
    for (const subscriber of this.subscribers) {
      if (message.type === 'farms' || subscriber.watched.has(message.farm)) subscriber.receive(message);
    }
  }

  private setState(state: LinkState): void {
    if (this.state === state) return;
    this.state = state;
    this.notifyListeners();
  }

  private notifyListeners(): void {
    for (const listener of this.listeners) listener();
  }

  private readonly onVisibility = (): void => {
    clearTimeout(this.pauseTimer);
    if (this.page.hidden) {
      this.pauseTimer = setTimeout(() => this.pause(), PAUSE_AFTER);
      return;
    }
    clearTimeout(this.restTimer);
    this.restTimer = undefined;
    const wasPaused = this.isPaused;
    this.isPaused = false;
    const isResting = this.state === 'live' && this.socket === null;
    if (this.state === 'lost' || isResting) void this.connect();
    else if (wasPaused) for (const farm of this.collectWatched()) this.send({ ask: 'watch', farm });
  };

  /** Unwatch all queues. The list of farms still comes: notifications about finished batches need it. */
  private pause(): void {
    for (const farm of this.collectWatched()) this.send({ ask: 'unwatch', farm });
    this.isPaused = true;
    this.restIfIdle();
  }

  /** Close the connection in a while if no task is unfinished, so that a hub may end an idle server. */
  private restIfIdle(): void {
    if (mayRest(this.page) && this.farms.every(isIdle)) {
      this.restTimer ??= setTimeout(() => this.rest(), REST_AFTER);
    } else {
      clearTimeout(this.restTimer);
      this.restTimer = undefined;
    }
  }

  private rest(): void {
    this.restTimer = undefined;
    const socket = this.socket;
    if (socket === null || this.state !== 'live') return;
    this.isOpen = false;
    this.socket = null; // so that its end is not a loss: what was received last stays true
    socket.close();
  }
}

function isIdle({ state, counts }: FarmStatus): boolean {
  if (counts != null) return unfinishedOf(counts) === 0;
  return state !== FarmState.LIVE && state !== FarmState.CONNECTING;
}
