"""One argument of a magic or of a command of the terminal, for `argparse`: an entry of the tables. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Argument:
    """Flags and settings, as `add_argument` takes them."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


def argument(*flags: str, help: str, **settings: Any) -> Argument:
    """Return an argument with a line of help."""
    return Argument(flags, {"help": help, **settings})


def flag(name: str, help: str, *more: str) -> Argument:
    """Return an option without a value. `more`: its other names."""
    return argument(name, *more, help=help, action="store_true")


def with_settings(one: Argument, **settings: Any) -> Argument:
    """Return `one` with other settings."""
    return Argument(one.flags, {**one.settings, **settings})
