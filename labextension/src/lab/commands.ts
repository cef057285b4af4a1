// Commands for tasks, in the palette, the menus, a cell's context menu and the keyboard.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { CommandRegistry } from '@lumino/commands';

import { FarmState, StateCode } from '../link/messages';
import type { AnyCommand, FarmStatus } from '../link/messages';
import { finishedOf, isFinished, unfinishedOf } from '../link/model';
import type { QueueStore } from '../link/store';
import { clearCommand } from '../queue/actions';
import { STATE_NAMES } from '../queue/format';
import { nameOf } from '../queue/select';
import { submitCells } from './cells';
import { askWhich, confirmClear } from './dialogs';
import { tasksIcon } from './icon';
import { ITaskFarms } from './tokens';

const ID = 'taskfc-ext:commands';

const CATEGORY = 'Tasks';

// of the list in the dialog; the sidebar has all
const MOST = 500;

/** The commands, in the order of the palette. The menus and the keys are in `schema/commands.json`. */
export const CommandIds = {
  submitCell: 'taskfc:submit-cell',
  showQueue: 'taskfc:show-queue',
  abort: 'taskfc:abort',
  retryFailed: 'taskfc:retry-failed',
  clearFinished: 'taskfc:clear-finished',
  start: 'taskfc:start',
  scale: 'taskfc:scale',
  stop: 'taskfc:stop'
} as const;

export const commands: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Adds commands for tasks to the palette, the menus and the keyboard.',
  autoStart: true,
  requires: [ITaskFarms],
  optional: [ICommandPalette, INotebookTracker, ISettingRegistry],
  activate: (
    { commands }: JupyterFrontEnd,
    farms: ITaskFarms,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null,
    registry: ISettingRegistry | null
  ) => {
    const add = (command: string, options: CommandRegistry.ICommandOptions): void => {
      commands.addCommand(command, { describedBy: { args: null }, ...options });
      palette?.addItem({ command, category: CATEGORY });
    };
    if (notebooks !== null) addCellCommand(add, notebooks);
    addQueueCommands(add, farms);
    addFarmCommands(add, farms);
    const refresh = (): void => Object.values(CommandIds).forEach(id => commands.hasCommand(id) && commands.notifyCommandChanged(id));
    farms.link.onChange(refresh);
    notebooks?.currentChanged.connect(refresh);
    // the settings have the menus and keys
    void registry?.load(ID).catch(() => undefined);
  }
};

type Add = (command: string, options: CommandRegistry.ICommandOptions) => void;

function addCellCommand(add: Add, notebooks: INotebookTracker): void {
  add(CommandIds.submitCell, {
    label: 'Submit Cell as Task',
    caption: 'Put %%task on top of the selected cells and run them: the kernel stays free',
    icon: tasksIcon,
    isEnabled: () => notebooks.currentWidget !== null,
    execute: async () => {
      if (notebooks.currentWidget !== null) await submitCells(notebooks.currentWidget);
    }
  });
}

function addQueueCommands(add: Add, farms: ITaskFarms): void {
  add(CommandIds.showQueue, {
    label: 'Show Queue of Tasks',
    icon: tasksIcon,
    execute: () => farms.show()
  });
  add(CommandIds.abort, {
    label: 'Abort Task…',
    isEnabled: () => unfinishedOf(shownFarm(farms)?.counts ?? {}) > 0,
    execute: () => abortOne(farms)
  });
  add(CommandIds.retryFailed, {
    // without a number: the count of failed tasks includes retried ones, which this leaves alone
    label: () => `Retry Failed Tasks${farms.link.farms.length > 1 ? nameSuffix(farms) : ''}`,
    isEnabled: () => (shownFarm(farms)?.counts?.failed ?? 0) > 0,
    execute: () => runIn(farms, identity => ({ do: 'retry-failed', identity }))
  });
  add(CommandIds.clearFinished, {
    label: 'Clear Finished Tasks…',
    isEnabled: () => finishedOf(shownFarm(farms)?.counts ?? {}) > 0,
    execute: async () => {
      const farm = shownFarm(farms);
      const command = clearCommand(farms.store.queue);
      if (farm === undefined) return;
      const isAgreed = await confirmClear(farm, await farms.link.storeBytes(farm.name));
      if (isAgreed) await runIn(farms, identity => ({ ...command, identity }));
    }
  });
}

function addFarmCommands(add: Add, farms: ITaskFarms): void {
  const isIn = (...states: FarmState[]): boolean => states.includes(shownFarm(farms)?.state ?? FarmState.STOPPED);
  add(CommandIds.start, {
    label: () => (farms.farm ? `Start Farm ${farms.farm}` : 'Start a Farm…'),
    isEnabled: () => farms.link.state === 'live' && isIn(FarmState.STOPPED, FarmState.DEAD),
    execute: () => (farms.farm ? farms.start(farms.farm) : farms.startNew())
  });
  add(CommandIds.scale, {
    label: () => `Set Number of Workers${nameSuffix(farms)}…`,
    isEnabled: () => isIn(FarmState.LIVE),
    execute: () => farms.scale(farms.farm)
  });
  add(CommandIds.stop, {
    label: () => farms.farm ? `Stop Farm ${farms.farm}…` : 'Stop Farm…',
    isEnabled: () => isIn(FarmState.LIVE, FarmState.CONNECTING),
    execute: () => farms.stop(farms.farm)
  });
}

function shownFarm(farms: ITaskFarms): FarmStatus | undefined {
  return farms.link.state === 'live' ? farms.link.status(farms.farm) : undefined;
}

function nameSuffix(farms: ITaskFarms): string {
  return farms.farm ? ` of ${farms.farm}` : '';
}

async function runIn(farms: ITaskFarms, command: (identity: string) => AnyCommand): Promise<void> {
  await farms.run(farms.farm, command(shownFarm(farms)?.identity ?? ''));
}

/** Abort a task that the user picks among the running and the next ones. */
async function abortOne(farms: ITaskFarms): Promise<void> {
  const taskids = listUnfinished(farms.store);
  const labels = taskids.map(taskid => {
    const place = farms.store.queue.placeOf(taskid);
    return `${taskid} ${nameOf(farms.store.queue.batchAt(place))}, ${STATE_NAMES[farms.store.queue.stateAt(place)]}`;
  });
  const at = await askWhich('Abort', `A task of ${farms.farm}`, labels);
  const taskid = at === null ? undefined : taskids[at];
  if (taskid !== undefined) await runIn(farms, identity => ({ do: 'abort', taskids: [taskid], identity }));
}

function listUnfinished({ queue }: QueueStore): number[] {
  const running = [];
  const queued = [];
  for (let place = 0; place < queue.n && queued.length < MOST; place++) {
    const state = queue.stateAt(place);
    if (state === StateCode.RUNNING) running.push(queue.idAt(place));
    else if (!isFinished(state)) queued.push(queue.idAt(place));
  }
  return [...running, ...queued];
}
