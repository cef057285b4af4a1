"""A broadcast that the store keeps."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.protocol.records import Broadcasted


class KeptBroadcast(Struct):
    """A broadcast that every worker runs; `deaths`: workers that died in it."""

    record: Broadcasted
    deaths: int = 0

    def why_skipped(self, max_deaths: int) -> str:
        """Return why workers no longer run it; empty while they do."""
        if self.deaths < max_deaths:
            return ""
        return f"{self.deaths} workers died in it ({self.record.label}), so it is skipped"
