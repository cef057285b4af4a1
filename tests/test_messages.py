"""The messages of queue views are the same in TypeScript as in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_typescript_messages_are_what_the_structs_say() -> None:
    command = [sys.executable, ROOT / "scripts" / "write_messages.py", "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (checked.returncode, checked.stderr) == (0, "")
