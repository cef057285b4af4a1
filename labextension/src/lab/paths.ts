// Paths of tasks' notebooks, as JupyterLab finds them, and marks of cards. Pure.

/**
 * Return the possible paths of the notebook `owner` below the server's folder, the likeliest first.
 *
 * @param owner owner of a task: a path in the file system, or another name.
 * @param root the server's folder; `~/...` if it is below the home folder, whose path the page does not know.
 */
export function notebookPaths(owner: string, root: string): string[] {
  if (!owner.startsWith('/') || !owner.endsWith('.ipynb')) return [];
  const folder = root.replace(/\/+$/, '');
  if (folder === '~') return findBelow(owner, '');
  if (folder.startsWith('~/')) return findBelow(owner, folder.slice(1));
  return owner.startsWith(`${folder}/`) ? [owner.slice(folder.length + 1)] : [];
}

/** Return the rest of the path after `middle` and a slash, for each place where it occurs. */
function findBelow(owner: string, middle: string): string[] {
  const found = [];
  for (let at = owner.indexOf(`${middle}/`, 1); at > 0; at = owner.indexOf(`${middle}/`, at + 1)) {
    found.push(owner.slice(at + middle.length + 1));
  }
  return found;
}

/** Whether this is the HTML of a task's card. */
export function isCardOf(html: string, farm: string, taskid: number): boolean {
  const [head = ''] = /<div class="taskfc-card[^>]*>/.exec(html) ?? [];
  return head.includes(`data-task="${taskid}"`) && head.includes(`data-farm="${farm}"`);
}
