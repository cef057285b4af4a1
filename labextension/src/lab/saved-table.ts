// The saved table of a queue widget, shown in place of the widget when its kernel is gone.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { CodeCell } from '@jupyterlab/cells';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { Notebook, NotebookPanel } from '@jupyterlab/notebook';
import { Panel } from '@lumino/widgets';

// class of all widgets of a page, including those that could not be shown
const WIDGET = '.jupyter-widgets';

export const keptTables: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:kept-tables',
  description: 'Shows the saved table of a queue widget when its kernel is gone.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_app, notebooks: INotebookTracker) => {
    notebooks.widgetAdded.connect((_, panel) => observe(panel));
    notebooks.forEach(observe);
  }
};

/** Check the outputs whenever a widget may have been added or have failed. */
function observe(panel: NotebookPanel): void {
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

/** Whether an element is the message about a missing widget, which has no child and no mark of its own. */
export function isLost(node: Element): boolean {
  return node.childElementCount === 0 && (node.textContent ?? '').startsWith('Error displaying widget');
}

/** Whether an output has the saved table of a queue. */
export function hasTable(data: Readonly<Record<string, unknown>> | undefined): boolean {
  const html = data?.['text/html'];
  return (Array.isArray(html) ? html.join('') : String(html ?? '')).startsWith('<div class="taskfc-plain ');
}
