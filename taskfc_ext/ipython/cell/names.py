"""Names that a cell uses and does not define. Pure: source text becomes sets of names.

Statements and class bodies run at once: they are followed in order, with branches and loops. The body of a function,
method or lambda runs later: it counts once something mentions it, as that may be a call.
"""

from __future__ import annotations

import ast
import builtins as _python
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from taskfc_ext.ipython.cell.free_names import FreeNames, free_names
from taskfc_ext.ipython.cell.mentions import TextUse, text_use
from taskfc_ext.ipython.cell.shell_syntax import Embedded, read_shell_call
from taskfc_ext.serialize.mentioned import NOTHING, names_in_text

MODULE_NAMES = frozenset(
    ("__name__", "__doc__", "__file__", "__builtins__", "__annotations__", "__spec__", "__loader__")
)
IPYTHON_NAMES = frozenset(("get_ipython", "display", "exit", "quit"))

BUILTINS = frozenset(dir(_python)) | MODULE_NAMES | IPYTHON_NAMES
"""Names that every worker has."""

_DEFINE_ANYTHING = frozenset(("exec", "globals"))
"""Builtins that may define names which the syntax tree does not show."""


@dataclass(frozen=True, slots=True)
class NameUse:
    """Names that a cell uses and defines.

    Attributes:
        needs: the cell fails without them.
        may_need: the cell uses them only on some paths, so they are sent if they exist.
        defines: the cell may bind them.
        in_strings: its strings mention them for certain.
        likely: its strings seem to mention them.
        run: variables whose text it runs.
    """

    needs: frozenset[str]
    may_need: frozenset[str]
    defines: frozenset[str]
    in_strings: frozenset[str] = frozenset()
    likely: frozenset[str] = frozenset()
    run: frozenset[str] = frozenset()


