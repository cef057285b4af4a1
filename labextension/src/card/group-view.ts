// A group's card as elements, in the look of the saved one. All text becomes text.

import { make, setAttribute, setHidden } from '../queue/dom';
import { formatCount, oneLine } from '../queue/format';
import type { GroupHead } from './group-head';
import { HeadView } from './head-view';
import * as LOOK from './look';

export class GroupView {
  readonly element = make('div', { class: 'taskfc-card taskfc-mod-live', role: 'group' });

  private readonly head = new HeadView(this.element);
  private readonly parts = (['running', 'failed', 'aborted'] as const).map(state =>
    make('div', { style: `${LOOK.PART} ${LOOK.COLOURS[state]!}` })
  );
  private readonly bar = make(
    'div',
    { role: 'progressbar', style: `${LOOK.TROUGH}; display: flex`, 'aria-label': 'progress' },
    ...this.parts
  );
  private readonly failures = make('div');

  constructor() {
    this.element.append(this.bar, this.failures);
    setAttribute(this.bar, 'aria-valuemin', '0');
    setAttribute(this.bar, 'aria-valuemax', '100');
  }

  /** Show the state of a group. `notice`: one more fact, about the farm. */
  show(title: string, head: GroupHead, notice: string): void {
    this.head.show(head.state, oneLine(title), head.state, [...head.facts, notice]);
    this.showBar(head);
    this.showFailures(head);
  }

  private showBar({ nTasks, nSucceeded, nFailed, nAborted, unfinished }: GroupHead): void {
    setHidden(this.bar, unfinished.length === 0);
    const done = nTasks - unfinished.length;
    [nSucceeded, nFailed, nAborted].forEach((n, at) => (this.parts[at]!.style.width = `${(100 * n) / nTasks}%`));
    setAttribute(this.bar, 'aria-valuenow', String(Math.floor((100 * done) / nTasks)));
    setAttribute(this.bar, 'aria-valuetext', `${formatCount(done)} of ${formatCount(nTasks)}`);
  }

  private showFailures({ failures, nFailed }: GroupHead): void {
    const nMore = nFailed - failures.length;
    const lines = [...failures.map(([which, why]) => `${which}: ${why}`), ...(nMore ? [`and ${formatCount(nMore)} more`] : [])];
    if (lines.join('\n') === this.failures.dataset.lines) return;
    this.failures.dataset.lines = lines.join('\n');
    this.failures.replaceChildren(...failures.map(([which, why]) => failureLine(which, why)));
    if (nMore) this.failures.append(make('div', { style: LOOK.FAINT }, `and ${formatCount(nMore)} more`));
  }
}

function failureLine(which: string, why: string): HTMLElement {
  const colour = `color: ${LOOK.ERROR}`;
  const icon = make('span', { style: colour, 'aria-hidden': 'true' }, LOOK.ICONS.failed!);
  return make('div', {}, icon, ` ${which}: `, make('span', { style: LOOK.REASON }, why));
}
