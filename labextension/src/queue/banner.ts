// The banner above a queue that is not live, or whose store has no room: the problem, and advice.

import { FarmState } from '../link/messages';
import type { QueueStore } from '../link/store';
import { make, setHidden, setText } from './dom';
import { formatTime, oneLine } from './format';
import { makeIcon } from './icons';

const DEFAULTS: Readonly<Record<FarmState, string>> = {
  [FarmState.CONNECTING]: 'The farm does not answer yet.',
  [FarmState.LIVE]: '',
  [FarmState.DEAD]: 'The farm has died. Start it again with: taskfc start',
  [FarmState.STOPPED]: 'The farm is stopped. Start it with: taskfc start',
  [FarmState.REFUSED]: 'This page cannot follow the farm.'
};

export class Banner {
  readonly element: HTMLElement;
  private readonly text = make('span');
  private readonly asOf = make('span', { class: 'taskfc-as-of' });

  constructor(private readonly store: QueueStore) {
    this.element = make('div', { class: 'taskfc-banner', role: 'status', hidden: true }, makeIcon('warning'));
    this.element.append(make('div', {}, this.text, this.asOf));
  }

  get isShown(): boolean {
    return !this.element.hidden;
  }

  update(): void {
    const { store } = this;
    const status = store.status;
    const state = status?.state ?? FarmState.LIVE;
    const isConnecting = state === FarmState.CONNECTING && !store.isKnown && !status?.message;
    const message = oneLine(status?.message) || DEFAULTS[state];
    const text = store.problem || (isConnecting ? '' : state === FarmState.LIVE ? this.liveText() : message);
    setText(this.text, text);
    const at = store.wall - store.queue.ahead;
    setText(this.asOf, text && store.isKnown && !store.isLive ? `As of ${formatTime(at, store.now())}.` : '');
    setHidden(this.element, !text);
  }

  private liveText(): string {
    return this.missingFarmText() || oneLine(this.store.queue.noRoom, 600);
  }

  private missingFarmText(): string {
    const { store } = this;
    if (store.status !== null || !store.isListed || !store.farm) return '';
    return `There is no farm ${oneLine(store.farm, 60)}. Start it with: taskfc start --name ${oneLine(store.farm, 60)}`;
  }
}
