// The look of cards. Written by scripts/write_look.py from taskfc_ext/ipython/cards/look.py: change it there, and run
// the script.

export const COLOURS: Readonly<Record<string, string>> = {
  'running': 'var(--jp-brand-color1, #1976d2)',
  'succeeded': 'var(--jp-success-color1, #388e3c)',
  'failed': 'var(--jp-error-color1, #d32f2f)',
  'aborted': 'var(--jp-warn-color1, #f57c00)',
  'stopping': 'var(--jp-warn-color1, #f57c00)'
};

export const ERROR = 'var(--jp-error-color1, #d32f2f)';

export const REASON = 'color: var(--jp-error-color1, #d32f2f); overflow-wrap: anywhere';

export const PATH = 'var(--jp-ui-font-color2, #616161)';

export const NUMBER = 'var(--jp-mirror-editor-number-color, #080)';

export const FAINT = 'color: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #757575))';

export const BLOCK = 'margin: 4px 0 0 0; white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; font-family: var(--jp-code-font-family, var(--vscode-editor-font-family, monospace)); max-height: 24em; overflow: auto';

export const PRINTED = 'margin: 4px 0 0 0; white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; font-family: var(--jp-code-font-family, var(--vscode-editor-font-family, monospace)); max-height: 24em; overflow: auto; padding-left: 8px; border-left: 2px solid var(--jp-border-color1, #bdbdbd)';

export const FROM_ITS_END = 'margin: 4px 0 0 0; white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; font-family: var(--jp-code-font-family, var(--vscode-editor-font-family, monospace)); display: flex; flex-direction: column-reverse; max-height: 24em; overflow: auto';

export const TROUGH = 'margin: 4px 0; max-width: 24em; border: 1px solid var(--jp-border-color1, #bdbdbd)';

export const PART = 'height: 0; border-top: 6px solid';

export const FILLED = 'height: 0; border-top: 6px solid var(--jp-brand-color1, #1976d2)';

export const OUTPUT_LINES = 10;

export const DROPPED = ' characters were dropped ...\n';

export const ICONS: Readonly<Record<string, string>> = {
  'waiting': '◌',
  'scheduled': '○',
  'running': '▶',
  'stopping': '◼',
  'succeeded': '✔',
  'failed': '✘',
  'aborted': '⊘'
};
