// The status bar: how much runs and waits, and whether anything has failed since somebody looked.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import type { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { seenAtMost, seenNow, statusText, totalsOf } from './counts';
import type { Seen, Totals } from './counts';
import { tasksIcon } from './icon';
import { ITaskFarms } from './tokens';

const KEPT = 'taskfc-ext:seen';

export const statusBar: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:status-bar',
  description: 'Shows in the status bar how many tasks run and wait.',
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
        // whoever comes for the first time has not missed anything
        const now = farms.isSeen || seen === undefined ? seenNow(all, seen ?? {}) : seenAtMost(all, seen);
        if (JSON.stringify(now) !== JSON.stringify(seen)) void state?.save(KEPT, now);
        seen = now;
      }
      item.tell(isLive ? totalsOf(all, seen ?? {}) : { running: 0, queued: 0, failed: 0 });
    };
    farms.link.onChange(update);
    farms.seenChanged.connect(update);
    // JupyterLab answers this only when all plugins are there: none may wait for it
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
  private readonly words = document.createElement('span');

  constructor(private readonly onClick: () => void) {
    super();
    this.addClass('taskfc-status');
    this.button.type = 'button';
    this.button.title = 'Show the queue of tasks';
    tasksIcon.element({ container: this.button, tag: 'span', stylesheet: 'statusBar' });
    this.button.append(this.words);
    this.node.append(this.button);
  }

  handleEvent(): void {
    this.onClick();
  }

  /** Show what there is; nothing at all where there is nothing. */
  tell(totals: Totals): void {
    const text = statusText(totals);
    if (text === this.text) return;
    const wasActive = this.text !== '';
    this.text = text;
    this.words.textContent = text;
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
