"""Two runs of a notebook, compared cell by cell: what differs, in one line a cell, and a table of notebooks. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.same.cells import Cell
from tests.same.compare import difference, plain, shown_difference, stable, text_difference
from tests.same.runs import Seen

LONGEST_ON_CARD = 2_000
"""Characters of a result that a card has in full."""

NOTHING = ("NoneType", None)
_PNG = re.compile(r"data:image/png;base64,([\w+/=]+)")


@dataclass(frozen=True)
class Differs:
    """A cell that differs: the kind of difference, and the first one in words."""

    cell: int
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Compared:
    """A notebook's cells that ran twice in different ways, and those that differ."""

    notebook: str
    n_cells: int
    differs: tuple[Differs, ...]

    @property
    def n_equal(self) -> int:
        return self.n_cells - len(self.differs)


def compare(notebook: str, cells: Sequence[Cell], here: Sequence[Seen], there: Sequence[Seen]) -> Compared:
    """Return in what the cells of two runs differ; set-up cells count only where they differ."""
    differs: list[Differs] = []
    wrong: dict[str, int] = {}  # names that are not what they are here, and since which cell
    passing: set[str] = set()
    before: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    n_cells = 0
    for cell, one, other in zip(cells, here, there, strict=True):
        passing = (passing | cell.passing).difference(cell.binds)
        one, other = (_without(passing, each) for each in (one, other))
        found = _refusal(other) or _error(one, other) or _names(cell, one, other, before, wrong) or _outcome(one, other)
        before = (one.names, other.names)
        n_cells += bool(found) or not cell.is_set_up
        if not found:
            continue
        cause = min((wrong[name] for name in cell.uses & wrong.keys()), default=0)
        if cause and cause < cell.number:
            found = ("follows", f"from cell {cause}; {found[1]}")
        differs.append(Differs(cell.number, *found))
        for name in {*one.names, *other.names}:
            if difference(one.names.get(name), other.names.get(name)):
                wrong.setdefault(name, cell.number)
            else:
                wrong.pop(name, None)
    return Compared(notebook, n_cells, tuple(differs))


def _without(names: set[str], seen: Seen) -> Seen:
    return replace(seen, names={name: value for name, value in seen.names.items() if name not in names})


def _refusal(there: Seen) -> tuple[str, str] | None:
    return ("refused", " ".join(there.refused.split())[:160]) if there.refused else None


def _error(here: Seen, there: Seen) -> tuple[str, str] | None:
    found = difference(here.error, there.error)
    if not found:
        return None
    if NOTHING not in (here.error, there.error):
        return ("error", found)
    raised, where = (there.error, "there") if here.error == NOTHING else (here.error, "here")
    return ("error", f"{raised[1]}: {' '.join(raised[2].split())[:140]}, {where} only")


def _outcome(here: Seen, there: Seen) -> tuple[str, str] | None:
    """Return the first difference in what a cell returned, printed or showed."""
    if found := difference(here.value, there.value):
        return ("value", found)
    for stream in ("stdout", "stderr") if here.error == NOTHING else ("stdout",):  # there stand tracebacks of groups
        if found := text_difference(getattr(here, stream), getattr(there, stream)):
            return (stream, found)
    is_task = there.shown is not None
    if is_task and not here.result and here.value != NOTHING and len(here.displays) == len(there.displays) + 1:
        here = replace(here, result=here.displays[-1], displays=here.displays[:-1])  # it showed itself
    if len(here.displays) != len(there.displays):
        return ("displays", f"{len(here.displays)} here, {len(there.displays)} there")
    for one, other in zip(here.displays, there.displays, strict=True):
        if found := shown_difference(one, other):
            return ("displays", found)
    found = on_card(here.result, there.shown) if is_task else shown_difference(here.result, there.result)
    return ("shown", found) if found else None


def _names(
    cell: Cell, here: Seen, there: Seen, before: tuple[dict[str, Any], dict[str, Any]], wrong: dict[str, int]
) -> tuple[str, str] | None:
    """Return the first difference among the names that the cell binds, or that it has changed in either run."""
    for name in {**here.names, **there.names}:
        is_bound = name in cell.binds
        was_here, was_there = (each.get(name) for each in before)
        is_changed = difference(was_here, here.names.get(name)), difference(was_there, there.names.get(name))
        if not is_bound and not any(is_changed):
            continue
        found = difference(here.names.get(name), there.names.get(name), name)
        if found and name in wrong and not is_bound and not is_changed[0]:
            continue
        if not found:
            wrong.pop(name, None)
            continue
        if here.error != NOTHING:
            return ("names of a cell that raised", found)
        if is_bound:
            return ("name", found)
        if is_changed[0]:
            return ("changed in place", f"{name} is as it was before; {found}")
        return ("changed there only", found)
    return None


def on_card(result: dict[str, Any], shown: Sequence[dict[str, Any]]) -> str:
    """Return what of a result's forms is not to be seen on the card or beneath it; empty if it is all there."""
    html_there = "\n".join(str(output.get("text/html", "")) for output in shown)
    text_there = "\n".join(str(output.get("text/plain", "")) for output in shown)
    for mime, content in result.items():
        if mime == "image/png":
            pictures = [output[mime] for output in shown if mime in output] + _PNG.findall(html_there)
            found = [shown_difference({mime: content}, {mime: picture}) for picture in pictures]
            if not found or all(found):
                return f"the picture: {found[0] if found else 'none there'}"
        elif mime == "text/html":
            wanted = plain(stable(content))
            if not any(wanted in plain(stable(text)) for text in (html_there, html.unescape(html_there))):
                return "its HTML is not there"
        elif mime != "text/plain":
            found = [shown_difference({mime: content}, {mime: output[mime]}) for output in shown if mime in output]
            if not found or all(found):
                return found[0] if found else f"its {mime} is not there"
    text = str(result.get("text/plain", ""))
    if set(result) == {"text/plain"} and len(text) <= LONGEST_ON_CARD:
        lines = {line.strip() for line in plain(text_there).splitlines()}
        for line in plain(text).splitlines():
            if line.strip() not in lines:
                return f"{line.strip()[:60]!r} is not on the card"
    return ""


def table(compared: Sequence[Compared]) -> str:
    """Return the table of notebooks, and under it every cell that differs, with its reason."""
    width = max(len(each.notebook) for each in compared)
    rows = [f"{'notebook':<{width}}  cells  equal"]
    rows += [f"{each.notebook:<{width}}  {each.n_cells:5}  {each.n_equal:5}" for each in compared]
    n_cells, n_equal = sum(each.n_cells for each in compared), sum(each.n_equal for each in compared)
    rows.append(f"{'all':<{width}}  {n_cells:5}  {n_equal:5}  {share(compared):.1%}")
    reasons = [f"{each.notebook}, cell {found.cell}: {found}" for each in compared for found in each.differs]
    return "\n".join([*rows, *(["", *reasons] if reasons else [])])


def share(compared: Sequence[Compared]) -> float:
    """Return the share of cells that are equal."""
    n_cells = sum(each.n_cells for each in compared)
    return sum(each.n_equal for each in compared) / n_cells if n_cells else 0.0
