"""A real worker process, with the test as controller and supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.processes import FARM, FARM_PID, Page, python_command, tagged_processes
from taskfc_ext.drivers.transport import Router
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.payloads import Outcome, decode_failure
from taskfc_ext.protocol.printed import Printed, log_of, stderr_of, stdout_of
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.worker_messages import (
    Code,
    Committed,
    Finished,
    Output,
    Prepare,
    Progress,
    Ready,
    Returned,
    Run,
    SetUp,
    Started,
)
from taskfc_ext.serialize import SourceResult, digest, dump_call, dump_function, dump_names, join, load_value
from tests.processes import DEADLINE, until


class Farm:
    """One worker and its messages."""

    def __init__(self, home: Path) -> None:
        self.paths = farm_paths("test")
        self.paths.store.mkdir(parents=True)
        self.paths.sockets.mkdir(parents=True, exist_ok=True)
        self.work = home / "work"
        self.work.mkdir()
        options = FarmOptions(
            n_workers=1,
            python=sys.executable,
            cwd=str(self.work),
            sys_path=(*sys.path[1:], "/from/the/client"),
            properties={"gpu": "yes"},
        )
        self.paths.options.write_bytes(msgspec.json.encode(options))
        self.router = Router(self.paths.workers)
        self.received: list[Message] = []
        self.identity = b""
        self.next_lease = 1

    def start(self) -> Farm:
        page_fd = Page.create(self.paths.page(3))
        life, self.order = os.pipe()
        with open(self.paths.worker_log(3), "wb") as log:
            self.process = subprocess.Popen(
                python_command("worker", "test", 3, page_fd, life),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(page_fd, life),
                start_new_session=True,
                env={**os.environ, FARM: self.paths.tag, FARM_PID: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            )
        self.page = Page(page_fd)
        os.close(page_fd)
        os.close(life)
        self.receive(Ready)
        return self

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        if self.order >= 0:
            os.close(self.order)
        self.page.close()
        self.paths.page(3).unlink()
        self.router.close()

    @property
    def log(self) -> str:
        return self.paths.worker_log(3).read_text()

    def send(self, *messages: Message) -> None:
        assert self.router.send(self.identity, codec.encode(messages))

    def receive(self, kind: type[Message], where: Callable[[Any], object] = lambda message: True) -> Any:
        """Return the next message of that kind."""
        deadline = time.monotonic() + DEADLINE
        while True:
            for message in self.received:
                if isinstance(message, kind) and where(message):
                    self.received.remove(message)
                    return message
            may_send = self.process.poll() is None and time.monotonic() < deadline
            assert self.router.socket.poll(200) or may_send, f"no {kind.__name__}; {self.received}; log: {self.log}"
            for identity, frame in self.router.receive(100):
                self.identity = identity
                self.received += codec.from_worker.decode(frame)

    def call(self, function: Callable[..., object], *args: object, **options: Any) -> int:
        code, body = dump_function(function)
        spec = Spec(kind=Kind.FUNCTION, code=code, label=function.__name__, **options)
        return self.run(Code(code, join(body)), spec, dump_call(args, {}, what="f"))

    def cell(self, source: str) -> int:
        spec = Spec(kind=Kind.CELL, code=digest(source.encode()), label="cell")
        return self.run(Code(spec.code, source.encode()), spec, dump_names({}, (), what="cell"))

    def run(self, code: Code, spec: Spec, body: bytes) -> int:
        lease = self.next_lease
        self.next_lease += 1
        self.send(code, Run(spec=spec, first_lease=lease, ids=(lease,), bodies=(body,)))
        return lease

    def result(self, lease: int) -> Any:
        """Return the value, the failure or the text of `lease`."""
        finished = self.receive(Finished, lambda message: lease in message.leases)
        self.send(Committed(finished.seq))
        i = finished.leases.index(lease)
        if finished.outcomes[i] == Outcome.OK:
            return load_value(finished.values[i])
        return decode_failure(finished.values[i])

    def output_of(self, lease: int) -> tuple[Any, Printed]:
        """Return the value of `lease` and its output."""
        finished = self.receive(Finished, lambda message: lease in message.leases)
        self.received.insert(0, finished)
        return self.result(lease), finished.outputs.get(lease, ())

    def interrupt(self, lease: int) -> None:
        self.page.words[Page.INTERRUPT] = lease
        if self.page.is_running(lease):
            os.kill(self.process.pid, signal.SIGINT)


@pytest.fixture
def farm(home: Path) -> Iterator[Farm]:
    farm = Farm(home)
    try:
        yield farm.start()
    finally:
        farm.stop()


def in_main(source: str, name: str = "f") -> Any:
    """Return a function defined as in a notebook."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace[name]


