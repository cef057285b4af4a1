"""User code as mypy sees it: values have the types of their functions, wrong arguments are refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("typed_page.py")


def test_a_page_of_user_code_has_types() -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        str(PAGE),
    ]  # with the cache of `make lint`
    found = subprocess.run(command, cwd=PAGE.parent.parent, capture_output=True, text=True, check=False)
    errors = {int(line) for line in re.findall(r"typed_page\.py:(\d+): error", found.stdout)}
    wrong = {number for number, line in enumerate(PAGE.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert errors == wrong, found.stdout + found.stderr
