"""A real server with real farms: messages to pages, and commands of pages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import websocket

from taskfc_ext import start
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import stop
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.snapshots import QueueDelta, QueueSnapshot
from taskfc_ext.protocol.states import StateCode
from taskfc_ext.view.messages import MAX_LOG, TaskDetails, Tasks
from taskfc_ext.view.view_model import QueueModel
from tests.conftest import farm_home
from tests.processes import DEADLINE, until
from tests.server_extension.conftest import Page, Server, farm_of


class Queue:
    """A queue as a page knows it: it takes in what it is sent, and insists that nothing is missing."""

    def __init__(self, page: Page, farm: str = "default") -> None:
        self.page = page
        self.farm = farm
        self.model = QueueModel()

    def until(self, wanted, what: str) -> QueueModel:
        end = time.monotonic() + DEADLINE
        while not (self.model.seq is not None and wanted(self.model)):
            assert time.monotonic() < end, what
            message = self.page.next()
            if message["type"] != "farms" and message["farm"] == self.farm:
                kind = QueueSnapshot if message["type"] == "snapshot" else QueueDelta
                assert self.model.apply(msgspec.convert(message, kind, str_keys=True)), "a delta was lost"
        return self.model

    def until_state(self, taskid: int, state: StateCode) -> QueueModel:
        return self.until(lambda model: model.state_of(taskid) is state, f"task {taskid} is {state.name}")


def sleep_long() -> None:
    import time

    time.sleep(600)


def fail() -> None:
    print("before it fails")
    raise ValueError("no <b>luck</b>")


def test_a_running_task_is_seen_and_aborted(server, client):
    with server.page("default") as page:
        queue = Queue(page)
        task = client.submit(sleep_long)
        client.flush(DEADLINE)
        queue.until_state(task.taskid, StateCode.RUNNING)
        answer = server.ask("farms/default", do="abort", taskids=[task.taskid])
        told = answer.json()
        assert (answer.status_code, told["ok"]) == (200, True)
        # as it is at that moment, and it ends soon
        assert told["said"] in (f"Stopping task {task.taskid}.", f"Aborted task {task.taskid}.")
        queue.until_state(task.taskid, StateCode.ABORTED)
        again = server.ask("farms/default", do="abort", taskids=[task.taskid]).json()
        assert again == {"ok": False, "said": f"Task {task.taskid} has ended already (aborted)."}


def test_two_pages_see_the_same_and_one_that_begins_later_sees_it_all(server, client):
    with server.page("default") as first, server.page("default") as second:
        futures = [client.submit(abs, -n) for n in range(20)]
        for future in futures:
            future.result(DEADLINE)

        def n_succeeded(page: Page) -> int:
            model = Queue(page).until(
                lambda model: all(model.state_of(future.taskid) is StateCode.SUCCEEDED for future in futures),
                "all have succeeded",
            )
            return model.counts.succeeded

        counts = [n_succeeded(page) for page in (first, second)]
        with server.page("default") as third:
            counts.append(n_succeeded(third))
            third.say('{"ask": "watch", "farm": "default"}')
            third.until(lambda message: True, "snapshot")
    assert len(set(counts)) == 1


def test_a_farm_that_is_not_watched_any_more_is_not_sent(server, client):
    with server.page("default") as page, server.page("default") as other:
        page.until(lambda _: True, "snapshot")
        page.say('{"ask": "unwatch", "farm": "default"}')
        page.is_heard()
        client.submit(abs, -1).result(DEADLINE)
        page.say('{"ask": "watch", "farm": "nowhere"}')  # answered by nothing, as there is no such farm yet
        page.say('{"ask": "watch", "farm": "default"}')
        kinds = []
        while "snapshot" not in kinds:
            kinds.append(page.next()["type"])
        del other
    assert "delta" not in kinds


def test_the_list_of_farms_has_counts_and_identity(server, client):
    client.submit(abs, -1).result(DEADLINE)
    with server.page("default") as page:
        Queue(page).until(lambda model: True, "the queue")
        status = farm_of(server.ask("farms").json(), "default")
        assert (status["state"], status["n_workers"]) == ("live", 2)
        assert status["counts"]["succeeded"] > 0
        command = {"do": "scale", "n": 2, "identity": status["identity"]}
        assert server.ask("farms/default", **command).json()["said"] == "2 workers already."
        answer = server.ask("farms/default", **{**command, "identity": "another"})
        assert (answer.status_code, "repeat the command" in answer.json()["message"]) == (409, True)


def test_a_cell_has_its_source_and_a_farm_the_size_of_its_store(server, client):
    before = server.ask("farms/default").json()["store_bytes"]
    task = client.submit_cell("# big\nb'x' * 2_000_000", {}, ())
    task.result(DEADLINE)
    path = f"farms/default/tasks/{task.taskid}"
    assert "source" not in server.ask(path).json()
    details = server.ask(f"{path}?source=1").json()
    assert (details["source"], details["task"]["label"]) == ("# big\nb'x' * 2_000_000", "b'x' * 2_000_000")
    assert details["size"] > 2_000_000
    assert server.ask("farms/default").json()["store_bytes"] > before + 2_000_000


def test_a_failed_task_in_all_its_parts_with_nothing_unpickled(server, client):
    task = client.with_options(name="unlucky").submit(fail)
    assert task.exception(DEADLINE) is not None
    answer = server.ask(f"farms/default/tasks/{task.taskid}")
    details = msgspec.json.decode(answer.content, type=TaskDetails)
    assert (details.task.state, details.task.reason, details.task.name) == ("failed", "error", "unlucky")
    assert details.log == "before it fails\n", details
    assert details.exception.endswith("ValueError")
    assert "no <b>luck</b>" in details.traceback
    assert details.outputs == ()
    listed = msgspec.json.decode(server.ask("farms/default/tasks?state=failed&n=1").content, type=Tasks)
    assert [(info.taskid, info.name) for info in listed.tasks] == [(task.taskid, "unlucky")]
    known = server.ask(f"farms/default/tasks/{task.taskid}?known={details.version}")
    assert msgspec.json.decode(known.content, type=TaskDetails).outputs is None
    retried = server.ask("farms/default", do="retry-failed").json()
    assert retried["ok"]
    assert [old for old, _ in retried["retried"]] == [task.taskid]
    assert server.ask("farms/default", do="clear", taskids=[task.taskid]).json()["ok"]
    assert server.ask(f"farms/default/tasks/{task.taskid}").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("farms/nowhere", None, 404, "nowhere"),
        ("farms/nowhere/tasks", None, 404, "nowhere"),
        ("farms/default/tasks?state=done", None, 400, "'done'"),
        ("farms/default/tasks?n=0", None, 400, "'0'"),
        ("farms/default/tasks?n=10000000000000", None, 400, "1000"),
        ("farms/nowhere", {"do": "clear"}, 404, "nowhere"),
        ("farms/.hidden", {"do": "clear"}, 400, ".hidden"),
        ("farms/%3Cb%3E", {"do": "clear"}, 400, "<b>"),
        ("farms/default", {"do": "explode"}, 400, "explode"),
        ("farms/default", {"do": "abort"}, 400, "taskids"),
        ("farms/default", {"do": "abort", "taskids": []}, 400, "taskids"),
        ("farms/default", {"do": "abort", "taskids": [2**60]}, 400, "taskids"),
        ("farms/default", {"do": "abort", "taskids": ["x"]}, 400, "taskids"),
        ("farms/default", {"do": "scale", "n": 10**9}, 400, "10000"),
        ("farms/default", {"do": "scale", "n": 1, "more": 1}, 400, "more"),
        ("farms/default", [], 400, "object"),
        ("farms/default", {"do": "abort", "taskids": [1] * 1_200_000}, 413, "2,097,152"),
        ("farms/nowhere/tasks/1", None, 404, "nowhere"),
        ("farms/default/tasks/one", None, 400, "'one'"),
        ("farms/default/tasks/-1", None, 400, "'-1'"),
        ("farms/default/tasks/99999999999999999999", None, 400, "99999999999999999999"),
        ("farms/default/tasks/987654", None, 404, "987654"),
        ("farms/default/tasks/0?known=" + "k" * 101, None, 400, "101"),
    ],
)
def test_nonsense_is_refused_by_name(server, farm, path, body, status, says):
    with server.http() as http:
        answer = http.get(path) if body is None else http.post(path, json=body)
    assert (answer.status_code, says in answer.json()["message"]) == (status, True), answer.text


def test_a_body_that_is_not_json_is_refused(server, farm):
    with server.http() as http:
        for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
            answer = http.post("farms/default", content=body)
            assert (answer.status_code, "Not a command" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    "question", ["{", '{"ask": "dance"}', '{"ask": "watch", "farm": "../x"}', '{"ask": "watch"}', "[" * 4000]
)
def test_a_page_with_an_invalid_message_is_closed_with_the_reason(server, question):
    with server.page() as page:
        page.say(question)
        code, reason = page.why_closed()
    assert (code, reason[:14]) == (1008, "not a question")


def test_a_page_with_a_message_that_is_too_long_is_closed(server):
    with server.page() as page:
        page.say('{"ask": "watch", "farm": "' + "x" * 10_000 + '"}')
        assert page.why_closed()[0] == 1009


def test_a_page_that_does_not_read_is_dropped_and_the_others_go_on(server, client):
    """It asks for the queue again and again, and takes none of it."""
    for n in range(1000):
        client.with_options(name="n" * 90).submit(abs, n)
    client.flush(DEADLINE)
    with server.page("default") as good, server.page("default") as bad:
        queue = Queue(good)
        queue.until(lambda model: model.counts.succeeded > 900, "they have run")
        for _ in range(300):
            bad.say('{"ask": "watch", "farm": "default"}')
        task = client.submit(abs, -5)
        task.result(DEADLINE)
        queue.until_state(task.taskid, StateCode.SUCCEEDED)
        try:
            why = bad.why_closed()
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            why = None  # this test was slow, too: the server waits for 5 s that a word of its end is read
        assert why in (None, (1013, "too far behind; connect again"))
    with server.page("default") as bad:
        Queue(bad).until_state(task.taskid, StateCode.SUCCEEDED)


def test_the_details_of_an_expired_task_say_why_it_is_gone(server):
    with start(1, name="short", keep_days=2 / 86_400) as farm, farm.client() as client:
        task = client.submit(abs, -5)
        assert task.result(DEADLINE) == 5
        until(lambda: client.queue_status()["succeeded"] == 0, "the task has expired")
        answer = server.ask(f"farms/short/tasks/{task.taskid}")
        assert (answer.status_code, answer.json()) == (410, {"message": "Task 0 expired after 2 seconds."})
        assert server.ask("farms/short/tasks/7").status_code == 404


def test_farms_that_die_come_back_and_stop_are_told_apart(server):
    """Two farms: one is killed, and started again from the page; the other does not notice, and is stopped in order."""
    with start(1, name="one") as one, start(1, name="two"), server.page("one", "two") as page:
        page.until_farm("one", "live")
        page.until_farm("two", "live")
        controller = one.pid
        os.kill(controller, signal.SIGKILL)
        page.until_farm("one", "connecting")
        page.until_farm("one", "live")
        assert until(lambda: one.pid, "it is back") != controller
        identity = farm_of(server.ask("farms").json(), "one")["identity"]
        os.kill(one.supervisor_pid, signal.SIGKILL)
        dead = page.until_farm("one", "dead")
        assert "taskfc start --name one" in dead["message"]
        gone = server.ask("farms/one", do="scale", n=2, identity=identity)
        assert gone.status_code == 409
        assert server.ask("farms/one", do="scale", n=2).json() == {"ok": False, "said": dead["message"]}
        assert server.ask("farms/one/tasks/0").status_code == 404
        assert server.ask("farms/one", do="start").json()["said"] == "Farm one runs, with 1 worker."
        page.until(lambda message: message["farm"] == "one", "snapshot")
        back = page.until_farm("one", "live")
        assert back["identity"] not in ("", identity)
        assert server.ask("farms/two", do="stop").json()["ok"]
        stopped = page.until_farm("two", "stopped")
        assert "stopped" in stopped["message"]


def test_a_farm_is_started_from_the_page_in_the_servers_folder(server):
    farm = LocalFarm("fresh")
    try:
        with server.page("fresh") as page:
            answer = server.ask("farms/fresh", do="start", n=1).json()
            assert answer == {"ok": True, "said": "Farm fresh runs, with 1 worker."}
            page.until(lambda message: message["farm"] == "fresh", "snapshot")
            assert server.ask("farms/fresh", do="start").json()["said"] == "Farm fresh runs already."
        options = msgspec.json.decode(farm.paths.options.read_bytes(), type=FarmOptions)
        assert (options.cwd, options.sys_path[0], options.n_workers) == (str(server.folder), str(server.folder), 1)
    finally:
        stop(farm)


def test_a_bad_name_starts_nothing(server):
    assert server.ask("farms/a%2Fb", do="start").status_code == 400


def test_a_farm_that_cannot_be_trusted_or_runs_elsewhere_is_listed_with_the_reason(server, module_home: Path, farm):
    runtime = module_home / "j"
    good = msgspec.json.decode((runtime / "taskfc-default.json").read_bytes())
    spoilt = {
        "damaged": b"{",
        "elsewhere": msgspec.json.encode({**good, "name": "elsewhere", "host": "far-away", "boot_id": "another"}),
    }
    for name, content in spoilt.items():
        file = runtime / f"taskfc-{name}.json"
        file.touch(0o600)
        file.write_bytes(content)
    (runtime / "taskfc-open.json").touch()
    (runtime / "taskfc-open.json").chmod(0o644)
    try:
        with server.page() as page:
            farms = page.until(lambda message: farm_of(message, "open") and farm_of(message, "damaged"), "farms")
        found = {name: farm_of(farms, name) for name in ("damaged", "elsewhere", "open")}
        assert {status["state"] for status in found.values()} == {"refused"}
        assert "far-away" in found["elsewhere"]["message"]
        assert "not understood" in found["damaged"]["message"]
        assert "this user alone" in found["open"]["message"]
        assert not server.ask("farms/damaged", do="clear").json()["ok"]
        assert farm_of(server.ask("farms").json(), "default")
    finally:
        for name in (*spoilt, "open"):
            (runtime / f"taskfc-{name}.json").unlink()


def test_a_long_log_is_sent_from_its_end(server, client):
    def talk() -> None:
        for n in range(60_000):
            print(n)

    task = client.submit(talk)
    task.result(DEADLINE)
    details = server.ask(f"farms/default/tasks/{task.taskid}").json()
    assert details["log"].endswith("\n59999\n")
    assert len(details["log"]) <= MAX_LOG


def test_the_extension_is_enabled_where_the_package_is_installed():
    import json

    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "extension", "list"], capture_output=True, text=True, timeout=60
    )
    assert "taskfc_ext.server_extension" in done.stdout + done.stderr
    config = Path(__file__).parents[2] / "jupyter-config" / "server-config" / "taskfc_ext.json"
    assert json.loads(config.read_text())["ServerApp"]["jpserver_extensions"] == {"taskfc_ext.server_extension": True}


def test_a_server_that_is_too_old_says_so_and_goes_on(tmp_path: Path) -> None:
    tmp_path.joinpath("jupyter_server.py").write_text('__version__ = "2.12.5"')  # all that is asked of it
    script = """
import logging, types
from taskfc_ext.server_extension import _load_jupyter_server_extension as load
load(types.SimpleNamespace(log=logging.getLogger()))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.stderr == "taskfc_ext's sidebar needs jupyter_server 2.13 or later; this is 2.12.5\n"


def test_a_server_without_pages_is_not_a_client_of_any_farm():
    with farm_home() as home, start(1) as controller:
        server = Server(home)
        try:
            connected = _n_connections(controller.connection_file)
            with server.page("default") as page:
                page.until(lambda _: True, "snapshot")
                assert _n_connections(controller.connection_file) == connected + 1
            until(lambda: _n_connections(controller.connection_file) == connected, "the connection is closed")
        finally:
            server.stop()


def _n_connections(connection_file: Path) -> int:
    socket = Path(msgspec.json.decode(connection_file.read_bytes())["clients"])
    # bound below a descriptor of its folder, and known to the kernel by that path
    return sum(line.endswith(f"/{socket.name}") for line in Path("/proc/net/unix").read_text().splitlines())
