"""Outputs of tasks, read by a client while they run and afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from taskfc_ext.client.start import Controller, start
from tests.processes import DEADLINE, until


def shows(go: str) -> str:
    import os
    import time

    from IPython.display import HTML, display

    handle = display(HTML("<b>begun</b>"), display_id=True)
    while not os.path.exists(go):
        time.sleep(0.01)
    handle.update(HTML("<b>ended</b>"))
    return "done"


def html(outputs: list[dict[str, Any]]) -> list[str]:
    return [output["data"]["text/html"] for output in outputs]


def test_a_client_sees_what_a_function_shows(shared_farm: Controller, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with shared_farm.client() as client, shared_farm.client() as other:
        future = client.submit(shows, str(go))
        until(lambda: future.outputs, "its output is seen")
        assert html(future.outputs) == html(client.outputs(future.taskid)) == ["<b>begun</b>"]
        assert html(other.outputs(future.taskid)) == ["<b>begun</b>"]
        go.touch()
        assert future.result(DEADLINE) == "done"
        assert html(future.outputs) == html(client.outputs(future.taskid)) == ["<b>ended</b>"]
        assert html(other.outputs(future.taskid)) == html(other.future(future.taskid).outputs) == ["<b>ended</b>"]


def plots() -> None:
    from matplotlib import pyplot

    pyplot.plot([1, 2])


def test_a_figure_comes_out_of_a_function_without_being_asked_for(shared_farm: Controller) -> None:
    with shared_farm.client() as client:
        future = client.submit(plots)
        future.result(DEADLINE)
        (output,) = future.outputs
        assert output["output_type"] == "display_data"
        assert output["data"]["image/png"].startswith("iVBORw0KGgo")


def walks(n: int) -> int:
    from tqdm.notebook import tqdm

    return sum(tqdm(range(n), desc="walk"))


def test_a_function_leaves_the_last_state_of_a_bar_of_a_notebook(shared_farm: Controller) -> None:
    with shared_farm.client() as client:
        future = client.submit(walks, 4)
        assert future.result(DEADLINE) == 6
        (output,) = future.outputs
        assert list(output["data"]) == ["text/plain"]
        assert output["data"]["text/plain"].startswith("walk: 100%|██████████| 4/4 [")


def test_the_value_of_a_cell_is_not_among_what_it_displayed(shared_farm: Controller) -> None:
    with shared_farm.client() as client:
        future = client.submit_cell(
            "from IPython.display import HTML\ndisplay(HTML('<b>shown</b>'))\nHTML('<b>value</b>')"
        )
        assert future.result(DEADLINE).data == "<b>value</b>"
        assert html(future.outputs) == html(client.outputs(future.taskid)) == ["<b>shown</b>"]


def redirect(path: str) -> None:
    with open(path, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def test_what_a_task_makes_of_its_descriptors_ends_with_it(home: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    with start(1, name="fds") as farm, farm.client() as client:
        for spoil in (lambda: os.close(1), lambda: redirect(str(theirs))):
            client.submit(spoil).result(DEADLINE)
            future = client.submit(os.system, "echo sane; echo loud >&2")
            assert future.result(DEADLINE) == 0
            assert (future.stdout, future.stderr) == ("sane\n", "loud\n")
        assert theirs.read_text() == ""
