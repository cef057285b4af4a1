"""Publishing outputs under their cell, in every kernel and terminal.

A kernel names a cell by the header of the message that ran it. ipykernel 7 keeps that header for each context,
ipykernel 6 only for the newest message: a new output of another thread would appear under the cell that ran last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any

from taskfc_ext.ipython.cards import rich
from taskfc_ext.ipython.cards.render import Bundle
from taskfc_ext.text import plain_text

_parent: ContextVar[Mapping[str, Any] | None] = ContextVar("taskfc_parent", default=None)
"""The header of the message that ran the cell of an output."""


def context_of_cell(shell: Any) -> Context:
    """Return a context in which `publish` sends new outputs to the cell that is running now."""
    context = copy_context()
    context.run(_parent.set, getattr(shell.display_pub, "parent_header", None))
    return context


def has_kernel(shell: Any) -> bool:
    """Tell whether a front end shows the outputs; a plain terminal has no widgets and cannot change printed text."""
    return getattr(shell, "kernel", None) is not None


def is_headless(shell: Any) -> bool:
    """Tell whether nobody can be asked for input: nbclient, papermill, Voila."""
    return not getattr(getattr(shell, "kernel", None), "_allow_stdin", True)


def publish(
    shell: Any, bundle: Bundle, *, display_id: str, update: bool, metadata: dict[str, Any] | None = None
) -> None:
    """Send a bundle, as a new output or as an update of the one with that id."""
    if not has_kernel(shell):  # a terminal prints the text unchanged, and nothing if there is none
        bundle = {**bundle, rich.TEXT: plain_text(rich.text_of({"data": bundle}))}
    publisher = shell.display_pub
    with _named_parent(publisher, None if update else _parent.get()):
        publisher.publish(bundle, metadata=metadata, transient={"display_id": display_id}, update=update)


@contextmanager
def _named_parent(publisher: Any, parent: Mapping[str, Any] | None) -> Iterator[None]:
    """Name this parent in the messages that this thread publishes."""
    if not parent or not hasattr(publisher, "register_hook"):
        yield
        return

    def name_parent(message: dict[str, Any]) -> dict[str, Any]:
        return {**message, "parent_header": parent}

    publisher.register_hook(name_parent)
    try:
        yield
    finally:
        publisher.unregister_hook(name_parent)
