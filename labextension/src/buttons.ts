// The buttons under the card of one task. Their `render` is called by anywidget for each view of a model.
//
// An abort goes through the Jupyter server if that knows the farm, so that it works while the kernel is blocked and after
// the kernel was restarted. A retry needs the kernel, which has the notebook's modules as they are now. A kernel that runs
// a cell may not receive the message: after a while the row shows a command for the terminal.

import { serverPathOfPage } from './link/command-path';
import type { CommandAnswer } from './link/messages';

const SLOW_AFTER_MS = 1500;
const STALE_AFTER_MS = 1000; // a card that can be redrawn is redrawn much sooner

type Verb = 'abort' | 'retry';

const LABELS: Record<Verb, string> = { abort: 'Abort', retry: 'Retry' };

/** The part of anywidget's model that is used here. */
interface Model {
  get(name: 'what' | 'instead' | 'state' | 'farm' | 'identity'): string;
  get(name: 'offers'): Verb[];
  get(name: 'taskid'): number;
  send(content: { do: Verb; number: number }): void;
  on(event: string, listener: (content?: unknown) => void): void;
  off(event: string, listener: (content?: unknown) => void): void;
}

class Buttons {
  private readonly row = document.createElement('div');
  private readonly choices = document.createElement('span');
  private readonly status = document.createElement('span');
  private readonly stale = document.createElement('span');
  private number = 0; // of the last click
  private slowTimer: ReturnType<typeof setTimeout> | undefined;
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
    clearTimeout(this.slowTimer);
    clearTimeout(this.checkTimer);
    this.model.off('change:state', this.checkCard);
    this.model.off('change:offers', this.onChange);
    this.model.off('change:what', this.onChange);
    this.model.off('msg:custom', this.onMessage);
    this.row.remove();
  }

  private showChoices(): void {
    this.isAsking = false;
    this.row.setAttribute('aria-label', this.model.get('what'));
    const verbs = this.model.get('offers');
    this.choices.replaceChildren(...verbs.map(verb => makeButton(LABELS[verb], () => this.ask(verb))));
  }

  private ask(verb: Verb): void {
    this.showStatus('');
    this.isAsking = true;
    const yes = makeButton(`Yes, ${verb}`, () => this.run(verb));
    this.choices.replaceChildren(
      `${LABELS[verb]} ${this.model.get('what')}?`,
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
    this.number += 1;
    this.showStatus('…');
    if (verb === 'abort') void this.abort(this.number);
    else this.sendToKernel(verb);
  }

  private async abort(number: number): Promise<void> {
    const [farm, identity, taskid] = [this.model.get('farm'), this.model.get('identity'), this.model.get('taskid')];
    const answer = await abortThroughServer(farm, identity, taskid);
    if (number !== this.number) return; // there was another click meanwhile
    if (answer === null) this.sendToKernel('abort');
    else this.showStatus(answer.said);
  }

  private sendToKernel(verb: Verb): void {
    clearTimeout(this.slowTimer);
    const command = this.model.get('instead').replace('{verb}', verb);
    // the retry arrives later: the same command in a terminal would run the task twice
    const then = verb === 'retry' ? 'It will receive it when its cell ends; if it was restarted, type' : 'Type';
    const advice = `The kernel is busy or was restarted, and has not received this. ${then} in a terminal:`;
    this.slowTimer = setTimeout(() => this.showStatus(advice, command), SLOW_AFTER_MS);
    this.model.send({ do: verb, number: this.number });
  }

  private showStatus(text: string, command = ''): void {
    this.status.replaceChildren(text);
    if (command) this.status.append(' ', makeCode(command));
  }

  private readonly onMessage = (message: unknown): void => {
    if (typeof message !== 'object' || message === null || !('number' in message)) return;
    if (message.number !== this.number) return;
    clearTimeout(this.slowTimer);
    if ('said' in message) this.showStatus(String(message.said));
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

/** Abort through the Jupyter server; `null` if that has no extension or does not know these processes. */
async function abortThroughServer(farm: string, identity: string, taskid: number): Promise<CommandAnswer | null> {
  const server = serverPathOfPage();
  try {
    if (server === null || !(await server.has(farm, identity))) return null;
    return await server.command(farm, { do: 'abort', taskids: [taskid], identity });
  } catch {
    return null; // the kernel is asked next, and reports the problem if it fails as well
  }
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
