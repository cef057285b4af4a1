// The sidebar: a farm, chosen among those that there are, and its queue.

import type { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { FarmsLink, LinkState } from '../link/farms';
import type { Host, ShownTask } from '../link/host';
import { QueueStore } from '../link/store';
import { make, setHidden, setText } from '../queue/dom';
import { QueueView } from '../queue/view';
import { tasksIcon } from './icon';
import { Picker } from './picker';
import type { Steering } from './picker';

const NO_FARM = 'There is no task farm yet. Start one here, or put %%task on top of a slow cell.';

/** What is tried again only by hand. */
const TRY_AGAIN: ReadonlySet<LinkState> = new Set<LinkState>(['absent', 'refused']);

export interface PanelOptions {
  readonly link: FarmsLink;
  readonly steering: Steering;
  /** Show the cell that a task is from; `undefined` where there are no notebooks. */
  readonly goToCell: ((task: ShownTask) => Promise<boolean>) | undefined;
}

export class QueuePanel extends Widget {
  /** Whether somebody can see it has changed. */
  readonly seenChanged = new Signal<this, void>(this);
  readonly store: QueueStore;

  private readonly link: FarmsLink;
  private readonly picker: Picker;
  private readonly view: QueueView;
  private readonly place = make('div', { class: 'taskfc-panel-queue' });
  private readonly sentence = make('span');
  private readonly again = make('button', { type: 'button', class: 'taskfc-button' }, 'Try again');
  private readonly notice = make('div', { class: 'taskfc-notice', role: 'status' }, this.sentence, this.again);

  constructor({ link, steering, goToCell }: PanelOptions) {
    super();
    this.id = 'taskfc-queue';
    this.title.icon = tasksIcon;
    this.title.caption = 'Tasks';
    this.addClass('taskfc-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Tasks');
    this.link = link;
    this.picker = new Picker(link, steering);
    this.node.append(this.picker.element, this.notice, this.place);
    this.again.addEventListener('click', () => void link.connect());
    const follower = link.follow(message => this.view.receive(message));
    const host: Host = {
      kind: 'sidebar',
      ask: question => follower.ask(question),
      command: (farm, command) => link.command(farm, command),
      details: (farm, taskid, known) => link.details(farm, taskid, known),
      ...(goToCell && { goToCell })
    };
    this.store = new QueueStore(question => follower.ask(question));
    this.view = new QueueView(this.place, host, this.store);
  }

  /** Say how it is now: `farm` is shown. */
  tell(farm: string, isStarting: boolean): void {
    this.view.show(farm);
    this.picker.update(farm, isStarting);
    // of a farm that is shown, the view says so itself
    const text = farm !== '' ? '' : this.link.message || (this.link.state === 'live' ? NO_FARM : '');
    const canTryAgain = TRY_AGAIN.has(this.link.state);
    setText(this.sentence, text);
    setHidden(this.again, !canTryAgain);
    setHidden(this.notice, text === '' && !canTryAgain);
    setHidden(this.place, farm === '');
  }

  /** Show a task of the farm that is shown. */
  open(taskid: number): void {
    this.view.open(taskid);
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.view.focus();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.seenChanged.emit();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.seenChanged.emit();
  }
}
