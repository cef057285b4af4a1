// What may be typed into the dialogs, and what is wrong with the rest. Pure.

import { formatCount } from './queue/format';
import { FARM_NAME, MAX_WORKERS } from './queue/messages';

const NAME = new RegExp(`^${FARM_NAME}$`);

/** More than this are asked about: most likely it is a slip of the finger. */
const MANY_WORKERS = 64;

/** What is wrong with a name for a farm; empty: nothing. */
export function problemOfName(name: string): string {
  return NAME.test(name) ? '' : 'A name has up to 64 letters, digits and . _ - and does not begin with a dot.';
}

/** What is wrong with a number of workers; empty: nothing. */
export function problemOfWorkers(n: number): string {
  const isOne = Number.isInteger(n) && n >= 0 && n <= MAX_WORKERS;
  return isOne ? '' : `A whole number from 0 to ${formatCount(MAX_WORKERS)}, please.`;
}

/** Whether so many workers are to be confirmed, where there are `now`. */
export function isManyWorkers(n: number, now: number): boolean {
  return n > MANY_WORKERS && n > now;
}
