// Submission of cells as tasks: puts the magic on top of them and loads it into the kernel.

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { NotebookActions } from '@jupyterlab/notebook';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';

import { addMagic } from './cell-magic';

// if it is loaded already, it prints so; this request has no output
const LOAD = '%load_ext taskfc_ext';

/** Put `%%task` on top of the selected code cells, unless it is there, and run them. */
export async function submitCells(panel: NotebookPanel): Promise<void> {
  const { content: notebook, sessionContext } = panel;
  const kernel = sessionContext.session?.kernel;
  if (!kernel) return refuse('This notebook has no kernel. Start one, and submit the cell again.');
  const cells = notebook.widgets.filter(cell => notebook.isSelectedOrActive(cell) && cell.model.type === 'code');
  if (cells.length === 0) return refuse('No code cell is selected.');
  if (sessionContext.kernelDisplayName && !(await isPython(kernel))) {
    return refuse('Only Python cells can be tasks, and the kernel of this notebook runs another language.');
  }
  for (const { model } of cells) {
    const source = addMagic(model.sharedModel.getSource());
    if (source !== model.sharedModel.getSource()) model.sharedModel.setSource(source);
  }
  // sent before the cells without waiting, so that a busy kernel handles both in this order
  const loading = load(kernel);
  void NotebookActions.runCells(notebook, cells, sessionContext);
  const problem = await loading;
  if (problem) await refuse(problem);
}

async function isPython(kernel: Kernel.IKernelConnection): Promise<boolean> {
  const info = await kernel.info;
  return info.language_info.name === 'python';
}

/** Load the magics; return a message for users if that fails. */
async function load(kernel: Kernel.IKernelConnection): Promise<string> {
  const request = { code: LOAD, silent: true, store_history: false, stop_on_error: false };
  const reply: KernelMessage.IExecuteReplyMsg | undefined = await kernel.requestExecute(request).done;
  const content = reply?.content;
  if (content?.status !== 'error') return '';
  return `The kernel cannot load taskfc_ext: ${content.ename}: ${content.evalue}. Install taskfc-ext into its environment.`;
}

async function refuse(body: string): Promise<void> {
  await showDialog({ title: 'Not submitted', body, buttons: [Dialog.okButton()] });
}