def test_it_has_the_clients_folder_and_module_path(farm: Farm) -> None:
    where = in_main("def f():\n import os, sys\n return os.getcwd(), sys.path, sys.argv[1:], sys.stdin.read()")
    cwd, path, arguments, text = farm.result(farm.call(where))
    assert (cwd, arguments, text) == (str(farm.work), [], "")
    assert "/from/the/client" in path
    assert "" not in path[:1]
    gpu = in_main("def f():\n import taskfc_ext.worker\n return dict(taskfc_ext.worker.properties)")
    assert farm.result(farm.call(gpu)) == {"gpu": "yes"}
    assert farm.page.ready


def test_a_long_task_is_reported_and_interrupted(farm: Farm) -> None:
    wait = in_main("def f():\n import time\n print('waiting')\n time.sleep(600)")
    lease = farm.call(wait)
    behind = farm.call(abs, -3)
    assert farm.receive(Started).lease == lease
    assert farm.receive(Output) == Output(lease, ("waiting\n",))
    assert farm.receive(Returned) == Returned((behind,))
    farm.interrupt(lease)
    failure = farm.result(lease)
    assert failure.message == "interrupted"
    assert farm.result(farm.call(abs, -3)) == 3


WAIT = """
import os, time
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"""
LOOP = """
for i in BAR:
    if i == 4:
        wait('PATH')
"""
TRACK = "import taskfc_ext\nbar = taskfc_ext.track(range(10), description='fit')\n"
BARS = {
    "track": TRACK,
    "tqdm": "import tqdm\nbar = tqdm.tqdm(range(10), desc='fit', mininterval=0)\n",
    "auto": "import tqdm.auto\nbar = tqdm.auto.tqdm(range(10), desc='fit', mininterval=0)\n",
    "notebook": "import tqdm.notebook\nbar = tqdm.notebook.tqdm(range(10), desc='fit', mininterval=0)\n",
}


@pytest.mark.parametrize("kind", BARS)
def test_the_progress_of_a_cell_is_reported(farm: Farm, kind: str) -> None:
    path = farm.work / "go"
    lease = farm.cell(WAIT + BARS[kind] + LOOP.replace("BAR", "bar").replace("PATH", str(path)))
    assert farm.receive(Progress, lambda received: received.done == 4) == Progress(lease, 4, 10, "fit")
    path.touch()
    assert farm.result(lease).value is None
    assert farm.process.poll() is None


@pytest.mark.parametrize("kind", ["track", "tqdm"])
def test_the_progress_of_a_function_is_reported_also_to_a_new_controller(farm: Farm, kind: str) -> None:
    path = farm.work / "go"
    body = (BARS[kind] + LOOP.replace("BAR", "bar").replace("PATH", str(path))).replace("\n", "\n    ")
    lease = farm.call(in_main(f"{WAIT}\ndef f():\n    {body}\n    return 'done'"))
    assert farm.receive(Progress, lambda received: received.done == 4) == Progress(lease, 4, 10, "fit")
    os.write(farm.order, b"r")
    farm.receive(Ready)
    assert farm.receive(Progress, lambda received: received.done == 4) == Progress(lease, 4, 10, "fit")
    path.touch()
    assert farm.result(lease) == "done"
    assert farm.result(farm.call(abs, -3)) == 3


