// The text of a cell that is a task. Pure.

const MAGIC = '%%task';

/** Whether a cell begins with the magic; blank lines before it are as nothing. */
export function isTask(source: string): boolean {
  return /^\s*%%task(\s|$)/.test(source);
}

/** Return the cell with the magic on top. */
export function asTask(source: string): string {
  return isTask(source) ? source : `${MAGIC}\n${source}`;
}
