// Validation of the input of dialogs. Pure.

import { formatCount } from '../queue/format';

/** As in `taskfc_ext/drivers/paths.py`: file names contain the farm's name. */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

const MOST_WORKERS = 10_000;

/** Larger numbers need a confirmation: they are probably typing errors. */
const MANY_WORKERS = 64;

/** Return the problem with a farm's name; empty if it is valid. */
export function checkName(name: string): string {
  return NAME.test(name) ? '' : 'Use up to 64 letters, digits and . _ -, without a dot at the beginning.';
}

/** Return the problem with a number of workers; empty if it is valid. */
export function checkWorkers(n: number): string {
  const isValid = Number.isInteger(n) && n >= 0 && n <= MOST_WORKERS;
  return isValid ? '' : `Enter a whole number from 0 to ${formatCount(MOST_WORKERS)}.`;
}

/** Whether `n` workers need a confirmation, if there are `now`. */
export function isManyWorkers(n: number, now: number): boolean {
  return n > MANY_WORKERS && n > now;
}