def used_names(
    source: str,
    *,
    transform: Callable[[str], str] = str,
    builtins: Collection[str] = BUILTINS,
    lazy_hints: bool = False,
) -> NameUse:
    """Return the names that `source` uses and defines.

    Args:
        source: a cell, in IPython's syntax if `transform` turns that into Python's.
        builtins: names that are not sent.
        lazy_hints: an earlier cell has imported `annotations` from `__future__`, which holds for all that follow.

    Raises:
        SyntaxError: the cell does not compile.
    """
    code = transform(source)
    tree = ast.parse(code, "<cell>")
    # only the compiler refuses a `return` outside a function, for example
    compile(tree, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    flow = _Flow(transform, builtins, lazy_hints=lazy_hints or _hints_are_lazy(tree), text=text_use(tree))
    flow.run(tree.body)
    return flow.result()


def _hints_are_lazy(tree: ast.Module) -> bool:
    """Tell whether annotations of this cell are not evaluated at their place."""
    return sys.version_info >= (3, 14) or any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


class _Flow(ast.NodeVisitor):
    """Walks statements in the order in which they run, and keeps the names that are bound at each point."""

    def __init__(
        self, transform: Callable[[str], str], builtins: Collection[str], *, lazy_hints: bool, text: TextUse
    ) -> None:
        self._transform = transform
        self._builtins = builtins
        self._lazy_hints = lazy_hints
        self._text = text
        self._in_strings: set[str] = set()
        self._likely: set[str] = set()
        self._needs: set[str] = set()
        self._may_need: set[str] = set()
        self._through_code: set[str] = set()  # used by functions that something has mentioned
        self._bound: set[str] = set()  # on every path to this point
        self._maybe: set[str] = set()  # on some path to this point
        self._ever: set[str] = set()
        self._deferred: dict[str, FreeNames] = {}  # function or class -> what its code will use
        self._inner: list[set[str]] = []  # names of the comprehensions and class bodies around this point
        self._classes: list[tuple[str, set[str]]] = []
        self._soft = 0  # > 0: the code expects that a name may be missing
        self._anything = False  # something may have defined names that the syntax tree does not show

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def result(self) -> NameUse:
        for code in list(self._deferred.values()):  # not mentioned here, but other code may take it from the namespace
            self._through_code |= {name for name in code.needs if name not in self._ever}
            self._may_need |= code.may_need - self._ever
        for name in self._through_code:
            (self._may_need if name in self._ever or self._anything else self._needs).add(name)
        needs = self._needs.difference(self._builtins)
        may_need = self._may_need.difference(self._builtins, needs)
        in_strings = self._in_strings.difference(self._builtins, needs, may_need)
        likely = self._likely.difference(self._builtins, needs, may_need, in_strings)
        return NameUse(
            frozenset(needs),
            frozenset(may_need),
            frozenset(self._ever),
            frozenset(in_strings),
            frozenset(likely),
            self._text.variables,
        )

    # reading and binding

    def visit(self, node: ast.AST) -> None:
        self._mention(node)
        super().visit(node)

    def _mention(self, node: ast.AST) -> None:
        found = self._text.mentions(node)
        if found is not NOTHING:
            self._in_strings |= found.plain - self._bound
            self._likely |= found.likely - self._bound

    def _read(self, name: str, *, through_code: bool = False) -> None:
        if any(name in scope for scope in self._inner):
            return
        if name not in self._bound and name not in self._builtins:
            if self._soft or self._anything or name in self._maybe:
                self._may_need.add(name)
            elif through_code:
                self._through_code.add(name)
            else:
                self._needs.add(name)
        if name in _DEFINE_ANYTHING and name not in self._ever:
            self._anything = True
        if code := self._deferred.pop(name, None):
            inner, self._inner = self._inner, []  # a function does not see the scopes in which it is mentioned
            self._use(code)
            self._inner = inner

    def _use(self, code: FreeNames) -> None:
        for name in sorted(code.needs):
            self._read(name, through_code=True)
        self._read_softly(code.may_need)

    def _read_softly(self, names: Iterable[str]) -> None:
        with self._softly():
            for name in names:
                self._read(name)

    @contextmanager
    def _softly(self, on: bool = True) -> Iterator[None]:
        self._soft += on
        yield
        self._soft -= on

    def _bind(self, name: str) -> None:
        if self._classes:
            self._classes[-1][1].add(name)
            return
        self._bound.add(name)
        self._may_be_bound(name)

    def _may_be_bound(self, name: str) -> None:
        self._maybe.add(name)
        self._ever.add(name)

    def _unbind(self, name: str) -> None:
        self._bound.discard(name)
        self._maybe.discard(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id)
            return
        self._read(node.id)
        if isinstance(node.ctx, ast.Del):
            self._unbind(node.id)

    # statements that bind

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if len(node.targets) == 1 and isinstance(target, ast.Name) and isinstance(node.value, ast.Lambda):
            self._visit_all([node.value.args])
            self._define(target.id, node.value)
            return
        self.visit(node.value)
        self._visit_all(node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
        self._hint(node.annotation)
        if node.value or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target.id)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._anything = True
            else:
                self._bind(alias.asname or alias.name)

    def visit_TypeAlias(self, node: ast.AST) -> None:  # `type X = ...`, from Python 3.12: evaluated when it is used
        name: ast.Name = node.name  # type: ignore[attr-defined]
        self._bind(name.id)
        with self._softly():
            self.visit(node.value)  # type: ignore[attr-defined]

    # code that runs later

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self.visit(node.args)
        type_parameters = {parameter.name for parameter in getattr(node, "type_params", ())}
        self._inner.append(type_parameters)
        arguments = node.args
        for argument in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        ):
            if argument and argument.annotation:
                self._hint(argument.annotation)
        if node.returns:
            self._hint(node.returns)
        self._inner.pop()
        self._define(node.name, node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        for inner in ast.walk(node.body):
            self._mention(inner)
        self._use(free_names(node, lazy_hints=self._lazy_hints))

    def visit_arguments(self, node: ast.arguments) -> None:
        self._visit_all([*node.defaults, *(default for default in node.kw_defaults if default)])

    def _define(self, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for inner in ast.walk(node):
            self._mention(inner)
        code = free_names(node, lazy_hints=self._lazy_hints)
        for bound in code.binds:
            self._may_be_bound(bound)
        owner = self._classes[0][0] if self._classes else name  # a method runs through its class
        self._deferred[owner] = self._deferred.get(owner, FreeNames()) | code
        self._bind(name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        names = {"__qualname__", "__module__"} | {parameter.name for parameter in getattr(node, "type_params", ())}
        self._classes.append((node.name, names))
        self._inner.append(names)
        self.run(node.body)
        self._inner.pop()
        self._classes.pop()
        self._bind(node.name)

    # comprehensions

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        names: set[str] = set()
        self._inner.append(names)
        for generator in node.generators:
            self.visit(generator.iter)
            names.update(leaf.id for leaf in ast.walk(generator.target) if isinstance(leaf, ast.Name))
            self._visit_all(generator.ifs)
        self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._inner.pop()

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    # branches and loops

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._join([node.body, node.orelse])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._loop([node.target, *node.body], node.orelse)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self._loop([node.test, *node.body], node.orelse)

    def _loop(self, body: Sequence[ast.AST], orelse: Sequence[ast.stmt]) -> None:
        for name in self._bindings_of(body):
            self._may_be_bound(name)  # in the previous iteration
        self._join([body, ()])
        self._visit_all(orelse)

    def _bindings_of(self, body: Sequence[ast.AST]) -> set[str]:
        probe = _Flow(self._transform, self._builtins, lazy_hints=self._lazy_hints, text=TextUse())
        probe._visit_all(body)
        return probe._ever

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        self._join([[case.pattern, *([case.guard] if case.guard else []), *case.body] for case in node.cases] + [[]])

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self._bind(node.rest)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        before = self._bound
        self._bound = set(before)
        with self._softly(any(_catches_name_error(handler) for handler in node.handlers)):
            self.run(node.body)
        self.run(node.orelse)
        tried, self._bound = self._bound, before
        self._join(([handler] for handler in node.handlers), tried)
        joined, self._bound = self._bound, set(before)
        self.run(node.finalbody)
        self._bound |= joined

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type:
            self.visit(node.type)
        if node.name:
            self._bind(node.name)
        self.run(node.body)
        if node.name:
            self._bound.discard(node.name)

    def _join(self, branches: Iterable[Sequence[ast.AST]], *other_ends: set[str]) -> None:
        """Visit each branch from the same start; a name is bound afterwards if all branches that end here bind it."""
        before, ends = self._bound, list(other_ends)
        for branch in branches:
            self._bound = set(before)
            self._visit_all(branch)
            if not _leaves(branch):
                ends.append(self._bound)
        self._bound = set.intersection(*ends) if ends else before

    # IPython's own syntax, after its transformation

    def visit_Call(self, node: ast.Call) -> None:
        call = read_shell_call(node, self._transform)
        if call is None:
            self._visit_all([*node.args, *node.keywords, node.func])  # so that `exec(code)` still needs `code`
            return
        self._run_embedded(call)

    def _run_embedded(self, call: Embedded) -> None:
        self._read_softly(call.expanded)
        self._in_strings |= call.named - self._bound
        for text in call.text:
            found = names_in_text(text, takes_sql=True)
            self._in_strings |= found.plain - self._bound
        self._anything |= call.defines_anything
        self.run(call.code)
        for name in call.binds:
            self._bind(name)

    def _hint(self, annotation: ast.expr) -> None:
        with self._softly(self._lazy_hints):
            self.visit(annotation)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _leaves(branch: Sequence[ast.AST]) -> bool:
    """Tell whether the code after the branch is not reached through it."""
    last = branch[-1] if branch else None
    if isinstance(last, ast.ExceptHandler):
        return _leaves(last.body)
    return isinstance(last, ast.Raise | ast.Return | ast.Continue | ast.Break)


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and any(
        isinstance(leaf, ast.Name) and leaf.id == "NameError" for leaf in ast.walk(handler.type)
    )
