"""Values of the notebook in a line of options: `--timeout {T}`, `--retries $n`. Pure: a namespace goes in."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from typing import Any

from taskfc_ext.ipython.hints import did_you_mean
from taskfc_ext.ipython.requests import BadUsage
from taskfc_ext.text import one_line

_VALUE = re.compile(r"\{([^{}]+)\}|\$([A-Za-z_]\w*)")


def expanded(word: str, namespace: Mapping[str, Any]) -> str:
    """Return `word` with values in place of `{expression}` and `$name`; those of a list are separated by commas.

    Raises:
        BadUsage: an expression has an unknown name, or cannot be evaluated.
    """
    return _VALUE.sub(lambda match: _text_of(match[1] or match[2], match[0], namespace), word)


def _text_of(expression: str, typed: str, namespace: Mapping[str, Any]) -> str:
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        raise BadUsage(f"%%task: {typed} is no expression; write the value itself") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in namespace and not hasattr(builtins, node.id):
            near = did_you_mean(node.id, sorted(name for name in namespace if not name.startswith("_")))
            raise BadUsage(f"%%task: {typed}: unknown name {node.id!r}{near}")
    try:
        value = eval(compile(tree, "<%%task>", "eval"), {"__builtins__": builtins}, dict(namespace))
        return ",".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)
    except Exception as error:  # noqa: BLE001  the user's expression
        raise BadUsage(one_line(f"%%task: {typed}: {type(error).__name__}: {error}")) from None
