"""Owner of the tasks of this process: the notebook or script, the same for magics and clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from taskfc_ext.text import encodable

_SESSION = "session-"


def default_owner(environment: Mapping[str, str] | None = None, namespace: Mapping[str, Any] | None = None) -> str:
    """Return the owner's name: the notebook's path, if its server or editor gives it.

    The path stays the same across kernels. In any other shell it is a name for this process; in a program, its path.

    Args:
        environment: the variables in which Jupyter's server gives the path; ours by default.
        namespace: the names in which VS Code gives it; those of `__main__` by default.
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
    """Return a name for this process. A later process of the same pid, or a forked child, gets another one."""
    return f"{_SESSION}{pid}-{os.urandom(4).hex()}"


def is_of_one_process(owner: str) -> bool:
    """Return whether `owner` is the name of one process: no other process has its tasks, before or after."""
    return owner.startswith(_SESSION)
