"""Global names that a function will use when it is called. Pure."""

from __future__ import annotations

import ast
import copy
import symtable
from dataclasses import dataclass

from taskfc_ext.ipython.cell.shell_syntax import read_shell_call


@dataclass(frozen=True, slots=True)
class FreeNames:
    """Names that code needs or may need from the namespace around it, and names that it binds there (`global`)."""

    needs: frozenset[str] = frozenset()
    may_need: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()

    def __or__(self, other: FreeNames) -> FreeNames:
        return FreeNames(self.needs | other.needs, self.may_need | other.may_need, self.binds | other.binds)


def free_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, *, lazy_hints: bool) -> FreeNames:
    """Return the names that the body of `node` looks up outside it, without its defaults, decorators and hints.

    Python's own symbol tables decide about scopes. They are made from source text, so the node is unparsed.
    """
    bare = _WithoutHints(lazy_hints).strip(node)
    table = symtable.symtable(ast.unparse(ast.fix_missing_locations(bare)), "<function>", "exec")
    needs: set[str] = set()
    binds: set[str] = set()
    for inner in table.get_children():
        _collect(inner, needs, binds)
    needs.discard("__class__")  # of a method, whose class is not unparsed with it
    shell = {name for leaf in ast.walk(node) if isinstance(leaf, ast.Call) for name in _shell_names(leaf)}
    return FreeNames(frozenset(needs), frozenset(shell), frozenset(binds))


def _collect(table: symtable.SymbolTable, needs: set[str], binds: set[str]) -> None:
    for symbol in table.get_symbols():
        if symbol.is_global():
            if symbol.is_referenced():
                needs.add(symbol.get_name())
            if symbol.is_assigned() or symbol.is_imported():
                binds.add(symbol.get_name())
    for inner in table.get_children():
        _collect(inner, needs, binds)


def _shell_names(node: ast.Call) -> frozenset[str]:
    """Return the names in a line of `!` or `%`, also in code that a magic runs."""
    call = read_shell_call(node, str)
    if call is None:
        return frozenset()
    code = (leaf for statement in call.code for leaf in ast.walk(statement))
    return call.expanded | call.named | {leaf.id for leaf in code if isinstance(leaf, ast.Name)}


class _WithoutHints(ast.NodeTransformer):
    """Drops hints that are never evaluated, and f-strings, which `ast.unparse` cannot always write before 3.12."""

    def __init__(self, lazy_hints: bool) -> None:
        self._lazy_hints = lazy_hints
        self._in_function = True

    def strip(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> ast.AST:
        bare = copy.deepcopy(node)
        if not isinstance(bare, ast.Lambda):
            bare.decorator_list = []
            bare.returns = None
        bare.args.defaults = [ast.Constant(None) for _ in bare.args.defaults]
        bare.args.kw_defaults = [default and ast.Constant(None) for default in bare.args.kw_defaults]
        for argument in ast.walk(bare.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        self.generic_visit(bare)
        return bare

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if self._lazy_hints:
            node.returns = None
        return self._inside(node, in_function=True)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node, in_function=False)

    def _inside(self, node: ast.AST, *, in_function: bool) -> ast.AST:
        outer, self._in_function = self._in_function, in_function
        self.generic_visit(node)
        self._in_function = outer
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        if self._lazy_hints:
            node.annotation = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self._in_function or self._lazy_hints:
            node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts: list[ast.expr] = []
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                parts.append(value.value)
                if value.format_spec:
                    parts.append(value.format_spec)
        return self.generic_visit(ast.Tuple(parts, ast.Load()))
