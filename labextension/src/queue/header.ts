// The header: a count for each state, which is a button that filters, and the rate of task ends.

import { StateCode } from '../link/messages';
import type { Counts } from '../link/messages';
import { RATE_SECONDS } from '../link/rates';
import type { QueueStore } from '../link/store';
import { make, makeSvg, setAttribute, setText } from './dom';
import { formatCount, formatRate, shortCount, STATE_NAMES } from './format';
import { makeIcon } from './icons';

const SHOWN: readonly StateCode[] = [
  StateCode.RUNNING,
  StateCode.SCHEDULED,
  StateCode.WAITING,
  StateCode.SUCCEEDED,
  StateCode.FAILED,
  StateCode.ABORTED
];

const ABOUT: Readonly<Record<StateCode, string>> = {
  [StateCode.RUNNING]: 'on a worker now',
  [StateCode.SCHEDULED]: 'in line for a worker',
  [StateCode.WAITING]: 'for other tasks to end',
  [StateCode.SUCCEEDED]: 'ended without an error',
  [StateCode.FAILED]: 'ended with an error',
  [StateCode.ABORTED]: 'ended on request'
};

/** Return the number of tasks in a state. */
export function countOf(counts: Counts, state: StateCode): number {
  return counts[STATE_NAMES[state] as keyof Counts] ?? 0;
}

export class Header {
  readonly element: HTMLElement;
  private readonly chips = new Map<StateCode, { button: HTMLButtonElement; count: HTMLElement }>();
  private readonly rate = make('span', { class: 'taskfc-rate' });
  private readonly bars = makeSvg('path', { class: 'taskfc-spark-bars' });
  private readonly spark: SVGElement;

  /** @param onFilter is called with the chosen states. */
  constructor(
    private readonly store: QueueStore,
    private readonly onFilter: (states: ReadonlySet<StateCode>) => void
  ) {
    const chips = make('div', { class: 'taskfc-chips', role: 'group', 'aria-label': 'Show only tasks that are' });
    for (const state of SHOWN) chips.append(this.makeChip(state));
    const viewBox = `0 0 ${RATE_SECONDS} 20`;
    this.spark = makeSvg('svg', { viewBox, preserveAspectRatio: 'none', class: 'taskfc-spark', role: 'img' });
    this.spark.append(this.bars);
    const rates = make('div', { class: 'taskfc-rates', title: 'Tasks that ended in each second of the last minute' });
    rates.append(this.spark, this.rate);
    this.element = make('div', { class: 'taskfc-header-line' }, chips, rates);
  }

  /** Show the current numbers. */
  update(): void {
    const { queue, isKnown } = this.store;
    for (const [state, { button, count }] of this.chips) {
      const n = countOf(queue.counts, state);
      setText(count, isKnown ? shortCount(n) : '–');
      setAttribute(button, 'title', `${formatCount(n)} ${STATE_NAMES[state]}: ${ABOUT[state]}`);
      button.classList.toggle('taskfc-mod-none', n === 0);
    }
    this.tick();
  }

  /** Move the last minute to the current time. */
  tick(): void {
    const wall = this.store.wall;
    const ends = this.store.rates.read(wall);
    const most = Math.max(1, ...ends);
    const path = ends.map((n, at) => (n > 0 ? barPath(at, n / most) : '')).join('');
    setAttribute(this.bars, 'd', path);
    const mean = this.store.rates.mean(wall);
    setText(this.rate, formatRate(mean) || (this.store.isKnown ? '0 /s' : ''));
    setAttribute(this.spark, 'aria-label', `${formatRate(mean) || 'no tasks'} ended, in the last 10 seconds`);
  }

  /** Show these states as chosen. */
  choose(states: ReadonlySet<StateCode>): void {
    for (const [state, { button }] of this.chips) setAttribute(button, 'aria-pressed', String(states.has(state)));
  }

  private makeChip(state: StateCode): HTMLElement {
    const count = make('span', { class: 'taskfc-count' });
    const name = make('span', { class: 'taskfc-word' }, STATE_NAMES[state]);
    const icon = makeIcon(STATE_NAMES[state]);
    const attributes = {
      type: 'button',
      class: 'taskfc-chip',
      'aria-pressed': 'false',
      'data-state': STATE_NAMES[state]
    };
    const button = make('button', attributes, icon, count, name);
    button.addEventListener('click', () => this.toggle(state));
    this.chips.set(state, { button, count });
    return button;
  }

  private toggle(state: StateCode): void {
    const pressed = [...this.chips].filter(([each, { button }]) => {
      const isPressed = button.getAttribute('aria-pressed') === 'true';
      return each === state ? !isPressed : isPressed;
    });
    const states = new Set(pressed.map(([each]) => each));
    this.choose(states);
    this.onFilter(states);
  }
}

function barPath(at: number, share: number): string {
  const height = Math.max(1, 20 * share);
  return `M${at + 0.1} 20v${-height.toFixed(1)}h0.8V20z`;
}
