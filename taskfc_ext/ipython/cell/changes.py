"""Names that a cell changes in place without binding them: `X[0] = 1`, `model.fit(X)`, `items.append(y)`. Pure.

Such a change happens to the worker's copy only. Functions that the cell calls are not searched.
"""

from __future__ import annotations

import ast
import concurrent.futures
import types
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from taskfc_ext.ipython.cell.shell_syntax import called_name, read_shell_call, words

_METHODS = words(
    # list, dict, set, deque, Counter, OrderedDict
    "append extend insert remove pop clear sort reverse update setdefault popitem add discard difference_update "
    "intersection_update symmetric_difference_update appendleft extendleft popleft rotate subtract move_to_end "
    # arrays
    "fill resize put itemset partition setflags setfield "
    # estimators, networks, graphs
    "fit fit_transform fit_predict fit_resample partial_fit fit_on_texts set_params compile train load_state_dict "
    "zero_grad step "
    "add_node add_nodes_from add_edge add_edges_from add_weighted_edges_from remove_node remove_nodes_from remove_edge "
    "remove_edges_from add_module register_buffer insert_column drop_in_place replace_column "
    "__setitem__ __delitem__ __setattr__ __iadd__"
)
"""Methods that change their object, where nothing is known of its type."""

_METHODS_OF = {
    "pandas": words("insert pop update __setitem__ __delitem__"),
    "polars": words("insert_column drop_in_place replace_column extend __setitem__"),
    "torch": words("train load_state_dict zero_grad step add_module register_buffer __setitem__"),
    "dask": words("__setitem__"),
    "jaxlib": words(""),
}
"""The same by the package of a type whose other methods return a new value: `df.add(1)`."""

_PARTS = frozenset(("items", "values", "enumerate", "reversed"))
"""Calls whose items are the parts of a variable, in a loop."""

_FIRST_ARGUMENT = words(
    "setattr delattr shuffle heappush heappop heapify heapreplace heappushpop insort insort_left insort_right copyto "
    "place putmask put_along_axis fill_diagonal setitem delitem iadd isub imul iconcat"
)
"""Functions that change their first argument."""

_UNBOUND = frozenset(("list", "dict", "set", "deque", "object", "OrderedDict", "Counter"))
"""Types through which a method is called as a function: `list.append(x, 1)`."""

_CONTAINERS = (list, dict, set, deque)

_UFUNC_METHODS = frozenset(("at",))

_UNCHANGING = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset, range, types.ModuleType)


def changed_names(
    source: str,
    sent: Mapping[str, object],
    *,
    transform: Callable[[str], str] = str,
) -> tuple[str, ...]:
    """Return the names in `sent` that the cell changes in place and does not bind, in the order of the changes.

    Args:
        source: a cell, in IPython's syntax if `transform` turns that into Python's.
        sent: the names that it gets, with their values; the type of a value decides what a method or `+=` does.
    """
    search = _Search(sent, transform)
    search.look_at(ast.parse(transform(source)).body)
    return tuple(name for name in dict.fromkeys(search.changed) if name not in search.bound)


