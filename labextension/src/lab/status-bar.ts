// The item of the status bar: counts of running and queued tasks, and of failures that the user has not seen.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import type { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { lowerSeen, markSeen, statusText, sumCounts } from './counts';
import type { Seen, Totals } from './counts';
import { tasksIcon } from './icon';
import { ITaskFarms } from './tokens';

const KEPT = 'taskfc-ext:seen';

export const statusBar: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:status-bar',
  description: 'Shows the counts of running and queued tasks in the status bar.',
  autoStart: true,
  requires: [ITaskFarms],
  optional: [IStatusBar, IStateDB],
  activate: (_app, farms: ITaskFarms, bar: IStatusBar | null, state: IStateDB | null) => {
    if (bar === null) return;
    const item = new StatusItem(() => farms.show());
    bar.registerStatusItem('taskfc-ext:status', {
      item,
      align: 'left',
      rank: 4,
      isActive: () => item.text !== '',
      activeStateChanged: item.activeChanged
    });
    let seen: Seen | undefined;
    let isLoaded = state === null;
    const update = (): void => {
      const isLive = farms.link.state === 'live' && farms.link.isKnown && isLoaded;
      const all = farms.link.farms;
      if (isLive) {
        // without a saved number, all failures count as seen
        const now = farms.isQueueVisible || seen === undefined ? markSeen(all, seen ?? {}) : lowerSeen(all, seen);
        if (JSON.stringify(now) !== JSON.stringify(seen)) void state?.save(KEPT, now);
        seen = now;
      }
      item.showTotals(isLive ? sumCounts(all, seen ?? {}) : { running: 0, queued: 0, failed: 0 });
    };
    farms.link.onChange(update);
    farms.visibilityChanged.connect(update);
    // JupyterLab answers only after all plugins are activated: no plugin may wait for it
    void state
      ?.fetch(KEPT)
      .catch(() => undefined)
      .then(kept => {
        seen = kept as Seen | undefined;
        isLoaded = true;
        update();
      });
    update();
  }
};

class StatusItem extends Widget {
  readonly activeChanged = new Signal<this, void>(this);
  text = '';

  private readonly button = document.createElement('button');
  private readonly label = document.createElement('span');

  constructor(private readonly onClick: () => void) {
    super();
    this.addClass('taskfc-status');
    this.button.type = 'button';
    this.button.title = 'Show the queue of tasks';
    tasksIcon.element({ container: this.button, tag: 'span', stylesheet: 'statusBar' });
    this.button.append(this.label);
    this.node.append(this.button);
  }

  handleEvent(): void {
    this.onClick();
  }

  /** Show these totals; the item is hidden if all are zero. */
  showTotals(totals: Totals): void {
    const text = statusText(totals);
    if (text === this.text) return;
    const wasActive = this.text !== '';
    this.text = text;
    this.label.textContent = text;
    this.toggleClass('taskfc-mod-warning', totals.failed > 0);
    if ((text !== '') !== wasActive) this.activeChanged.emit();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.button.addEventListener('click', this);
  }

  protected override onBeforeDetach(message: Message): void {
    this.button.removeEventListener('click', this);
    super.onBeforeDetach(message);
  }
}
