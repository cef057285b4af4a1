// Completion on lines of `%task` and `%%task`: the words of the kernel alone.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICompletionProviderManager } from '@jupyterlab/completer';
import type { ICompletionContext, ICompletionProvider } from '@jupyterlab/completer';

import { isMagicLine } from './cell-magic';

// offers all tokens of the cell that begin alike, and after a space all tokens
const TOKENS_OF_THE_CELL = 'CompletionProvider:context';

/** The manager's providers by name, which its class has, and its interface not. */
type Manager = ICompletionProviderManager & { getProviders?: () => Map<string, ICompletionProvider> };

export const completion: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:completion',
  description: 'Completes lines of %task and %%task with the words of the magics alone.',
  autoStart: true,
  optional: [ICompletionProviderManager],
  activate: (app, manager: Manager | null) => {
    // not before: the provider is registered by another plugin
    void app.started.then(() => {
      const provider = manager?.getProviders?.().get(TOKENS_OF_THE_CELL);
      if (provider) keepAway(provider);
    });
  }
};

/** Have a provider say that it does not apply where the cursor is on a line of ours. */
function keepAway(provider: ICompletionProvider): void {
  const isApplicable = provider.isApplicable.bind(provider);
  provider.isApplicable = async context => !isOurs(context) && (await isApplicable(context));
}

function isOurs({ editor }: ICompletionContext): boolean {
  if (!editor) return false;
  return isMagicLine(editor.model.sharedModel.getSource().split('\n'), editor.getCursorPosition().line);
}
