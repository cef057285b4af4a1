"""Figures drawn by a task, displayed at its end as a notebook does at the end of a cell."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, MutableMapping

BACKEND = "module://matplotlib_inline.backend_inline"
"""matplotlib's backend in notebooks: figures become displays, and no screen is needed."""

INLINE = "matplotlib_inline.backend_inline"
"""Module of that backend; until it is imported there are no figures to display."""


PLOTLY = "plotly_mimetype"
"""plotly's renderer for kernels. Other renderers add plotly's source, 5 MB, to each figure."""

_PLOTLY_FRONT_ENDS = (
    "COLAB_NOTEBOOK_ID",
    "AZURE_NOTEBOOKS_HOST",
    "VSCODE_PID",
    "NTERACT_EXE",
    "COCALC_PROJECT_ID",
    "DATABRICKS_RUNTIME_VERSION",
)
"""Variables by which plotly detects front ends that need another renderer; it also checks for Kaggle's folder."""
_KAGGLE = "/kaggle/input"


def choose_backend(environ: MutableMapping[str, str] = os.environ) -> None:
    """Select the notebook's backends of matplotlib and plotly, unless the user has selected others."""
    environ.setdefault("MPLBACKEND", BACKEND)
    if not any(name in environ for name in _PLOTLY_FRONT_ENDS) and not os.path.exists(_KAGGLE):
        environ.setdefault("PLOTLY_RENDERER", PLOTLY)


def draw_as_in_a_notebook(environ: Mapping[str, str] = os.environ) -> None:
    """Make matplotlib, which was just imported, interactive, as its inline backend does when that is loaded.

    This makes it the worker's own setting, not a change by the task that happens to load the backend.
    """
    if environ.get("MPLBACKEND") == BACKEND:
        sys.modules["matplotlib"].interactive(True)


def show_figures() -> None:
    """Display and close the figures that were not shown yet. Errors are printed: they must not cost the task its value.

    Costs almost nothing without figures.
    """
    inline = sys.modules.get(INLINE)
    if inline is None:
        return
    try:
        inline.flush_figures()
    except Exception:  # noqa: BLE001  the figure is drawn only now, which may raise anything
        traceback.print_exc()
