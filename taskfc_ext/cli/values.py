"""Parsers of the values that arguments of `taskfc` take. Pure but for the check of a farm's name.

Each raises an `argparse.ArgumentTypeError` for a text that it does not understand; its message is shown.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable


def farm_name(word: str) -> str:
    """Return `word` if it can be the name of a farm."""
    from taskfc_ext.drivers.paths import farm_paths

    try:
        farm_paths(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`."""

    def parse(word: str) -> int:
        if not re.fullmatch(r"-?\d{1,9}", word, re.ASCII) or not least <= int(word) <= most:
            raise argparse.ArgumentTypeError(f"{word!r} is not a number from {least} to {most}")
        return int(word)

    return parse


def seconds(word: str) -> float:
    """Return a number of seconds from 0."""
    if not re.fullmatch(r"\d{1,8}(\.\d*)?|\.\d+", word, re.ASCII):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of seconds from 0")
    return float(word)


def worker_property(word: str) -> tuple[str, object]:
    """Return the name and the value of a worker's property: `gpu=true`, `rack=7`, `site=north`."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"takes NAME=VALUE, such as gpu=true, not {word!r}")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
