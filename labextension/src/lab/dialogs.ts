// Questions to the user before an action, in JupyterLab's dialogs.

import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';

import type { FarmStatus } from '../link/messages';
import { finishedOf } from '../link/model';
import { storeText } from '../queue/actions';
import { plural } from '../queue/format';
import { checkName, checkWorkers, isManyWorkers } from './limits';
import { stopText } from './stop-text';

export async function confirmStop(farm: FarmStatus): Promise<boolean> {
  const result = await showDialog({
    title: `Stop ${farm.name}?`,
    body: stopText(farm),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })]
  });
  return result.button.accept;
}

/** @param storeBytes the size of the farm's store, if it is known. */
export async function confirmClear(farm: FarmStatus, storeBytes: number | null): Promise<boolean> {
  const finished = plural(finishedOf(farm.counts ?? {}), 'finished task');
  const size = storeBytes === null ? '' : storeText(storeBytes);
  const result = await showDialog({
    title: `Clear the finished tasks of ${farm.name}?`,
    body: `This deletes ${finished} of all notebooks, with their results and outputs. ${size}`.trim(),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Clear' })]
  });
  return result.button.accept;
}

/** Ask for a number of workers; `null`: cancelled. */
export async function askHowManyWorkers(farm: FarmStatus): Promise<number | null> {
  const now = farm.n_workers ?? 0;
  let label = `Workers of ${farm.name}`;
  let typed = now;
  for (;;) {
    const { value } = await InputDialog.getNumber({ title: 'Scale', label, value: typed, okLabel: 'Scale' });
    if (value === null) return null;
    label = checkWorkers(value);
    if (label === '') return !isManyWorkers(value, now) || (await confirmManyWorkers(farm, value)) ? value : null;
    typed = Number.isFinite(value) ? value : now;
  }
}

async function confirmManyWorkers(farm: FarmStatus, n: number): Promise<boolean> {
  const result = await showDialog({
    title: `Give ${farm.name} ${plural(n, 'worker')}?`,
    body: 'Each worker is a process with its own memory.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Scale' })]
  });
  return result.button.accept;
}

/** Ask for the name of a new farm; `null`: cancelled. */
export async function askForName(taken: readonly string[]): Promise<string | null> {
  let label = 'Name';
  let text = '';
  for (;;) {
    const options = { title: 'Start a farm', label, text, okLabel: 'Start', placeholder: 'default' };
    const { value } = await InputDialog.getText(options);
    if (value === null) return null;
    text = value.trim();
    const name = text || 'default';
    label = taken.includes(name) ? '' : checkName(name);
    if (label === '') return name;
  }
}

/** Ask for one of `labels` and return its index; `null`: cancelled. */
export async function askWhich(title: string, label: string, labels: readonly string[]): Promise<number | null> {
  const { value } = await InputDialog.getItem({ title, label, items: [...labels], okLabel: title });
  const at = value === null ? -1 : labels.indexOf(value);
  return at < 0 ? null : at;
}
