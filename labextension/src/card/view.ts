// A task's card as elements, in the look of the saved one. All text becomes text; only its host shows rich outputs.

import { make, setAttribute, setHidden, setText } from '../queue/dom';
import { formatProgress, formatSeconds, oneLine, percentOf, plainText, plural } from '../queue/format';
import { HeadView } from './head-view';
import type { Headline } from './headline';
import * as LOOK from './look';
import { tracebackPieces } from './traceback';

export class CardView {
  readonly element = make('div', { class: 'taskfc-card jp-RenderedHTMLCommon', role: 'group' });

  private readonly head = new HeadView(this.element);
  private readonly filled = make('div', { style: LOOK.FILLED });
  private readonly bar = make('div', { role: 'progressbar', style: LOOK.TROUGH, hidden: true }, this.filled);
  private readonly progress = make('div', { style: LOOK.FAINT, hidden: true });
  private readonly printed = makeBlock(LOOK.PRINTED);
  private readonly displayed = make('div');
  private readonly death = makeBlock(LOOK.BLOCK);
  private readonly raised = make('span');
  private readonly error = make('pre', { style: LOOK.FROM_ITS_END, hidden: true }, this.raised);

  // the log that is shown, whole: it is long, and comes each second
  private log = '';
  private nCut = 0;

  constructor() {
    this.element.append(this.bar, this.progress, this.printed, this.displayed, this.death, this.error);
  }

  /** Show the first line and the progress. `notice`: one more fact, about the farm. */
  showHead(farm: string, head: Headline, notice: string): void {
    setAttribute(this.element, 'data-farm', farm);
    setAttribute(this.element, 'data-task', String(head.taskid));
    const title = `task ${head.taskid} ${head.title}`.trimEnd();
    this.head.show(head.state, title, head.text, [...head.facts, notice]);
    this.showProgress(head);
  }

  /** Show the last lines of what it has printed, of `log`. `nCut`: characters before that. */
  showPrinted(log: string, nCut = 0): void {
    if (log === this.log && nCut === this.nCut) return;
    this.log = log;
    this.nCut = nCut;
    const lines = plainText(log).trimEnd().split('\n');
    const nBefore = lines.length - LOOK.OUTPUT_LINES;
    const more = nCut > 0 || log.includes(LOOK.DROPPED) ? 'more than ' : '';
    const shown = nBefore > 0 ? [`… ${more}${plural(nBefore, 'line')} before`, ...lines.slice(nBefore)] : lines;
    setBlock(this.printed, shown.join('\n'));
  }

  showTexts(texts: readonly string[]): void {
    texts.forEach((text, at) => {
      const block = this.displayed.children[at] ?? this.displayed.appendChild(makeBlock(LOOK.BLOCK));
      setBlock(block as HTMLElement, plainText(text));
    });
    while (this.displayed.children.length > texts.length) this.displayed.lastChild!.remove();
  }

  /** Show its failure: its traceback, and how its worker died. */
  showFailure(traceback: string, death: string): void {
    const text = plainText(traceback).trimEnd();
    setBlock(this.death, plainText(death).trimEnd());
    setHidden(this.error, !text);
    if (this.raised.textContent !== text) this.raised.replaceChildren(...tracebackPieces(text));
  }

  private showProgress({ progress, elapsed }: Headline): void {
    const percent = progress && percentOf(progress);
    setHidden(this.bar, progress === null);
    setHidden(this.progress, progress === null);
    if (progress === null) return;
    const left = percent === null || !progress.total ? NaN : (elapsed * (progress.total - progress.done)) / progress.done;
    const rest = left > 0 && left < 1e6 ? ` · about ${formatSeconds(left)} left` : '';
    setText(this.progress, formatProgress(progress) + rest);
    this.filled.style.width = `${percent ?? 0}%`;
    setAttribute(this.bar, 'aria-label', oneLine(progress.description) || 'progress');
    setAttribute(this.bar, 'aria-valuetext', formatProgress(progress));
    setAttribute(this.bar, 'aria-valuenow', percent === null ? null : String(percent));
    setAttribute(this.bar, 'aria-valuemin', percent === null ? null : '0');
    setAttribute(this.bar, 'aria-valuemax', percent === null ? null : '100');
  }
}

function makeBlock(style: string): HTMLElement {
  return make('pre', { style, hidden: true });
}

function setBlock(block: HTMLElement, text: string): void {
  setText(block, text);
  setHidden(block, !text);
}
