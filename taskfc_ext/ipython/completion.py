"""Completion in IPython and in a kernel: a matcher that comes first, and keeps others away where it has candidates."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, completion_matcher

from taskfc_ext.errors import TaskFCError
from taskfc_ext.ipython.magics import TaskMagics
from taskfc_ext.ipython.notebook import is_future
from taskfc_ext.ipython.parse.completion import Candidate, Found, complete
from taskfc_ext.protocol.owners import short_name

FIRST = 1000
"""Priority: matchers of IPython have up to 100, and those behind a matcher that keeps others away do not run."""

MOST_TASKS = 200
"""Tasks that are offered: the newest."""

_CALL = re.compile(r"(?<![\w.])([^\W\d]\w*)\.with_options\(((?:[^()]|\([^()]*\))*)$")
_ASSIGNED = re.compile(r"^\s*(?:(?:def|class|for)\s+)?([^\W\d]\w*)\s*(?:=(?!=)|\(|\s+in\b|:)", re.MULTILINE)


def make_matcher(shell: Any, magics: TaskMagics) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Return the matcher for `shell.Completer.custom_matchers`."""
    names = NotebookNames(shell, magics)

    def match(context: CompletionContext) -> SimpleMatcherResult:
        row, column = context.cursor_line, context.cursor_position
        found = complete(context.full_text, row, column, names)
        if found is None:
            found = complete_options(_text_before(context), shell.user_ns)
        if found is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        # IPython keeps others away only behind a candidate: a free value completes to itself, and says what it is
        candidates = found.candidates or [Candidate(found.replaces, found.expects)]
        return SimpleMatcherResult(
            completions=[SimpleCompletion(word, type=kind) for word, kind in candidates],
            matched_fragment=found.replaces,
            ordered=True,
            suppress=True,
        )

    matcher: Callable[[CompletionContext], SimpleMatcherResult]
    matcher = completion_matcher(identifier="taskfc_ext", priority=FIRST, api_version=2)(match)
    return matcher


def _text_before(context: CompletionContext) -> str:
    lines = context.full_text.split("\n")
    return "\n".join([*lines[: context.cursor_line], context.text_until_cursor])


def complete_options(text: str, namespace: dict[str, Any]) -> Found | None:
    """Return the names of the options where `text` ends in a call of a client's `with_options`; else `None`."""
    call = _CALL.search(text)
    client = namespace.get(call[1]) if call else None
    if call is None or not type(client).__module__.startswith("taskfc_ext."):
        return None
    *given, last = re.split(r",", call[2])
    if not re.fullmatch(r"\s*\w*", last) or not hasattr(client, "with_options"):
        return None
    from taskfc_ext.client.submit.options import TaskOptions  # imported already, by the client

    used = {each.partition("=")[0].strip() for each in given}
    last = last.strip()
    words = [f"{name}=" for name in TaskOptions.__annotations__ if name.startswith(last) and name not in used]
    return Found(last, [Candidate(word, "param") for word in words])


class NotebookNames:
    """The names of a notebook and of its farm. A farm that is not connected, or has a problem, has none."""

    def __init__(self, shell: Any, magics: TaskMagics) -> None:
        self._shell = shell
        self._magics = magics

    def tasks(self) -> Sequence[str]:
        """Return variables with futures, then names and ids of this notebook's tasks, then names of others'."""
        variables = [name for name in self.variables() if is_future(self._shell.user_ns[name])]
        session = self._magics.session
        client = session.connected
        try:
            mine = client.list_tasks(owner=session.owner, limit=MOST_TASKS) if client is not None else []
            newest = client.list_tasks(limit=MOST_TASKS) if client is not None else []
        except TaskFCError:
            mine = newest = []
        mine = mine[::-1]
        others = [task for task in reversed(newest) if task.owner != session.owner and task.name]
        names = [*variables, *(task.name for task in mine if task.name), *(str(task.taskid) for task in mine)]
        return list(
            dict.fromkeys([*names, *(f"{short_name(task.owner, session.owner)}:{task.name}" for task in others)])
        )

    def variables(self) -> Sequence[str]:
        """Return the names that the user has bound."""
        hidden = self._shell.user_ns_hidden
        return sorted(
            name
            for name, value in self._shell.user_ns.items()
            if not name.startswith("_") and (name not in hidden or hidden[name] is not value)
        )

    def functions(self) -> Sequence[str]:
        """Return the functions and classes of the notebook."""
        return [name for name in self.variables() if callable(self._shell.user_ns[name])]

    def exceptions(self) -> Sequence[str]:
        """Return the exception types of the notebook, then Python's."""
        own = [name for name in self.variables() if _is_exception(self._shell.user_ns[name])]
        return own + [name for name, value in vars(builtins).items() if _is_exception(value)]

    def bound_by(self, body: str) -> Sequence[str]:
        """Return the names that a cell binds; roughly, while it does not compile."""
        from taskfc_ext.ipython.cell.names import used_names  # `%load_ext` does not need it

        try:
            bound = used_names(body, transform=self._shell.transform_cell).defines
        except (SyntaxError, ValueError):
            bound = frozenset(_ASSIGNED.findall(body))
        return sorted(bound)

    def farms(self) -> Sequence[str]:
        """Return the farms that run."""
        return self._magics.session.farms.names()


def _is_exception(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)
