"""Large arguments and results on a real farm: their files, their copies, their end, and the deaths around them."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskfc_ext import start
from taskfc_ext.cli import main
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.paths import FarmPaths, farm_paths
from taskfc_ext.errors import StoreError
from tests.processes import DEADLINE, until

from .conftest import AsyncFace, BlockingFace, Session, kill

N = 200_000
"""Numbers of an array that stands in a file: 1.6 MB."""


def paths_of(controller: Controller) -> FarmPaths:
    return farm_paths(controller.name)


def on_disk(folder: Path) -> list[Path]:
    """Return the files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def kill_controller(farm: Controller) -> None:
    """Kill the controller; one that was killed before is waited for."""
    kill(until(lambda: farm.pid if Path(f"/proc/{farm.pid}").exists() else 0, "the controller"))


def add_one(array: Any) -> Any:
    array += 1  # also where the array was not copied
    return array


def arrays(folder: Path) -> list[Path]:
    """Return the files of arrays below a folder; large code has files, too."""
    found = []
    for path in on_disk(folder):
        with suppress(FileNotFoundError):  # removed just now
            if path.stat().st_size >= 8 * N:
                found.append(path)
    return found


def total(*arrays: Any) -> float:
    return float(sum(array.sum() for array in arrays))


def make(n: int) -> Any:
    import numpy as np

    return np.ones(n)


def describe(array: Any) -> tuple[bool, str]:
    """Return whether an array can be written to, and what holds its memory."""
    base = array
    while getattr(base, "base", None) is not None:
        base = base.base
    holder = base.obj if isinstance(base, memoryview) else base
    return array.flags.writeable, type(holder).__name__


def test_arrays_arrive_writable_and_nobody_sees_what_another_one_writes(face: BlockingFace | AsyncFace) -> None:
    array = np.zeros(N)
    first = face.submit(add_one, array)
    array[:] = 5  # after the submission: what was submitted counts
    assert set(face.result(first)) == {1.0}
    assert set(array) == {5.0}
    result = face.result(first)
    result += 1
    again = face.result(face.future(first.taskid))
    assert set(again) == {1.0}
    assert set(face.result(face.submit(add_one, again))) == {2.0}


def test_an_array_is_mapped_at_both_ends(client: BlockingTaskClient) -> None:
    assert client.submit(describe, np.zeros(N)).result() == (True, "mmap")
    assert describe(client.submit(make, N).result()) == (True, "mmap")


def test_a_function_with_an_array_is_sent_once_and_the_array_may_change(lone_farm: Controller) -> None:
    array = np.zeros(N)

    def use(item: int) -> tuple[float, bool, str]:
        seen = float(array[0])
        array[0] = -1  # which no other task sees
        return seen, *describe(array)

    with lone_farm.client() as client:
        client.clear()
        until(lambda: not arrays(paths_of(lone_farm).payloads), "no files of other tests")
        futures = [client.submit(use, item) for item in range(20)]
        assert {future.result() for future in futures} == {(0.0, True, "mmap")}
        assert client.map(use, range(20)) == [(0.0, True, "mmap")] * 20
        assert len(arrays(paths_of(lone_farm).payloads)) == 1
        array[0] = 5
        assert client.map(use, range(3)) == [(5.0, True, "mmap")] * 3
        kill_controller(lone_farm)
        assert futures[0].retry().result() == (0.0, True, "mmap")
        client.clear()
        until(lambda: not arrays(paths_of(lone_farm).payloads), "the files are gone")
        until(lambda: not arrays(paths_of(lone_farm).uploads), "also that of the client")
        assert client.submit(use, 0).result() == (5.0, True, "mmap")


def test_results_go_from_worker_to_worker(client: BlockingTaskClient) -> None:
    one, two = client.submit(make, N), client.submit(make, 2 * N)
    assert client.submit(total, one, two).result() == 3 * N
    assert client.submit(describe, one).result() == (True, "mmap")
    assert one.result().sum() == N  # its readers have changed nothing


@pytest.mark.parametrize(
    "value", [b"x" * 10**6, "ä" * 10**6, bytearray(10**6), list(range(10**5)), {"a": [None] * 10**5}]
)
def test_values_without_buffers_may_be_large_too(client: BlockingTaskClient, value: Any) -> None:
    assert client.submit(lambda value: value, value).result() == value


def test_tables_and_sparse_arrays_come_back_as_they_were(client: BlockingTaskClient) -> None:
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    frame = pandas.DataFrame({"a": np.arange(N), "b": np.arange(N) / 3, "c": ["text"] * N})
    frame["d"] = pandas.date_range("2020-01-01", periods=N, freq="s")
    matrix = sparse.random(2000, 2000, density=0.05, random_state=1, format="csr")
    pandas.testing.assert_frame_equal(client.submit(lambda table: table, frame).result(), frame)
    assert (client.submit(lambda matrix: 2 * matrix, matrix).result() != 2 * matrix).nnz == 0


def test_order_and_strides_are_kept(client: BlockingTaskClient) -> None:
    for array in (np.asfortranarray(np.arange(N).reshape(400, 500)), np.arange(2 * N)[::2], np.arange(N)[::-1]):
        result = client.submit(lambda array: array, array).result()
        assert np.array_equal(result, array)
        assert result.flags.f_contiguous == (
            array.flags.f_contiguous or (array.ndim == 1 and result.flags.c_contiguous)
        )


