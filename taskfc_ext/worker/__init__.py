"""The process that runs tasks: one attempt at a time in its main thread.

Inside a task, `taskfc_ext.worker.properties` is what `depend` functions look at on this worker.
"""

from __future__ import annotations

from taskfc_ext.worker.property_dict import Properties

properties = Properties()
"""This worker's properties; changing one lets tasks that this worker refused be offered again."""

__all__ = ["Properties", "properties"]
