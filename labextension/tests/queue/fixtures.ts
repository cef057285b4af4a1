// A view in a page, with a fake farm and a host that records its calls.

import { vi } from 'vitest';
import { FakeFarm } from '../../demo/fake-farm';
import type { FakeOptions } from '../../demo/fake-farm';
import type { Host } from '../../src/link/host';
import type { AnyCommand, CommandAnswer, TaskDetails, ViewQuestion } from '../../src/link/messages';
import { QueueView } from '../../src/queue/view';

export class RecordingHost implements Host {
  readonly kind: 'sidebar' | 'widget' = 'sidebar';
  readonly asked: ViewQuestion[] = [];
  readonly commands: AnyCommand[] = [];
  readonly detailed: [number, string | undefined][] = [];
  answer: CommandAnswer = { ok: true, said: 'done' };

  constructor(readonly farm: FakeFarm) {}

  ask(question: ViewQuestion): void {
    this.asked.push(question);
  }

  async command(_: string, command: AnyCommand): Promise<CommandAnswer> {
    this.commands.push(command);
    return this.answer;
  }

  async details(_: string, taskid: number, known?: string, isWithSource?: boolean): Promise<TaskDetails> {
    this.detailed.push([taskid, known]);
    return this.farm.details(taskid, isWithSource);
  }

  async storeBytes(): Promise<number | null> {
    return 1_234_000_000;
  }
}

export interface Shown {
  readonly farm: FakeFarm;
  readonly host: RecordingHost;
  readonly view: QueueView;
  readonly node: HTMLElement;
  /** Find the element of this selector. */
  find<Kind extends HTMLElement = HTMLElement>(selector: string): Kind;
  key(key: string, options?: KeyboardEventInit): void;
  /** Ids of the rows that are in the page, from top to bottom. */
  rows(): number[];
  selected(): number[];
  focused(): number;
}

const TIMERS = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'requestAnimationFrame',
  'cancelAnimationFrame'
] as const;

/** Use fake timers; with `now`, fake clocks as well, which start at that time. */
export function useFakeTimers(now?: number): void {
  if (now === undefined) vi.useFakeTimers({ toFake: [...TIMERS] });
  else vi.useFakeTimers({ toFake: [...TIMERS, 'performance', 'Date'], now });
}

/** Show a farm. `prepare` is called before its snapshot is made. */
export function show(options: FakeOptions = {}, prepare: (farm: FakeFarm) => void = () => undefined): Shown {
  const farm = new FakeFarm({ queued: 50, workers: 2, rate: 1, wall: Date.now() / 1000, ...options });
  prepare(farm);
  const host = new RecordingHost(farm);
  const node = document.body.appendChild(document.createElement('div'));
  const view = new QueueView(node, host);
  view.show(farm.name);
  view.receive(farm.snapshot());
  const find = <Kind extends HTMLElement>(selector: string): Kind => {
    const found = node.querySelector<Kind>(selector);
    if (found === null) throw new Error(`there is no ${selector}`);
    return found;
  };
  const idsOf = (selector: string): number[] =>
    [...node.querySelectorAll(`${selector} > .taskfc-cell-id`)].map(cell => Number(cell.textContent));
  return {
    farm,
    host,
    view,
    node,
    find,
    key: (key, more = {}) =>
      void find('.taskfc-table').dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more })
      ),
    rows: () => idsOf('.taskfc-row'),
    selected: () => idsOf('.taskfc-row[aria-selected=true]'),
    focused: () => {
      const id = find('.taskfc-table').getAttribute('aria-activedescendant');
      return id === null ? -1 : Number(document.getElementById(id)?.firstElementChild?.textContent);
    }
  };
}
