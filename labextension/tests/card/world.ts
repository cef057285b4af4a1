// A page's farms and one card's place in it, as the tests of cards see them.

import { CardDesk } from '../../src/card/desk';
import type { CardHost, Hidden } from '../../src/card/host';
import type { FarmsLink, LinkState } from '../../src/link/farms';
import { FarmState, StateCode, VIEW_PROTOCOL } from '../../src/link/messages';
import type {
  AnyCommand, Batch, CommandAnswer, Counts, FarmStatus, Note, QueueDelta, QueueSnapshot, TaskDetails, TaskInfo, ViewMessage
} from '../../src/link/messages'; // prettier-ignore
import { SharedQueues } from '../../src/link/shared-queues';

export const INFO: TaskInfo = {
  taskid: 7, name: 'fit', label: 'fit()', state: 'running', reason: '', stopping: false, held: false, worker: 0,
  attempts: 1, deaths: 0, priority: 0, submitted: 100, completed: null, elapsed: 1, owner: '', cell: '', message: '',
  progress: null, retry_of: null, not_before: null, waits_for: []
}; // prettier-ignore

/** The farms as a page sees them, and what it was asked. */
export class World {
  state: LinkState = 'live';
  farms: FarmStatus[] | null = [{ name: 'f', state: FarmState.LIVE, identity: 'one' }];
  readonly watched: string[] = [];
  readonly asked: number[] = [];
  readonly commands: AnyCommand[] = [];
  details: (taskid: number) => Promise<TaskDetails> = async taskid => ({ task: { ...INFO, taskid }, log: 'said\n' });
  private readonly listeners = new Set<() => void>();
  private readonly receivers = new Set<(message: ViewMessage) => void>();
  readonly desk: CardDesk;

  constructor() {
    const link = {
      onChange: (listener: () => void) => {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
      },
      status: (name: string) => this.farms?.find(farm => farm.name === name),
      subscribe: (receive: (message: ViewMessage) => void) => {
        this.receivers.add(receive);
        const ask = ({ ask, farm }: { ask: string; farm: string }): void => void this.watched.push(`${ask} ${farm}`);
        return { ask, dispose: () => this.receivers.delete(receive) };
      },
      details: (_: string, taskid: number) => {
        this.asked.push(taskid);
        return this.details(taskid);
      },
      command: async (_: string, command: AnyCommand): Promise<CommandAnswer> => {
        this.commands.push(command);
        return { ok: true, said: 'Done.' };
      }
    };
    Object.defineProperty(link, 'state', { get: () => this.state });
    Object.defineProperty(link, 'isKnown', { get: () => this.farms !== null });
    this.desk = new CardDesk(link as unknown as FarmsLink, new SharedQueues(link as unknown as FarmsLink));
  }

  tell(message?: ViewMessage): void {
    const farms: ViewMessage = { type: 'farms', farms: this.farms ?? [], protocol: VIEW_PROTOCOL, version: '1' };
    for (const receive of this.receivers) receive(farms);
    if (message !== undefined) for (const receive of this.receivers) receive(message);
    for (const listener of this.listeners) listener();
  }

  /** Send a message of the queue, and nothing about the farms. */
  send(message: ViewMessage): void {
    for (const receive of this.receivers) receive(message);
  }

  get nReceivers(): number {
    return this.receivers.size;
  }

  become(state: FarmState): void {
    this.farms = [{ name: 'f', state, identity: state === FarmState.LIVE ? 'two' : '' }];
    this.tell();
  }
}

export class Host implements CardHost {
  readonly place = document.body.appendChild(document.createElement('div'));
  saved = true;
  outputs: readonly unknown[] = [];
  hidden: Hidden = 'none';
  inView = true;
  parts: Element[] = [];

  showSaved(isShown: boolean): void {
    this.saved = isShown;
  }
  savedTexts(): string[] {
    return ['saved text'];
  }
  showOutputs(outputs: readonly unknown[]): void {
    this.outputs = outputs;
  }
  kernelParts(): Element[] {
    return this.parts;
  }
  hideKernelParts(which: Hidden): void {
    this.hidden = which;
  }
  isInView(): boolean {
    return this.inView;
  }

  /** The form that is shown, with its visible text. */
  get shown(): string {
    const visible = [...this.place.children].filter(child => !(child as HTMLElement).hidden);
    const parts = visible.map(child => textOf(child as HTMLElement)).filter(Boolean);
    return [this.saved ? 'SAVED' : '', ...parts].filter(Boolean).join(' | ');
  }

  button(name: string): HTMLButtonElement | undefined {
    return [...this.place.querySelectorAll('button')].find(button => button.textContent === name);
  }
}

function textOf(element: HTMLElement): string {
  const parts = [...element.childNodes].map(node =>
    node instanceof HTMLElement ? (node.hidden ? '' : textOf(node)) : (node.textContent ?? '')
  );
  return parts.join('').trim();
}

/** A change of this queue: these tasks are now so. */
export function change(seq: number, tasks: Parameters<typeof queue>[0]): QueueDelta {
  const { batches: _, ...more } = queue(tasks);
  return { ...more, type: 'delta', seq };
}

/** A queue with these tasks: id, state, and what else differs. */
export function queue(tasks: [number, StateCode, Partial<Batch & Note>?][], counts: Counts = {}): QueueSnapshot {
  const ids = tasks.map(([id]) => id);
  const ended = (code: StateCode): boolean => code >= StateCode.SUCCEEDED;
  return {
    type: 'snapshot', seq: 1, farm: 'f', incarnation: 1, wall: 110, counts, n_workers: 1, workers: [], engine: null, no_room: '',
    batches: tasks.map(([id, , more]) => ({ first: id, n: 1, label: 'fit()', name: 'fit', submitted: 100, ...more })),
    runs: [],
    rows: {
      ids,
      states: tasks.map(([, state]) => state),
      workers: ids.map(() => 0),
      attempts: tasks.map(([, state]) => (state >= StateCode.RUNNING ? 1 : 0)),
      started: ids.map(() => 100),
      completed: tasks.map(([, state]) => (ended(state) ? 108 : 0)),
      seconds: tasks.map(([, state]) => (ended(state) ? 8 : 0)),
      notes: Object.fromEntries(tasks.map(([id, , more]) => [id, more ?? {}]))
    },
    ends: []
  }; // prettier-ignore
}
