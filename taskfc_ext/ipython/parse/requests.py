"""Requests: lines of `%task` and `%%task` as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskfc_ext.view.engine_words import Amounts
from taskfc_ext.view.selection import Selection


class BadUsage(ValueError):
    """A line that cannot be understood or carried out. The text is one line and names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """`%%task`: run a cell as a task, or on every worker.

    Attributes:
        ship: exactly these names are sent; `None`: the names that the cell uses.
        memory: in bytes.
        replace: abort the unfinished task of this cell; `beside`: leave it.
        reuse: take the result of a finished task that is the same.
        is_cell: false for an expression, which has no options.
    """

    name: str | None = None
    ship: tuple[str, ...] | None = None
    out: tuple[str, ...] = ()
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    backoff: float | None = None
    recover: str | None = None
    after: Selection = ()
    depend: str | None = None
    timeout: float | None = None
    seed: int | None = None
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    resources: Mapping[str, int] | None = None
    priority: int = 0
    on_lost: str = "retry"
    keep: bool = False
    clear_before: bool = False
    clear_after: bool = False
    wait: bool = False
    everywhere: bool = False
    dry_run: bool = False
    replace: bool = False
    beside: bool = False
    reuse: bool = False
    is_cell: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """Run an expression as a task."""

    expression: str


@dataclass(frozen=True, slots=True)
class Map:
    """Run an expression as a task for each item of its `for` clauses."""

    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Show the queue and the newest tasks of this notebook, or of everybody."""

    tasks: Selection = ()
    all: bool = False


@dataclass(frozen=True, slots=True)
class Widget:
    """Show the live queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Wait for tasks and return their values."""

    tasks: Selection
    all: bool = False
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Show the cards of tasks."""

    tasks: Selection
    all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Wait for tasks and bind the names that came back; if `out` is not empty, only these."""

    tasks: Selection
    all: bool = False
    out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait until these tasks have ended, or all unfinished tasks of this notebook, or of everybody."""

    tasks: Selection = ()
    all: bool = False
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Abort tasks."""

    tasks: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Run finished tasks again, as new ones."""

    tasks: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Debug:
    """Run a task again in the notebook's process, and enter the debugger where it raises."""

    tasks: Selection
    no_debugger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hold queued tasks back from the workers."""

    tasks: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Release held tasks."""

    tasks: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Give tasks another priority."""

    tasks: Selection
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """Delete these finished tasks, or all of this notebook, or of everybody."""

    tasks: Selection = ()
    all: bool = False


@dataclass(frozen=True, slots=True)
class Spin:
    """Check again which tasks can run now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Print what tasks have printed."""

    tasks: Selection
    all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Return these tasks, or the newest of this notebook, or of everybody, as a table."""

    tasks: Selection = ()
    all: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Workers:
    """List the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a farm, or attach to the running farm of that name."""

    n: int | None = None
    name: str | None = None
    fresh: bool = False
    store: str | None = None
    keep_days: float | None = None
    keep_bytes: int | None = None
    idle_stop: float | None = None
    durability: str | None = None
    on: str | None = None
    resources: Amounts = ()
    idle: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Set the number of workers."""

    n: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the farm; unfinished tasks stay in its store, if that is on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Stop the farm and start it again; its tasks stay."""

    n: int | None = None
    on: str | None = None
    resources: Amounts = ()
    idle: float | None = None


@dataclass(frozen=True, slots=True)
class List:
    """List the farms of this user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Use another farm from now on."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """Explain `%task`, or one verb."""

    verb: str | None = None


Request = (
    Run
    | Map
    | Status
    | Result
    | Show
    | Pull
    | Wait
    | Abort
    | Retry
    | Debug
    | Hold
    | Release
    | Move
    | Clear
    | Spin
    | Log
    | History
    | Widget
    | Workers
    | Start
    | Scale
    | Stop
    | Restart
    | List
    | Use
    | Help
)
