"""`TABLE`: all settings that are restored after a task or sent with it. `docs/settings.md` has the same list."""

from __future__ import annotations

from taskfc_ext.settings.charts import CHARTS
from taskfc_ext.settings.interpreter import INTERPRETER
from taskfc_ext.settings.numeric import NUMERIC
from taskfc_ext.settings.process import PROCESS
from taskfc_ext.settings.setting import Setting
from taskfc_ext.settings.standard import STANDARD

TABLE: tuple[Setting, ...] = (*INTERPRETER, *PROCESS, *STANDARD, *NUMERIC, *CHARTS)
"""In the order of restoring: `builtins`, which all code needs, first."""
