"""The cell under which outputs are published, in kernels that know only the newest cell."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from taskfc_ext.ipython.cards.publishing import context_of_cell, is_headless, publish


class KernelsPublisher:
    """As ipykernel's: hooks of the thread that publishes, and the header of the newest message."""

    def __init__(self) -> None:
        self.parent_header: dict[str, Any] = {}
        self.sent: list[tuple[str, str]] = []
        self._local = threading.local()

    @property
    def hooks(self) -> list[Any]:
        return self._local.__dict__.setdefault("hooks", [])

    def register_hook(self, hook: Any) -> None:
        self.hooks.append(hook)

    def unregister_hook(self, hook: Any) -> None:
        self.hooks.remove(hook)

    def publish(self, data: Any, metadata: Any = None, transient: Any = None, update: bool = False) -> None:
        message = {"parent_header": self.parent_header, "content": data}
        for hook in self.hooks:
            message = hook(message)
        self.sent.append((data["text/plain"], message["parent_header"].get("msg_id", "")))


def kernel(**attributes: Any) -> Any:
    return SimpleNamespace(kernel=SimpleNamespace(**attributes), display_pub=KernelsPublisher())


def test_a_new_output_names_its_own_cell_also_from_a_thread_while_another_runs() -> None:
    shell = kernel()
    shell.display_pub.parent_header = {"msg_id": "first"}
    context = context_of_cell(shell)
    shell.display_pub.parent_header = {"msg_id": "second"}

    def send() -> None:
        publish(shell, {"text/plain": "new"}, display_id="x", update=False)
        publish(shell, {"text/plain": "update"}, display_id="x", update=True)

    thread = threading.Thread(target=context.run, args=(send,))
    thread.start()
    thread.join()
    publish(shell, {"text/plain": "of the second"}, display_id="y", update=False)
    assert shell.display_pub.sent == [("new", "first"), ("update", "second"), ("of the second", "second")]
    assert shell.display_pub.hooks == []


def test_a_terminal_prints_text_that_steers_nothing(shell: Any) -> None:
    publish(shell.ip, {"text/html": "<b>", "text/plain": "a\x1b]0;title\x07b"}, display_id="x", update=False)
    publish(shell.ip, {"application/x": {}}, display_id="y", update=False)
    assert shell.texts() == ["ab", "[application/x]"]


@pytest.mark.parametrize(
    ("shell", "headless"),
    [
        (kernel(_allow_stdin=True), False),
        (kernel(_allow_stdin=False), True),
        (kernel(), False),
        (SimpleNamespace(), False),
    ],
)
def test_a_kernel_without_stdin_is_headless(shell: Any, headless: bool) -> None:
    assert is_headless(shell) == headless
