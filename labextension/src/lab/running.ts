// Running tasks in JupyterLab's panel of running sessions.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import type { IRunningSessions } from '@jupyterlab/running';
import { Signal } from '@lumino/signaling';

import { FarmState, StateCode } from '../link/messages';
import type { Follower } from '../link/shared-queues';
import { formatProgress, percentOf, plural } from '../queue/format';
import { nameOf } from '../queue/select';
import { tasksIcon } from './icon';
import { ITaskFarms } from './tokens';

// more tasks than a farm on one machine runs at once; a list of thousands would be of no use
const MOST = 200;

// each time, the panel draws all its items again
const REDRAWN_EVERY = 1000;

export const running: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:running',
  description: 'Lists running tasks in the panel of running sessions.',
  autoStart: true,
  requires: [ITaskFarms],
  optional: [IRunningSessionManagers],
  activate: (_app, farms: ITaskFarms, managers: IRunningSessionManagers | null) => {
    managers?.add(new RunningTasks(farms));
  }
};

class RunningTasks implements IRunningSessions.IManager {
  readonly name = 'Tasks';
  readonly shutdownLabel = 'Abort';
  readonly shutdownAllLabel = 'Abort All';
  readonly runningChanged = new Signal<this, void>(this);

  private readonly subscriptions = new Map<string, Follower>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private shown = '';

  constructor(private readonly farms: ITaskFarms) {
    farms.link.onChange(() => this.subscribeToAll());
    this.subscribeToAll();
  }

  readonly shutdownAllConfirmationText = (): string =>
    `Abort ${plural(this.listRunning().length, 'running task')}? Their work so far is lost.`;

  running(): IRunningSessions.IRunningItem[] {
    return this.listRunning().map(({ farm, taskid }) => this.makeItem(farm, taskid));
  }

  refreshRunning(): void {
    for (const { store } of this.subscriptions.values()) store.resubscribe();
    void this.farms.link.connect();
  }

  shutdownAll(): void {
    const byFarm = new Map<string, number[]>();
    for (const { farm, taskid } of this.listRunning()) byFarm.set(farm, [...(byFarm.get(farm) ?? []), taskid]);
    for (const [farm, taskids] of byFarm) this.abort(farm, taskids);
  }

  /** Subscribe to all live farms. Of the others nothing is known, so their tasks are not listed. */
  private subscribeToAll(): void {
    const live = this.farms.link.farms.filter(farm => farm.state === FarmState.LIVE).map(farm => farm.name);
    for (const [name, follower] of this.subscriptions) {
      if (live.includes(name)) continue;
      follower.dispose();
      this.subscriptions.delete(name);
      this.redraw();
    }
    for (const name of live) {
      if (!this.subscriptions.has(name)) this.subscriptions.set(name, this.farms.queues.follow(name, () => this.redraw()));
    }
  }

  private redraw(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      // drawing the list takes the keyboard's focus away: only if it has changed
      const now = JSON.stringify(this.running().map(item => [item.label(), item.detail?.(), item.labelTitle?.()]));
      if (now === this.shown) return;
      this.shown = now;
      this.runningChanged.emit();
    }, REDRAWN_EVERY);
  }

  private listRunning(): { farm: string; taskid: number }[] {
    const found = [];
    for (const [farm, { store }] of this.subscriptions) {
      const { n, columns } = store.queue;
      for (let place = 0; place < n && found.length < MOST; place++) {
        if (columns.states[place] === StateCode.RUNNING) found.push({ farm, taskid: columns.ids[place]! });
      }
    }
    return found;
  }

  private makeItem(farm: string, taskid: number): IRunningSessions.IRunningItem {
    const queue = this.subscriptions.get(farm)!.store.queue;
    const place = queue.placeOf(taskid);
    const batch = queue.batchAt(place);
    const note = queue.noteAt(place);
    const progress = note?.progress ? formatProgress(note.progress) : '';
    const percent = note?.progress ? percentOf(note.progress) : null;
    const where = this.farms.link.farms.length > 1 ? ` · ${farm}` : '';
    return {
      icon: () => tasksIcon,
      label: () => `${taskid} ${nameOf(batch)}`,
      labelTitle: () => `Task ${taskid} of ${farm}${batch?.owner ? `, from ${batch.owner}` : ''}${progress && `\n${progress}`}`,
      detail: () => (note?.stopping ? 'stopping' : percent === null ? '' : `${percent} %`) + where,
      open: () => this.farms.show(farm, taskid),
      shutdown: () => this.abort(farm, [taskid])
    };
  }

  private abort(farm: string, taskids: readonly number[]): void {
    const identity = this.farms.link.status(farm)?.identity ?? '';
    void this.farms.run(farm, { do: 'abort', taskids, identity });
  }
}
