"""Types of plain values."""

from __future__ import annotations

ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})
"""Types whose values have no parts and never change."""
