// Where a task is from, as JupyterLab finds it. Pure.

/**
 * Return the paths, below the server's folder, that the notebook `owner` may have there, the likeliest first.
 *
 * @param owner what a task says: a path in the file system, or something that is none.
 * @param root the server's folder; `~/...` where it is below the home, whose path no page knows.
 */
export function notebookPaths(owner: string, root: string): string[] {
  if (!owner.startsWith('/') || !owner.endsWith('.ipynb')) return [];
  const folder = root.replace(/\/+$/, '');
  if (folder === '~') return below(owner, '');
  if (folder.startsWith('~/')) return below(owner, folder.slice(1));
  return owner.startsWith(`${folder}/`) ? [owner.slice(folder.length + 1)] : [];
}

/** Return what follows `middle` and a slash, for each place where `middle` ends a folder's path. */
function below(owner: string, middle: string): string[] {
  const found = [];
  for (let at = owner.indexOf(`${middle}/`, 1); at > 0; at = owner.indexOf(`${middle}/`, at + 1)) {
    found.push(owner.slice(at + middle.length + 1));
  }
  return found;
}

/** Whether a card's HTML is that of a task. */
export function isCardOf(html: string, farm: string, taskid: number): boolean {
  const [head = ''] = /<div class="taskfc-card[^>]*>/.exec(html) ?? [];
  return head.includes(`data-task="${taskid}"`) && head.includes(`data-farm="${farm}"`);
}
