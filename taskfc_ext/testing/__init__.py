"""Test helpers, for users' tests too: a farm without processes, with the real controller and workers in threads."""

from __future__ import annotations

from taskfc_ext.testing.controller import Rule as Rule
from taskfc_ext.testing.farm import FakeFarm as FakeFarm

__all__ = ["FakeFarm", "Rule"]