def test_many_interrupts_at_any_moment_do_not_end_it(farm: Farm) -> None:
    spin = in_main("def f(n):\n return sum(range(n))")
    n_interrupted = 0
    for i in range(100):
        lease = farm.call(spin, 2000 * i)
        farm.interrupt(lease)
        farm.interrupt(lease)
        result = farm.result(lease)
        n_interrupted += not isinstance(result, int)
        assert isinstance(result, int) or result.message == "interrupted"
    assert farm.process.poll() is None
    assert n_interrupted


PACKAGE = """
import os, time
from .part import *
PATH = os.path.dirname(__file__)
open(PATH + '/begun', 'w').close()
while not os.path.exists(PATH + '/go'):
    time.sleep(0.01)
names = part.__all__
"""


def test_an_interrupt_waits_for_the_end_of_an_import(farm: Farm) -> None:
    package = farm.work / "package"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "part.py").write_text("__all__ = ['x']\nx = 3\n")
    use = f"def f(naps):\n import sys, time\n sys.path.insert(0, {str(farm.work)!r})\n import package\n"
    lease = farm.call(in_main(use + " time.sleep(naps)\n return package.names"), 600)
    until((package / "begun").exists, "the import has begun")
    farm.interrupt(lease)
    farm.interrupt(lease)
    time.sleep(0.1)
    assert farm.page.is_running(lease)
    (package / "go").touch()
    assert farm.result(lease).message == "interrupted"
    assert farm.result(farm.call(in_main(use + " return package.names"), 0)) == ["x"]


def test_it_reconnects_on_order_while_idle_and_while_busy(farm: Farm) -> None:
    first = farm.call(abs, -1)
    unacked = farm.receive(Finished)
    os.write(farm.order, b"r")
    assert farm.receive(Ready).leases == (first,)
    assert farm.receive(Finished) == unacked
    farm.send(Committed(unacked.seq))
    lease = farm.call(in_main("def f():\n import time\n time.sleep(600)"))
    farm.receive(Started)
    os.write(farm.order, b"r")
    assert farm.receive(Ready).leases == (lease,)
    farm.interrupt(lease)
    assert farm.result(lease).message == "interrupted"


def test_it_reconnects_to_a_controller_that_binds_again(farm: Farm) -> None:
    farm.router.close()
    farm.router = Router(farm.paths.workers)
    os.write(farm.order, b"r")
    assert farm.receive(Ready).leases == ()
    assert farm.result(farm.call(abs, -2)) == 2


@pytest.mark.parametrize("is_busy", [False, True])
def test_it_ends_with_the_supervisor(farm: Farm, is_busy: bool) -> None:
    if is_busy:
        farm.call(in_main("def f():\n import time\n time.sleep(600)"))
        farm.receive(Started)
    os.close(farm.order)
    farm.order = -1
    assert farm.process.wait(DEADLINE) == 0


def test_the_page_has_the_lease_of_a_dead_worker(farm: Farm) -> None:
    farm.result(farm.call(abs, -1))
    lease = farm.call(in_main("def f():\n import faulthandler; faulthandler._sigsegv()"))
    assert farm.process.wait(DEADLINE) == -signal.SIGSEGV
    assert farm.page.is_running(lease)
    assert "Segmentation fault" in farm.log


@pytest.mark.parametrize("source", ["os.closerange(3, 1000)", "builtins.len = None"])
def test_a_worker_that_a_task_has_broken_ends(farm: Farm, source: str) -> None:
    farm.call(in_main(f"def f():\n    import builtins, os\n    {source}"))
    assert farm.process.wait(DEADLINE) != 0


