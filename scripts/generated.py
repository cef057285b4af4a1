"""The command line of the scripts that write a file of the repository: they write it, or compare it with `--check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def write_or_check(file: Path, text: str, *, doc: str | None) -> int:
    """Write `text` to `file`, or compare the two; return 1 if the file is stale. `doc`: the help of the script."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and exit with 1 if the file is stale")
    if not parser.parse_args().check:
        file.write_text(text)
    elif not file.exists() or file.read_text() != text:
        print(f"{file.name} is stale: run python scripts/{Path(sys.argv[0]).name}", file=sys.stderr)
        return 1
    return 0
