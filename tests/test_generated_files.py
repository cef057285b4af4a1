"""Files that scripts write from the code: a stale one fails here, and the script's message says what to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    "script",
    [
        ["scripts/write_messages.py"],
        ["scripts/write_look.py"],
        ["scripts/draw_states.py"],
        ["-m", "benchmarks.publish"],
        ["-m", "benchmarks.reliability"],
    ],
    ids=" ".join,
)
def test_a_generated_file_is_what_its_script_would_write_now(script: list[str]) -> None:
    command = [sys.executable, *script, "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (checked.returncode, checked.stderr) == (0, "")
