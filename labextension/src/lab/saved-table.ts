// The table that a queue's widget has left in a notebook, in place of the widget where its kernel is gone.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { CodeCell } from '@jupyterlab/cells';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { Notebook, NotebookPanel } from '@jupyterlab/notebook';
import { Panel } from '@lumino/widgets';

// what the widgets of a page are marked with, those as well that could not be shown
const WIDGET = '.jupyter-widgets';

export const keptTables: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:kept-tables',
  description: 'Shows the table that the widget of a queue has left, where its kernel is gone.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_app, notebooks: INotebookTracker) => {
    notebooks.widgetAdded.connect((_, panel) => follow(panel));
    notebooks.forEach(follow);
  }
};

/** Look again whenever a widget may have come, or have failed to. */
function follow(panel: NotebookPanel): void {
  const observer = new MutationObserver(changes => {
    if (changes.some(hasWidget)) showTables(panel);
  });
  observer.observe(panel.node, { subtree: true, childList: true, attributeFilter: ['class'] });
  panel.disposed.connect(() => observer.disconnect());
}

function hasWidget({ type, target, addedNodes }: MutationRecord): boolean {
  if (type === 'attributes') return (target as Element).matches(WIDGET);
  return [...addedNodes].some(node => node instanceof Element && (node.matches(WIDGET) || node.querySelector(WIDGET)));
}

function showTables({ content }: NotebookPanel): void {
  for (const cell of content.widgets) {
    if (cell.model.type === 'code') showTablesOf(cell as CodeCell, content.rendermime);
  }
}

function showTablesOf({ outputArea }: CodeCell, rendermime: Notebook['rendermime']): void {
  outputArea.widgets.forEach((child, at) => {
    const shown = [...child.children()].find(each => each instanceof Panel && each.node.matches(WIDGET));
    const output = outputArea.model.get(at);
    if (!(shown instanceof Panel) || !isLost(shown.node) || !hasTable(output?.data)) return;
    const table = rendermime.createRenderer('text/html');
    shown.node.textContent = '';
    shown.removeClass(WIDGET.slice(1));
    shown.addWidget(table);
    void table.renderModel(output);
  });
}

/** Whether an element says that there is no such widget: it has no child then, and no other mark. */
export function isLost(node: Element): boolean {
  return node.childElementCount === 0 && (node.textContent ?? '').startsWith('Error displaying widget');
}

/** Whether an output has a table of ours for whoever cannot show its widget. */
export function hasTable(data: Readonly<Record<string, unknown>> | undefined): boolean {
  const html = data?.['text/html'];
  return (Array.isArray(html) ? html.join('') : String(html ?? '')).startsWith('<div class="taskfc-plain ');
}
