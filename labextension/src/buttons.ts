// The buttons under the card of one task, or of a group. Their `render` is called by anywidget for each view of a model.
//
// An abort goes through the Jupyter server if that knows the farm, so that it works while the kernel is blocked and after
// the kernel was restarted. A retry needs the kernel, which has the notebook's modules as they are now. A kernel that runs
// a cell may not receive the message: after a while the row shows a command for the terminal.
//
// A page that draws the card live hides these buttons, and has its own; its retry and the kernel's choices come here, as
// events.

import { ActionRow } from './card/action-row';
import type { Labels, Verb } from './card/action-row';
import { ACT_IN_KERNEL, CHOICE_CHANGED, CHOICE_OF_KERNEL, ENDED } from './card/kernel-parts';
import type { ActInKernel, ChoiceOfKernel } from './card/kernel-parts';
import { idsOf } from './card/ranges';
import { CommandPath, serverPathOfPage } from './link/command-path';
import { KernelPath } from './link/kernel-path';
import { isNumbered } from './link/transport';
import type { FromKernel, ToKernel } from './link/transport';

const LATE_CHOICE =
  'The kernel is busy or was restarted. It will receive this when its cell ends; if it was restarted, run the cell again.';

const STALE_AFTER_MS = 1000; // a card that can be redrawn is redrawn much sooner

function isFarms(verb: string): verb is Verb {
  return verb === 'abort' || verb === 'retry';
}

/** The part of anywidget's model that is used here. */
interface Model {
  get(name: 'what' | 'state' | 'farm' | 'identity'): string;
  get(name: 'offers'): string[];
  /** The texts of buttons; a verb besides *abort* and *retry* is one that only the kernel can carry out. */
  get(name: 'labels'): Labels;
  get(name: 'taskid'): number;
  get(name: 'ranges'): [number, number][];
  send(content: ToKernel): void;
  on(event: string, listener: (content: FromKernel) => void): void;
  off(event: string, listener: (content: FromKernel) => void): void;
}

class Buttons {
  private readonly row = new ActionRow<string>((verb, show) => this.act(verb, show));
  private readonly kernel = new KernelPath(message => this.model.send(message));
  private readonly path = new CommandPath(serverPathOfPage(), this.kernel, () => this.model.get('identity'));
  private checkTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly model: Model,
    private readonly el: HTMLElement
  ) {
    this.row.element.addEventListener(ACT_IN_KERNEL, this.onAct);
    this.row.element.addEventListener(CHOICE_OF_KERNEL, this.onChoice);
    el.append(this.row.element);
    model.on('change:state', this.checkCard);
    model.on('change:offers', this.onChange);
    model.on('change:what', this.onChange);
    model.on('msg:custom', this.onMessage);
    model.on('comm_live_update', this.onKernelEnd);
    this.onChange();
    this.checkCard();
  }

  dispose(): void {
    clearTimeout(this.checkTimer);
    this.kernel.dispose();
    this.model.off('change:state', this.checkCard);
    this.model.off('change:offers', this.onChange);
    this.model.off('change:what', this.onChange);
    this.model.off('msg:custom', this.onMessage);
    this.model.off('comm_live_update', this.onKernelEnd);
    this.row.element.remove();
  }

  /** Carry out a verb of one task, that of a group (*abort all*, *retry failed*), or a choice of the kernel's. */
  private async act(offer: string, show: (text: string) => void): Promise<string> {
    const [verb, isGroup] = offer.split(' ') as [string, string?];
    const taskids = idsOf(this.model.get('ranges'));
    if (!isFarms(verb)) {
      const choice = { do: 'choose', verb, taskids, identity: this.model.get('identity') } as const;
      return (await this.kernel.choose(choice, () => show(LATE_CHOICE))).said;
    }
    // only the kernel knows which tasks of a group have failed: no line of a terminal does the same
    const advise = isGroup && verb === 'retry' ? (): void => undefined : show;
    return (await this.path.command(this.model.get('farm'), { do: verb, taskids }, advise)).said;
  }

  private readonly onAct = (event: Event): void => {
    const { verb, taskid, show, answer } = (event as ActInKernel).detail;
    if (taskid !== this.model.get('taskid')) return; // another task has taken its place
    event.preventDefault();
    answer(this.act(this.model.get('offers').find(offer => offer.startsWith(verb)) ?? verb, show));
  };

  private readonly onChoice = (event: Event): void => {
    const [verbs, labels, taskid] = [this.model.get('offers'), this.model.get('labels'), this.model.get('taskid')];
    if (verbs.some(verb => verb in labels)) (event as ChoiceOfKernel).detail.answer({ taskid, verbs, labels });
  };

  private readonly onMessage = (message: FromKernel): void => {
    if (isNumbered(message)) this.kernel.receive(message);
  };

  // after a reload, the page has the saved card, which cannot be redrawn
  private readonly checkCard = (): void => {
    clearTimeout(this.checkTimer);
    this.checkTimer = setTimeout(() => {
      const card = this.el.closest('.jp-OutputArea')?.querySelector<HTMLElement>('.taskfc-card[data-state]');
      const state = this.model.get('state');
      const isStale = card && state && card.dataset.state !== state;
      if (!isStale) return this.row.advise('');
      const what = this.model.get('what');
      const show = what.startsWith('task ') ? `%task show ${what.slice('task '.length)}` : '';
      this.row.advise(`Now ${state}; the card above is from before this page was loaded.`, show);
    }, STALE_AFTER_MS);
  };

  // the kernel was restarted: nothing keeps the card up to date, and its time shows again
  private readonly onKernelEnd = (): void => this.row.element.classList.add(ENDED);

  private readonly onChange = (): void => {
    const [what, offers] = [this.model.get('what'), this.model.get('offers')];
    const isGroup = offers.some(offer => offer.includes(' '));
    // *Abort task 12?*, *Abort all of map fit?*
    this.row.offer(isGroup ? `of ${what}` : what, offers, this.model.get('labels'));
    this.row.element.dispatchEvent(new Event(CHOICE_CHANGED, { bubbles: true }));
  };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const buttons = new Buttons(model, el);
  return () => buttons.dispose();
}

export default { render };
