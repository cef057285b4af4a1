"""A disk that others fill: the scripts of `full_disk`, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import full_disk

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("script", full_disk.SCRIPTS, ids=lambda script: script.__name__)
def test_a_farm_goes_on_when_others_fill_its_disk(home: Path, script: object) -> None:
    command = [sys.executable, "-m", "tests.system.full_disk", script.__name__]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
