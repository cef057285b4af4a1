// Icons, on a grid of 16 by 16. Each has a word beside it or a label for screen readers.

import type { StateCode } from '../link/messages';
import { makeSvg } from './dom';
import { STATE_NAMES } from './format';

const STROKED: Readonly<Record<string, string>> = {
  waiting: 'M5 2.5h6M5 13.5h6M5.5 2.5v2.2L8 8l2.5-3.3V2.5M5.5 13.5v-2.2L8 8l2.5 3.3v2.2',
  scheduled: 'M8 3a5 5 0 1 0 .01 0z',
  succeeded: 'M3 8.5l3.2 3.2L13 5',
  failed: 'M4 4l8 8M12 4l-8 8',
  aborted: 'M8 3a5 5 0 1 0 .01 0zM4.5 11.5l7-7',
  retry: 'M12.6 6.2A5 5 0 1 0 13 8.5M13 3v3.4H9.6',
  retryFailed: 'M12.6 6.2A5 5 0 1 0 13 8.5M13 3v3.4H9.6M6.4 6.9l3.2 3.2M9.6 6.9l-3.2 3.2',
  priority: 'M5 13V3.5M2.5 6L5 3.5 7.5 6M11 3v9.5M8.5 10l2.5 2.5 2.5-2.5',
  clear: 'M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M7 7v3.5M9 7v3.5',
  stop: 'M5.2 4.6a4.8 4.8 0 1 0 5.6 0M8 2.5v5',
  close: 'M4.5 4.5l7 7M11.5 4.5l-7 7',
  closed: 'M6 3.5L10.5 8 6 12.5',
  open: 'M3.5 6L8 10.5 12.5 6',
  up: 'M4 9.5L8 5.5l4 4',
  down: 'M4 6.5l4 4 4-4',
  warning: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.3v.7',
  cell: 'M2.5 4.5h11v7h-11zM5 7l1.5 1L5 9',
  details: 'M2.5 3.5h11v9h-11zM9 3.5v9',
  filter: 'M7 3a4 4 0 1 0 .01 0zM10 10l3.2 3.2'
};

const FILLED: Readonly<Record<string, string>> = {
  running: 'M8 2a6 6 0 1 0 .01 0zM6.5 5.2L11 8l-4.5 2.8z',
  stopping: 'M8 2a6 6 0 1 0 .01 0zM5.8 5.8h4.4v4.4H5.8z',
  held: 'M8 2a6 6 0 1 0 .01 0zM5.8 5.5h1.5v5H5.8zM8.7 5.5h1.5v5H8.7z',
  abort: 'M4 4h8v8H4z',
  hold: 'M4.5 3.5h2.4v9H4.5zM9.1 3.5h2.4v9H9.1z',
  release: 'M5 3.3L12.5 8 5 12.7z',
  more: 'M3 8a1.2 1.2 0 1 0 2.4 0 1.2 1.2 0 1 0-2.4 0M6.8 8a1.2 1.2 0 1 0 2.4 0 1.2 1.2 0 1 0-2.4 0M10.6 8a1.2 1.2 0 1 0 2.4 0 1.2 1.2 0 1 0-2.4 0'
};

export function makeIcon(name: string): SVGElement {
  const icon = makeSvg('svg', { viewBox: '0 0 16 16', class: 'taskfc-icon', 'aria-hidden': 'true' });
  icon.append(makeSvg('path'));
  setIcon(icon, name);
  return icon;
}

/** Change the picture of an icon. */
export function setIcon(icon: SVGElement, name: string): void {
  if (icon.getAttribute('data-icon') === name) return;
  icon.setAttribute('data-icon', name);
  const isFilled = name in FILLED;
  const path = icon.firstElementChild!;
  path.setAttribute('d', FILLED[name] ?? STROKED[name] ?? '');
  path.setAttribute('fill', isFilled ? 'currentColor' : 'none');
  path.setAttribute('fill-rule', 'evenodd');
  path.setAttribute('stroke', isFilled ? 'none' : 'currentColor');
}

/** Return the icon of a task's state; the style sheet colours it by this name. */
export function iconOf(state: StateCode, isHeld: boolean, isStopping: boolean): string {
  return isStopping ? 'stopping' : isHeld ? 'held' : STATE_NAMES[state];
}
