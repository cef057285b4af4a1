// The lines of a cell that are the magics': `%%task` on top, `%task`. Pure.

const MAGIC = '%%task';

/** Whether a cell begins with the magic, possibly after blank lines. */
export function isTask(source: string): boolean {
  return /^\s*%%task(\s|$)/.test(source);
}

/** Put the magic on top of a cell, unless it is there. */
export function addMagic(source: string): string {
  return isTask(source) ? source : `${MAGIC}\n${source}`;
}

/** Whether a line of a cell is one of `%task` or `%%task`, also one that a `\` continues: our words complete it. */
export function isMagicLine(lines: readonly string[], at: number): boolean {
  const before = lines.slice(0, at);
  let line = lines[at] ?? '';
  while (before.at(-1)?.trimEnd().endsWith('\\')) line = before.pop() ?? '';
  if (/^\s*(?:[\w.,[\] ]*=\s*)?%task(\s|$)/.test(line)) return true;
  return /^%%task(\s|$)/.test(line) && before.every(each => each.trim() === '');
}
