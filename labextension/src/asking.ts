// What people are asked before something is done, in JupyterLab's dialogs.

import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';

import { unfinishedOf } from './counts';
import { plural } from './queue/format';
import type { FarmStatus } from './queue/messages';

/** As in `taskfc_ext/drivers/paths.py`: a farm's name is part of files' names. */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

const MOST_WORKERS = 10_000;

export async function askWhetherToStop(farm: FarmStatus): Promise<boolean> {
  const running = farm.counts?.running ?? 0;
  const unfinished = farm.counts ? unfinishedOf(farm.counts) : 0;
  const stopped = running > 0 ? `${plural(running, 'running task')} will be stopped and begin anew later. ` : '';
  const kept = unfinished > 0 ? `${plural(unfinished, 'unfinished task')} will wait in the store until it is started.` : '';
  const result = await showDialog({
    title: `Stop ${farm.name}?`,
    body: stopped + kept || 'Nothing is left to do. Results are kept.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })]
  });
  return result.button.accept;
}

export async function askWhetherToClear(farm: FarmStatus): Promise<boolean> {
  const { succeeded = 0, failed = 0, aborted = 0 } = farm.counts ?? {};
  const result = await showDialog({
    title: `Clear the finished tasks of ${farm.name}?`,
    body: `${plural(succeeded + failed + aborted, 'finished task')}, of all notebooks, will be forgotten with their results.`,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Clear' })]
  });
  return result.button.accept;
}

/** Return a number of workers; `null`: never mind. */
export async function askHowManyWorkers(farm: FarmStatus): Promise<number | null> {
  const label = `Workers of ${farm.name}`;
  const { value } = await InputDialog.getNumber({ title: 'Scale', label, value: farm.n_workers ?? 0, okLabel: 'Scale' });
  if (value === null || !Number.isFinite(value)) return null;
  return Math.min(Math.max(Math.round(value), 0), MOST_WORKERS);
}

/** Return a name for a new farm; `null`: never mind. */
export async function askForName(taken: readonly string[]): Promise<string | null> {
  let title = 'Start a controller';
  for (;;) {
    const { value } = await InputDialog.getText({ title, label: 'Name', okLabel: 'Start', placeholder: 'default' });
    if (value === null) return null;
    const name = value.trim() || 'default';
    if (taken.includes(name)) return name;
    if (NAME.test(name)) return name;
    title = 'A name has up to 64 letters, digits and . _ - and does not begin with a dot';
  }
}

/** Return one of `labels` by its index; `null`: never mind. */
export async function askWhich(title: string, label: string, labels: readonly string[]): Promise<number | null> {
  const { value } = await InputDialog.getItem({ title, label, items: [...labels], okLabel: title });
  const at = value === null ? -1 : labels.indexOf(value);
  return at < 0 ? null : at;
}
