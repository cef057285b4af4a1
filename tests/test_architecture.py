"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "taskfc_ext"
MODULES = sorted(PACKAGE.rglob("*.py"))

FACADES = {"protocol/client_messages.py", "client/aio.py", "client/future/future.py"}
"""Modules that are long because they are one thing: a class with many short methods, or a catalogue of messages."""


def test_the_layers_hold() -> None:
    # in a process of its own, as it disables the loggers of the one that it runs in
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    checked = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_and_public_name_says_what_it_is_for(module: Path) -> None:
    tree = ast.parse(module.read_text())
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        public = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
        if public and not ast.get_docstring(node):
            missing.append(node.name)
    assert not missing


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_outgrows_the_house(module: Path) -> None:
    lines = module.read_text().count("\n")
    limit = 700 if str(module.relative_to(PACKAGE)) in FACADES else 450
    assert lines <= limit, f"{lines} lines: is it still one thing?"


STARTS = re.compile(r"(What|How|Who|Whose|Whoever|Whatever|Which|Where|When|Those|That|Whether)\b")
"""Words that begin a clause: a docstring of a module or a class begins with the thing, or with a verb."""

PARTICIPLES = frozenset(
    [
        *("brought", "built", "drawn", "felt", "found", "given", "gone", "heard", "held", "hidden", "kept", "known"),
        *("left", "lost", "made", "meant", "met", "read_back", "said", "seen", "sent", "shown", "spoken", "taken"),
        *("thought", "told", "written"),
    ]
)

ALSO_VERBS = frozenset(["_hidden", "cancelled", "embed", "exceed", "feed", "need", "proceed", "seed", "succeed"])
"""`cancelled` is the name that `concurrent.futures` gives it; pickles in users' stores hold `_hidden`."""

SOURCES = sorted(
    path for folder in ("taskfc_ext", "benchmarks", "scripts") for path in ROOT.joinpath(folder).rglob("*.py")
)


@pytest.mark.parametrize("module", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_begin_with_the_thing_and_functions_are_no_bare_participles(module: Path) -> None:
    tree = ast.parse(module.read_text())
    found = [f"the module: {ast.get_docstring(tree)}"] if STARTS.match(ast.get_docstring(tree) or "") else []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and STARTS.match(ast.get_docstring(node) or ""):
            found.append(f"{node.name}: {ast.get_docstring(node)}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_bare_participle(node):
            found.append(f"the name {node.name}")
    assert not found


def _is_bare_participle(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if any(
        "property" in ast.unparse(decorator) or "setter" in ast.unparse(decorator) for decorator in node.decorator_list
    ):
        return False
    name = node.name.strip("_")
    return not {name, node.name} & ALSO_VERBS and (name in PARTICIPLES or ("_" not in name and name.endswith("ed")))


CORE = sorted(PACKAGE.joinpath("core").rglob("*.py"))


@pytest.mark.parametrize("module", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_one_method_of_the_core_changes_the_state_of_a_task(module: Path) -> None:
    tree = ast.parse(module.read_text())
    changes = [node.lineno for node in ast.walk(tree) if _changes_state(node)]
    if module != PACKAGE / "core" / "state" / "farm.py":
        assert not changes, "only `Farm.transition` may change the state of a task"
        return
    farm = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Farm")
    method = next(node for node in farm.body if isinstance(node, ast.FunctionDef) and node.name == "transition")
    assert changes == [node.lineno for node in ast.walk(method) if _changes_state(node)]
    assert len(changes) == 1


def _changes_state(node: ast.AST) -> bool:
    """Return whether `node` sets or deletes an attribute `state`, by a statement or by `setattr` and its kind."""
    if isinstance(node, ast.Attribute):
        return node.attr == "state" and not isinstance(node.ctx, ast.Load)
    if not isinstance(node, ast.Call):
        return False
    names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return "setattr" in ast.unparse(node.func) and "state" in names


def test_exported_names_are_spelt_once_and_exist() -> None:
    import taskfc_ext

    assert list(taskfc_ext.__all__) == sorted(set(taskfc_ext.__all__), key=taskfc_ext.__all__.index)
    for name in taskfc_ext.__all__:
        assert getattr(taskfc_ext, name) is not None


def test_the_seeds_names_are_where_they_were() -> None:
    from taskfc_ext import taskfc

    assert {"IFCTaskController", "FCTaskControllerFromTaskController", "FCTaskClient"} <= set(dir(taskfc))
