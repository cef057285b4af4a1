"""Values of the notebook in a line of options: `--timeout {T}`, `--retries $n`. Pure."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from typing import Any

from taskfc_ext.ipython.hints import did_you_mean, public_names
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.text import one_line

_VALUE = re.compile(r"\{([^{}]+)\}|\$([A-Za-z_]\w*)")


def expand_values(word: str, namespace: Mapping[str, Any]) -> str:
    """Return `word` with values in place of `{expression}` and `$name`; items of a list are separated by commas.

    Raises:
        BadUsage: an expression has an unknown name, or cannot be evaluated.
    """
    return _VALUE.sub(lambda match: _text_of(match[1] or match[2], match[0], namespace), word)


def _text_of(expression: str, typed: str, namespace: Mapping[str, Any]) -> str:
    from taskfc_ext.ipython.cell.names import used_names  # `%load_ext` does not wait for it

    try:
        code = compile(expression.strip(), "<%%task>", "eval")
    except (SyntaxError, ValueError):
        raise BadUsage(f"{typed} is not an expression; write the value itself") from None
    for name in sorted(used_names(expression.strip()).needs):
        if name not in namespace:
            near = did_you_mean(name, public_names(namespace))
            raise BadUsage(f"{typed}: unknown name {name!r}{near}")
    try:
        value = eval(code, {**namespace, "__builtins__": builtins})
        return ",".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)
    except Exception as error:  # noqa: BLE001  the user's expression
        raise BadUsage(one_line(f"{typed}: {type(error).__name__}: {error}")) from None
