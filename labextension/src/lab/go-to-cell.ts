// Navigation from a task to its cell.

import { PageConfig } from '@jupyterlab/coreutils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { INotebookTracker, Notebook, NotebookPanel } from '@jupyterlab/notebook';
import type { CodeCellModel } from '@jupyterlab/cells';

import type { ShownTask } from '../link/host';
import { isCardOf, notebookPaths } from './paths';

/**
 * Open the notebook of a task and show the cell with its card; return `false` if it is not found.
 *
 * A task keeps the path that its notebook had when the kernel started. A notebook that was renamed since is found by the
 * card, if it is open.
 */
export async function goToCell(
  documents: IDocumentManager,
  notebooks: INotebookTracker,
  task: ShownTask
): Promise<boolean> {
  const path = await findExisting(documents, notebookPaths(task.owner, PageConfig.getOption('serverRoot')));
  const widget = path === null ? undefined : documents.openOrReveal(path);
  if (isNotebookPanel(widget) && (await show(widget, task))) return true;
  const renamed = notebooks.find(panel => panel !== widget && findCell(panel.content, task) >= 0);
  if (renamed === undefined) return false;
  documents.openOrReveal(renamed.context.path);
  return show(renamed, task);
}

async function show(panel: NotebookPanel, task: ShownTask): Promise<boolean> {
  await panel.revealed;
  await panel.context.ready;
  const notebook = panel.content;
  const at = findCell(notebook, task);
  if (at < 0) return false;
  notebook.deselectAll();
  notebook.activeCellIndex = at;
  await notebook.scrollToItem(at, 'center');
  notebook.node.focus({ preventScroll: true });
  return true;
}

async function findExisting(documents: IDocumentManager, paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    if (documents.findWidget(path) !== undefined) return path;
    const found = await documents.services.contents.get(path, { content: false }).catch(() => null);
    if (found?.type === 'notebook') return path;
  }
  return null;
}

function isNotebookPanel(widget: unknown): widget is NotebookPanel {
  return (widget as NotebookPanel | undefined)?.content?.widgets !== undefined;
}

/** Return the index of the cell with the task's card. Searches the model, as cells out of view are not in the page. */
function findCell(notebook: Notebook, { farm, taskid }: ShownTask): number {
  return notebook.widgets.findIndex(({ model }) => {
    const outputs = model.type === 'code' ? (model as CodeCellModel).outputs : null;
    for (let at = 0; at < (outputs?.length ?? 0); at++) {
      const html = outputs?.get(at).data['text/html'];
      if (isCardOf(Array.isArray(html) ? html.join('') : String(html ?? ''), farm, taskid)) return true;
    }
    return false;
  });
}
