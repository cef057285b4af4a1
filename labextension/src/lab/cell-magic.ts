// The source of a cell as a task: `%%task` on top. Pure.

const MAGIC = '%%task';

/** Whether a cell begins with the magic, possibly after blank lines. */
export function isTask(source: string): boolean {
  return /^\s*%%task(\s|$)/.test(source);
}

/** Put the magic on top of a cell, unless it is there. */
export function addMagic(source: string): string {
  return isTask(source) ? source : `${MAGIC}\n${source}`;
}
