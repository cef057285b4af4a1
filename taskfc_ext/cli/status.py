"""`taskfc status`, once or every second."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from taskfc_ext.cli.output import format_table, format_tasks, format_workers, is_terminal, plain_data, print_json
from taskfc_ext.cli.tables import STATES
from taskfc_ext.client.attach import attach_to_running
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.launch import LocalFarm, stored_options
from taskfc_ext.client.farm.silence import describe_suspension
from taskfc_ext.protocol.infos import EngineInfo, WorkerInfo
from taskfc_ext.text import plural, workers_text
from taskfc_ext.view.newest import running_and_newest
from taskfc_ext.view.store_words import describe_limits, limits_of
from taskfc_ext.view.wording import farm_caption

EVERY = 1.0
"""Seconds between two readings of the queue."""

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""To the terminal's second screen, without a cursor, and back."""


def status(arguments: argparse.Namespace) -> int:
    """Show counts and workers."""
    with attach_to_running(arguments.name) as client:
        if arguments.watch:
            _watch(client, arguments)
        elif arguments.json:
            print_json(_facts(client, arguments.name))
        else:
            print(_text(client, arguments.name))
            if options := stored_options(LocalFarm(arguments.name).paths):
                print(f"\n{describe_limits(options)}")
            if note := describe_suspension(LocalFarm(arguments.name)):
                print(f"\n{note}; until then no dead or hanging process is replaced or stopped")
            if n_repairs := client.repairs():
                log = LocalFarm(arguments.name).paths.controller_log
                print(f"\nrepaired {plural(n_repairs, 'contradiction')} in its state: please report the lines in {log}")
    return 0


def _facts(client: BlockingTaskClient, name: str) -> dict[str, object]:
    workers, engine = plain_data(client.workers()), plain_data(client.engine())
    counts = client.queue_status()
    facts = {"name": name, "state": "running", "tasks": _by_state(counts), "workers": workers, "engine": engine}
    options = stored_options(LocalFarm(name).paths)
    facts |= limits_of(options) if options else {}
    facts |= {"no_room": counts["no_room"]} if "no_room" in counts else {}
    return facts | ({"repairs": n_repairs} if (n_repairs := client.repairs()) else {})


def _text(client: BlockingTaskClient, name: str) -> str:
    return format_status(name, client.queue_status(), client.workers(), client.engine())


def format_status(name: str, counts: dict[str, Any], workers: Sequence[WorkerInfo], engine: EngineInfo | None) -> str:
    """Return a farm's counts of tasks and the list of its workers."""
    n_workers = sum(not worker.is_substitute for worker in workers)
    at_home = f"{name}: running, {workers_text(workers)}"
    parts = [at_home if engine is None else farm_caption(name, counts, n_workers, engine)]
    if "no_room" in counts:
        parts.append(str(counts["no_room"]))
    by_state = _by_state(counts)
    parts.append(format_table([[str(count) for count in by_state.values()]], list(by_state), right=range(len(STATES))))
    if workers:
        parts.append(format_workers(workers))
    return "\n\n".join(parts)


def _by_state(counts: dict[str, int]) -> dict[str, int]:
    return {state: counts["pending" if state == "running" else state] for state in STATES}


def _watch(client: BlockingTaskClient, arguments: argparse.Namespace) -> None:
    """Show the status until Ctrl-C: on the whole terminal, or else whenever it has changed."""
    has_screen = is_terminal(sys.stdout) and not arguments.json
    before: object = None
    if has_screen:
        sys.stdout.write(_ENTER)
    try:
        while True:
            now: object = _facts(client, arguments.name) if arguments.json else _text(client, arguments.name)
            if has_screen:
                _draw(client, str(now))
            elif now != before:
                if arguments.json:
                    print_json(now, indent=None)
                else:
                    print(now if before is None else f"\n{now}", flush=True)
            before = now
            time.sleep(EVERY)
    finally:
        if has_screen:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()


def _draw(client: BlockingTaskClient, text: str) -> None:
    """Draw over what the terminal shows: the status, and below it as many tasks as there is room for."""
    height = shutil.get_terminal_size().lines - 1  # the last line would scroll
    lines = text.splitlines()
    room = height - len(lines) - 2
    if room > 0:
        lines += ["", *format_tasks(running_and_newest(client, None, room)).splitlines()]
    sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in lines[:height]) + "\x1b[J")
    sys.stdout.flush()
