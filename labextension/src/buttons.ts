// The buttons of one task, under its card: what anywidget calls for each view of a model. A click asks first.
//
// An abort goes through the Jupyter server where that knows the farm, so it works while the kernel is blocked and after
// it was restarted. A retry is the kernel's: only there is the folder that the task is from, with its modules as they
// are now. A kernel that runs a cell may not hear: after a while the user is told what to type instead.

import { serverPathOfPage } from './link/command-path';
import type { CommandAnswer } from './link/messages';

const UNHEARD_AFTER_MS = 1500;
const STALE_AFTER_MS = 1000; // the card above is drawn anew in far less, where it can be

type Verb = 'abort' | 'retry';

const LABELS: Record<Verb, string> = { abort: 'Abort', retry: 'Retry' };

/** What anywidget passes of a model. */
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
  private unheard: ReturnType<typeof setTimeout> | undefined;
  private looking: ReturnType<typeof setTimeout> | undefined;
  private isAsking = false;

  constructor(
    private readonly model: Model,
    private readonly el: HTMLElement
  ) {
    this.row.className = 'taskfc-buttons';
    this.row.setAttribute('role', 'group');
    // what is typed here is meant for these buttons: the front end takes Enter and Escape for its own shortcuts
    this.row.addEventListener('keydown', event => this.onKey(event));
    this.status.className = 'taskfc-buttons-status';
    this.status.setAttribute('role', 'status');
    this.stale.setAttribute('role', 'status');
    this.row.append(this.stale, this.choices, this.status);
    el.append(this.row);
    model.on('change:state', this.look);
    model.on('change:offers', this.change);
    model.on('change:what', this.change);
    model.on('msg:custom', this.hear);
    this.offer();
    this.look();
  }

  dispose(): void {
    clearTimeout(this.unheard);
    clearTimeout(this.looking);
    this.model.off('change:state', this.look);
    this.model.off('change:offers', this.change);
    this.model.off('change:what', this.change);
    this.model.off('msg:custom', this.hear);
    this.row.remove();
  }

  private offer(): void {
    this.isAsking = false;
    this.row.setAttribute('aria-label', this.model.get('what'));
    this.choices.replaceChildren(...this.model.get('offers').map(verb => button(LABELS[verb], () => this.ask(verb))));
  }

  private ask(verb: Verb): void {
    this.say('');
    this.isAsking = true;
    const yes = button(`Yes, ${verb}`, () => this.act(verb));
    this.choices.replaceChildren(
      `${LABELS[verb]} ${this.model.get('what')}?`,
      yes,
      button('No', () => this.back())
    );
    yes.focus();
  }

  private back(): void {
    this.offer();
    this.choices.querySelector('button')?.focus();
  }

  private onKey(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === 'Escape' && this.isAsking) this.back();
  }

  private act(verb: Verb): void {
    this.back();
    this.number += 1;
    this.say('…');
    if (verb === 'abort') void this.abort(this.number);
    else this.tellKernel(verb);
  }

  private async abort(number: number): Promise<void> {
    const [farm, identity, taskid] = [this.model.get('farm'), this.model.get('identity'), this.model.get('taskid')];
    const answer = await throughServer(farm, identity, taskid);
    if (number !== this.number) return; // there was another click meanwhile
    if (answer === null) this.tellKernel('abort');
    else this.say(answer.said);
  }

  private tellKernel(verb: Verb): void {
    clearTimeout(this.unheard);
    const command = this.model.get('instead').replace('{verb}', verb);
    // what is typed beside a retry that is heard later would run the task twice
    const then = verb === 'retry' ? 'It will when its cell has ended; if it was restarted, type' : 'Type';
    this.unheard = setTimeout(
      () => this.say(`The kernel is busy, or was restarted, and does not hear this. ${then} in a terminal:`, command),
      UNHEARD_AFTER_MS
    );
    this.model.send({ do: verb, number: this.number });
  }

  private say(text: string, command = ''): void {
    this.status.replaceChildren(text);
    if (command) this.status.append(' ', code(command));
  }

  private readonly hear = (message: unknown): void => {
    if (typeof message !== 'object' || message === null || !('number' in message)) return;
    if (message.number !== this.number) return;
    clearTimeout(this.unheard);
    if ('said' in message) this.say(String(message.said));
  };

  // a page that was loaded anew keeps the card that was saved: nobody can draw that one again
  private readonly look = (): void => {
    clearTimeout(this.looking);
    this.looking = setTimeout(() => {
      const card = this.el.closest('.jp-OutputArea')?.querySelector<HTMLElement>('.taskfc-card[data-state]');
      const state = this.model.get('state');
      this.stale.replaceChildren();
      if (!card || !state || card.dataset.state === state) return;
      const show = `%task show ${this.model.get('what').replace('task ', '')}`;
      this.stale.append(`Now ${state}; the card above is of before this page was loaded.`, ' ', code(show));
    }, STALE_AFTER_MS);
  };

  private readonly change = (): void => {
    // a question stays, so that nothing moves under the pointer; the answer says so if it comes too late
    if (this.isAsking && this.model.get('offers').length > 0) return;
    this.say(''); // of a state that has passed
    this.offer();
  };
}

/** Abort through the Jupyter server; `null`: it cannot, since it does not know these processes, or has no such part. */
async function throughServer(farm: string, identity: string, taskid: number): Promise<CommandAnswer | null> {
  const server = serverPathOfPage();
  try {
    if (server === null || !(await server.has(farm, identity))) return null;
    return await server.command(farm, { do: 'abort', taskids: [taskid], identity });
  } catch {
    return null; // the kernel tells what is wrong, if it can do no more either
  }
}

function button(text: string, act: () => void): HTMLButtonElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.className = 'taskfc-button';
  made.textContent = text;
  made.addEventListener('click', act);
  return made;
}

function code(text: string): HTMLElement {
  const made = document.createElement('code');
  made.textContent = text;
  return made;
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const buttons = new Buttons(model, el);
  return () => buttons.dispose();
}

export default { render };
