"""Documentation of the blocking client, read from the async client while the site is built.

An extension of Griffe (`extensions:` in `mkdocs.yml`). `BlockingTaskClient` takes its docstrings from `FCTaskClient`
when it is imported; Griffe reads sources only, so each method gets the docstring of the coroutine that it drives here.
"""

from __future__ import annotations

from typing import Any

import griffe

BLOCKING, ASYNC = "client.blocking.BlockingTaskClient", "client.aio.FCTaskClient"


class BlockingDocs(griffe.Extension):
    """Gives the methods of the blocking client the docstrings of the async client."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Fill in the docstrings. Griffe calls this once the package is loaded."""
        if pkg.path != "taskfc_ext":
            return
        documented = pkg[ASYNC].members
        for name, method in pkg[BLOCKING].members.items():
            if method.docstring is None and name in documented:
                method.docstring = documented[name].docstring
