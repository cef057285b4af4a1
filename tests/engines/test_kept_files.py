"""`KeptFiles`: those used last stay, and no descriptor is left."""

from __future__ import annotations

import os

import pytest

from taskfc_ext.engines.kept_files import KeptFiles


@pytest.fixture
def kept(tmp_path):
    n_open = len(os.listdir("/proc/self/fd"))
    kept = KeptFiles(limit=100)
    for name in "abc":
        with open(tmp_path / name, "wb") as file:
            file.write(name.encode())
    yield kept
    kept.clear()
    assert len(os.listdir("/proc/self/fd")) == n_open


def keep(kept, path, size):
    with open(path, "rb") as file:
        kept.keep(("farm", path.name), file.fileno(), size)


def content(kept, name, farm="farm"):
    descriptor = kept.find((farm, name))
    if descriptor is None:
        return None
    try:
        return os.pread(descriptor, 10, 0)
    finally:
        os.close(descriptor)


def test_what_was_used_last_is_kept(kept, tmp_path):
    keep(kept, tmp_path / "a", 60)
    keep(kept, tmp_path / "b", 40)
    assert content(kept, "a") == b"a"
    keep(kept, tmp_path / "c", 30)
    assert [content(kept, name) for name in "abc"] == [b"a", None, b"c"]
    assert content(kept, "a", farm="another") is None


def test_one_that_is_larger_than_all_is_kept_alone(kept, tmp_path):
    keep(kept, tmp_path / "a", 60)
    keep(kept, tmp_path / "b", 1000)
    keep(kept, tmp_path / "b", 1000)
    assert [content(kept, name) for name in "ab"] == [None, b"b"]
