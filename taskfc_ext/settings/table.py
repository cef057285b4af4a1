"""`TABLE`: all settings that are put back after a task, or travel with it. `docs/settings.md` lists the same."""

from __future__ import annotations

from taskfc_ext.settings.charts import CHARTS
from taskfc_ext.settings.interpreter import INTERPRETER
from taskfc_ext.settings.numbers import NUMBERS
from taskfc_ext.settings.process import PROCESS
from taskfc_ext.settings.setting import Setting
from taskfc_ext.settings.standard import STANDARD

TABLE: tuple[Setting, ...] = (*INTERPRETER, *PROCESS, *STANDARD, *NUMBERS, *CHARTS)
"""In the order in which they are put back: `builtins`, which all code needs, first."""
