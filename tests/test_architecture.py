"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "taskfc_ext"
MODULES = sorted(PACKAGE.rglob("*.py"))

FACADES = {"client/aio.py", "client/future/future.py"}
"""Modules of one class with many short methods: cut into files by inheritance, none of them could be read alone."""


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


def test_exported_names_are_spelt_once_and_exist() -> None:
    import taskfc_ext

    assert list(taskfc_ext.__all__) == sorted(set(taskfc_ext.__all__), key=taskfc_ext.__all__.index)
    for name in taskfc_ext.__all__:
        assert getattr(taskfc_ext, name) is not None


def test_the_seeds_names_are_where_they_were() -> None:
    from taskfc_ext import taskfc

    assert {"IFCTaskController", "FCTaskControllerFromTaskController", "FCTaskClient"} <= set(dir(taskfc))
