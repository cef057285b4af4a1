"""Pickle errors: search for the part of a value that cannot be pickled. Runs only after a failure, about as long as it.

The value is pickled once more, on trial: usually the object reduced last is at fault. A search through the parts of
the value then finds the path to it.
"""

from __future__ import annotations

import gc
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from taskfc_ext.errors import TaskFCError
from taskfc_ext.serialize.limited import LimitReached
from taskfc_ext.serialize.parts import LEAVES, Part, parts_of
from taskfc_ext.serialize.pickler import Pickler
from taskfc_ext.serialize.trial import trial
from taskfc_ext.text import encodable, with_article

_TRIAL_SECONDS = 10.0
"""Time limit of the trial. It copies nothing and skips large buffers, so it is faster than the failed pickle."""

_SEARCH_SECONDS = 0.5
_MORE_SECONDS = 1.0
"""Time limit of the search in a large value: this, or twice the time of the trial if that is longer."""

_SEARCH_NODES = 200_000
_CHUNKS = 32
"""The parts of a large container are tried in this many chunks, then the parts of the bad chunk: each about once."""

_MAX_DEPTH = 100
_MAX_STEPS = 12
"""Largest number of shown steps of a path."""

NOTE = 50
"""Characters of the note in a shortened text, at most: how much longer than its limit the text may be."""


class _Found(NamedTuple):
    """The part at fault.

    Attributes:
        path: the steps that lead to it.
        culprit: the part.
        error: the reason why it cannot be pickled.
    """

    path: tuple[str, ...]
    culprit: object
    error: Exception


def describe_first_failure(named: Iterable[tuple[str, object]], error: Exception) -> str:
    """Return the message about the first of these (name, value) pairs that cannot be pickled.

    Args:
        named: names and values.
        error: the exception from pickling all of them together.
    """
    named = list(named)
    found = _find([value for _, value in named], error, lambda: iter(named))
    if not found.path:
        found = next((_Found((what,), value, error) for what, value in named if _cannot_be_pickled(value)), found)
    if not found.path:
        return f"the arguments cannot be pickled: {text_of(error)}"
    what, *path = found.path
    return _sentence(what, found._replace(path=tuple(path)))


def describe_failure(what: str, value: object, error: Exception) -> str:
    """Return the message about the innermost part of `value` that cannot be pickled.

    Args:
        what: the name of the value in the message.
        value: the value.
        error: the exception from pickling it.
    """
    return _sentence(what, _find(value, error, lambda: parts_of(value)))


def text_of(value: object) -> str:
    """Return `str(value)`, or a substitute if the value's own code raises."""
    try:
        return encodable(value.message if isinstance(value, TaskFCError) else str(value))
    except Exception:  # noqa: BLE001  the user's __str__
        return f"<{type_name_of(type(value))} whose text cannot be shown>"


def type_name_of(kind: type) -> str:
    """Return the name of a type for messages: with its module, unless that is `builtins` or `__main__`."""
    module = getattr(kind, "__module__", "")
    known = module in ("builtins", "__main__") or not isinstance(module, str)
    return encodable(kind.__qualname__ if known else f"{module}.{kind.__qualname__}")


def describe_error(error: BaseException) -> str:
    """Return the type and the text of `error` for messages."""
    return f"{type_name_of(type(error))}: {text_of(error)}"


