// The page's one connection to the farms of this user: a WebSocket that comes back, and commands over HTTP.

import { FarmState, VIEW_PROTOCOL } from './messages';
import type { AnyCommand, CommandAnswer, Farms, FarmStatus, TaskDetails, ViewMessage, ViewQuestion } from './messages';
import { farmPath, taskPath } from './server';
import type { Server } from './server';
import { OTHER_VERSION } from './store';

/**
 * How the connection is. `absent` and `foreign` are final until somebody tries again: the server has no such
 * extension, or one of another version; `refused`: this user may not.
 */
export type LinkState = 'connecting' | 'live' | 'lost' | 'absent' | 'foreign' | 'refused';

const SENTENCES: Readonly<Record<LinkState, string>> = {
  connecting: '',
  live: '',
  lost: 'The Jupyter server does not answer. What is shown is of the last moment that it did; it is asked again.',
  absent:
    'This Jupyter server does not know of task farms. ' +
    'Install taskfc-ext into the environment that the server runs in, and restart the server; ' +
    'if it is installed there, the log of the server says what is wrong.',
  foreign: OTHER_VERSION,
  refused: 'You are not allowed to see task farms on this server. Sign in again, or ask who runs it.'
};

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;

// one that was open for less has not helped: a server that closes all at once is not to be asked all the time
const GOOD_AFTER = 10_000;

// a page that is glanced away from for a moment goes on; one in the background asks for no queue
const STILL_AFTER = 20_000;

/** Milliseconds before the `n`th try to connect; `random`: 0 to 1, so that all pages of a server do not come at once. */
export function waitBefore(n: number, random: number): number {
  return Math.min(FIRST_WAIT * 2 ** Math.min(n, 10), LONGEST_WAIT) * (0.5 + random / 2);
}

/** Somebody in this page who follows queues: a view, or a list of what runs. */
export class Follower {
  readonly watched = new Set<string>();

  constructor(
    private readonly farms: FarmsLink,
    readonly receive: (message: ViewMessage) => void
  ) {}

  ask(question: ViewQuestion): void {
    this.farms.hear(this, question);
  }

  dispose(): void {
    for (const farm of [...this.watched]) this.ask({ ask: 'unwatch', farm });
    this.farms.leave(this);
  }
}

export class FarmsLink {
  /** All farms, by name, as they were last told. */
  farms: readonly FarmStatus[] = [];
  state: LinkState = 'connecting';

  private readonly followers = new Set<Follower>();
  private readonly listeners = new Set<() => void>();
  private socket: WebSocket | null = null;
  private last: Farms | null = null;
  private tries = 0;
  private openedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stillTimer: ReturnType<typeof setTimeout> | undefined;
  private isStill = false;
  private isDisposed = false;

  constructor(
    private readonly server: Server,
    private readonly page: Document = document
  ) {
    page.addEventListener('visibilitychange', this.onVisibility);
  }

  /** A sentence for people where there is no connection: what is the case and what to do. */
  get message(): string {
    return SENTENCES[this.state];
  }

  /** Somebody has said which farms there are: before that, none is no news. */
  get isKnown(): boolean {
    return this.last !== null;
  }

  /** How a farm is; `undefined`: there is none of this name. */
  status(name: string): FarmStatus | undefined {
    return this.farms.find(farm => farm.name === name);
  }

  /** Call back when farms or the connection have changed; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Be told of farms, and of the queues that one asks to watch. */
  follow(receive: (message: ViewMessage) => void): Follower {
    const follower = new Follower(this, receive);
    this.followers.add(follower);
    this.remind(follower);
    return follower;
  }

  /** Connect, now. Called again: a new try at once. */
  async connect(): Promise<void> {
    if (this.isDisposed || this.socket !== null) return;
    clearTimeout(this.timer);
    const socket = (this.socket = await this.opened());
    if (socket === null) return;
    socket.onopen = () => this.onOpen();
    socket.onmessage = (event: MessageEvent<string>) => this.take(JSON.parse(event.data) as ViewMessage);
    socket.onclose = () => this.onClose(socket);
  }

  /** Have something done. Rejects with an `Error` whose message is a sentence for people. */
  async command(farm: string, command: AnyCommand): Promise<CommandAnswer> {
    return (await this.answered(farmPath(farm), JSON.stringify(command))) as CommandAnswer;
  }

  async details(farm: string, taskid: number, known?: string): Promise<TaskDetails> {
    return (await this.answered(taskPath(farm, taskid, known))) as TaskDetails;
  }

  dispose(): void {
    this.isDisposed = true;
    this.page.removeEventListener('visibilitychange', this.onVisibility);
    clearTimeout(this.timer);
    clearTimeout(this.stillTimer);
    this.socket?.close();
  }

