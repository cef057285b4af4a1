"""What a real kernel answers to Tab and to Shift+Tab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from taskfc_ext import TaskClient, start
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, kernels_without_ports


@pytest.fixture(scope="module")
def kernel(module_home: Path) -> Iterator[Any]:
    """A client of a kernel that has the magics, beside a farm with tasks of another notebook."""
    controller: Controller = start(1)
    with TaskClient(owner="/nb/train.ipynb") as other:
        other.with_options(name="fit").submit(abs, 1).result(DEADLINE)
    manager = KernelManager(config=kernels_without_ports())
    manager.start_kernel(cwd=str(module_home), env={**os.environ, "IPYTHONDIR": str(module_home / "i")})
    client: Any = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(DEADLINE)
    for cell in (
        "%load_ext taskfc_ext",
        "from taskfc_ext import TaskClient; tc = TaskClient(); learned = 3; import math",
        "%%task lap\n1",
    ):
        client.execute(cell)
        assert client.get_shell_msg(timeout=DEADLINE)["content"]["status"] == "ok"
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    controller.stop()


def ask(kernel: Any, what: str, text: str) -> Any:
    """Send a request for the place of `|` in `text`; return the content of its answer."""
    sent = getattr(kernel, what)(text.replace("|", ""), text.index("|"))
    while True:
        answer = kernel.get_shell_msg(timeout=DEADLINE)
        if answer["parent_header"].get("msg_id") == sent:
            return answer["content"]


@pytest.mark.parametrize(
    ("text", "offered", "kind"),
    [
        ("%%task lap --on|\nx = 1", ["--on-lost"], "option"),
        ("%%task --on-lost |\nx = 1", ["retry", "fail"], "value"),
        ("%%task --timeout |\nx = 1", [""], "S"),
        ("%%task --after |\nx = 1", ["lap", "1", "train:fit"], "task"),
        ("%%task -o |\nx = learned\ny = 2", ["x", "y", "*"], "name"),
        ("%%task -i lea|\nx = learned", ["learned"], "name"),
        ("y = 1\n%task abort l|", ["lap"], "task"),
        ("%task result train:|", ["train:fit"], "task"),
        ("z = %task ab|", ["abort", "abs"], None),
        ("tc.with_options(retries=2,\n    back|)", ["backoff="], "param"),
        ("%%task\nmath.sqr|", ["sqrt"], "function"),
        ("%%task\nlear|", ["learned"], "instance"),
    ],
)
def test_tab_gives_our_words_and_nothing_beside_them(
    kernel: Any, text: str, offered: list[str], kind: str | None
) -> None:
    answer = ask(kernel, "complete", text)
    assert answer["matches"] == offered
    kinds = {each["type"] for each in answer["metadata"]["_jupyter_types_experimental"]}
    assert kind is None or kinds == {kind}
    replaced = text.replace("|", "")[answer["cursor_start"] : answer["cursor_end"]]
    assert offered[0].startswith(replaced)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%%task la|p\nx = 1", "Run the cell as a task"),
        ("%%task|\nx = 1", "Run the cell as a task"),
        ("%%task?|", "Run the cell as a task"),
        ("%task ab|ort 3", "usage: %task abort TASKS"),
        ("%%task lap\nmath.sqrt|(3)", "square root"),
    ],
)
def test_shift_tab_shows_the_help_of_the_line(kernel: Any, text: str, shown: str) -> None:
    answer = ask(kernel, "inspect", text)
    assert answer["found"]
    assert shown in answer["data"]["text/plain"]
