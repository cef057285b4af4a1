"""Comparison of portraits, texts and pictures: the first difference in words, or nothing. Pure."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from itertools import zip_longest
from typing import Any

import numpy as np

from tests.same.portrait import MAY_LACK, without_addresses

RELATIVE = 1e-7
"""Sums may be taken in another order on a machine that shares its cores."""

PIXELS = 0.005
"""The share of a picture's pixels that may differ: letters are drawn on half pixels."""

_NOISE = (
    (re.compile(r"\b(CPU times|Wall time): .*"), r"\1"),
    (re.compile(r"\S*ipykernel_\d+/\d+\.py|<ipython-input-[^>]*>|\S*<task \d+>"), "<cell>"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:[mµμun]?s|min)\b(?: ± \S+ \S+)?"), "N s"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "HH:MM:SS"),
    (re.compile(r"/tmp/same\w+"), "FOLDER"),
)


def difference(here: Any, there: Any, where: str = "") -> str:
    """Return where two portraits differ first, and in what; empty if they are equal."""
    if isinstance(here, np.ndarray) or isinstance(there, np.ndarray):
        return _join(where, _arrays(here, there))
    if isinstance(here, tuple) and isinstance(there, tuple):
        if here[:1] == ("pixels",) == there[:1]:
            return _join(where, _pixels(here[1], there[1]))
        for place, (one, other) in enumerate(zip_longest(here, there, fillvalue="(nothing)")):
            inner = here[0] if place and here and isinstance(here[0], str) else ""
            name = f"{where}.{inner}" if inner and inner not in ("list", "tuple", "dict", "object") else where
            if found := difference(one, other, name):
                return found
        return ""
    if isinstance(here, dict) and isinstance(there, dict):
        return _attributes(here, there, where)
    if isinstance(here, float) and isinstance(there, float):
        is_equal = math.isclose(here, there, rel_tol=RELATIVE, abs_tol=1e-12) or (here != here and there != there)
        return "" if is_equal else _join(where, f"{here!r} here, {there!r} there")
    if isinstance(here, str) and isinstance(there, str):
        is_equal = plain(here) == plain(there)
    else:
        is_equal = type(here) is type(there) and here == there
    return "" if is_equal else _join(where, f"{_short(here)} here, {_short(there)} there")


def _attributes(here: dict[str, Any], there: dict[str, Any], where: str) -> str:
    for name in {**here, **there}:
        if name in here and name in there:
            if found := difference(here[name], there[name], f"{where}.{name.removeprefix(MAY_LACK)}"):
                return found
        elif not name.startswith(MAY_LACK):
            return _join(where, f"{name} is {'here' if name in here else 'there'} only")
    return ""


def _join(where: str, what: str) -> str:
    return f"{where.strip('.')}: {what}".removeprefix(": ") if what else ""


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _arrays(here: Any, there: Any) -> str:
    if type(here) is not type(there) or here.dtype != there.dtype or here.shape != there.shape:
        return f"{_form(here)} here, {_form(there)} there"
    if here.dtype.kind in "fc":
        is_equal = np.allclose(here, there, rtol=RELATIVE, atol=1e-12, equal_nan=True)
    elif here.dtype.kind in "mM":
        is_equal = bool((here.astype(np.int64) == there.astype(np.int64)).all())
    else:
        is_equal = bool(np.array_equal(here, there))
    if is_equal:
        return ""
    n_different = int((here != there).sum())
    return f"{n_different} of {here.size} numbers differ" if here.size else "empty"


def _form(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else _short(value)


def _pixels(here: np.ndarray, there: np.ndarray) -> str:
    if here.shape != there.shape:
        return "a picture of {} x {} here, of {} x {} there".format(*here.shape[1::-1], *there.shape[1::-1])
    share = float((np.abs(here - there).max(axis=-1) > 0.1).mean())
    return "" if share <= PIXELS else f"{share:.1%} of the picture differ"


def plain(text: str) -> str:
    """Return a text without what is another with each run: addresses, file names of cells, times, folders."""
    for pattern, instead in _NOISE:
        text = pattern.sub(instead, text)
    return without_addresses(text)


def text_difference(here: str, there: str) -> str:
    """Return the first line in which two texts differ; empty if they are equal but for what changes with each run."""
    lines = zip_longest(plain(here).rstrip().splitlines(), plain(there).rstrip().splitlines(), fillvalue="(nothing)")
    for one, other in lines:
        if one.rstrip() != other.rstrip():
            return f"{_short(one)} here, {_short(other)} there"
    return ""


def shown_difference(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Return in what two outputs, contents by MIME type, differ as they are shown.

    A text beside richer forms, which front ends show only where they know none of these, may be there alone.
    """
    if here and "text/plain" not in here:
        there = {mime: content for mime, content in there.items() if mime != "text/plain"}
    if set(here) != set(there):
        return f"{', '.join(sorted(here))} here, {', '.join(sorted(there)) or 'nothing'} there"
    for mime, content in here.items():
        other = there[mime]
        if mime == "image/png":
            found = _pixels(_decode(content), _decode(other))
        elif isinstance(content, str) and isinstance(other, str):
            found = text_difference(stable(content), stable(other))
        elif isinstance(content, dict) and isinstance(other, dict):
            found = text_difference(stable(_json(content)), stable(_json(other)))
        else:
            found = difference(content, other)
        if found:
            return f"{mime}: {found}"
    return ""


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, indent=0)  # a value a line, so that a difference names it


def stable(text: str) -> str:
    """Return HTML without the ids that charts and tables make for each showing."""
    return re.sub(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f-]{8,}|\bid-\d+|\bT_\w{5,}", "ID", text)


def _decode(content: str) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(base64.b64decode(content)), format="png"))
