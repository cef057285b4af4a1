"""The memory and the GPUs of a machine, made up in a folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from taskfc_ext.drivers.machine import available_memory, visible_gpus
from taskfc_ext.drivers.memory import resident, used_together

INSTALLED = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        ("0,1", ("0", "1")),
        (" 3 , GPU-8f1a ", ("3", "GPU-8f1a")),
        ("1,1", ("1",)),
        ("", ()),
        ("-1", ()),
        ("0,-1,2", ("0",)),
        ("NoDevFiles", ()),
    ],
)
def test_the_visible_devices_are_those_of_the_environment(value, gpus, tmp_path):
    tmp_path.joinpath("dev").mkdir()
    tmp_path.joinpath("dev", "nvidia0").touch()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": value}, tmp_path) == gpus


def test_devices_are_found_by_the_driver_or_by_their_files(tmp_path):
    assert visible_gpus({}, tmp_path) == ()
    tmp_path.joinpath("dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        tmp_path.joinpath("dev", name).touch()
    assert visible_gpus({}, tmp_path) == ("0", "1")
    tmp_path.joinpath("proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert visible_gpus({}, tmp_path) == ("0",)


def test_the_memory_is_what_the_control_groups_allow(tmp_path):
    assert available_memory("0::/a/b\n", tmp_path) == INSTALLED
    tmp_path.joinpath("a", "b").mkdir(parents=True)
    tmp_path.joinpath("a", "memory.max").write_text("12345678\n")
    tmp_path.joinpath("a", "b", "memory.max").write_text("max\n")
    assert available_memory("0::/a/b\n", tmp_path) == 12345678
    tmp_path.joinpath("memory", "a").mkdir(parents=True)
    tmp_path.joinpath("memory", "a", "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert available_memory("4:memory:/a\n", tmp_path) == INSTALLED


def test_memory_that_processes_share_counts_once():
    program = (
        "import os, sys; block = b'x' * 50_000_000; child = os.fork(); "
        "child and print(child, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        pids = (process.pid, child)
        assert sum(map(resident, pids)) > 100_000_000
        assert 50_000_000 < used_together(pids, limit=80_000_000) < 90_000_000
        assert used_together(pids, limit=10**9) > 100_000_000  # not exactly, as it is below the limit
        assert used_together([2**22 + 1], limit=0) == 0
