// Tasks that run, in JupyterLab's panel of what runs.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import type { IRunningSessions } from '@jupyterlab/running';
import { Signal } from '@lumino/signaling';

import type { Follower } from '../link/farms';
import { FarmState, StateCode } from '../link/messages';
import { QueueStore } from '../link/store';
import { formatProgress, percentOf, plural } from '../queue/format';
import { nameOf } from '../queue/select';
import { tasksIcon } from './icon';
import { ITaskFarms } from './tokens';

// more than any farm of one machine runs at once; a list of thousands would be of no use
const MOST = 200;

// the panel draws all its items anew each time
const REDRAWN_EVERY = 1000;

export const running: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:running',
  description: 'Lists the tasks that run among what runs.',
  autoStart: true,
  requires: [ITaskFarms],
  optional: [IRunningSessionManagers],
  activate: (_app, farms: ITaskFarms, managers: IRunningSessionManagers | null) => {
    managers?.add(new RunningTasks(farms));
  }
};

/** A queue that is followed for what runs in it. */
interface Followed {
  readonly store: QueueStore;
  readonly follower: Follower;
}

class RunningTasks implements IRunningSessions.IManager {
  readonly name = 'Tasks';
  readonly shutdownLabel = 'Abort';
  readonly shutdownAllLabel = 'Abort All';
  readonly runningChanged = new Signal<this, void>(this);

  private readonly followed = new Map<string, Followed>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private told = '';

  constructor(private readonly farms: ITaskFarms) {
    farms.link.onChange(() => this.followAll());
    this.followAll();
  }

  readonly shutdownAllConfirmationText = (): string =>
    `Abort ${plural(this.all().length, 'running task')}? What they have done so far is lost.`;

  running(): IRunningSessions.IRunningItem[] {
    return this.all().map(({ farm, taskid }) => this.item(farm, taskid));
  }

  refreshRunning(): void {
    for (const { store } of this.followed.values()) store.reconnected();
    void this.farms.link.connect();
  }

  shutdownAll(): void {
    const byFarm = new Map<string, number[]>();
    for (const { farm, taskid } of this.all()) byFarm.set(farm, [...(byFarm.get(farm) ?? []), taskid]);
    for (const [farm, taskids] of byFarm) this.abort(farm, taskids);
  }

  /** Follow the farms that answer. Of the others nothing is known, and so nothing is listed. */
  private followAll(): void {
    const live = this.farms.link.farms.filter(farm => farm.state === FarmState.LIVE).map(farm => farm.name);
    for (const [name, { follower }] of this.followed) {
      if (live.includes(name)) continue;
      follower.dispose();
      this.followed.delete(name);
      this.redraw();
    }
    for (const name of live) if (!this.followed.has(name)) this.follow(name);
  }

  private follow(name: string): void {
    const follower = this.farms.link.follow(message => store.receive(message));
    const store = new QueueStore(question => follower.ask(question));
    store.onChange(() => this.redraw());
    this.followed.set(name, { store, follower });
    store.show(name);
  }

  private redraw(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      // a list that is drawn anew loses the keyboard's focus: only if it is another one
      const now = JSON.stringify(this.running().map(item => [item.label(), item.detail?.(), item.labelTitle?.()]));
      if (now === this.told) return;
      this.told = now;
      this.runningChanged.emit();
    }, REDRAWN_EVERY);
  }

  private all(): { farm: string; taskid: number }[] {
    const found = [];
    for (const [farm, { store }] of this.followed) {
      const { n, columns } = store.queue;
      for (let place = 0; place < n && found.length < MOST; place++) {
        if (columns.states[place] === StateCode.RUNNING) found.push({ farm, taskid: columns.ids[place]! });
      }
    }
    return found;
  }

  private item(farm: string, taskid: number): IRunningSessions.IRunningItem {
    const queue = this.followed.get(farm)!.store.queue;
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
