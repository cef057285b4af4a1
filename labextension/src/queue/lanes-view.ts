// The timeline of the last minute, with a lane for each worker.

import { LANE_SECONDS } from '../link/lanes';
import type { Lane, Outcome, Segment } from '../link/lanes';
import type { WorkerInfo } from '../link/messages';
import type { QueueStore } from '../link/store';
import { make, makeSvg, setAttribute, setHidden, setText } from './dom';
import { engineText } from './engine';
import { formatCount, formatSeconds, oneLine, plural, waitsText } from './format';
import { makeIcon, setIcon } from './icons';
import { nameOf } from './select';

/** Most lanes in the page. */
const MAX_LANES = 64;

const WIDTH = 600; // of the drawing, which is stretched to the width of the page
const OUTCOMES: readonly Outcome[] = ['succeeded', 'running', 'again', 'aborted', 'failed'];

// top and height, of 12: outcomes differ in shape as well as in colour
const SHAPES: Readonly<Record<Outcome, readonly [number, number]>> = {
  succeeded: [4, 6],
  running: [2, 8],
  again: [0, 7],
  aborted: [5, 7],
  failed: [0, 12]
};

const TEXTS: Readonly<Record<Outcome, string>> = {
  succeeded: 'succeeded',
  running: 'is running',
  again: 'will be retried',
  aborted: 'was aborted',
  failed: 'failed'
};

interface Line {
  readonly element: HTMLElement;
  readonly label: HTMLElement;
  readonly drawing: SVGElement;
  readonly paths: Readonly<Record<Outcome, SVGElement>>;
  lane: Lane | null;
}

export class LanesView {
  readonly element: HTMLElement;
  private readonly toggle: HTMLButtonElement;
  private readonly title = make('span');
  private readonly hint = make('span', { class: 'taskfc-lanes-hint' });
  private readonly list = make('div', { class: 'taskfc-lanes', role: 'list', 'aria-label': 'Workers' });
  private readonly more = make('div', { class: 'taskfc-lanes-more' });
  private readonly lines: Line[] = [];
  private isOpen = true;
  private wall = 0;

  /**
   * @param onOpen is called with the task of a segment that was clicked.
   * @param showsFarm whether to name the farm, as nothing else on the page does.
   */
  constructor(
    private readonly store: QueueStore,
    private readonly onOpen: (taskid: number) => void,
    private readonly showsFarm = false
  ) {
    const icon = makeIcon('open');
    this.toggle = make(
      'button',
      { type: 'button', class: 'taskfc-section', 'aria-expanded': 'true' },
      icon,
      this.title
    );
    this.toggle.append(this.hint);
    this.toggle.addEventListener('click', () => {
      this.isOpen = !this.isOpen;
      setAttribute(this.toggle, 'aria-expanded', String(this.isOpen));
      setIcon(icon, this.isOpen ? 'open' : 'closed');
      this.update();
    });
    this.element = make('div', { class: 'taskfc-workers' }, this.toggle, this.list, this.more);
  }

  /** Draw the last minute. */
  update(): void {
    const { store } = this;
    this.wall = store.wall;
    const lanes = this.isOpen ? store.lanes.read(this.wall) : [];
    const substitutes = store.queue.workers.filter(worker => worker.is_substitute).length;
    const there = store.queue.workers.length - substitutes;
    const missing = store.queue.nWorkers - there;
    const farm = this.showsFarm ? `${store.farm} · ` : '';
    const coming = missing > 0 ? ` (${formatCount(missing)} starting)` : '';
    const more = substitutes > 0 ? ` and ${plural(substitutes, 'substitute')}` : '';
    const { engine } = store.queue;
    setText(this.title, farm + (engine ? engineText(engine, there, this.wall) : plural(there, 'worker') + coming + more));
    setText(this.hint, this.isOpen && lanes.length > 0 ? 'last minute' : '');
    setHidden(this.element, !store.isKnown);
    setHidden(this.list, lanes.length === 0);
    const shown = lanes.slice(0, MAX_LANES);
    while (this.lines.length < shown.length) this.lines.push(this.makeLine());
    this.lines.forEach((line, at) => this.draw(line, shown[at] ?? null));
    const rest = lanes.length - shown.length;
    setText(this.more, rest > 0 ? `and ${formatCount(rest)} more` : '');
    setHidden(this.more, rest <= 0);
  }

