"""The look of cards, as styles of their elements: of the saved HTML, and of the cards that a page draws live.

A saved card has no style sheet, so each element has its style. `scripts/write_look.py` writes them in TypeScript.
"""

from __future__ import annotations

COLOURS = {
    "running": "var(--jp-brand-color1, #1976d2)",
    "succeeded": "var(--jp-success-color1, #388e3c)",
    "failed": "var(--jp-error-color1, #d32f2f)",
    "aborted": "var(--jp-warn-color1, #f57c00)",
    "stopping": "var(--jp-warn-color1, #f57c00)",
}
"""The colour of each state that has one."""

ERROR = COLOURS["failed"]
REASON = f"color: {ERROR}; overflow-wrap: anywhere"
"""The line of a failure."""

PATH = "var(--jp-ui-font-color2, #616161)"
NUMBER = "var(--jp-mirror-editor-number-color, #080)"
"""The colours of a traceback."""

FAINT = "color: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #757575))"

# exported notebooks have no font of their own for these blocks
_MONOSPACE = "font-family: var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"
_BLOCK = f"margin: 4px 0 0 0; white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; {_MONOSPACE}"

BLOCK = f"{_BLOCK}; max-height: 24em; overflow: auto"
PRINTED = f"{BLOCK}; padding-left: 8px; border-left: 2px solid var(--jp-border-color1, #bdbdbd)"
FROM_ITS_END = f"{_BLOCK}; display: flex; flex-direction: column-reverse; max-height: 24em; overflow: auto"
"""Blocks of text; the last one is scrolled to its end."""

# borders keep the colours of the theme in print, where backgrounds are left out
TROUGH = "margin: 4px 0; max-width: 24em; border: 1px solid var(--jp-border-color1, #bdbdbd)"
PART = "height: 0; border-top: 6px solid"
FILLED = f"{PART} {COLOURS['running']}"
"""The bar of a progress, a part of it without its colour, and its filled part."""

OUTPUT_LINES = 10
"""Lines of the output that a card shows: the last ones."""

DROPPED = " characters were dropped ...\n"
"""The end of the line that a worker puts into the middle of too long an output."""
