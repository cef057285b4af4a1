"""Whose tasks this process submits: what "this notebook's tasks" means, the same for magics and for clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from taskfc_ext.text import encodable


def default_owner(environment: Mapping[str, str] | None = None, namespace: Mapping[str, Any] | None = None) -> str:
    """Return what tells our tasks from others': the notebook's path where its server or editor tells it.

    It stays the same across kernels then. In any other shell it is this process; for a program, its path.

    Args:
        environment: where Jupyter's server tells; ours by default.
        namespace: where VS Code tells; that of `__main__` by default.
    """
    environment = os.environ if environment is None else environment
    namespace = vars(sys.modules["__main__"]) if namespace is None else namespace
    notebook = environment.get("JPY_SESSION_NAME") or namespace.get("__vsc_ipynb_file__")
    if notebook:
        return encodable(str(notebook))[:1000]
    if "get_ipython" in namespace or not (sys.argv and sys.argv[0]):
        return _this_process(os.getpid())
    return encodable(os.path.abspath(sys.argv[0]))[:1000]


@cache
def _this_process(pid: int) -> str:
    """Return a name for this process, which no later process with its pid has; a forked child gets another one."""
    return f"session-{pid}-{os.urandom(4).hex()}"