  private makeLine(): Line {
    const label = make('span', { class: 'taskfc-lane-label' });
    const viewBox = `0 0 ${WIDTH} 12`;
    const drawing = makeSvg('svg', {
      viewBox,
      preserveAspectRatio: 'none',
      class: 'taskfc-lane',
      'aria-hidden': 'true'
    });
    const paths = Object.fromEntries(
      OUTCOMES.map(outcome => [outcome, makeSvg('path', { class: `taskfc-segment taskfc-segment-${outcome}` })])
    ) as Record<Outcome, SVGElement>;
    for (const outcome of OUTCOMES) drawing.append(paths[outcome]);
    const element = make('div', { class: 'taskfc-lane-line', role: 'listitem' }, label, drawing);
    const line: Line = { element, label, drawing, paths, lane: null };
    drawing.addEventListener('mousemove', event => setAttribute(element, 'title', this.tooltipAt(line, event)));
    drawing.addEventListener('click', event => {
      const segment = this.segmentAt(line, event);
      if (segment) this.onOpen(segment.taskid);
    });
    this.list.append(element);
    return line;
  }

  private draw(line: Line, lane: Lane | null): void {
    line.lane = lane;
    setHidden(line.element, lane === null);
    if (lane === null) return;
    setText(line.label, String(lane.worker));
    setAttribute(line.element, 'aria-label', this.describe(lane));
    line.element.classList.toggle('taskfc-mod-gone', !lane.isPresent);
    for (const outcome of OUTCOMES) {
      const parts = lane.segments.filter(segment => segment.outcome === outcome);
      setAttribute(line.paths[outcome], 'd', parts.map(segment => this.pathOf(segment)).join(''));
    }
  }

  private pathOf(segment: Segment): string {
    const begin = this.wall - LANE_SECONDS;
    const from = Math.max(0, ((segment.from - begin) / LANE_SECONDS) * WIDTH);
    const to = Math.min(WIDTH, ((segment.to - begin) / LANE_SECONDS) * WIDTH);
    // a gap separates neighbours; a short segment keeps a visible width
    const width = Math.max(1.5, to - from - 1);
    const [top, height] = SHAPES[segment.outcome];
    return `M${from.toFixed(1)} ${top}h${width.toFixed(1)}v${height}h${(-width).toFixed(1)}z`;
  }

  private describe(lane: Lane): string {
    const last = lane.segments[lane.segments.length - 1];
    const worker = this.workerOf(lane);
    const waits = waitsText(worker);
    const runs = `runs task ${last?.taskid ?? ''}${waits && `, which waits for ${waits}`}`;
    const now = last?.outcome === 'running' ? runs : lane.isPresent ? 'idle' : 'gone';
    const failed = count(lane.segments, 'failed');
    const ended = count(lane.segments, 'succeeded') + failed + count(lane.segments, 'aborted');
    const failures = failed > 0 ? `, ${formatCount(failed)} failed` : '';
    const name = worker?.is_substitute ? 'Substitute' : 'Worker';
    return `${name} ${lane.worker}${placeText(worker)}: ${now}; ${plural(ended, 'task')} ended in the last minute${failures}`;
  }

  private workerOf(lane: Lane): WorkerInfo | undefined {
    return this.store.queue.workers.find(each => each.worker === lane.worker);
  }

  private segmentAt(line: Line, event: MouseEvent): Segment | undefined {
    const box = line.drawing.getBoundingClientRect();
    const second = LANE_SECONDS / (box.width || WIDTH);
    const at = this.wall - LANE_SECONDS + (event.clientX - box.left) * second;
    const reach = 2 * second; // as a pointer is not exact
    const newestFirst = [...(line.lane?.segments ?? [])].reverse();
    return newestFirst.find(segment => segment.from - reach <= at && at <= segment.to + reach);
  }

  private tooltipAt(line: Line, event: MouseEvent): string {
    const segment = this.segmentAt(line, event);
    if (segment === undefined || line.lane === null) return `worker ${line.lane?.worker ?? ''}`;
    const worker = `worker ${line.lane.worker}${placeText(this.workerOf(line.lane))}`;
    if (segment.n > 1) return `${worker}: ${plural(segment.n, 'task')}, the last one ${segment.taskid}`;
    const queue = this.store.queue;
    const name = nameOf(queue.batchAt(queue.placeOf(segment.taskid)));
    const took = formatSeconds(segment.to - segment.from);
    return `${worker}: task ${segment.taskid} ${name} ${TEXTS[segment.outcome]}, ${took}`;
  }
}

function count(segments: readonly Segment[], outcome: Outcome): number {
  return segments.reduce((sum, segment) => sum + (segment.outcome === outcome ? segment.n : 0), 0);
}

/** Return the host of a worker on an engine: ` on node7`; empty at home. */
function placeText(worker: WorkerInfo | undefined): string {
  return worker?.place ? ` on ${oneLine(worker.place, 60)}` : '';
}
