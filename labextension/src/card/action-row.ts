// A row of buttons and the result of a click. Those that abort or retry ask before they act; a choice is its own question.

import { make, setHidden } from '../queue/dom';
import { splitCommandFrom } from '../link/kernel-path';
import { problemOf } from '../link/host';

/** The action of a button, and the word on it unless the button has a label. */
export type Verb = 'abort' | 'retry';

/** The texts of buttons, by their verbs. */
export type Labels = Readonly<Record<string, string>>;

const NO_LABELS: Labels = {};

/** Carries out a verb; `show` shows a line meanwhile. Resolves to a line about the result. */
export type Act<Does extends string> = (verb: Does, show: (text: string) => void) => Promise<string>;

export class ActionRow<Does extends string = Verb> {
  readonly element = make('div', { class: 'taskfc-buttons', role: 'group' });

  private readonly advice = make('span', { role: 'status' });
  private readonly choices = make('span');
  private readonly status = make('span', { class: 'taskfc-buttons-status', role: 'status' });
  private what = '';
  private offers: readonly Does[] = [];
  private labels = NO_LABELS;
  private texts = '';
  private nClicks = 0;
  private isAsking = false;
  /** Changes of the task that the line of a choice outlasts, as it names the task that comes; negative: it goes at once. */
  private keepsFor = -1;

  constructor(private readonly act: Act<Does>) {
    // keys must not reach the front end, which has shortcuts on Enter and Escape
    this.element.addEventListener('keydown', event => this.onKey(event));
    this.element.append(this.advice, this.choices, this.status);
  }

  /** Offer these verbs for `what`: `task 12`. */
  offer(what: string, offers: readonly Does[], labels: Labels = NO_LABELS): void {
    const texts = offers.map(verb => labels[verb]).join();
    if (what === this.what && offers.join() === this.offers.join() && texts === this.texts) return;
    const isOther = what !== this.what;
    this.what = what;
    this.offers = offers;
    this.labels = labels;
    this.texts = texts;
    this.element.setAttribute('aria-label', what);
    // an open question stays, so that nothing moves under the pointer; the answer reports if it is too late
    if (this.isAsking && !isOther && offers.length > 0) return;
    if (isOther) this.keepsFor -= 1;
    if (this.keepsFor < 0) this.showStatus(''); // it was about the former state
    this.showChoices();
  }

  /** Show a line before the buttons, which ends with something to type; empty: none. */
  advise(text: string, typed = ''): void {
    if (this.advice.textContent === [text, typed].filter(Boolean).join(' ')) return;
    this.advice.replaceChildren();
    if (text) this.advice.append(text, ...(typed ? [' ', make('code', {}, typed)] : []));
  }

  setHidden(isHidden: boolean): void {
    setHidden(this.element, isHidden);
  }

  private showChoices(): void {
    const hadFocus = this.choices.contains(document.activeElement);
    this.isAsking = false;
    const buttonOf = (verb: Does): HTMLElement =>
      makeButton(this.labelOf(verb), () => (isAskedFirst(verb) ? this.ask(verb) : this.run(verb)));
    this.choices.replaceChildren(...this.offers.map(buttonOf));
    if (hadFocus) this.choices.querySelector('button')?.focus();
  }

  private labelOf(verb: Does): string {
    return this.labels[verb] ?? capitalize(verb);
  }

  private ask(verb: Does): void {
    this.showStatus('');
    this.isAsking = true;
    const label = this.labelOf(verb);
    const yes = makeButton(`Yes, ${label.toLowerCase()}`, () => this.run(verb));
    const no = makeButton('No', () => this.closeQuestion());
    this.choices.replaceChildren(`${label}${this.labels[verb] ? ':' : ''} ${this.what}?`, yes, no);
    yes.focus();
  }

  private closeQuestion(): void {
    this.showChoices();
    this.choices.querySelector('button')?.focus();
  }

  private onKey(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === 'Escape' && this.isAsking) this.closeQuestion();
  }

  private run(verb: Does): void {
    if (this.isAsking) this.closeQuestion();
    this.showStatus('…');
    const click = ++this.nClicks;
    const isChoice = !isAskedFirst(verb);
    this.keepsFor = isChoice ? 1 : -1;
    const { what } = this;
    const show = (text: string): void => {
      // else there was another click meanwhile, or the card shows the new task already
      if (click === this.nClicks && (what === this.what || isChoice)) this.showStatus(text);
    };
    this.act(verb, show).then(show, (error: unknown) => show(problemOf(error)));
  }

  /** Show a line; a command for the terminal at its end is shown as code. */
  private showStatus(text: string): void {
    const [advice, command] = splitCommandFrom(text);
    this.status.replaceChildren(advice);
    if (command !== null) this.status.append(' ', make('code', {}, command));
  }
}

function isAskedFirst(offer: string): boolean {
  return offer.startsWith('abort') || offer.startsWith('retry');
}

function capitalize(verb: string): string {
  return verb.charAt(0).toUpperCase() + verb.slice(1);
}

function makeButton(text: string, run: () => void): HTMLButtonElement {
  const made = make('button', { type: 'button', class: 'taskfc-button' }, text);
  made.addEventListener('click', run);
  return made;
}
