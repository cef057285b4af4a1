// Validation of the input of dialogs. Pure.

import { FARM_NAME, MAX_WORKERS } from '../link/messages';
import { formatCount } from '../queue/format';

const NAME = new RegExp(`^${FARM_NAME}$`);

/** Larger numbers need a confirmation: they are probably typing errors. */
const MANY_WORKERS = 64;

/** Return the problem with a farm's name; empty if it is valid. */
export function checkName(name: string): string {
  return NAME.test(name) ? '' : 'Use up to 64 letters, digits and . _ -, without a dot at the beginning.';
}

/** Return the problem with a number of workers; empty if it is valid. */
export function checkWorkers(n: number): string {
  const isValid = Number.isInteger(n) && n >= 0 && n <= MAX_WORKERS;
  return isValid ? '' : `Enter a whole number from 0 to ${formatCount(MAX_WORKERS)}.`;
}

/** Whether `n` workers need a confirmation, if there are `now`. */
export function isManyWorkers(n: number, now: number): boolean {
  return n > MANY_WORKERS && n > now;
}
