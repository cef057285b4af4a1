// Above the queue in the sidebar: which farm is shown, and whether it runs, with how many workers.

import type { FarmsLink } from '../link/farms';
import { FarmState } from '../link/messages';
import type { FarmStatus } from '../link/messages';
import { isAbsent } from '../link/store';
import { make, setAttribute, setHidden, setText } from '../queue/dom';
import { plural } from '../queue/format';
import { makeIcon } from '../queue/icons';

/** What the picker has done by others. */
export interface Steering {
  pick(farm: string): void;
  startNew(): void;
  start(farm: string): void;
  stop(farm: string): void;
  scale(farm: string): void;
}

// no farm has a name with a space
const NEW = 'a new one';

const WORDS: Readonly<Record<FarmState, string>> = {
  [FarmState.CONNECTING]: 'connecting',
  [FarmState.LIVE]: '',
  [FarmState.DEAD]: 'has died',
  [FarmState.STOPPED]: 'stopped',
  [FarmState.REFUSED]: 'cannot be used'
};

/** How a farm is listed: `default`, `night (stopped)`. */
export function optionText({ name, state }: FarmStatus): string {
  return WORDS[state] ? `${name} (${WORDS[state]})` : name;
}

export class Picker {
  readonly element: HTMLElement;
  private readonly select = make('select', { class: 'taskfc-select', 'aria-label': 'Farm' });
  private readonly startButton = this.button('', 'Start this farm, and go on with what is left to do');
  private readonly scaleButton = this.button('', 'Set the number of workers');
  private readonly stopButton = this.button('', 'Stop this farm; what is left to do waits in its store');
  private shown = '';

  constructor(
    private readonly link: FarmsLink,
    private readonly steering: Steering
  ) {
    const buttons = [this.startButton, this.scaleButton, this.stopButton];
    this.stopButton.setAttribute('aria-label', 'Stop');
    this.stopButton.append(makeIcon('stop'));
    this.element = make('div', { class: 'taskfc-picker', role: 'group', 'aria-label': 'Farm' }, this.select, ...buttons);
    this.select.addEventListener('change', () => this.onSelect());
    this.startButton.addEventListener('click', () => this.onStart());
    this.stopButton.addEventListener('click', () => this.steering.stop(this.shown));
    this.scaleButton.addEventListener('click', () => this.steering.scale(this.shown));
  }

  /** Say how it is now; `farm` is the one that is shown, `isStarting`: it was asked to. */
  update(farm: string, isStarting: boolean): void {
    this.shown = farm;
    const texts = this.link.farms.map(optionText);
    // options that are made anew close a list that is open
    if (texts.join('\n') !== [...this.select.options].slice(0, -1).map(option => option.text).join('\n')) {
      const options = this.link.farms.map((each, at) => make('option', { value: each.name }, texts[at]!));
      this.select.replaceChildren(...options, make('option', { value: NEW }, 'New farm…'));
    }
    this.select.value = farm || NEW;
    const status = this.link.status(farm);
    const isConnected = this.link.state === 'live';
    const runs = status !== undefined && !isAbsent(status.state);
    setHidden(this.element, this.link.farms.length === 0 && !isConnected);
    setHidden(this.select, this.link.farms.length === 0);
    setHidden(this.startButton, runs);
    setText(this.startButton, isStarting ? 'Starting …' : status ? 'Start' : 'Start a farm');
    setAttribute(this.startButton, 'aria-disabled', isStarting || !isConnected ? 'true' : null);
    setHidden(this.stopButton, !runs || status.state === FarmState.REFUSED);
    setHidden(this.scaleButton, !runs || status.state !== FarmState.LIVE);
    for (const button of [this.stopButton, this.scaleButton]) {
      setAttribute(button, 'aria-disabled', isConnected ? null : 'true');
    }
    setText(this.scaleButton, plural(status?.n_workers ?? 0, 'worker'));
  }

  private onSelect(): void {
    const value = this.select.value;
    if (value !== NEW) return this.steering.pick(value);
    this.select.value = this.shown;
    this.steering.startNew();
  }

  private onStart(): void {
    if (this.shown) this.steering.start(this.shown);
    else this.steering.startNew();
  }

  private button(text: string, about: string): HTMLButtonElement {
    const button = make('button', { type: 'button', class: 'taskfc-button', title: about }, text);
    button.addEventListener('click', event => {
      if (button.getAttribute('aria-disabled') === 'true') event.stopImmediatePropagation();
    });
    return button;
  }
}