def test_a_forked_child_ends_where_the_users_code_ends(farm: Farm) -> None:
    fork = in_main(
        "def f(how):\n"
        " import os, sys\n"
        " pid = os.fork()\n"
        " if pid:\n"
        "  return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        " print('from the child')\n"
        " if how == 'raise': raise ValueError('in the child')\n"
        " if how == 'exit': sys.exit(7)\n"
        " return how\n"
    )
    for how, code in ("return", 0), ("raise", 1), ("exit", 7):
        value, printed = farm.output_of(farm.call(fork, how))
        assert value == code
        assert stdout_of(printed) == "from the child\n"
        assert ("ValueError: in the child" in stderr_of(printed)) == (how == "raise")


PAST_PYTHON = {
    "os.write": "import os\nos.write(1, b'out\\n')\nos.write(2, b'err\\n')",
    "subprocess": "import subprocess\nsubprocess.run('echo out; echo err >&2', shell=True)",
    "os.system": "import os\nos.system('echo out; echo err >&2')",
    "fileno": "import os, sys\nos.write(sys.stdout.fileno(), b'out\\n')\nos.write(sys.stderr.fileno(), b'err\\n')",
    "given": "import subprocess, sys\nsubprocess.run('echo out; echo err >&2', shell=True, stdout=sys.stdout)",
    "python's own": "import sys\nprint('out', file=sys.__stdout__)\nprint('err', file=sys.__stderr__)",
    "logging": "import logging, os\nlogging.getLogger('mine').warning('err')\nos.write(1, b'out\\n')",
}


@pytest.mark.parametrize("way", PAST_PYTHON)
def test_output_printed_past_python_is_the_tasks(farm: Farm, way: str) -> None:
    body = PAST_PYTHON[way].replace("\n", "\n ")
    value, printed = farm.output_of(farm.call(in_main(f"def f():\n {body}\n return 'done'")))
    assert value == "done"
    assert (stdout_of(printed), stderr_of(printed)) == ("out\n", "err\n")
    assert farm.output_of(farm.call(abs, -1)) == (1, ())


def test_prints_and_programs_keep_their_order(farm: Farm) -> None:
    source = "print('1')\nimport os\n_ = os.system('echo 2')\nprint('3')\n!echo 4\nos.write(1, b'5\\n')\nprint('6')"
    _, printed = farm.output_of(farm.cell(source))
    assert log_of(printed).split() == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.skipif(sys.platform != "linux", reason="C's buffer is flushed on Linux only")
@pytest.mark.parametrize("text", ["a line\\n", "half a line"])
def test_output_of_c_code_is_the_tasks(farm: Farm, text: str) -> None:
    source = f"def f():\n import ctypes, time\n ctypes.CDLL(None).printf(b'{text}')\n time.sleep(0.002)"
    _, printed = farm.output_of(farm.call(in_main(source)))
    assert stdout_of(printed) == text.replace("\\n", "\n")


def test_a_flood_written_while_the_gil_is_held_does_not_block(farm: Farm) -> None:
    source = (
        "def f():\n import ctypes\n libc = ctypes.PyDLL(None)\n"  # PyDLL keeps the GIL
        " for fd in (1, 2):\n  for _ in range(40):\n   libc.write(fd, b'x' * 100_000, 100_000)"
    )
    _, printed = farm.output_of(farm.call(in_main(source)))
    assert 1_000_000 < len(log_of(printed)) < 1_100_000
    assert "characters were dropped" in log_of(printed)
    assert stdout_of(printed).startswith("xxx")
    assert stderr_of(printed).endswith("xxx")


def test_the_output_of_a_running_program_is_reported_while_it_runs(farm: Farm) -> None:
    lease = farm.call(
        in_main("def f():\n import subprocess\n subprocess.run('echo begun; exec sleep 600', shell=True)")
    )
    assert farm.receive(Output) == Output(lease, ("begun\n",))
    farm.interrupt(lease)
    assert farm.result(lease).message == "interrupted"


