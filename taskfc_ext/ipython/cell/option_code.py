"""Code of options of `%%task`: the condition of `--depend`, the function of `--recover`."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from taskfc_ext.ipython.cell.names import used_names
from taskfc_ext.ipython.hints import did_you_mean, public_names
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.ipython.parse.values import as_lambda
from taskfc_ext.text import with_article

if TYPE_CHECKING:
    from taskfc_ext.tasks import MapTask


def condition(expression: str, namespace: Mapping[str, Any]) -> Callable[[dict[str, Any]], object]:
    """Return `expression` as a function of a worker's properties, with the names that it uses.

    Raises:
        BadUsage: it uses an unknown name.
    """
    source = as_lambda(expression)
    needs = used_names(source).needs
    for name in sorted(needs):
        if name not in namespace:
            near = did_you_mean(name, ["properties", *public_names(namespace)])
            raise BadUsage(f"--depend: unknown name {name!r}{near}")
    # in `__main__`, so that it is pickled by value, together with its names
    names = {"__name__": "__main__", "__builtins__": builtins} | {name: namespace[name] for name in needs}
    made: Callable[[dict[str, Any]], object] = eval(compile(source, "<--depend>", "eval"), names)
    return made


def recovery(name: str, namespace: Mapping[str, Any]) -> MapTask:
    """Return the recovery task that calls the function of that name.

    Raises:
        BadUsage: there is no such function, or it needs arguments.
    """
    from taskfc_ext.tasks import MapTask

    if name not in namespace and hasattr(builtins, name):
        raise BadUsage(f"--recover: {name!r} is a builtin; it takes a function of this notebook without arguments")
    if name not in namespace:
        raise BadUsage(f"--recover: unknown name {name!r}{did_you_mean(name, public_names(namespace))}")
    value = namespace[name]
    if not callable(value):
        kind = with_article(type(value).__name__)
        raise BadUsage(f"--recover: {name!r} holds {kind}, not a function that takes no arguments")
    try:
        inspect.signature(value).bind()
    except TypeError as error:
        raise BadUsage(f"--recover: {name!r} is called without arguments, but: {error}") from None
    except ValueError:
        pass  # a builtin without a signature
    return MapTask(value)
