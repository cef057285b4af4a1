// The picker above the sidebar's queue: the farm that is shown, and buttons to start, stop and scale it.

import type { FarmsLink } from '../link/farms';
import { FarmState } from '../link/messages';
import type { FarmStatus } from '../link/messages';
import { isAbsent } from '../link/store';
import { make, setAttribute, setHidden, setText } from '../queue/dom';
import { plural } from '../queue/format';
import { makeIcon } from '../queue/icons';

/** The actions behind the picker's controls. */
export interface FarmActions {
  pick(farm: string): void;
  startNew(): void;
  start(farm: string): void;
  stop(farm: string): void;
  scale(farm: string): void;
}

// a farm's name cannot contain a space
const NEW = 'a new one';

const WORDS: Readonly<Record<FarmState, string>> = {
  [FarmState.CONNECTING]: 'connecting',
  [FarmState.LIVE]: '',
  [FarmState.DEAD]: 'has died',
  [FarmState.STOPPED]: 'stopped',
  [FarmState.REFUSED]: 'cannot be used'
};

/** Write a farm's option: `default`, `night (stopped)`. */
export function optionText({ name, state }: FarmStatus): string {
  return WORDS[state] ? `${name} (${WORDS[state]})` : name;
}

export class Picker {
  readonly element: HTMLElement;
  private readonly select = make('select', { class: 'taskfc-select', 'aria-label': 'Farm' });
  private readonly startButton = this.makeButton('', 'Start this farm and continue its unfinished tasks');
  private readonly scaleButton = this.makeButton('', 'Set the number of workers');
  private readonly stopButton = this.makeButton('', 'Stop this farm');
  private shown = '';

  constructor(
    private readonly link: FarmsLink,
    private readonly actions: FarmActions
  ) {
    const buttons = [this.startButton, this.scaleButton, this.stopButton];
    this.stopButton.setAttribute('aria-label', 'Stop');
    this.stopButton.append(makeIcon('stop'));
    this.element = make('div', { class: 'taskfc-picker', role: 'group', 'aria-label': 'Farm' }, this.select, ...buttons);
    this.select.addEventListener('change', () => this.onSelect());
    this.startButton.addEventListener('click', () => this.onStart());
    this.stopButton.addEventListener('click', () => this.actions.stop(this.shown));
    this.scaleButton.addEventListener('click', () => this.actions.scale(this.shown));
  }

  /** Show the current state. `farm` is shown in the queue; `isStarting`: its start was requested. */
  update(farm: string, isStarting: boolean): void {
    this.shown = farm;
    const texts = this.link.farms.map(optionText);
    // replacing the options closes an open list
    if (texts.join('\n') !== [...this.select.options].slice(0, -1).map(option => option.text).join('\n')) {
      const options = this.link.farms.map((each, at) => make('option', { value: each.name }, texts[at]!));
      this.select.replaceChildren(...options, make('option', { value: NEW }, 'New farm…'));
    }
    this.select.value = farm || NEW;
    const status = this.link.status(farm);
    const isConnected = this.link.state === 'live';
    const isRunning = status !== undefined && !isAbsent(status.state);
    setHidden(this.element, this.link.farms.length === 0 && !isConnected);
    setHidden(this.select, this.link.farms.length === 0);
    setHidden(this.startButton, isRunning);
    setText(this.startButton, isStarting ? 'Starting …' : status ? 'Start' : 'Start a farm');
    setAttribute(this.startButton, 'aria-disabled', isStarting || !isConnected ? 'true' : null);
    setHidden(this.stopButton, !isRunning || status.state === FarmState.REFUSED);
    setHidden(this.scaleButton, !isRunning || status.state !== FarmState.LIVE);
    for (const button of [this.stopButton, this.scaleButton]) {
      setAttribute(button, 'aria-disabled', isConnected ? null : 'true');
    }
    const most = status?.engine ? 'at most ' : '';
    setText(this.scaleButton, most + plural(status?.n_workers ?? 0, 'worker'));
  }

  private onSelect(): void {
    const value = this.select.value;
    if (value !== NEW) return this.actions.pick(value);
    this.select.value = this.shown;
    this.actions.startNew();
  }

  private onStart(): void {
    if (this.shown) this.actions.start(this.shown);
    else this.actions.startNew();
  }

  private makeButton(text: string, about: string): HTMLButtonElement {
    const button = make('button', { type: 'button', class: 'taskfc-button', title: about }, text);
    button.addEventListener('click', event => {
      if (button.getAttribute('aria-disabled') === 'true') event.stopImmediatePropagation();
    });
    return button;
  }
}
