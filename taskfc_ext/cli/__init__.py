"""The terminal: `taskfc` starts, stops and shows farms, and shows and steers tasks.

`start` and `restart` start a farm. `stop` starts a killed farm once more, without workers, to settle its store; so
does `abort` if the farm does not run. `list`, `forget` and `properties` need no running farm; all other commands do.
Answers go to stdout, as aligned tables or, with `--json`, as one JSON document. An error is one line on stderr and exit
code 1; bad usage is exit code 2, Ctrl-C 130.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from taskfc_ext.cli.output import print_error, print_note, tolerate_any_text
from taskfc_ext.cli.parser import make_parser, parse
from taskfc_ext.errors import TaskFCError

__all__ = ["main", "make_parser"]

WAITING = ("result", "log")
"""Commands that wait for tasks, which go on when the wait is ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    tolerate_any_text()
    words = sys.argv[1:] if argv is None else argv
    command = None
    try:
        if words[:1] == ["complete"]:  # by a shell, at Tab
            from taskfc_ext.cli.completion import print_candidates

            return print_candidates(words[1:])
        arguments = parse(words)
        command = arguments.command
        from taskfc_ext.cli.dispatch import carry_out  # its imports are slow, and `--help` needs none of them

        code = carry_out(arguments)
        sys.stdout.flush()  # here, since the interpreter's own flush would report that the reader has ended
        return code
    except (TaskFCError, TimeoutError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # the reader has ended (`taskfc tasks | head`); keep the last flush of the interpreter quiet
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        print_error(error)
        return 1
    except KeyboardInterrupt:
        if command in WAITING:
            print_note("the wait has ended, the tasks go on")
        return 128 + signal.SIGINT
