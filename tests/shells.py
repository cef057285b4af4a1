"""Shells of IPython in this process, without a kernel, that leave nothing behind when they end."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


def new_shell(make: Callable[..., InteractiveShell] = InteractiveShell, /, **traits: Any) -> Any:
    """Return a shell that writes no history and keeps what it displays; `traits` are those of our magics.

    `make` may be `InteractiveShell.instance`: tests of workers may have left theirs, which is set aside.
    """
    config = Config()
    config.HistoryManager.enabled = False
    config.TaskMagics.update(traits)
    one: Any = InteractiveShell
    before = vars(one).get("_instance")  # an attribute would make the one that a worker offers
    one._instance = None
    ip: Any = make(config=config)
    ip.display_pub = CapturingDisplayPublisher()
    ip.instance_before = before
    if one._instance is not ip:
        one._instance = before
    return ip


def end_shell(ip: Any) -> None:
    """End a shell; `__main__` and IPython's one shell are those of before again.

    IPython puts `__main__` back only in `cleanup`, which also puts back the streams of that time, and these are not
    those of the test that runs now.
    """
    ip.atexit_operations()
    atexit.unregister(ip.atexit_operations)
    sys.modules["__main__"] = ip._orig_sys_modules_main_mod
    one: Any = InteractiveShell
    if vars(one).get("_instance") is ip:
        one._instance = ip.instance_before
