// Formatting of values for users, and clean-up of tasks' texts for display. Pure.

import { StateCode } from '../link/messages';
import type { TaskProgress, WorkerInfo } from '../link/messages';

export const STATE_NAMES: Readonly<Record<StateCode, string>> = {
  [StateCode.WAITING]: 'waiting',
  [StateCode.SCHEDULED]: 'scheduled',
  [StateCode.RUNNING]: 'running',
  [StateCode.SUCCEEDED]: 'succeeded',
  [StateCode.FAILED]: 'failed',
  [StateCode.ABORTED]: 'aborted'
};

const ESCAPE = new RegExp(
  [
    '(?:\\x1b\\[|\\x9b)[0-?]*[ -/]*[@-~]', // colours, cursor movements
    '(?:\\x1b\\]|\\x9d)[^\\x07\\x1b\\x9c\\n]*(?:\\x07|\\x1b\\\\|\\x9c)?', // titles, links
    '\\x1b[PX^_][^\\x1b\\n]*(?:\\x1b\\\\)?', // device control strings
    '\\x1b[ -/]*[0-~]?'
  ].join('|'),
  'g'
);
// control characters, and characters that change the direction of text
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/**
 * Return text that is safe to show, without escape sequences and without control and text-direction characters. Of a
 * line that was overwritten after carriage returns, as progress bars do, only the last version remains.
 */
export function plainText(text: string): string {
  const lines = text.includes('\r') ? text.split('\n').map(lastVersion).join('\n') : text;
  return lines.replace(ESCAPE, '').replace(CONTROL, '');
}

function lastVersion(line: string): string {
  const end = line.replace(/\r+$/, '');
  return end.slice(end.lastIndexOf('\r') + 1);
}

/** Return the same in one line of at most `most` characters. */
export function oneLine(text: string | null | undefined, most = 300): string {
  if (!text) return '';
  const line = plainText(text.slice(0, most * 4))
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > most || text.length > most * 4 ? `${line.slice(0, most)}…` : line;
}

// shared: to make one is slow, and a page formats a hundred numbers a second
const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const AMOUNT = new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 });

export function formatCount(count: number): string {
  return WHOLE.format(count);
}

/** Format a count for narrow places: `12.3k`. */
export function shortCount(count: number): string {
  if (count < 10_000) return formatCount(count);
  if (count < 999_500) return `${short(count / 1000)}k`;
  return `${short(count / 1e6)}M`;
}

function short(value: number): string {
  return value < 99.95 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value));
}

export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** Format a run time: `0.25 s`, `12.3 s`, `2:05 min`, `1:02:03 h`; empty if unknown. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  const restText = String(Math.round(seconds) % 60).padStart(2, '0');
  if (minutes < 60) return `${minutes}:${restText} min`;
  const hours = Math.floor(minutes / 60);
  const minutesText = String(minutes % 60).padStart(2, '0');
  if (hours < 100) return `${hours}:${minutesText}:${restText} h`;
  return `${formatCount(hours / 24)} days`;
}

/** Format the run time of a running attempt: in whole seconds, so that a column of them does not flicker. */
export function formatRunning(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  return seconds < 59.5 ? `${Math.floor(seconds)} s` : formatSeconds(seconds);
}

/** Format a time of day, with the date if it is not today; empty for 0. `seconds`: wall-clock. */
export function formatTime(seconds: number | null | undefined, now: number): string {
  if (!seconds) return '';
  const at = new Date(seconds * 1000);
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(':');
  if (at.toDateString() === new Date(now * 1000).toDateString()) return time;
  return `${at.getFullYear()}-${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())} ${time}`;
}

/** Format a moment for a sentence: `12:01`, with the date unless that is today. */
export function formatClock(seconds: number, now: number): string {
  return formatTime(seconds, now).slice(0, -3);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** Format an age: `now`, `12 s ago`, `5 min ago`, `3 h ago`, `2 days ago`. */
export function formatAgo(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${plural(Math.floor(seconds / 86_400), 'day')} ago`;
}

/** Return the progress in percent, 100 only when all is done; `null` if the total is unknown. */
export function percentOf(progress: TaskProgress): number | null {
  const { done, total } = progress;
  if (!total || !(total > 0) || !Number.isFinite(done)) return null;
  return Math.max(0, Math.min(100, Math.floor((100 * done) / total)));
}

/** Format progress: `42 % (42 of 100) fit`, or `42 done` if the total is unknown. */
export function formatProgress(progress: TaskProgress): string {
  const percent = percentOf(progress);
  const done = AMOUNT.format(progress.done);
  const text = percent === null ? `${done} done` : `${percent} % (${done} of ${AMOUNT.format(progress.total ?? 0)})`;
  return `${text} ${oneLine(progress.description)}`.trim();
}

/** Format tasks per second: `12 /s`, `0.4 /s`; empty for none. */
export function formatRate(perSecond: number): string {
  if (perSecond <= 0) return '';
  return `${perSecond < 9.95 ? perSecond.toFixed(1) : formatCount(perSecond)} /s`;
}

/** Format a size: `512 bytes`, `1.2 kB`, `34 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return plural(bytes, 'byte');
  const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${['', 'kB', 'MB', 'GB', 'TB'][power]}`;
}

/** Return the last part of a path. */
export function baseName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}

/** Name the tasks that a worker's task waits for: `task 12`, `tasks 12, 13`; empty for none. */
export function waitsText(worker: WorkerInfo | undefined): string {
  const taskids = worker?.waits_for ?? [];
  if (taskids.length === 0) return '';
  return `${taskids.length === 1 ? 'task' : 'tasks'} ${taskids.join(', ')}`;
}
