// What a card advises beside its buttons, of a task and of a group alike.

import { formatTime } from '../queue/format';

/** A line, and what to type at its end. */
export type Advice = readonly [] | readonly [string] | readonly [string, string];

/** A widget needs this long to come back after a reload, if its kernel still runs. */
export const KERNEL_BACK_AFTER_MS = 4000;

/** Return what to type to start a farm. */
export function startLine(farm: string): string {
  return farm === 'default' ? '%task start' : `%task start --name ${farm}`;
}

/** Return the time of a saved form, in a sentence. `asOf`: wall-clock seconds. */
export function momentOf(asOf: number): string {
  return formatTime(asOf, Date.now() / 1000);
}

/** Return the advice on a card that nothing keeps true any more. `typed`: the line that shows what it is of now. */
export function adviceOnStale(asOf: number, typed: string): Advice {
  return [`This card is of ${momentOf(asOf)}, and its kernel has ended. Type %load_ext taskfc_ext, then`, typed];
}
