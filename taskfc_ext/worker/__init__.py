"""The process that runs tasks: one attempt at a time in its main thread.

`taskfc_ext.worker.properties` are this worker's properties: `depend` functions get them, and tasks may change them.
"""

from __future__ import annotations

from taskfc_ext.worker.property_dict import Properties

properties = Properties()
"""This worker's properties. After a change, rejected tasks are offered to this worker again."""

__all__ = ["Properties", "properties"]