class _Search(ast.NodeVisitor):
    """Searches the code of one scope.

    Attributes:
        bound: names that the cell binds; `+=` of a value that can be changed in place does not bind.
        changed: names that it changes.
    """

    def __init__(self, sent: Mapping[str, object], transform: Callable[[str], str]) -> None:
        self._sent = sent
        self._transform = transform
        self._aliases: dict[str, tuple[str, bool]] = {}  # alias -> (the name, whether it is a part of its value)
        self._parts: set[str] = set()  # aliases of values that certainly can be changed in place
        self.bound: set[str] = set()
        self.changed: list[str] = []

    def look_at(self, body: Iterable[ast.AST]) -> None:
        for node in body:
            self.visit(node)

    # bindings

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)
            self._aliases.pop(node.id, None)
            self._parts.discard(node.id)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)

    visit_ImportFrom = visit_Import

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.generic_visit(node)
        self.bound.add(node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.look_at([*node.decorator_list, node.args])
        self._look_into(node.body, node.args)
        self.bound.add(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._look_into([node.body], node.args)

    def _look_into(self, body: Sequence[ast.AST], arguments: ast.arguments) -> None:
        """Add the names around a function that its body changes."""
        inner = _Search(self._sent, self._transform)
        own = {argument.arg for argument in ast.walk(arguments) if isinstance(argument, ast.arg)}
        inner.bound |= own
        inner.look_at(body)
        outer = {
            name
            for node in body
            for leaf in ast.walk(node)
            if isinstance(leaf, ast.Global | ast.Nonlocal)
            for name in leaf.names
        }
        self.changed += [name for name in inner.changed if name not in inner.bound - outer]

    def _comprehension(self, node: ast.AST) -> None:
        before = set(self.bound)
        self.generic_visit(node)
        self.bound = before  # a comprehension has a scope of its own

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    # changes

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self.look_at(node.targets)
        if isinstance(node.value, ast.Name) and self._is_sent(node.value.id):
            self._alias(node.targets, node.value.id, is_part=False)
        elif (whole := self._part_of(node.value)) is not None:
            self._alias(node.targets, whole, is_part=True)
            self._parts.update(target.id for target in node.targets if isinstance(target, ast.Name))

    def _part_of(self, node: ast.expr) -> str | None:
        """Return the variable of which `node` certainly is a part (a view, an item, an attribute) and not a copy."""
        steps: list[ast.Attribute | ast.Subscript] = []
        root = node
        while isinstance(root, ast.Attribute | ast.Subscript):
            steps.append(root)
            root = root.value
        if not (steps and isinstance(root, ast.Name) and self._is_sent(root.id)):
            return None
        value = self._sent[root.id]
        for step in reversed(steps):
            if isinstance(step, ast.Subscript) and hasattr(type(value), "__array_interface__"):
                return root.id if _is_view(step.slice, getattr(value, "ndim", 0)) else None
            value = _item(value, step)
        return None if isinstance(value, _UNCHANGING) else root.id

    def _alias(self, targets: Iterable[ast.AST], name: str, *, is_part: bool) -> None:
        for target in targets:
            for leaf in ast.walk(target):
                if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store):
                    self._aliases[leaf.id] = name, is_part

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if not isinstance(node.target, ast.Name):
            self.visit(node.target)
        elif self._may_change(node.target.id):
            self._note(node.target)
        else:
            self.bound.add(node.target.id)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        source = node.iter
        if isinstance(source, ast.Call) and called_name(source) in _PARTS:
            function = source.func
            source = function.value if isinstance(function, ast.Attribute) else next(iter(source.args), source)
        if isinstance(source, ast.Name) and self._is_sent(source.id):
            self._alias([node.target], source.id, is_part=True)
        self.look_at([*node.body, *node.orelse])

    visit_AsyncFor = visit_For

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> None:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self._note(node)
        elif isinstance(node, ast.Attribute) and node.attr in _METHODS and self._is_container(node.value):
            self._note(node.value)  # `add = items.append`

    visit_Subscript = visit_Attribute

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if (hidden := read_shell_call(node, self._transform)) is not None:
            self.look_at(hidden.code)
        function = node.func
        if isinstance(function, ast.Attribute):
            self._method_call(node, function)
        elif isinstance(function, ast.Name) and function.id in _FIRST_ARGUMENT:
            self._note_first(node)
        for keyword in node.keywords:
            if keyword.arg == "out":
                self._note(keyword.value)

    def _method_call(self, node: ast.Call, function: ast.Attribute) -> None:
        method, subject = function.attr, function.value
        is_unbound = method in _METHODS and isinstance(subject, ast.Name) and subject.id in _UNBOUND
        is_of_module = isinstance(subject, ast.Name) and isinstance(self._sent.get(subject.id), types.ModuleType)
        if method in _FIRST_ARGUMENT or is_unbound or (is_of_module and method == "put"):
            self._note_first(node)
        elif method in _UFUNC_METHODS and isinstance(subject, ast.Attribute) and len(node.args) > 1:
            self._note_first(node)  # np.add.at(x, i, 1)
        elif any(keyword.arg == "inplace" and _is_true(keyword.value) for keyword in node.keywords):
            self._note(subject)
        elif method in _METHODS or (method.endswith("_") and not method.startswith("_")):
            self._note(subject, method)

    def _note_first(self, node: ast.Call) -> None:
        if node.args:
            self._note(node.args[0])

    def _note(self, node: ast.expr, method: str = "") -> None:
        """Note the variable of which `node` is a part as changed, unless its type excludes that."""
        root, is_whole = node, True
        while isinstance(root, ast.Attribute | ast.Subscript | ast.Starred):
            root, is_whole = root.value, False
        if not isinstance(root, ast.Name):
            return
        name, is_part = self._aliases.get(root.id, (root.id, False))
        if not self._is_sent(name):
            return
        value, is_whole = self._sent[name], is_whole and not is_part
        if isinstance(value, types.ModuleType | concurrent.futures.Future) or (
            is_whole and isinstance(value, _UNCHANGING)
        ):
            return
        known = _METHODS_OF.get(type(value).__module__.partition(".")[0])
        if method and is_whole and known is not None and method not in known and not method.endswith("_"):
            return
        self.changed.append(name)

    def _may_change(self, name: str) -> bool:
        is_sent = self._is_sent(name) and not isinstance(self._sent[name], _UNCHANGING)
        return is_sent or name in self._parts

    def _is_container(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and type(self._sent.get(node.id)) in _CONTAINERS

    def _is_sent(self, name: str) -> bool:
        return name in self._sent and name not in self.bound


def _item(value: object, step: ast.Attribute | ast.Subscript) -> object:
    """Return the part of `value` without its own `__getattr__` and `__getitem__`; `None` where that is unknown."""
    try:
        if isinstance(step, ast.Attribute):
            return vars(value).get(step.attr)
        index = ast.literal_eval(step.slice)
        return value[index] if type(value) in (list, tuple, dict) else None  # type: ignore[index]
    except Exception:  # noqa: BLE001  the `__dict__` of a proxy may be anything
        return None


def _is_view(index: ast.expr, n_dimensions: int) -> bool:
    """Tell whether an index of an array gives a view: slices, and fewer numbers than the array has dimensions."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    numbers = [part for part in parts if isinstance(part, ast.Constant) and type(part.value) is int]
    slices = [part for part in parts if isinstance(part, ast.Slice)]
    return len(numbers) + len(slices) == len(parts) and len(numbers) < n_dimensions


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def note(changed: Collection[str], out: Sequence[str] = (), *, command: str = "") -> str:
    """Return the line about names that were changed; empty where there are none.

    Args:
        out: the names that come back.
        command: the magic with the option `-o`, if another one was typed.
    """
    left = [name for name in changed if name not in out]
    if not left or "*" in out:
        return ""
    named = ", ".join(f"`{name}`" for name in left)
    them = "it" if len(left) == 1 else "them"
    option = f"{command} -o {','.join([*out, *left])}".strip()
    return f"changed {named} on the worker only; `{option}` brings {them} back"