  /** For `Follower`. A queue is unwatched when its last follower has left it. */
  hear(follower: Follower, { ask, farm }: ViewQuestion): void {
    if (ask === 'watch') {
      follower.watched.add(farm);
      this.send({ ask, farm });
      // it may have forgotten what it was told of the farms
      this.remind(follower);
    } else if (follower.watched.delete(farm) && !this.watched().has(farm)) {
      this.send({ ask, farm });
    }
  }

  leave(follower: Follower): void {
    this.followers.delete(follower);
  }

  /** Tell a follower of the farms, soon: whoever has just asked may not be ready to be told. */
  private remind(follower: Follower): void {
    queueMicrotask(() => {
      if (this.last !== null && this.followers.has(follower)) follower.receive(this.last);
    });
  }

  private watched(): Set<string> {
    return new Set([...this.followers].flatMap(follower => [...follower.watched]));
  }

  private send(question: ViewQuestion): void {
    if (this.state === 'live' && !this.isStill) this.socket?.send(JSON.stringify(question));
  }

  /** Return a socket; or `null`, and then the state says why there is none, and a timer runs if that may pass. */
  private async opened(): Promise<WebSocket | null> {
    let status: number;
    try {
      // a WebSocket that is refused does not tell why
      status = (await this.server.request('farms')).status;
    } catch {
      status = 0;
    }
    if (this.isDisposed || this.socket !== null) return this.socket;
    if (status === 200) return this.server.socket();
    if (status === 404) this.cutOff('absent');
    else if (status === 401 || status === 403) this.cutOff('refused');
    else this.lose();
    return null;
  }

  private onOpen(): void {
    this.openedAt = Date.now();
    this.become('live');
    if (!this.isStill) for (const farm of this.watched()) this.send({ ask: 'watch', farm });
  }

  private onClose(socket: WebSocket): void {
    if (this.socket !== socket) return;
    this.socket = null;
    if (this.state === 'live' && Date.now() - this.openedAt > GOOD_AFTER) this.tries = 0;
    if (!this.isDisposed && this.state !== 'foreign') this.lose();
  }

  private lose(): void {
    this.cutOff('lost');
    // one in the background connects when it is looked at
    if (!this.page.hidden) this.timer = setTimeout(() => void this.connect(), waitBefore(this.tries, Math.random()));
    this.tries += 1;
  }

  /** Nothing is known any more of farms that were live. */
  private cutOff(state: LinkState): void {
    this.become(state);
    if (this.last === null) return;
    const farms = this.farms.map(farm => ({ ...farm, state: FarmState.CONNECTING, message: this.message }));
    this.tell({ ...this.last, farms });
  }

  private take(message: ViewMessage): void {
    if (message.type === 'farms') {
      this.farms = message.farms;
      this.last = message;
      if (message.protocol !== VIEW_PROTOCOL) {
        this.become('foreign');
        this.socket?.close();
      }
    }
    this.tell(message);
    if (message.type === 'farms') this.announce();
  }

  private tell(message: ViewMessage): void {
    for (const follower of this.followers) {
      if (message.type === 'farms' || follower.watched.has(message.farm)) follower.receive(message);
    }
  }

  private become(state: LinkState): void {
    if (this.state === state) return;
    this.state = state;
    this.announce();
  }

  private announce(): void {
    for (const listener of this.listeners) listener();
  }

  private readonly onVisibility = (): void => {
    clearTimeout(this.stillTimer);
    if (this.page.hidden) {
      this.stillTimer = setTimeout(() => this.keepStill(), STILL_AFTER);
      return;
    }
    const wasStill = this.isStill;
    this.isStill = false;
    if (this.state === 'lost') void this.connect();
    else if (wasStill) for (const farm of this.watched()) this.send({ ask: 'watch', farm });
  };

  /** Ask for no queue any more. The list of farms still comes: it is what a finished batch is noticed by. */
  private keepStill(): void {
    for (const farm of this.watched()) this.send({ ask: 'unwatch', farm });
    this.isStill = true;
  }

  private async answered(path: string, body?: string): Promise<unknown> {
    let response: Response;
    try {
      response = await this.server.request(path, body);
    } catch {
      throw new Error('The Jupyter server does not answer. Try again when it does.');
    }
    const answer = (await response.json().catch(() => ({}))) as { message?: string };
    if (response.ok) return answer;
    if (response.status === 404 && !answer.message) throw new Error(SENTENCES.absent);
    throw new Error(answer.message || `The Jupyter server refuses that (HTTP ${response.status}).`);
  }
}
