"""Run tests of farms on this machine a second time, with each farm on a real Dask cluster: `make engines`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.conftest import ENGINE
from tests.engines.clusters import dask_cluster

TESTS = ("tests/system", "tests/client", "tests/ipython", "tests/test_cli.py")


def main() -> int:
    """Run pytest with the arguments of the command line; without any, with `TESTS`. Return its exit code."""
    return run(sys.argv[1:] or TESTS).returncode


def run(arguments: Sequence[str], *, is_captured: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pytest on a cluster of its own."""
    with dask_cluster(n_workers=2, has_nannies=True) as cluster:
        print(f"a Dask cluster runs at {cluster.url}", flush=True)
        command = [sys.executable, "-m", "pytest", *arguments]
        environ = {**os.environ, ENGINE: cluster.url}
        return subprocess.run(command, env=environ, capture_output=is_captured, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
