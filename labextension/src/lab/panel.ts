// The sidebar's panel: a picker for the farm, and the farm's queue.

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
import type { FarmActions } from './picker';

const NO_FARM = 'There is no task farm yet. Start one here, or put %%task on top of a slow cell.';

/** States in which only the user tries again. */
const TRY_AGAIN: ReadonlySet<LinkState> = new Set<LinkState>(['absent', 'refused']);

export interface PanelOptions {
  readonly link: FarmsLink;
  readonly actions: FarmActions;
  /** Show the cell of a task; `undefined` in applications without notebooks. */
  readonly goToCell: ((task: ShownTask) => Promise<boolean>) | undefined;
}

export class QueuePanel extends Widget {
  /** Emitted when the panel was shown or hidden. */
  readonly visibilityChanged = new Signal<this, void>(this);
  readonly store: QueueStore;

  private readonly link: FarmsLink;
  private readonly picker: Picker;
  private readonly view: QueueView;
  private readonly place = make('div', { class: 'taskfc-panel-queue' });
  private readonly message = make('span');
  private readonly again = make('button', { type: 'button', class: 'taskfc-button' }, 'Try again');
  private readonly notice = make('div', { class: 'taskfc-notice', role: 'status' }, this.message, this.again);

  constructor({ link, actions, goToCell }: PanelOptions) {
    super();
    this.id = 'taskfc-queue';
    this.title.icon = tasksIcon;
    this.title.caption = 'Tasks';
    this.addClass('taskfc-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Tasks');
    this.link = link;
    this.picker = new Picker(link, actions);
    this.node.append(this.picker.element, this.notice, this.place);
    this.again.addEventListener('click', () => void link.connect());
    const subscriber = link.subscribe(message => this.view.receive(message));
    const host: Host = {
      kind: 'sidebar',
      ask: question => subscriber.ask(question),
      command: (farm, command) => link.command(farm, command),
      details: (farm, taskid, known, isWithSource) => link.details(farm, taskid, known, isWithSource),
      storeBytes: farm => link.storeBytes(farm),
      ...(goToCell && { goToCell })
    };
    this.store = new QueueStore(question => subscriber.ask(question));
    this.view = new QueueView(this.place, host, this.store);
  }

  /** Show this farm and the current state of the connection. */
  showFarm(farm: string, isStarting: boolean): void {
    this.view.show(farm);
    this.picker.update(farm, isStarting);
    // while a farm is shown, its view has the message
    const text = farm !== '' ? '' : this.link.message || (this.link.state === 'live' ? NO_FARM : '');
    const canTryAgain = TRY_AGAIN.has(this.link.state);
    setText(this.message, text);
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
    this.visibilityChanged.emit();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.visibilityChanged.emit();
  }
}
