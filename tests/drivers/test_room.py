"""The room on a disk, also on that of a folder which is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskfc_ext.drivers.room import free_bytes, total_bytes


@pytest.mark.parametrize("missing", ["a", "a/b/c"])
def test_a_missing_folder_has_the_room_of_the_disk_on_which_it_would_be_made(tmp_path: Path, missing: str) -> None:
    assert total_bytes(tmp_path / missing) == total_bytes(tmp_path) > 0
    assert free_bytes(tmp_path / missing) > 0


def test_what_no_folder_can_be_made_in_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert (free_bytes(tmp_path / "file" / "a"), total_bytes(tmp_path / "file" / "a")) == (0, 0)
