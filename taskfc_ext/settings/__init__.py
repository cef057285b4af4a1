"""Settings of a process: changed by one line anywhere, and found by all code that runs there afterwards.

One table of them, `TABLE`, serves both directions: what a task changes ends with it (`worker.settings`), and what the
notebook has set goes along with its tasks (`travel`). They apply in the main thread of a task.
"""

from __future__ import annotations

from taskfc_ext.settings.setting import CannotRestore, Entries, Items, Setting, Value
from taskfc_ext.settings.table import TABLE
from taskfc_ext.settings.travel import register, unregister

__all__ = ["TABLE", "CannotRestore", "Entries", "Items", "Setting", "Value", "register", "unregister"]
