"""Run tests of farms on this machine a second time, with each farm on a real Dask cluster: `make engines`."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ENGINE
from tests.engines.clusters import dask_cluster

TESTS = ("tests/system", "tests/client", "tests/ipython", "tests/test_cli.py")


def main() -> int:
    """Run pytest with the given arguments; without any, with `TESTS`. Return its exit code."""
    with dask_cluster(n_workers=2, has_nannies=True) as cluster:
        print(f"a Dask cluster runs at {cluster.url}", flush=True)
        command = [sys.executable, "-m", "pytest", *(sys.argv[1:] or TESTS)]
        return subprocess.run(command, env={**os.environ, ENGINE: cluster.url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
