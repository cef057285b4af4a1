"""Functions that a worker has loaded: kept only if no attempt can leave anything in them."""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any, NamedTuple

from taskfc_ext.serialize import load_function
from taskfc_ext.serialize.by_value import is_importable
from taskfc_ext.serialize.captured import Captured, capture
from taskfc_ext.serialize.scope import Host, enter, new_main
from taskfc_ext.worker.load.harmless import is_harmless, only_reads

_WARNED = "__warningregistry__"
"""The name under which `warnings` notes in a namespace which warnings of it were shown."""


class Program(NamedTuple):
    """A function in a namespace of its own.

    Attributes:
        host: the namespace; it loads the arguments too.
        n_names: number of names in the namespace right after loading.
        captured: the values on which the function depends; `None` if one of them can change inside, which a check of
            identity misses.
        is_fixed: the function cannot change any of these.
        is_harmless: a call with atoms provably does not change its process.
        is_kept: the program may serve further attempts.
        needs_atoms: only while it is called with atoms: it reads arrays, into which other code could write.
            `Executor` drops it otherwise.
    """

    function: Callable[..., Any]
    host: Host
    n_names: int
    captured: Captured | None
    is_fixed: bool
    is_harmless: bool
    is_kept: bool
    needs_atoms: bool

    def forget_warnings(self) -> None:
        """Let the next call warn again of what an earlier one has warned of."""
        names = getattr(self.function, "__globals__", None)
        if names is not None and _WARNED in names:
            del names[_WARNED]

    def is_as_loaded(self) -> bool:
        """Tell whether no attempt has left anything behind."""
        here = self.host
        if len(here.main.__dict__) != self.n_names or here.classes:
            return False
        function: Any = self.function
        return self.is_fixed or (self.captured is not None and self.captured.is_unchanged(function))


class Programs:
    """Loaded programs that hold no state, by the digests of their bodies."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Program] = {}
        self._verdicts: dict[bytes, tuple[bool, bool]] = {}  # is harmless, only reads

    def get(self, digest: bytes) -> Program | None:
        """Return the program if it is loaded and unchanged."""
        program = self._kept.get(digest)
        if program is None or program.is_as_loaded():
            return program
        del self._kept[digest]
        return None

    def load(self, digest: bytes, body: Any) -> Program:
        """Make a program from its body, or from a private mapping of it."""
        here = Host(new_main())
        enter(here)
        function = load_function(body)
        captured = _capture(function)
        is_fixed = _is_fixed(function, captured)
        if digest not in self._verdicts:  # of the body, so it holds for every load
            verdict = is_harmless(function)
            self._verdicts[digest] = verdict, verdict and captured is None and only_reads(function)
        harmless, reads = self._verdicts[digest]
        program = Program(
            function=function,
            host=here,
            n_names=len(here.main.__dict__),
            captured=captured,
            is_fixed=is_fixed or reads,
            is_harmless=harmless,
            is_kept=captured is not None or reads,
            needs_atoms=reads,
        )
        if program.is_kept:
            self._kept[digest] = program
        return program

    def drop(self, digest: bytes) -> None:
        """Drop a program; it is loaded again when it is needed."""
        self._kept.pop(digest, None)

    def forget(self, digest: bytes) -> None:
        """Drop a program, and the verdict on its code."""
        self._kept.pop(digest, None)
        self._verdicts.pop(digest, None)

    def clear(self) -> None:
        """Drop all programs."""
        self._kept.clear()


def _capture(function: Callable[..., Any]) -> Captured | None:
    if type(function) is FunctionType:
        return capture(function)
    if isinstance(function, (BuiltinFunctionType, type)) and is_importable(function):
        return Captured(None, (), ())
    return None


def _is_fixed(function: Callable[..., Any], captured: Captured | None) -> bool:
    """Tell whether the function is from a module, or uses no name through which it could reach anything."""
    if captured is None:
        return False
    if captured.own is None:
        return True
    untyped: Any = function
    code = untyped.__code__
    return not (code.co_names or code.co_freevars or any(type(part) is CodeType for part in code.co_consts))
