// What people are asked before something is done, in JupyterLab's dialogs.

import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';

import type { FarmStatus } from '../link/messages';
import { finishedOf } from '../link/model';
import { plural } from '../queue/format';
import { queuedOf } from './counts';
import { isManyWorkers, problemOfName, problemOfWorkers } from './limits';

export async function askWhetherToStop(farm: FarmStatus): Promise<boolean> {
  const running = farm.counts?.running ?? 0;
  const queued = farm.counts ? queuedOf(farm.counts) : 0;
  const stopped = running > 0 ? `${plural(running, 'running task')} will be stopped, and begin anew when it is started. ` : '';
  const kept = queued > 0 ? `${plural(queued, 'queued task')} will wait in the store.` : '';
  const result = await showDialog({
    title: `Stop ${farm.name}?`,
    body: stopped + kept || 'Nothing is left to do. Results are kept.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })]
  });
  return result.button.accept;
}

export async function askWhetherToClear(farm: FarmStatus): Promise<boolean> {
  const finished = plural(finishedOf(farm.counts ?? {}), 'finished task');
  const result = await showDialog({
    title: `Clear the finished tasks of ${farm.name}?`,
    body: `${finished}, of all notebooks, will be forgotten, with all results.`,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Clear' })]
  });
  return result.button.accept;
}

/** Return a number of workers; `null`: never mind. */
export async function askHowManyWorkers(farm: FarmStatus): Promise<number | null> {
  const now = farm.n_workers ?? 0;
  let label = `Workers of ${farm.name}`;
  let typed = now;
  for (;;) {
    const { value } = await InputDialog.getNumber({ title: 'Scale', label, value: typed, okLabel: 'Scale' });
    if (value === null) return null;
    label = problemOfWorkers(value);
    if (label === '') return !isManyWorkers(value, now) || (await askWhetherSoMany(farm, value)) ? value : null;
    typed = Number.isFinite(value) ? value : now;
  }
}

async function askWhetherSoMany(farm: FarmStatus, n: number): Promise<boolean> {
  const result = await showDialog({
    title: `Give ${farm.name} ${plural(n, 'worker')}?`,
    body: 'Each worker is a process with memory of its own.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Scale' })]
  });
  return result.button.accept;
}

/** Return a name for a new farm; `null`: never mind. */
export async function askForName(taken: readonly string[]): Promise<string | null> {
  let label = 'Name';
  let text = '';
  for (;;) {
    const options = { title: 'Start a farm', label, text, okLabel: 'Start', placeholder: 'default' };
    const { value } = await InputDialog.getText(options);
    if (value === null) return null;
    text = value.trim();
    const name = text || 'default';
    label = taken.includes(name) ? '' : problemOfName(name);
    if (label === '') return name;
  }
}

/** Return one of `labels` by its index; `null`: never mind. */
export async function askWhich(title: string, label: string, labels: readonly string[]): Promise<number | null> {
  const { value } = await InputDialog.getItem({ title, label, items: [...labels], okLabel: title });
  const at = value === null ? -1 : labels.indexOf(value);
  return at < 0 ? null : at;
}