def shorten(text: str, limit: int) -> str:
    """Return `text` without its middle if it is longer than `limit` characters. The note comes on top."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"


def _sentence(what: str, found: _Found) -> str:
    path = _join(found.path)
    name = type_name_of(type(found.culprit))
    kind = "" if what.endswith(name) and not path else f" ({with_article(name)})"
    reason = text_of(found.error) or type_name_of(type(found.error))
    return f"{what}{': ' if path else ''}{path}{kind} cannot be pickled: {reason}"


def _join(path: tuple[str, ...]) -> str:
    if len(path) > _MAX_STEPS:
        path = (*path[: _MAX_STEPS // 2], " ... ", *path[-_MAX_STEPS // 2 :])
    text = ""
    for step in path:
        text += f", {step}" if text and step.startswith("its ") else step
    return encodable(text)


def _find(value: object, error: Exception, first_parts: Callable[[], Iterator[Part]]) -> _Found:
    """Return the innermost part of `value` at fault; `value` itself if no other is found."""
    is_collecting = gc.isenabled()
    gc.disable()  # the parts of a large value are many new tuples, which would trigger many collections
    try:
        return _locate(value, error, first_parts)
    except Exception:  # noqa: BLE001  raised by a class in the value: a message without a path is better than none
        return _Found((), value, error)
    finally:
        if is_collecting:
            gc.enable()


def _locate(value: object, error: Exception, first_parts: Callable[[], Iterator[Part]]) -> _Found:
    began = time.perf_counter()
    last, problem = trial(value, _TRIAL_SECONDS)
    seconds = max(_MORE_SECONDS, 2 * (time.perf_counter() - began))
    if problem is None or isinstance(problem, LimitReached) or last is None or last is value:
        return _Found((), value, error)
    alone = trial(last, seconds)[1]
    if alone is None:  # it was reduced last, but is not at fault
        found = _search(first_parts, parts_of, _cannot_be_pickled)
        return _Found(*found, problem) if found else _Found((), value, problem)
    found = _search(first_parts, parts_of, lambda part: part is last)
    if found is None:  # each pickle creates it again
        kind = type(last)
        found = _search(first_parts, _parts_and_reduced, lambda part: type(part) is kind and _cannot_be_pickled(part))
    path = _divide(first_parts, last, seconds) if found is None else found[0]  # `None`: too far for the search
    return _Found(path, last, problem if isinstance(alone, LimitReached) else alone)


Found = tuple[tuple[str, ...], object]
"""The path to a part, and the part."""


def _search(
    first_parts: Callable[[], Iterator[Part]],
    parts: Callable[[object], Iterator[Part]],
    is_it: Callable[[object], bool],
) -> Found | None:
    """Return the shortest path to a part for which `is_it` is true."""
    until = time.perf_counter() + _SEARCH_SECONDS
    seen: set[int] = set()
    nodes: list[tuple[int, str, object]] = []  # parent, step, part; holds the parts, so that their ids stay unique
    pending: deque[int] = deque()

    def add(parent: int, found: Iterator[Part]) -> int:
        """Add the parts as nodes; return the node of the searched part, -1 if it is not among them."""
        for step, part in found:
            if type(part) in LEAVES or id(part) in seen:
                continue
            seen.add(id(part))
            nodes.append((parent, step, part))
            if is_it(part):
                return len(nodes) - 1
            pending.append(len(nodes) - 1)
            if time.perf_counter() > until or len(nodes) > _SEARCH_NODES:
                pending.clear()
                return -1
        return -1

    at = add(-1, first_parts())
    while at < 0 and pending and time.perf_counter() <= until:
        node = pending.popleft()
        at = add(node, parts(nodes[node][2]))
    return None if at < 0 else (_path_to(at, nodes), nodes[at][2])


def _path_to(at: int, nodes: list[tuple[int, str, object]]) -> tuple[str, ...]:
    path = []
    while at >= 0:
        at, step, _ = nodes[at]
        path.append(step)
    return tuple(reversed(path))


def _divide(first_parts: Callable[[], Iterator[Part]], culprit: object, seconds: float) -> tuple[str, ...]:
    """Return the path to `culprit`, found by trials of the parts at each level: each is pickled about once more.

    Empty if there is no path or no time left.
    """
    until = time.perf_counter() + seconds
    path: list[str] = []
    part: object = None
    parts = list(first_parts())
    while parts and len(path) < _MAX_DEPTH:
        bad = _find_bad(parts, until)
        if bad is None:
            return ()
        path.append(bad[0])
        part = bad[1]
        if part is culprit:
            return tuple(path)
        parts = list(parts_of(part))
    return tuple(path) if type(part) is type(culprit) else ()


def _find_bad(parts: list[Part], until: float) -> Part | None:
    """Return the first part that cannot be pickled, the last one without a trial; `None` if there is no time left."""
    while len(parts) > 1:
        size = -(-len(parts) // _CHUNKS)
        for i in range(0, len(parts), size):
            chunk = parts[i : i + size]
            if i + size >= len(parts):
                break  # no trial is needed
            problem = trial([part for _, part in chunk], until - time.perf_counter())[1]
            if isinstance(problem, LimitReached):
                return None
            if problem is not None:
                break
        parts = chunk
    return parts[0]


def _cannot_be_pickled(part: object) -> bool:
    problem = trial(part, _SEARCH_SECONDS)[1]
    return problem is not None and not isinstance(problem, LimitReached)


def _parts_and_reduced(value: object) -> Iterator[Part]:
    yield from parts_of(value)
    if isinstance(value, type) or type(value) in LEAVES:
        return
    try:
        reduce: Any = Pickler.dispatch_table.get(type(value))
        reduced: Any = value.__reduce_ex__(pickle.DEFAULT_PROTOCOL) if reduce is None else reduce(value)
    except Exception:  # noqa: BLE001  the user's code
        return
    if not isinstance(reduced, tuple):
        return
    names = ("the function", "the arguments", "the state", "the items", "the pairs", "the setter")
    for name, part in zip(names, reduced, strict=False):
        yield f"its `__reduce__`: {name}", part