def test_more_than_a_frame_goes_in_and_comes_out(client: BlockingTaskClient) -> None:
    array = np.zeros(300 * 2**20, dtype=np.uint8)  # a frame has 256 MiB
    array[-1] = 7
    result = client.submit(lambda array: array, array).result()
    assert (len(result), result[-1]) == (len(array), 7)


def test_the_names_of_a_cell_are_mapped_as_well(session: Session) -> None:
    session.run("import numpy as np\nsmall, large = 1, np.zeros(200_000)")
    session.run("%%task fit -o large\nlarge += small\nlarge.sum()")
    session.run("%task wait fit")
    assert session.run("fit.result(), fit.ns['large'].sum(), large.sum(), fit.ns['large'].flags.writeable") == (
        200_000.0,
        200_000.0,
        0.0,
        True,
    )


def test_a_failed_task_with_a_large_argument_runs_again_and_is_debugged(session: Session) -> None:
    session.run("import numpy as np\nlarge = np.zeros(200_000)")
    session.run("%%task wrong\nlarge[0] += 1\nassert large[0] == 2, large[:2]")
    assert isinstance(session.error("wrong.result()"), AssertionError)
    assert isinstance(session.error("wrong.retry().result()"), AssertionError)
    session.run("%task debug wrong --no-debugger")
    assert session.run("large[0]") == 0


def test_files_go_with_their_tasks(lone_farm: Controller) -> None:
    paths = paths_of(lone_farm)
    with lone_farm.client() as client:
        client.clear()
        until(lambda: not arrays(paths.payloads), "no files of other tests")
        client.submit(abs, -1).result()
        modules = set(on_disk(paths.uploads))  # large ones of this process stay while a task may need them
        future = client.submit(add_one, np.zeros(N))
        result = future.result()
        assert len(arrays(paths.payloads)) == 2
        until(lambda: set(on_disk(paths.uploads)) <= modules, "the senders have removed their names of the files")
        client.clear()
        until(lambda: not arrays(paths.payloads), "the files are gone")
        assert result.sum() == N  # what was mapped stays
        n_workers = client.scale(0)
        aborted = client.submit(total, np.zeros(N))
        client.flush()
        aborted.abort()
        client.clear()
        client.scale(n_workers)
        until(
            lambda: not arrays(paths.payloads) and set(on_disk(paths.uploads)) <= modules,
            "also those of an aborted task",
        )


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_large_value_that_has_changed_in_the_store_is_refused_by_name(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start(1) as farm, farm.client() as client:
        values = [client.submit(make, N), client.submit(make, N)]
        assert [value.result().sum() for value in values] == [N, N]
        paths = paths_of(farm)
        client.scale(0)
        argument = client.submit(total, np.full(N, 2.0))
        client.flush()
        taskids = [*[value.taskid for value in values], argument.taskid]
    files = sorted(arrays(paths.payloads), key=lambda path: int(path.name, 16))
    assert len(files) == 3
    for file in (files[0], files[2]):
        flip_a_bit(file)
    assert main(["doctor"]) == 1
    found = capsys.readouterr().out
    for file, taskid in ((files[0], taskids[0]), (files[2], taskids[2])):
        assert f"the payload file {file.name} of task {taskid} has another content than was written" in found
    with start(1) as farm, farm.client() as client:
        client.scale(1)
        with pytest.raises(StoreError, match=f"result of task {taskids[0]} is damaged: its content is not what was"):
            client.future(taskids[0]).result(DEADLINE)
        assert client.future(taskids[1]).result(DEADLINE).sum() == N
        with pytest.raises(Exception, match="its content is not what was written"):
            client.future(taskids[2]).result(DEADLINE)


def test_large_data_survives_the_controller_and_the_worker(lone_farm: Controller) -> None:
    with lone_farm.client() as client:
        client.scale(0)
        futures = [client.with_options(retries=5).submit(add_one, np.full(N, float(i))) for i in range(20)]
        client.flush()
        kill_controller(lone_farm)
        client.scale(2)
        kill(until(client.workers, "a worker")[0].pid)
        assert [float(future.result()[0]) for future in futures] == [i + 1.0 for i in range(20)]
        kill_controller(lone_farm)
        assert [float(client.future(future.taskid).result()[0]) for future in futures] == [i + 1.0 for i in range(20)]


def test_a_submission_that_is_repeated_to_a_new_controller_has_its_data(lone_farm: Controller) -> None:
    with lone_farm.client() as client:
        for round_ in range(5):
            futures = [client.submit(total, np.full(N, 1.0)) for _ in range(10)]
            kill_controller(lone_farm)
            assert [future.result() for future in futures] == [N] * 10, round_


def test_without_room_a_submission_says_so_and_the_farm_goes_on(
    client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.zeros(N)
    assert (client.submit(total, array).result(), client.submit(abs, -1).result()) == (0, 1)  # large modules are there

    def write(*args: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", write)
        with pytest.raises(StoreError, match="there is no room for the arguments of total"):
            client.submit(total, array)
        assert client.submit(abs, -1).result() == 1
    assert client.submit(total, array).result() == 0


def test_a_client_that_is_closed_leaves_no_folder(lone_farm: Controller) -> None:
    with lone_farm.client() as client:
        client.submit(total, np.zeros(N)).result()
    del client
    gc.collect()
    until(
        lambda: not [path for path in paths_of(lone_farm).uploads.iterdir() if path.name.startswith("c")],
        "its folder is gone",
    )
