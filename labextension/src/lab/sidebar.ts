// The sidebar plugin: the connection to the farms, the actions on them, and the panel that shows them.

import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import type { ISignal } from '@lumino/signaling';

import { FarmsLink } from '../link/farms';
import { problemOf } from '../link/host';
import { FarmState } from '../link/messages';
import type { AnyCommand, CommandAnswer } from '../link/messages';
import { SharedQueues } from '../link/shared-queues';
import type { QueueStore } from '../link/store';
import { addFarm } from './answers';
import { askForName, askHowManyWorkers, confirmStop } from './dialogs';
import { goToCell } from './go-to-cell';
import { jupyterServer } from './jupyter-server';
import { QueuePanel } from './panel';
import type { FarmActions } from './picker';
import { ITaskFarms } from './tokens';

const KEPT = 'taskfc-ext:farm';

// milliseconds; a failure has to be read
const RESULT_SHOWN_FOR = 4000;
const FAILURE_SHOWN_FOR = 15_000;

export const sidebar: JupyterFrontEndPlugin<ITaskFarms> = {
  id: 'taskfc-ext:sidebar',
  description: 'Shows the queues of task farms in a sidebar.',
  autoStart: true,
  provides: ITaskFarms,
  optional: [IDocumentManager, INotebookTracker, IStateDB, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager | null,
    notebooks: INotebookTracker | null,
    state: IStateDB | null,
    restorer: ILayoutRestorer | null
  ): ITaskFarms => {
    const farms = new TaskFarms(app, documents, notebooks, state);
    app.shell.add(farms.panel, 'left', { rank: 350, type: 'Tasks' });
    restorer?.add(farms.panel, 'taskfc-queue');
    void farms.connect();
    return farms;
  }
};

class TaskFarms implements ITaskFarms, FarmActions {
  readonly link = new FarmsLink(jupyterServer());
  readonly queues = new SharedQueues(this.link);
  readonly panel: QueuePanel;
  farm = '';

  private chosen = '';
  private readonly starting = new Set<string>();

  constructor(
    private readonly app: JupyterFrontEnd,
    documents: IDocumentManager | null,
    notebooks: INotebookTracker | null,
    private readonly state: IStateDB | null
  ) {
    this.panel = new QueuePanel({
      link: this.link,
      actions: this,
      goToCell: documents && notebooks ? task => goToCell(documents, notebooks, task) : undefined
    });
    this.link.onChange(() => this.update());
    this.update();
  }

  /** Connect, and show the farm that was shown last. */
  async connect(): Promise<void> {
    this.chosen ||= String((await this.state?.fetch(KEPT).catch(() => '')) ?? '');
    this.update();
    await this.link.connect();
  }

  get store(): QueueStore {
    return this.panel.store;
  }

  get isQueueVisible(): boolean {
    return this.panel.isVisible && !document.hidden;
  }

  get visibilityChanged(): ISignal<ITaskFarms, void> {
    return this.panel.visibilityChanged as unknown as ISignal<ITaskFarms, void>;
  }

  show(farm?: string, taskid?: number): void {
    if (farm) this.pick(farm);
    this.app.shell.activateById(this.panel.id);
    if (taskid !== undefined) this.panel.open(taskid);
  }

  async run(farm: string, command: AnyCommand): Promise<CommandAnswer | null> {
    try {
      const answer = await this.link.command(farm, command);
      if (answer.said) this.notify(farm, answer.said, answer.ok);
      return answer;
    } catch (error) {
      this.notify(farm, problemOf(error), false);
      return null;
    }
  }

  /** Show the result of a command in a notification, with the farm's name if there are several. */
  private notify(farm: string, result: string, isDone: boolean): void {
    const text = addFarm(farm, result, this.link.farms.length <= 1);
    Notification.emit(text, isDone ? 'info' : 'error', { autoClose: isDone ? RESULT_SHOWN_FOR : FAILURE_SHOWN_FOR });
  }

  pick(farm: string): void {
    this.chosen = farm;
    void this.state?.save(KEPT, farm);
    this.update();
  }

  async startNew(): Promise<void> {
    const name = await askForName(this.link.farms.map(farm => farm.name));
    if (name !== null) await this.start(name);
  }

  async start(farm: string): Promise<void> {
    if (this.starting.has(farm)) return;
    this.starting.add(farm);
    this.update();
    const answer = await this.run(farm, { do: 'start' });
    this.starting.delete(farm);
    if (answer?.ok) this.pick(farm);
    else this.update();
  }

  async stop(farm: string): Promise<void> {
    const status = this.link.status(farm);
    if (status === undefined || !(await confirmStop(status))) return;
    await this.run(farm, { do: 'stop', identity: status.identity ?? '' });
  }

  async scale(farm: string): Promise<void> {
    const status = this.link.status(farm);
    const n = status === undefined ? null : await askHowManyWorkers(status);
    if (n !== null) await this.run(farm, { do: 'scale', n, identity: status?.identity ?? '' });
  }

  private update(): void {
    const { farms } = this.link;
    const names = farms.map(farm => farm.name);
    const live = farms.find(farm => farm.state === FarmState.LIVE)?.name;
    const likely = names.includes('default') ? 'default' : names[0];
    this.farm = names.includes(this.chosen) ? this.chosen : (live ?? likely ?? '');
    this.panel.showFarm(this.farm, this.starting.has(this.farm));
  }
}
