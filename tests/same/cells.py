"""Notebooks as cells: read from `.ipynb` or percent format, and sorted by how a user runs each. Pure.

In a percent file `# %%` begins a cell and `# %% [markdown]` one that is not run; `# %magic` and `# !command` at the
start of a line are IPython's, so that the file stays Python for most tools.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

_BREAK = re.compile(r"^# %%(?: (.*))?$", re.MULTILINE)  # "# %%bash" is a cell magic
_CAPTURE = re.compile(r"%%capture +([a-z]\w*)")
_AROUND = re.compile(r"%%(?:capture|prun|time)\b.*\n")
_TIME = re.compile(r"^%time +", re.MULTILINE)
_COMMENTED = re.compile(r"^# (?=(?:%{1,2}|!)\w)", re.MULTILINE)

# fmt: off
SETTINGS = frozenset((
    "basicConfig", "environ", "filterwarnings", "getcontext", "options", "rc", "rcParams", "rcdefaults", "reset_option",
    "resetwarnings", "seed", "set_config", "set_defaults", "set_option", "set_printoptions", "set_style",
    "set_theme", "setLevel", "seterr", "setlocale", "setrecursionlimit", "simplefilter", "style", "templates", "theme",
    "tzset", "use",
))
# fmt: on
"""Attributes of modules that configure: a call of one, or a store into it, is a set-up line."""

MAGICS = frozenset(
    ("alias", "autoreload", "colors", "config", "load_ext", "matplotlib", "precision", "pylab", "reload_ext", "xmode")
)
"""Line magics that configure."""

TOOLS = frozenset(("Path", "Random", "RandomState", "default_rng", "getLogger"))
"""What set-up cells make: they count as literals there."""


@dataclass(frozen=True)
class Cell:
    """A code cell: `number` counts from 1; a set-up cell runs plain in every run."""

    number: int
    source: str
    is_set_up: bool
    binds: tuple[str, ...]
    uses: frozenset[str]
    passing: frozenset[str] = frozenset()
    """Of the names that it binds, those of `with` statements that no other cell uses: nobody brings them back."""


def read_cells(path: Path) -> list[Cell]:
    """Return the code cells of a notebook."""
    if path.suffix == ".ipynb":
        found = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    else:
        found = list(_percent_cells(path.read_text(encoding="utf-8")))
    return sort_cells(source for source in found if source.strip())


def _percent_cells(text: str) -> Iterator[str]:
    _, *parts = _BREAK.split(text)
    for kind, body in zip(parts[::2], parts[1::2], strict=True):
        if "[markdown]" not in (kind or ""):
            yield _COMMENTED.sub("", body.strip("\n"))


def sort_cells(sources: Iterable[str]) -> list[Cell]:
    """Return cells with what their syntax says; a name counts as a module from its first import on."""
    sources = list(sources)
    trees = [_tree(source) for source in sources]
    uses = [frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) for tree in trees]
    cells: list[Cell] = []
    modules: set[str] = set()
    for place, (source, tree) in enumerate(zip(sources, trees, strict=True)):
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules |= {name for node in imports for name in _iterate_imports(node)}
        others = [uses[other].difference(_of_with(trees[other])) for other in range(len(trees)) if other != place]
        passing = frozenset(_of_with(tree)).difference(*others)
        captured = _CAPTURE.match(source)
        binds = (*bound_names(tree), *([captured[1]] if captured else []))
        binds = tuple(name for name in binds if name not in passing)
        is_set_up = _is_set_up(tree, modules) and not source.startswith("%%")
        cells.append(Cell(place + 1, source, is_set_up, binds, uses[place], passing))
    return cells


def _of_with(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if item.optional_vars is not None:
                    yield from (leaf.id for leaf in ast.walk(item.optional_vars) if isinstance(leaf, ast.Name))


def bound_names(tree: ast.Module) -> tuple[str, ...]:
    """Return the names that a cell binds at its own level and has at its end, in their order."""
    found: dict[str, bool] = {}
    _collect(tree.body, found)
    return tuple(name for name, stays in found.items() if stays and not name.startswith("_"))


def _collect(nodes: Iterable[ast.AST], found: dict[str, bool]) -> None:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = True
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(dict.fromkeys(_iterate_imports(node), True))
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found[node.id] = isinstance(node.ctx, ast.Store)
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            found[node.name] = True
        elif isinstance(node, ast.comprehension):
            _collect([node.iter, *node.ifs], found)  # its target is its own
            continue
        elif isinstance(node, ast.Lambda) or (isinstance(node, ast.AnnAssign) and node.value is None):
            continue
        _collect(ast.iter_child_nodes(node), found)


def _iterate_imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        if alias.name != "*":
            yield alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)


def _tree(source: str) -> ast.Module:
    """Return the syntax of a cell, and of the body of a cell magic that runs it here."""
    source = _AROUND.sub("", source, count=1) if source.startswith("%%") else _TIME.sub("", source)
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        return compile(TransformerManager().transform_cell(source), "<cell>", "exec", flags, dont_inherit=True)
    except SyntaxError:
        return ast.Module([], [])


def _is_set_up(tree: ast.Module, modules: set[str]) -> bool:
    """Whether a cell is made of imports, magics and settings, with literals beside them."""
    kinds = {_kind(statement, modules) for statement in tree.body}
    return bool(kinds) and kinds <= {"import", "setting", "literal"} and kinds != {"literal"}


def _kind(statement: ast.stmt, modules: set[str]) -> str:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return "import"
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return "literal" if _is_literal(statement.value) or _makes_tool(statement.value) else "other"
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        chain = _chain(statement.value.func)
        if chain[:1] == ["get_ipython"]:
            name = statement.value.args[0] if statement.value.args else None
            is_setting = "run_line_magic" in chain and isinstance(name, ast.Constant) and name.value in MAGICS
            return "setting" if is_setting else "other"
        return "setting" if chain and chain[0] in modules and SETTINGS & set(chain) else "other"
    if isinstance(statement, ast.Assign | ast.AugAssign):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        chain = _chain(target)
        return "setting" if len(chain) > 1 and chain[0] in modules and SETTINGS & set(chain) else "other"
    return "other"


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _makes_tool(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and bool(TOOLS & set(_chain(node)[-1:])) and all(map(_is_literal, node.args))


def _chain(node: ast.AST) -> list[str]:
    """Return the dotted names of `a.b(...).c[...]`: `["a", "b", "c"]`."""
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    if isinstance(node, ast.Call):
        return _chain(node.func)
    if isinstance(node, ast.Subscript):
        return _chain(node.value)
    return [node.id] if isinstance(node, ast.Name) else []
