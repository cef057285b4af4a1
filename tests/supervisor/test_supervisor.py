"""Tests of the supervisor with real processes: what it starts, reports and leaves behind."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time

import msgspec
import pytest

from taskfc_ext.drivers.process_tree import is_stopped
from taskfc_ext.drivers.processes import tagged_processes
from taskfc_ext.drivers.stops import count_stops
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import (
    Farm,
    Noted,
    RequestFailed,
    Revoke,
    Revoked,
    Serving,
    SetWorkers,
    Shutdown,
    Step,
    StopAttempt,
    StoreRefused,
    WorkerDown,
    WorkerUp,
)
from taskfc_ext.supervisor.supervisor import FAILURES_KEPT
from tests.processes import DEADLINE, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stubs use SOCK_SEQPACKET")


def leftovers(farm):
    """Return the files and processes that a stopped farm must not leave behind."""
    files = [*farm.paths.sockets.iterdir(), *farm.paths.connection_file.parent.glob("*")]
    return files, tagged_processes(farm.paths.tag)


# starting


def test_a_farm_comes_up(farm):
    supervisor = farm.start(n_workers=2)
    controller, first = farm.controller(serving=False)
    assert first == Farm(supervisor_pid=supervisor.pid, n_workers=2, alive=(), dead=())
    workers = [farm.worker(0), farm.worker(1)]
    assert [controller.next(), controller.next()] == [WorkerUp(0, workers[0].pid), WorkerUp(1, workers[1].pid)]
    controller.send(Serving())
    assert farm.status(supervisor) == {"ready": controller.pid}
    assert msgspec.json.decode(farm.paths.options.read_bytes(), type=FarmOptions) == farm.options(n_workers=2)
    assert os.getsid(workers[0].pid) == workers[0].pid
    assert os.getsid(supervisor.pid) == supervisor.pid


def test_a_worker_knows_its_farm_and_its_share_of_the_cores(farm):
    supervisor = farm.start(n_workers=1)
    farm.controller()
    worker = farm.worker(0)
    assert worker.ask("env TASKFC_FARM") == farm.paths.tag
    assert worker.ask("env TASKFC_FARM_PID") == str(supervisor.pid)
    assert worker.ask("env PYTHONUNBUFFERED") == "1"
    assert int(worker.ask("env OPENBLAS_NUM_THREADS")) >= 1
    assert worker.ask("cwd") == str(farm.home)


def test_a_worker_runs_elsewhere_when_its_folder_is_gone(farm):
    farm.start(n_workers=1, cwd="/nonexistent")
    farm.controller()
    assert farm.worker(0).ask("cwd") == os.path.realpath(os.path.expanduser("~"))


def test_a_second_supervisor_reports_that_the_farm_runs(farm):
    from taskfc_ext.drivers import connection_file

    supervisor, controller, _ = farm.up()
    started = connection_file.process_started(supervisor.pid)
    connection = connection_file.ConnectionInfo(
        name="default",
        protocol=PROTOCOL,
        version="0",
        host=os.uname().nodename,
        boot_id=connection_file.boot_id(),
        pid=controller.pid,
        pid_started=0,
        supervisor_pid=supervisor.pid,
        supervisor_started=started,
        clients=str(farm.paths.clients),
        python="3",
    )
    connection_file.write_connection(farm.paths, connection)
    second = farm.start(n_workers=1)
    assert farm.status(second) == {"running": True}
    assert second.wait(DEADLINE) == 0
    assert supervisor.poll() is None


def test_missing_options_are_an_error(farm):
    supervisor = farm.start()
    status = farm.status(supervisor)
    assert "never started" in status["error"]
    assert supervisor.wait(DEADLINE) == 1


def test_the_options_in_the_store_serve_a_restart(farm):
    supervisor, controller, _ = farm.up(n=2)
    farm.stop(supervisor, controller)
    farm.start()
    assert farm.controller()[1].n_workers == 2
    farm.worker(3)  # ids go on


def test_a_controller_that_cannot_start_ends_the_farm(farm):
    supervisor = farm.start(n_workers=1, broken="controller")
    status = farm.status(supervisor)
    assert "failed 3 times before it answered: exited with code 1" in status["error"]
    assert "controller is broken" in status["error"]
    assert str(farm.paths.controller_log) in status["hint"]
    assert supervisor.wait(DEADLINE) == 0
    assert leftovers(farm) == ([], [])


def test_each_controller_is_told_at_which_requests_those_before_it_have_failed(farm):
    _, controller, _ = farm.up()
    failures = [RequestFailed(f"client-{n}", n, "KeyError: 'x'") for n in range(FAILURES_KEPT + 1)]
    for failure in failures:
        controller.send(failure)
    for _ in range(2):
        controller.exit(1)
        controller, _ = farm.controller()
        assert [controller.next() for _ in failures[1:]] == failures[1:]
    assert "the controller failed while it handled a request: KeyError: 'x'" in farm.log()


@pytest.mark.parametrize("serving", [False, True])
def test_a_controller_that_refuses_its_store_ends_the_farm_at_once_with_its_reason(farm, serving):
    supervisor = farm.start(n_workers=1)
    controller, _ = farm.controller(serving=serving)
    controller.send(StoreRefused("the store is damaged", "repair it"))
    controller.exit(1)
    if not serving:
        status = farm.status(supervisor)
        assert (status["error"], status["hint"]) == ("the store is damaged", "repair it")
    assert supervisor.wait(DEADLINE) == 0
    assert "stopping, as no controller can serve the store: the store is damaged" in farm.log()
    assert farm.log().count("no controller:") == 0
    assert leftovers(farm) == ([], [])


def limit_files(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_farm_that_needs_more_files_than_it_may_open_does_not_start(farm):
    supervisor = farm.start(n_workers=100, before=limit_files(64, 64))
    status = farm.status(supervisor)
    assert status["error"] == "a farm with 100 workers needs 240 open files in one process, and the limit is 64"
    assert "at most 12 workers" in status["hint"]
    assert supervisor.wait(DEADLINE) == 1


def test_the_farm_takes_all_descriptors_that_it_may_and_workers_have_the_users_limit(farm):
    supervisor = farm.start(n_workers=1, before=limit_files(99, 500))
    controller, _ = farm.controller()
    pids = (supervisor.pid, farm.worker(0).pid, controller.pid)
    limits = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids]
    assert limits == [(500, 500), (99, 500), (99, 500)]  # a real controller raises its own


def test_many_workers_come_up(farm):
    farm.start(n_workers=20)
    controller, _ = farm.controller()
    assert [controller.next().worker for _ in range(20)] == list(range(20))


# workers that die


def test_a_killed_worker_is_reported_and_replaced(farm, kill):
    _, controller, [worker] = farm.up()
    worker.ask("start 7")
    worker.ask("write last words\n")
    kill(worker.pid)
    down, up = controller.next(), controller.next()
    assert (down.worker, down.pid, down.started, down.running, down.planned) == (0, worker.pid, 7, True, False)
    assert down.note.startswith("killed by SIGKILL (signal 9), which the farm did not send")
    assert down.note.endswith("last words")
    assert up == WorkerUp(1, farm.worker(1).pid)
    assert not farm.paths.page(0).exists()
    assert farm.paths.worker_log(0).read_text() == "last words\n"


def test_an_exit_between_tasks_blames_none(farm):
    _, controller, [worker] = farm.up()
    worker.ask("start 7")
    worker.ask("end 7")
    worker.connection.send(b"exit 3")
    assert controller.next() == WorkerDown(
        worker=0, pid=worker.pid, started=7, running=False, note="exited with code 3"
    )


def test_a_worker_that_is_suspended_between_tasks_is_resumed(farm):
    _, _, [worker] = farm.up()
    worker.ask("start 7")
    worker.ask("end 7")
    os.kill(worker.pid, signal.SIGSTOP)
    assert worker.ask("ready") == "done"
    line = f"worker=0 pid={worker.pid} was suspended without an attempt"
    until(lambda: line in farm.paths.supervisor_log.read_text(), "it is logged")


def test_a_worker_that_is_suspended_in_a_task_stays_so(farm):
    _, controller, [worker] = farm.up()
    worker.ask("start 7")
    os.kill(worker.pid, signal.SIGSTOP)
    until(lambda: is_stopped(worker.pid), "it is suspended")
    controller.send(Revoke(0, 0))
    controller.next()
    assert is_stopped(worker.pid)
    os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.parametrize("session", ["", " session"])
def test_processes_that_a_dead_worker_has_started_end_too(farm, kill, has_ended, session):
    _, _, [worker] = farm.up()
    grandchild = int(worker.ask("spawn" + session))
    kill(worker.pid)
    assert has_ended(grandchild)


def test_workers_that_cannot_start_are_started_again_later(farm):
    began = time.monotonic()
    farm.start(n_workers=1, broken="worker")
    controller, _ = farm.controller()
    downs = []
    while len(downs) < 3:
        message = controller.next()
        if isinstance(message, WorkerDown):
            downs.append(message)
    assert isinstance(controller.next(), WorkerUp)
    assert time.monotonic() - began >= 1
    assert [down.worker for down in downs] == [0, 1, 2]
    assert "worker is broken" in downs[0].note
    assert "the next one starts in 1 s" in farm.log()


# the controller dies


def test_a_killed_controller_is_replaced_and_receives_everything(farm, kill):
    supervisor, controller, [first, second] = farm.up(n=2)
    kill(first.pid)
    down, up = controller.next(), controller.next()
    third = farm.worker(2)
    kill(controller.pid)
    _, told = farm.controller()
    assert told == Farm(
        supervisor_pid=supervisor.pid,
        n_workers=2,
        alive=(WorkerUp(1, second.pid), WorkerUp(2, third.pid)),
        dead=(down,),
    )
    assert up == WorkerUp(2, third.pid)
    assert second.receive() == "life r"


def test_an_end_is_reported_until_it_is_noted(farm, kill):
    _, controller, [worker] = farm.up()
    kill(worker.pid)
    controller.next()
    farm.worker(1)
    kill(controller.pid)
    controller, told = farm.controller()
    assert [down.worker for down in told.dead] == [0]
    controller.send(Noted((0, 99)))
    controller.exit(1)  # after its message
    assert farm.controller()[1].dead == ()


def test_a_controller_that_answers_is_restarted_each_time(farm, kill):
    _, controller, [worker] = farm.up()
    for _ in range(6):
        kill(controller.pid)
        controller, told = farm.controller()
        assert told.alive == (WorkerUp(0, worker.pid),)


def test_a_controller_that_sends_nonsense_is_replaced(farm):
    _, controller, _ = farm.up()
    controller.send_frame(b"nonsense")
    farm.controller()
    assert "sent a damaged message" in farm.log()


def test_after_any_death_the_controller_knows_the_living_and_the_dead(farm, kill):
    supervisor, controller, workers = farm.up(n=2)
    chance = random.Random(7)
    alive, dead = {worker: stub.pid for worker, stub in enumerate(workers)}, set()
    for worker, stub in enumerate(workers):
        stub.ask("ready")
        farm.ready.add(worker)
    for _ in range(12):
        victims = [pid for pid in (controller.pid, *alive.values()) if chance.random() < 0.5]
        for pid in victims:
            kill(pid)
        if controller.pid in victims:
            controller, told = farm.controller()
            assert {down.worker for down in told.dead} >= dead  # none was noted
            alive, dead = {up.worker: up.pid for up in told.alive}, {down.worker for down in told.dead}
        while len(alive) < 2 or set(victims) & set(alive.values()):
            match controller.next():
                case WorkerUp(worker, pid):
                    alive[worker] = pid
                case WorkerDown(worker=worker):
                    del alive[worker]
                    dead.add(worker)
        for worker in alive:
            farm.worker_once(worker)  # it has got ready: not a failure to start
    assert set(alive) | dead == set(range(max(alive) + 1))
    assert sorted(down.worker for down in farm.stop(supervisor, controller)) == sorted(alive)
    assert leftovers(farm) == ([], [])


# stopping attempts


def test_an_interrupt_reaches_the_attempt_it_names(farm):
    _, controller, [worker] = farm.up()
    worker.ask("start 5")
    controller.send(StopAttempt(0, 5, Step.INTERRUPT))
    assert worker.receive() == "signal SIGINT 5"


def test_an_interrupt_for_a_lease_that_has_not_started_waits_in_the_page(farm):
    _, controller, [worker] = farm.up()
    worker.ask("start 5")
    # the second one proves that the first was handled
    controller.send(StopAttempt(0, 6, Step.INTERRUPT), StopAttempt(0, 5, Step.INTERRUPT))
    assert worker.receive() == "signal SIGINT 5"
    controller.send(StopAttempt(0, 6, Step.INTERRUPT), SetWorkers(2))
    controller.next()
    assert worker.ask("interrupt") == "6"


def test_leases_are_revoked_in_the_page_and_the_answer_names_the_started_one(farm):
    _, controller, [worker] = farm.up()
    worker.ask("start 5")
    controller.send(Revoke(0, 9))
    assert controller.next() == Revoked(0, 9, started=5)
    assert worker.ask("revoked") == "9"
    controller.send(Revoke(0, 8), Revoke(17, 9))
    assert controller.next() == Revoked(0, 8, started=5)
    assert worker.ask("revoked") == "9", "what was revoked stays so"


def test_the_answer_has_the_results_before_the_started_one(farm):
    _, controller, [worker] = farm.up()
    for line in ("keep 3", "keep 4", "start 5"):
        worker.ask(line)
    controller.send(Revoke(0, 9))
    assert controller.next() == Revoked(0, 9, 5, leases=(3, 4), values=(b"value",) * 2, seconds=(0.5, 0.5))


def test_nothing_is_revoked_in_a_page_that_was_destroyed(farm):
    _, controller, [worker] = farm.up()
    worker.ask("start 5")
    os.truncate(farm.paths.page(0), 0)
    controller.send(Revoke(0, 9), Revoke(0, 9), SetWorkers(2))
    assert isinstance(controller.next(), WorkerUp), "no answer: nobody knows what has started"


@pytest.mark.parametrize("step", [Step.TERMINATE, Step.KILL])
def test_a_step_never_hits_another_attempt(farm, step):
    _, controller, [worker] = farm.up()
    worker.ask("start 5")
    controller.send(StopAttempt(0, 4, step), StopAttempt(0, 6, step), StopAttempt(17, 5, step), SetWorkers(2))
    controller.next()
    assert worker.ask("cwd")


@pytest.mark.parametrize(("step", "name"), [(Step.TERMINATE, "SIGTERM"), (Step.KILL, "SIGKILL")])
def test_a_step_that_ends_the_worker_is_planned(farm, has_ended, step, name):
    _, controller, [worker] = farm.up()
    grandchild = int(worker.ask("spawn"))
    worker.ask("start 5")
    controller.send(StopAttempt(0, 5, step))
    down = controller.next()
    assert (down.started, down.running, down.planned) == (5, True, True)
    assert down.note.startswith(f"ended by the farm: killed by {name}")
    assert isinstance(controller.next(), WorkerUp)
    assert has_ended(grandchild)


# more and fewer workers


def test_workers_are_added_and_the_number_is_kept(farm, kill):
    _, controller, _ = farm.up()
    controller.send(SetWorkers(3))
    assert [controller.next().worker, controller.next().worker] == [1, 2]
    assert json.loads(farm.paths.options.read_bytes())["n_workers"] == 3
    kill(controller.pid)
    assert farm.controller()[1].n_workers == 3


def test_substitutes_are_started_and_not_kept_for_a_restart(farm, kill):
    _, controller, _ = farm.up()
    controller.send(SetWorkers(1, substitutes=2))
    assert [controller.next().worker, controller.next().worker] == [1, 2]
    assert json.loads(farm.paths.options.read_bytes())["n_workers"] == 1
    controller.send(SetWorkers(1, (2,), 1))
    assert controller.next().worker == 2
    kill(controller.pid)
    controller, told = farm.controller()
    assert (told.n_workers, len(told.alive)) == (1, 2)
    controller.send(SetWorkers(1, (1,)))  # the new controller wants none
    down = controller.next()
    assert (down.worker, down.planned) == (1, True)
    controller.send(SetWorkers(1, substitutes=1))
    assert controller.next().worker == 3


def test_retired_workers_end_and_are_not_replaced(farm):
    _, controller, [_, second] = farm.up(n=2)
    controller.send(SetWorkers(1, (1, 99)))
    down = controller.next()
    assert (down.worker, down.planned) == (1, True)
    assert second.receive() == ""
    assert not farm.paths.worker_log(1).exists()  # nothing was written to it
    controller.send(SetWorkers(2))
    assert controller.next().worker == 2


def test_a_retired_worker_that_ignores_it_is_killed(farm):
    _, controller, [worker] = farm.up()
    worker.ask("handle SIGTERM")
    controller.send(SetWorkers(0, (0,)))
    assert worker.receive() in ("signal SIGTERM 0", "")  # a slow one may be killed before it can say so
    down = controller.next()
    assert down.planned
    assert "SIGKILL" in down.note


# the end


def test_a_stop_leaves_nothing_but_the_store(farm, has_ended):
    supervisor, controller, workers = farm.up(n=2)
    strays = [int(workers[0].ask("spawn")), int(workers[1].ask("spawn session"))]
    downs = farm.stop(supervisor, controller)
    assert sorted(down.worker for down in downs) == [0, 1]
    assert all(down.planned for down in downs)
    assert leftovers(farm) == ([], [])
    assert all(map(has_ended, strays))
    assert farm.paths.lock.read_bytes() == b""


def test_sigterm_goes_to_the_controller_which_stops_the_farm(farm):
    supervisor, controller, _ = farm.up()
    supervisor.terminate()
    assert controller.next() == "T"
    farm.stop(supervisor, controller)
    assert leftovers(farm) == ([], [])


def test_sigterm_does_not_end_a_controller_that_starts_and_reaches_it_later(farm, kill):
    farm.start(n_workers=1, stuck=True)
    controller = farm.stuck_controller()
    kill(controller.pid, signal.SIGTERM)
    controller.resume()
    assert "T" in [controller.next() for _ in range(3)]  # beside `Farm` and `WorkerUp`


def test_a_controller_that_is_stuck_at_its_start_does_not_keep_the_farm_from_stopping(farm, has_ended):
    supervisor = farm.start(n_workers=1, stuck=True, stop_timeout=0.2)
    controller = farm.stuck_controller()
    supervisor.terminate()
    assert supervisor.wait(DEADLINE) == 0
    assert has_ended(controller.pid)
    assert "does not end; killing it" in farm.log()
    assert leftovers(farm) == ([], [])
    assert count_stops(farm.paths) == 1


def test_a_stop_is_counted_also_if_the_controller_dies_of_it(farm, kill):
    supervisor, controller, _ = farm.up()
    supervisor.terminate()
    assert controller.next() == "T"
    kill(controller.pid)
    assert supervisor.wait(DEADLINE) == 0
    assert count_stops(farm.paths) == 1


def test_a_stop_that_the_controller_has_counted_is_not_counted_again(farm, kill):
    supervisor, controller, _ = farm.up()
    supervisor.terminate()
    assert controller.next() == "T"
    controller.send(Shutdown())  # which a controller counts before it says so
    kill(controller.pid)
    assert supervisor.wait(DEADLINE) == 0
    assert count_stops(farm.paths) == 0


def test_workers_that_die_while_it_stops_are_not_replaced(farm, kill):
    supervisor, controller, [worker] = farm.up()
    supervisor.terminate()
    assert controller.next() == "T"
    kill(worker.pid)
    assert controller.next().worker == 0
    assert farm.stop(supervisor, controller) == []


def test_a_controller_that_ends_well_ends_the_farm(farm):
    supervisor, controller, [worker] = farm.up()
    controller.exit(0)
    assert supervisor.wait(DEADLINE) == 0
    assert worker.receive() == ""
    assert leftovers(farm) == ([], [])


def test_a_controller_that_dies_while_it_stops_is_not_replaced(farm, kill):
    supervisor, controller, _ = farm.up()
    controller.send(Shutdown())
    controller.next()
    kill(controller.pid)
    assert supervisor.wait(DEADLINE) == 0
    assert leftovers(farm) == ([], [])


def test_interrupts_and_hangups_are_ignored(farm, kill):
    supervisor, controller, _ = farm.up()
    kill(supervisor.pid, signal.SIGINT)
    kill(supervisor.pid, signal.SIGHUP)
    controller.send(SetWorkers(2))
    assert controller.next().worker == 1


def test_the_children_of_a_killed_supervisor_end(farm, kill, has_ended):
    supervisor, controller, [worker] = farm.up()
    kill(supervisor.pid)
    assert controller.next() == "E"
    assert has_ended(worker.pid)
    assert has_ended(controller.pid)


def test_its_successor_reports_the_ends_of_workers_and_kills_the_rest(farm, kill, has_ended):
    supervisor, controller, [worker] = farm.up()
    stray = int(worker.ask("spawn session"))
    worker.ask("start 5")
    kill(supervisor.pid)
    assert controller.next() == "E"
    farm.start()
    _, told = farm.controller()
    assert [(d.worker, d.started, d.running, d.planned) for d in told.dead] == [(0, 5, True, True)]
    assert has_ended(stray)
    assert farm.worker(1).pid != worker.pid
    assert not farm.paths.page(0).exists()
