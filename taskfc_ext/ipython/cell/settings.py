"""Settings of the notebook's shell with which a cell runs, and the magics that it needs on the worker."""

from __future__ import annotations
import __future__

from collections.abc import Iterable, Set
from typing import TYPE_CHECKING, Any

from IPython.core.alias import Alias
from IPython.core.magic import MagicAlias, Magics

from taskfc_ext.ipython.cell.shell_syntax import MagicUse
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.serialize import FUTURES

if TYPE_CHECKING:
    from taskfc_ext.serialize import CellOptions

_USUAL_INTERACTIVITY = "last_expr"

_USUAL_ALIASES = frozenset(("ed", "hist", "rep", "SVG", "HTML", "file"))
"""Aliases of magics that every IPython has."""

_OURS = "taskfc_ext"


def cell_settings(shell: Any, uses: Iterable[MagicUse] = ()) -> CellOptions:
    """Return the settings of `shell` that differ from the usual ones, for a cell that uses these magics."""
    settings: CellOptions = {}
    if flags := shell.compile.flags & FUTURES:
        settings["flags"] = flags
    if shell.ast_node_interactivity != _USUAL_INTERACTIVITY:
        settings["interactivity"] = shell.ast_node_interactivity
    if precision := shell.display_formatter.formatters["text/plain"].float_precision:
        settings["float_precision"] = precision
    used = list(uses)
    if not any(use.name in ("load_ext", "reload_ext") for use in used):
        extensions = [_extension_of(shell, use) for use in used]
        if found := tuple(dict.fromkeys(extension for extension in extensions if extension)):
            settings["extensions"] = found
    return settings


def hints_are_lazy(shell: Any) -> bool:
    """Tell whether a cell has imported `annotations` from `__future__`, which then holds for all later cells."""
    return bool(shell.compile.flags & __future__.annotations.compiler_flag)


def check_magics(shell: Any, uses: Iterable[MagicUse], known: Set[str]) -> None:
    """Refuse magics that only the notebook has.

    Args:
        uses: the magics of a cell.
        known: names of magics, functions and classes that the cell defines, or one that every worker has run.

    Raises:
        BadUsage: names the first of them.
    """
    for use in uses:
        magic = shell.magics_manager.magics[use.kind].get(use.name)
        if magic is None or not _is_the_notebooks(shell, use.name, magic):
            continue
        if not known.isdisjoint(_names_of(use.name, magic)):
            continue
        sign = "%%" if use.kind == "cell" else "%"
        raise BadUsage(
            f"`{sign}{use.name}` is a magic of this notebook: run its definition on the workers with "
            "`%%task --everywhere`"
        )


def _is_the_notebooks(shell: Any, name: str, magic: object) -> bool:
    if isinstance(magic, Alias):
        return name not in {default for default, _ in shell.alias_manager.default_aliases}
    if isinstance(magic, MagicAlias):
        return name not in _USUAL_ALIASES
    return _module_of(magic) == "__main__"


def _names_of(name: str, magic: object) -> set[str]:
    owner = getattr(magic, "__self__", None)
    return {name, getattr(magic, "__name__", name), type(owner).__name__}


def _module_of(magic: object) -> str:
    owner = getattr(magic, "__self__", None)
    module = type(owner).__module__ if isinstance(owner, Magics) else getattr(magic, "__module__", "")
    return module if isinstance(module, str) else ""


def _extension_of(shell: Any, use: MagicUse) -> str:
    """Return the loaded extension that defines a magic; empty for IPython's own magics, and for ours."""
    module = _module_of(shell.magics_manager.magics[use.kind].get(use.name))
    package = module.partition(".")[0]
    if module.startswith(("IPython.core.", "ipykernel.")) or package in ("", "__main__", _OURS):
        return ""
    loaded = [name for name in shell.extension_manager.loaded if name.partition(".")[0] == package]
    near = [name for name in loaded if module == name or module.startswith(f"{name}.")]
    return next(iter([*near, *loaded]), "")
