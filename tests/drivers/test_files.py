"""Tests of the operations on small files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from taskfc_ext.drivers.files import bytes_in, replace_file


def test_what_a_process_of_the_same_id_has_left_is_not_written_to(tmp_path):
    path, left = tmp_path / "options", tmp_path / f".options.{os.getpid()}"
    left.write_bytes(b"half")
    left.chmod(0o644)
    with left.open("rb") as reader:
        replace_file(path, b"whole")
        assert reader.read() == b"half"
    assert path.read_bytes() == b"whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(bytes(1000))
    (tmp_path / "below" / "other").write_bytes(bytes(10))
    os.link(tmp_path / "one", tmp_path / "below" / "again")
    assert bytes_in(tmp_path) == 1010
