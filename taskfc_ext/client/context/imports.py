"""Names of the modules that a text may import. Pure. A name too many costs one look into a folder."""

from __future__ import annotations

import re

_IMPORT = re.compile(
    r"""
    (?: ^ | [:;] ) [ \t]*
    (?: import [ \t]+ (?P<names> [^\n\#;]+ )
      | from [ \t]* (?P<base> [.\w \t]+? ) [ \t]+ import [ \t]* (?P<members> \( [^)]* \) | [^\n\#;]+ )
    )
    """,
    re.MULTILINE | re.VERBOSE,
)
_NAME = re.compile(r"[.\w]+")
_COMMENT = re.compile(r"#[^\n]*")


def imported_names(text: str, package: str = "") -> set[str]:
    """Return the full names that `text`, a module of `package` or a cell, imports; not all of them are modules.

    It need not be valid Python: a cell may have magics. Names in strings are found too.
    """
    found: set[str] = set()
    for match in _IMPORT.finditer(text.replace("\\\n", " ")):
        names, base, members = match.group("names", "base", "members")
        if names is not None:
            found.update(_first_names(names))
            continue
        origin = _absolute(re.sub(r"\s", "", base), package)
        if origin:
            found.add(origin)
            found.update(f"{origin}.{name}" for name in _first_names(_COMMENT.sub("", members)))
    return found


def with_parents(name: str) -> list[str]:
    """Return `a`, `a.b`, `a.b.c` of `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _first_names(text: str) -> list[str]:
    """Return `a.b` and `c` of `a.b as x, c`."""
    return [match.group() for part in text.split(",") if (match := _NAME.search(part)) and match.group() != "."]


def _absolute(base: str, package: str) -> str:
    name = base.lstrip(".")
    n_dots = len(base) - len(name)
    if n_dots == 0:
        return name
    if not package:
        return ""
    parts = package.split(".")
    if n_dots > len(parts):
        return ""
    origin = ".".join(parts[: len(parts) - n_dots + 1])
    return f"{origin}.{name}" if name else origin