def test_last_words_of_c_code_are_in_the_log(farm: Farm) -> None:
    farm.call(in_main("def f():\n import os\n os.write(2, b'assertion failed\\n')\n os.abort()"))
    assert farm.process.wait(DEADLINE) == -signal.SIGABRT
    assert "assertion failed" in farm.log
    assert "Fatal Python error: Aborted" in farm.log


def test_a_program_of_a_broadcast_stays_and_prints_to_the_log(farm: Farm) -> None:
    path = farm.work / "go"
    source = f"while [ ! -e {path} ]; do sleep 0.01; done; echo late"
    begin = in_main(f"def f():\n import subprocess\n subprocess.Popen({source!r}, shell=True)")
    body = dump_call((), {}, what="f")
    farm.send(Prepare(number=1, kind=Kind.FUNCTION, code=dump_function(begin)[1], body=body))
    farm.receive(SetUp)
    _, printed = farm.output_of(farm.call(in_main("def f():\n import time; time.sleep(0.01); print('early')")))
    assert printed == ("early\n",)
    path.touch()
    until(lambda: "late" in farm.log, "the program's words")


def test_a_task_that_reads_stdin_or_stops_at_a_breakpoint_fails(farm: Farm) -> None:
    failure = farm.result(farm.call(in_main("def f():\n breakpoint()")))
    assert failure.message.startswith("a task cannot stop at a breakpoint")
    failure = farm.result(farm.call(in_main("def f():\n input()")))
    assert failure.message.startswith("a task has no stdin")


def test_a_task_may_use_processes_of_its_own(farm: Farm) -> None:
    pool = in_main(
        "def f():\n import multiprocessing\n"
        " with multiprocessing.get_context('fork').Pool(2) as pool:\n  return pool.map(abs, [-1, -2])"
    )
    assert farm.result(farm.call(pool)) == [1, 2]


def test_threads_that_outlive_their_task_print_to_the_log(farm: Farm) -> None:
    path = farm.work / "go"
    leave = in_main(
        f"{WAIT}\ndef f():\n import threading\n"
        f" threading.Thread(target=lambda: (wait({str(path)!r}), print('from the thread')), daemon=True).start()"
    )
    result, printed = farm.output_of(farm.call(leave))
    assert result is None
    assert stderr_of(printed).startswith("1 thread of this task still runs: Thread-")
    path.touch()
    until(lambda: "from the thread" in farm.log, "the thread's words")


def test_cells_run_and_their_loops_can_be_interrupted(farm: Farm) -> None:
    assert farm.result(farm.cell("x = !echo hi\nx[0]")) == SourceResult("hi", {}, is_cell=True)
    lease = farm.cell("import asyncio\nawait asyncio.sleep(600)")
    farm.receive(Started, lambda message: message.lease == lease)
    farm.interrupt(lease)
    assert farm.result(lease).message == "interrupted"
    assert farm.result(farm.cell("import asyncio\nawait asyncio.sleep(0, 5)")).value == 5


def test_a_class_of_the_notebook_is_the_same_class_when_it_comes_back(farm: Farm) -> None:
    make = in_main("class P: pass\ndef f(p):\n assert isinstance(p, P)\n return P()")
    kind = make.__globals__["P"]
    assert isinstance(farm.result(farm.call(make, kind())), kind)


@pytest.mark.parametrize("source", ["!sleep 600\n1", "x = !sleep 600\n1", "%%bash\nsleep 600"])
def test_an_interrupted_shell_command_ends_the_cell(farm: Farm, source: str) -> None:
    lease = farm.cell(source)
    farm.receive(Started)
    until(lambda: "sleep" in commands(farm.paths.tag), "the command runs")
    farm.interrupt(lease)
    assert farm.result(lease).message == "interrupted"


def commands(tag: str) -> str:
    """Return the command lines of all processes that the worker has started."""
    pids = ",".join(map(str, tagged_processes(tag)))
    return subprocess.run(["ps", "-o", "comm=", "-p", pids], capture_output=True, text=True).stdout
