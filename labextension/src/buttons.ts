// The buttons under the card of one task. Their `render` is called by anywidget for each view of a model.
//
// An abort goes through the Jupyter server if that knows the farm, so that it works while the kernel is blocked and after
// the kernel was restarted. A retry needs the kernel, which has the notebook's modules as they are now. A kernel that runs
// a cell may not receive the message: after a while the row shows a command for the terminal.

import { CommandPath, serverPathOfPage } from './link/command-path';
import { problemOf } from './link/host';
import { KernelPath, splitCommandFrom } from './link/kernel-path';
import type { CommandAnswer } from './link/messages';
import { isNumbered } from './link/transport';
import type { FromKernel, ToKernel } from './link/transport';

const LATE_CHOICE =
  'The kernel is busy or was restarted. It will receive this when its cell ends; if it was restarted, run the cell again.';

const STALE_AFTER_MS = 1000; // a card that can be redrawn is redrawn much sooner

type Verb = 'abort' | 'retry';

const LABELS: Record<string, string> = { abort: 'Abort', retry: 'Retry' };

function isFarms(verb: string): verb is Verb {
  return verb === 'abort' || verb === 'retry';
}

/** The part of anywidget's model that is used here. */
interface Model {
  get(name: 'what' | 'state' | 'farm' | 'identity'): string;
  get(name: 'offers'): string[];
  /** Further verbs: only the kernel can carry them out, and they answer the card's own question. */
  get(name: 'labels'): Record<string, string>;
  get(name: 'taskid'): number;
  send(content: ToKernel): void;
  on(event: string, listener: (content: FromKernel) => void): void;
  off(event: string, listener: (content: FromKernel) => void): void;
}

class Buttons {
  private readonly row = document.createElement('div');
  private readonly choices = document.createElement('span');
  private readonly status = document.createElement('span');
  private readonly stale = document.createElement('span');
  private readonly kernel = new KernelPath(message => this.model.send(message));
  private readonly path = new CommandPath(serverPathOfPage(), this.kernel, () => this.model.get('identity'));
  private nClicks = 0;
  private checkTimer: ReturnType<typeof setTimeout> | undefined;
  private isAsking = false;

  constructor(
    private readonly model: Model,
    private readonly el: HTMLElement
  ) {
    this.row.className = 'taskfc-buttons';
    this.row.setAttribute('role', 'group');
    // keys must not reach the front end, which has shortcuts on Enter and Escape
    this.row.addEventListener('keydown', event => this.onKey(event));
    this.status.className = 'taskfc-buttons-status';
    this.status.setAttribute('role', 'status');
    this.stale.setAttribute('role', 'status');
    this.row.append(this.stale, this.choices, this.status);
    el.append(this.row);
    model.on('change:state', this.checkCard);
    model.on('change:offers', this.onChange);
    model.on('change:what', this.onChange);
    model.on('msg:custom', this.onMessage);
    this.showChoices();
    this.checkCard();
  }

  dispose(): void {
    clearTimeout(this.checkTimer);
    this.kernel.dispose();
    this.model.off('change:state', this.checkCard);
    this.model.off('change:offers', this.onChange);
    this.model.off('change:what', this.onChange);
    this.model.off('msg:custom', this.onMessage);
    this.row.remove();
  }

  private showChoices(): void {
    this.isAsking = false;
    this.row.setAttribute('aria-label', this.model.get('what'));
    const buttonOf = (verb: string): HTMLElement =>
      makeButton(this.labelOf(verb), () => (isFarms(verb) ? this.ask(verb) : this.choose(verb)));
    this.choices.replaceChildren(...this.model.get('offers').map(buttonOf));
  }

  private labelOf(verb: string): string {
    return this.model.get('labels')[verb] ?? LABELS[verb] ?? verb;
  }

  private ask(verb: Verb): void {
    this.showStatus('');
    this.isAsking = true;
    const label = this.labelOf(verb);
    const yes = makeButton(`Yes, ${label.toLowerCase()}`, () => this.run(verb));
    this.choices.replaceChildren(
      label === LABELS[verb] ? `${label} ${this.model.get('what')}?` : `${label}: ${this.model.get('what')}?`,
      yes,
      makeButton('No', () => this.closeQuestion())
    );
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

  private run(verb: Verb): void {
    this.closeQuestion();
    const command = { do: verb, taskids: [this.model.get('taskid')] };
    this.follow(show => this.path.command(this.model.get('farm'), command, show));
  }

  private choose(verb: string): void {
    const identity = this.model.get('identity');
    const choice = { do: 'choose', verb, taskids: [this.model.get('taskid')], identity } as const;
    this.follow(show => this.kernel.choose(choice, () => show(LATE_CHOICE)));
  }

  /** Act on a click, and show what comes of it. */
  private follow(act: (show: (text: string) => void) => Promise<CommandAnswer>): void {
    this.showStatus('…');
    const click = ++this.nClicks;
    const show = (text: string): void => {
      if (click === this.nClicks) this.showStatus(text); // else there was another click meanwhile
    };
    act(show).then(
      answer => show(answer.said),
      (error: unknown) => show(problemOf(error))
    );
  }

  /** Show a line; a command for the terminal at its end is shown as code. */
  private showStatus(text: string): void {
    const [advice, command] = splitCommandFrom(text);
    this.status.replaceChildren(advice);
    if (command !== null) this.status.append(' ', makeCode(command));
  }

  private readonly onMessage = (message: FromKernel): void => {
    if (isNumbered(message)) this.kernel.receive(message);
  };

  // after a reload, the page has the saved card, which cannot be redrawn
  private readonly checkCard = (): void => {
    clearTimeout(this.checkTimer);
    this.checkTimer = setTimeout(() => {
      const card = this.el.closest('.jp-OutputArea')?.querySelector<HTMLElement>('.taskfc-card[data-state]');
      const state = this.model.get('state');
      this.stale.replaceChildren();
      if (!card || !state || card.dataset.state === state) return;
      const show = `%task show ${this.model.get('what').replace('task ', '')}`;
      this.stale.append(`Now ${state}; the card above is from before this page was loaded.`, ' ', makeCode(show));
    }, STALE_AFTER_MS);
  };

  private readonly onChange = (): void => {
    // an open question stays, so that nothing moves under the pointer; the answer reports if it is too late
    if (this.isAsking && this.model.get('offers').length > 0) return;
    this.showStatus(''); // the message was about the former state
    this.showChoices();
  };
}

function makeButton(text: string, run: () => void): HTMLButtonElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.className = 'taskfc-button';
  made.textContent = text;
  made.addEventListener('click', run);
  return made;
}

function makeCode(text: string): HTMLElement {
  const made = document.createElement('code');
  made.textContent = text;
  return made;
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const buttons = new Buttons(model, el);
  return () => buttons.dispose();
}

export default { render };
