// Notifications about finished batches: one for each farm, which is replaced.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { addBatches, Batches, batchText, firstOfLast, isNotable, nameTask, sizeOf } from './batches';
import type { Batch, NamedTask } from './batches';
import { ITaskFarms } from './tokens';

const ID = 'taskfc-ext:notifications';

const LONG = 5;
const SHOWN_FOR = 10_000;

// of the list in which the first failure of a batch is sought
const MOST_LISTED = 1000;

export const notifications: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Shows a notification when a batch of tasks has finished.',
  autoStart: true,
  requires: [ITaskFarms],
  optional: [ISettingRegistry],
  activate: (_app, farms: ITaskFarms, registry: ISettingRegistry | null) => {
    let settings: ISettingRegistry.ISettings | undefined;
    void registry?.load(ID).then(loaded => (settings = loaded), () => undefined);
    const setting = (name: string): unknown => settings?.get(name).composite;
    const batches = new Batches();
    const notices = new Notices(farms);
    farms.link.onChange(() => {
      if (!farms.link.isKnown) return;
      const finished = batches.apply(farms.link.farms, Date.now() / 1000);
      if (setting('notify') === false) return;
      const longerThan = Number(setting('longerThan') ?? LONG);
      for (const batch of finished) if (isNotable(batch, longerThan)) void notices.add(batch);
    });
    farms.visibilityChanged.connect(() => {
      if (farms.isQueueVisible) notices.clear();
    });
  }
};

/** The text of a farm's notification. */
interface Shown {
  readonly id: string;
  readonly batch: Batch;
}

class Notices {
  private readonly shown = new Map<string, Shown>();
  // batches whose tasks are being asked for
  private readonly asked = new Map<string, Batch>();

  constructor(private readonly farms: ITaskFarms) {}

  /** Notify about a batch, together with earlier failures that the user has not seen. */
  async add(batch: Batch): Promise<void> {
    const { farm } = batch;
    if (this.isSeen(farm)) return;
    const before = this.asked.get(farm) ?? this.unseenOf(farm);
    const all = before === undefined ? batch : addBatches(before, batch);
    this.asked.set(farm, all);
    const named = await this.find(all).catch(() => null);
    // a later batch has this one in it
    if (this.asked.get(farm) !== all) return;
    this.asked.delete(farm);
    if (!this.isSeen(farm)) this.show(all, named);
  }

  /** Remove all notifications: the user looks at the queue. */
  clear(): void {
    for (const { id } of this.shown.values()) Notification.dismiss(id);
    this.shown.clear();
    this.asked.clear();
  }

  private isSeen(farm: string): boolean {
    return this.farms.isQueueVisible && this.farms.farm === farm;
  }

  private unseenOf(farm: string): Batch | undefined {
    const shown = this.shown.get(farm);
    return shown !== undefined && shown.batch.failed > 0 && Notification.manager.has(shown.id) ? shown.batch : undefined;
  }

  /** Ask for the task to name: the first that failed, or the only one. Batches of many successes name none. */
  private async find(batch: Batch): Promise<NamedTask | null> {
    const { farm, failed } = batch;
    if (failed === 0 && sizeOf(batch) > 1) return null;
    const [state, n] = failed > 0 ? (['failed', failed] as const) : (['succeeded', 1] as const);
    const task = firstOfLast(await this.farms.link.tasks(farm, state, Math.min(n + 10, MOST_LISTED)), n);
    return task === undefined ? null : nameTask(await this.farms.link.details(farm, task.taskid));
  }

  private show(batch: Batch, named: NamedTask | null): void {
    const { farm, failed } = batch;
    const before = this.shown.get(farm);
    const callback = (): void => this.farms.show(farm, named?.taskid);
    const show = { label: 'Show', caption: 'Show the task in the queue', callback };
    // its click removes the notification, and does nothing else
    const dismiss = { label: 'Dismiss', caption: 'Remove this notification', callback: () => undefined };
    const isFailed = failed > 0;
    const message = batchText(batch, named, this.farms.link.farms.length === 1);
    const type = isFailed ? 'error' : 'success';
    const autoClose = isFailed ? (false as const) : SHOWN_FOR;
    const options = { actions: isFailed ? [show, dismiss] : [show], autoClose };
    const isReplaced = before !== undefined && Notification.update({ id: before.id, message, type, ...options });
    this.shown.set(farm, { id: isReplaced ? before.id : Notification.emit(message, type, options), batch });
  }
}
