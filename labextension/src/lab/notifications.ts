// Notifications about finished batches.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { Batches, batchText, isNotable } from './batches';
import type { Batch } from './batches';
import { ITaskFarms } from './tokens';

const ID = 'taskfc-ext:notifications';

const LONG = 5;
const SHOWN_FOR = 10_000;

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
    farms.link.onChange(() => {
      if (!farms.link.isKnown) return;
      const finished = batches.apply(farms.link.farms, Date.now() / 1000);
      if (setting('notify') === false) return;
      const longerThan = Number(setting('longerThan') ?? LONG);
      for (const batch of finished) if (isNotable(batch, longerThan)) notify(farms, batch);
    });
  }
};

function notify(farms: ITaskFarms, batch: Batch): void {
  const show = { label: 'Show', caption: 'Show the queue', callback: () => farms.show(batch.farm) };
  // failures stay until the user closes them
  const options = { actions: [show], autoClose: batch.failed > 0 ? (false as const) : SHOWN_FOR };
  Notification.emit(batchText(batch, farms.link.farms.length === 1), batch.failed > 0 ? 'error' : 'success', options);
}
