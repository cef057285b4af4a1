"""A farm on jobs of a batch system: dask-jobqueue with a stand-in for SLURM, whose jobs are processes here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import DEADLINE

SBATCH = """#!/bin/sh
cp "$1" "$TMPDIR/job.$$"  # it is removed as soon as this ends
setsid sh "$TMPDIR/job.$$" > "$TMPDIR/job.log" 2>&1 &
echo "Submitted batch job $!"
"""

SCANCEL = """#!/bin/sh
kill -- "-$1"
"""

SCRIPT = """
import sys
import time
from dask_jobqueue import SLURMCluster
from taskfc_ext import start

def n_jobs(cluster):
    return len(cluster.scheduler_info["workers"])

if __name__ == "__main__":
    with SLURMCluster(cores=2, processes=1, memory="1GB", interface="lo", log_directory=sys.argv[2],
                      local_directory=sys.argv[2], scheduler_options={"dashboard_address": None}) as cluster:
        if sys.argv[1] == "scale":
            cluster.scale(jobs=1)
        else:
            cluster.adapt(minimum_jobs=0, maximum_jobs=1, interval="200ms", wait_count=10)
        with start(on=cluster, idle=0.5) as farm, farm.client() as client:
            print(client.map(pow, [2, 3], [10, 10]), n_jobs(cluster))
            deadline = time.monotonic() + 60
            while sys.argv[1] == "adapt" and n_jobs(cluster) and time.monotonic() < deadline:
                time.sleep(0.1)
            print(n_jobs(cluster))
"""


@pytest.mark.parametrize(("how", "n_left"), [("scale", 1), ("adapt", 0)])
def test_jobs_run_the_tasks_and_adaptive_ones_end_when_there_are_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, n_left: int
) -> None:
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        file = tmp_path / name
        file.write_text(text)
        file.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, how, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, check=False, cwd=tmp_path)
    assert done.stdout == f"[1024, 59049] 1\n{n_left}\n", done.stderr
