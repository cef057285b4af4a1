"""Settings of a process, such as the recursion limit, warning filters and pandas' options.

The table of settings, `TABLE`, serves two purposes. Changes by a task are undone at its end
(`worker.context.settings`), and settings of the notebook are sent with its tasks (`travel`). They apply in the main
thread of a task.
"""

from __future__ import annotations

from taskfc_ext.settings.setting import CannotRestore, Entries, Items, Setting, Value
from taskfc_ext.settings.table import TABLE
from taskfc_ext.settings.travel import register, unregister

__all__ = ["TABLE", "CannotRestore", "Entries", "Items", "Setting", "Value", "register", "unregister"]
