"""Figures that a task has drawn, shown at its end as a notebook shows them at the end of a cell."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, MutableMapping

BACKEND = "module://matplotlib_inline.backend_inline"
"""What notebooks use: figures become displays, and no screen is needed."""

INLINE = "matplotlib_inline.backend_inline"
"""There is nothing to show while this is not imported."""


PLOTLY = "plotly_mimetype"
"""The form in which plotly shows a figure in a kernel. Elsewhere it adds its own source, of 5 MB, to each."""

_PLOTLY_KNOWS = (
    "COLAB_NOTEBOOK_ID",
    "AZURE_NOTEBOOKS_HOST",
    "VSCODE_PID",
    "NTERACT_EXE",
    "COCALC_PROJECT_ID",
    "DATABRICKS_RUNTIME_VERSION",
)
"""Variables by which plotly knows front ends that need another form; it looks for Kaggle's folder, too."""
_KAGGLE = "/kaggle/input"


def choose_backend(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let matplotlib and plotly, if ever imported, draw as in a notebook, unless the user has chosen otherwise."""
    environ.setdefault("MPLBACKEND", BACKEND)
    if not any(name in environ for name in _PLOTLY_KNOWS) and not os.path.exists(_KAGGLE):
        environ.setdefault("PLOTLY_RENDERER", PLOTLY)


def draw_as_in_a_notebook(environ: Mapping[str, str] = os.environ) -> None:
    """Let matplotlib, which was just imported, note what is drawn, as its inline backend does once that is loaded.

    So it is the worker's own setting, to which each task comes back, and no change of the task that loads the backend.
    """
    if environ.get("MPLBACKEND") == BACKEND:
        sys.modules["matplotlib"].interactive(True)


def show_figures() -> None:
    """Display what has been drawn and was not shown, and close it. What goes wrong is printed: the value matters more.

    Next to nothing where no figures were made.
    """
    inline = sys.modules.get(INLINE)
    if inline is None:
        return
    try:
        inline.flush_figures()
    except Exception:  # noqa: BLE001  what is drawn only now may be wrong in any way
        traceback.print_exc()
