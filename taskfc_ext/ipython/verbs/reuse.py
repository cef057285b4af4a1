"""Re-use (`%%task --reuse`) of a task of this notebook that is the same; `docs/howto/again.md` says what that is.

The key of a task is a digest of all that its result depends on and that this process knows. It travels with the task.
"""

from __future__ import annotations

import io
import pickle
import time
import tokenize
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from taskfc_ext.ipython.notebook import Notebook, is_future
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.protocol.spec import Origin
from taskfc_ext.protocol.states import UNFINISHED, State
from taskfc_ext.text import format_seconds, one_line

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.protocol.infos import TaskInfo

_VERSION = b"1"
"""Of the keys: another rule of what is the same gives other keys."""

_OPTIONS = ("seed", "depend", "recovery_task", "cores", "memory", "gpus", "resources")
"""The options that may change a result; the others decide when and how often a task runs."""

_LAYOUT = frozenset((tokenize.COMMENT, tokenize.NL))

_BY_LIBRARIES = frozenset((b"KMP_DUPLICATE_LIB_OK", b"KMP_INIT_AT_FORK"))
"""Variables of the environment that an import of scikit-learn sets."""


def key_of(
    source: str, code: str, values: Mapping[str, Any], out: tuple[str, ...], settings: Any, options: Mapping[str, Any]
) -> bytes:
    """Return the key of a cell.

    Args:
        source: the cell.
        code: the cell as Python.
        values: the names that it gets.
        out: the names that come back.
        settings: those of the notebook for the cell.
        options: those of the submission.

    Raises:
        BadUsage: a value cannot be compared.
    """
    from taskfc_ext.client.context.context import read_context
    from taskfc_ext.serialize.content import content_digest, digest_of

    here = read_context(source)
    after = [_id_of(task) for task in options.get("after", ())]
    inputs = {name: ("task", _id_of(value)) if is_future(value) else value for name, value in sorted(values.items())}
    chosen = {name: options[name] for name in _OPTIONS if options.get(name) is not None}
    try:
        content = content_digest((inputs, sorted(out), dict(settings), chosen, after))
    except Exception as error:  # noqa: BLE001  the user's __reduce__
        raise BadUsage(f"%%task: --reuse cannot compare the inputs of this cell: {one_line(error)}") from None
    modules = [digest for digest, _ in here.modules]
    return digest_of(_VERSION, _tokens(code), content, _surroundings(here.body), *modules)


def find_same(notebook: Notebook, key: bytes) -> TaskInfo | None:
    """Return the newest task of this notebook with this key that has succeeded or is unfinished."""
    session = notebook.session
    states = (State.SUCCEEDED, *UNFINISHED)
    found = session.client().list_tasks(owner=session.owner, states=states, limit=100, origin=Origin(key=key))
    return next((task for task in reversed(found) if task.owner == session.owner), None)  # others may be called so


def take(notebook: Notebook, task: TaskInfo) -> TaskFuture:
    """Return the future of a task that is the same, and say whose result it is."""
    future = notebook.session.future(task.taskid)
    if task.completed is None:
        notebook.say(f"joined task {task.taskid}, which is the same and is {task.state}")
        notebook.session.notices.add(future)
        return future
    ago = format_seconds(max(0.0, time.time() - task.completed))
    how = "" if notebook.has_buttons else f"; `%task retry {task.taskid}` runs it again"
    notebook.say(f"from task {task.taskid}, {ago} ago{how}")
    if notebook.has_buttons:
        notebook.board.show_early(future, RunAgain())
    return future


class RunAgain:
    """The button of a task whose result was taken: to retry it is to run it again."""

    labels: ClassVar[dict[str, str]] = {"retry": "Run again"}

    def verbs_in(self, state: str) -> tuple[str, ...] | None:
        """Return the retry of a successful task, which has no button otherwise."""
        return ("retry",) if state == State.SUCCEEDED else None

    def act(self, verb: str) -> tuple[Any, str]:
        """Raise: its verb is one of the board's."""
        raise AssertionError(verb)

    def release(self) -> None:
        """Do nothing: it keeps nothing."""


def _id_of(task: Any) -> int:
    if isinstance(task, int):
        return task
    if task.taskid is None:
        raise BadUsage(f"%%task: --reuse cannot compare with {task.label!r}, which was not accepted")
    return int(task.taskid)


def _tokens(code: str) -> bytes:
    """Return code without its comments, blank lines and spaces; as it is, where that is not possible."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return code.encode("utf-8", "surrogatepass")
    layout = (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE)
    words = [
        (token.type, "" if token.type in layout else token.string) for token in tokens if token.type not in _LAYOUT
    ]
    return repr(words).encode("utf-8", "surrogatepass")


def _surroundings(body: bytes) -> bytes:
    """Return the context without what an import of a library changes in it: how warnings are shown, and so on."""
    from taskfc_ext.protocol.context import decode_context

    context = decode_context(body)
    settings = pickle.loads(context.settings) if context.settings else {}
    if filters := settings.get("warning filters"):
        settings["warning filters"] = repr([each for each in pickle.loads(filters) if each[0] == "error"])
    environ = tuple(edit for edit in context.environ if edit[0] not in _BY_LIBRARIES)
    plain = msgspec.structs.replace(context, settings=repr(sorted(settings.items())).encode(), environ=environ)
    return repr(plain).encode("utf-8", "surrogateescape")
