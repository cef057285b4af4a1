"""Terminals: what one shows after some output, and scripts that run in one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.processes import until


def rows_of(text: str) -> list[str]:
    """Return the rows that a terminal shows after this output, which uses but line feeds, returns and erasures."""
    rows = [""]
    column = 0
    for part in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+", text):
        if part == "\n":
            rows.append("")
            column = 0
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            rows[-1] = rows[-1][:column]
        else:
            rows[-1] = rows[-1][:column] + part + rows[-1][column + len(part) :]
            column += len(part)
    return rows


class TerminalScript:
    """A script that runs in a terminal of its own.

    Args:
        folder: its working directory.
        source: its text.
        variables: those of its environment that differ from ours.

    Attributes:
        process: it runs the script.
        text: what was read of its output.
    """

    def __init__(self, folder: Path, source: str, **variables: str) -> None:
        (folder / "script.py").write_text(source)
        self.text = ""
        self._master, slave = pty.openpty()
        path = os.pathsep.join(entry for entry in sys.path if entry)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "TERM": "xterm", **variables}
        self.process = subprocess.Popen(
            [sys.executable, "script.py"], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    def read_until(self, pattern: str) -> None:
        """Read until the output matches."""
        until(lambda: self._read() or re.search(pattern, self.text), f"{pattern} is shown")

    def read_to_end(self) -> list[str]:
        """Return the rows that the terminal shows when the script has ended, without the empty last one."""
        until(lambda: self._read() or self.process.poll() is not None, "the script ends")
        self._read()
        rows = rows_of(self.text)
        assert rows.pop() == "", "something stands where the prompt would be"
        return rows

    def close(self) -> None:
        """End the script."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> None:
        with suppress(OSError):  # there is no more now, or at all
            while data := os.read(self._master, 2**16):
                self.text += data.decode()
