"""Settings: a task's changes end with it, and those of the notebook are in force in its tasks."""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import csv
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import tracemalloc
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn

from taskfc_ext import start
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


@pytest.fixture(scope="module")
def client(lone_farm: Controller) -> Iterator[Any]:
    with lone_farm.client() as client:
        client.submit_cell("%matplotlib inline\nimport matplotlib.pyplot").result(DEADLINE)  # what imports set stays
        yield client


def wait_mask() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def loop_policy() -> Any:
    policy = asyncio.get_event_loop_policy()
    return type(policy).__name__, policy._local._set_called  # type: ignore[attr-defined]


def plain_state() -> Any:
    """Return a text for all that a task can find of the settings."""
    umask = os.umask(0o77)
    os.umask(umask)
    root = logging.getLogger()
    named = logging.getLogger("named")
    return {
        "umask": umask,
        "limit": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "digits": sys.get_int_max_str_digits(),
        "stack": threading.stack_size(),
        "trace": (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "hooks": (sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__),
        "display": sys.displayhook is sys.__displayhook__,
        "names": (getattr(sys, "tracebacklimit", None), hasattr(sys, "made_by_a_task"), sys.dont_write_bytecode),
        "argv": list(sys.argv),
        "path": [entry for entry in sys.path if "wrecked" in entry],
        "finders": [repr(finder) for finder in sys.meta_path if "wrecked" in repr(finder)],
        "builtins": (
            hasattr(builtins, "made_by_a_task"),
            hasattr(builtins, "ascii"),
            print is builtins.print,
            len.__name__,
        ),
        "filters": list(map(str, warnings.filters)),
        "showing": (warnings.showwarning.__name__, warnings.formatwarning.__module__),
        "decimal": (decimal.getcontext().prec, decimal.getcontext().rounding, decimal.DefaultContext.prec),
        "errors": (np.geterr(), np.geterrcall()),
        "printing": str(np.get_printoptions()),
        "locale": locale.setlocale(locale.LC_ALL),
        "sockets": socket.getdefaulttimeout(),
        "certificates": ssl._create_default_https_context.__name__,
        "opener": urllib.request._opener,  # type: ignore[attr-defined]
        "csv": csv.field_size_limit(),
        "temporary": tempfile.tempdir,
        "processes": multiprocessing.get_start_method(allow_none=True),
        "signals": {number: str(signal.getsignal(number)) for number in sorted(signal.valid_signals())},
        "mask": wait_mask(),
        "timers": [signal.getitimer(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF)],
        "limits": [resource.getrlimit(number)[0] for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
        "zone": (time.tzname, time.timezone, os.environ.get("TZ")),
        "logging": (root.level, len(root.handlers), logging.root.manager.disable, logging.raiseExceptions),
        "named": (named.level, len(named.handlers), named.propagate, named.disabled),
        "tracing": (tracemalloc.is_tracing(),),
        "policy": loop_policy(),
        "variable": variable.get(),
        "pandas": (pd.get_option("display.max_rows"), pd.get_option("display.precision")),
        "sklearn": str(sklearn.get_config()),
        "params": {name: str(param) for name, param in dict.items(matplotlib.rcParams)},
        "figures": __import__("matplotlib.pyplot").pyplot.get_fignums(),
    }


def throw(*args: object) -> None:
    raise RuntimeError("a timer of another task")


def set_zone() -> None:
    os.environ["TZ"] = "America/New_York"
    time.tzset()


def set_loop_policy() -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):
        pass

    asyncio.set_event_loop_policy(Policy())


def log_to_somewhere() -> None:
    logging.basicConfig(level=logging.DEBUG, format="MINE %(message)s")
    named = logging.getLogger("named")
    named.addHandler(logging.StreamHandler())
    named.setLevel(5)
    named.propagate = False
    named.disabled = True


def add_handler_only() -> None:
    logging.getLogger("named").addHandler(logging.NullHandler())


def set_builtin() -> None:
    builtins.made_by_a_task = 1  # type: ignore[attr-defined]
    builtins.print = lambda *args, **kwargs: None  # type: ignore[assignment]
    vars(builtins)["len"] = lambda value: 1


def set_names() -> None:
    sys.made_by_a_task = 1  # type: ignore[attr-defined]
    sys.tracebacklimit = 0
    sys.dont_write_bytecode = not sys.dont_write_bytecode
    sys.argv.append("wrecked")
    sys.path.append("/wrecked")


def set_hooks() -> None:
    sys.excepthook = throw
    sys.displayhook = throw
    threading.excepthook = throw


def set_timer() -> None:
    signal.signal(signal.SIGALRM, throw)
    signal.setitimer(signal.ITIMER_REAL, 0.2)


def set_timers_without_handler() -> None:
    signal.alarm(1)
    signal.setitimer(signal.ITIMER_PROF, 0.01)


def dump_stacks_later() -> None:
    faulthandler.dump_traceback_later(0.5, exit=True)


def draw() -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    plt.style.use("dark_background")
    plt.figure()


def run_asyncio() -> None:
    asyncio.run(asyncio.sleep(0))


def set_limits() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


CHANGES: dict[str, Callable[[], object]] = {
    "umask": lambda: os.umask(0o177),
    "recursion limit": lambda: sys.setrecursionlimit(150),
    "a recursion limit that is high": lambda: sys.setrecursionlimit(100_000),
    "switch interval": lambda: sys.setswitchinterval(2),
    "integers as text": lambda: sys.set_int_max_str_digits(0),
    "stack size": lambda: threading.stack_size(2**20),
    "profile function": lambda: sys.setprofile(lambda *args: None),
    "trace function of threads": lambda: threading.settrace(lambda *args: None),
    "collector": lambda: (gc.disable(), gc.set_threshold(1)),
    "hooks": set_hooks,
    "an exception hook of none": lambda: setattr(sys, "excepthook", None),
    "names of sys": set_names,
    "arguments that are a tuple": lambda: setattr(sys, "argv", ("a", "b")),
    "arguments that are deleted": lambda: delattr(sys, "argv"),
    "builtins": set_builtin,
    "a builtin that is deleted": lambda: delattr(builtins, "ascii"),
    "warnings are errors": lambda: warnings.simplefilter("error"),
    "warnings are forgotten": warnings.resetwarnings,
    "the list of filters itself": lambda: setattr(warnings, "filters", []),
    "the way warnings are shown": lambda: setattr(warnings, "showwarning", throw),
    "decimal context": lambda: setattr(decimal.getcontext(), "prec", 3),
    "another decimal context": lambda: decimal.setcontext(decimal.Context(prec=5, rounding=decimal.ROUND_UP)),
    "numpy's errors": lambda: np.seterr(all="raise"),
    "numpy's errors call": lambda: np.seterrcall(throw),
    "numpy's print options": lambda: np.set_printoptions(precision=1, suppress=True),
    "default time-out": lambda: socket.setdefaulttimeout(0.01),
    "certificates": lambda: setattr(ssl, "_create_default_https_context", ssl._create_unverified_context),
    "an opener": lambda: urllib.request.install_opener(urllib.request.build_opener()),
    "length of fields": lambda: csv.field_size_limit(10**9),
    "folder for temporary files": lambda: setattr(tempfile, "tempdir", "/wrecked"),
    "start method": lambda: multiprocessing.set_start_method("spawn"),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "a handler of an interrupt": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "a handler of a rare signal": lambda: signal.signal(signal.SIGUSR2, throw),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR1}),
    "a timer": set_timer,
    "timers without a handler": set_timers_without_handler,
    "a timer that nothing can read": dump_stacks_later,
    "limits": set_limits,
    "time zone": set_zone,
    "logging": log_to_somewhere,
    "a handler of a logger": add_handler_only,
    "logging is off": lambda: logging.disable(logging.CRITICAL),
    "tracemalloc": lambda: tracemalloc.start(),
    "faulthandler": lambda: faulthandler.disable(),
    "policy of event loops": set_loop_policy,
    "an event loop": run_asyncio,
    "a context variable": lambda: variable.set(7),
    "pandas' options": lambda: pd.set_option("display.max_rows", 3, "display.precision", 1),
    "scikit-learn's configuration": lambda: sklearn.set_config(transform_output="pandas"),
    "rcParams and figures": draw,
    "a param": lambda: matplotlib.rcParams.update({"font.size": 40}),
}


def change(name: str) -> None:
    CHANGES[name]()


def test_the_next_task_finds_nothing_of_it(client: Any) -> None:
    """All in one test: what is left of one would be found by all that follow."""
    pid = client.submit(os.getpid).result(DEADLINE)
    before = client.submit(plain_state).result(DEADLINE)
    wrong = {}
    for name in CHANGES:
        client.submit(change, name).exception(DEADLINE)
        after = client.submit(plain_state).result(DEADLINE)
        left = {key: (before[key], value) for key, value in after.items() if before[key] != value}
        if left:
            wrong[name] = left
    assert not wrong
    assert client.submit(time.sleep, 1.2).result(DEADLINE) is None  # no timer of theirs strikes
    assert client.submit(os.getpid).result(DEADLINE) == pid


@pytest.mark.parametrize("keep", [False, True], ids=["cell", "kept"])
def test_nor_does_it_after_a_cell(client: Any, keep: bool) -> None:
    before = client.submit(plain_state).result(DEADLINE)
    client.submit_cell("import sys, warnings; sys.setrecursionlimit(500); warnings.simplefilter('error')", keep=keep)
    client.submit_cell("import gc, os; gc.disable(); os.umask(0); 1 / 0", keep=keep).exception(DEADLINE)
    client.submit_cell("%matplotlib inline\nimport matplotlib.pyplot as plt; plt.style.use('ggplot')", keep=keep)
    after = client.submit(plain_state).result(DEADLINE)
    assert {key: value for key, value in after.items() if before[key] != value} == {}


def become_another() -> str:
    if os.getuid() == 0:
        os.seteuid(65534)
    else:
        os.setpriority(os.PRIO_PROCESS, 0, 5)
    return "done"


def test_a_setting_that_cannot_be_put_back_ends_the_worker_and_costs_nothing(home: Any) -> None:
    with start(1) as farm, farm.client() as client:
        pid = client.submit(os.getpid).result(DEADLINE)
        # the tasks behind it have arrived with it, and run in the next process
        future = client.submit(become_another)
        behind = [client.submit(os.getpid) for _ in range(20)]
        assert future.result(DEADLINE) == "done"
        pids = {task.result(DEADLINE) for task in behind}
        assert pid not in pids
        assert len(pids) == 1
        assert {task.attempts for task in (future, *behind)} == {1}


def test_what_a_broadcast_sets_stays(home: Any) -> None:
    with start(1) as farm, farm.client() as client:
        client.broadcast("import decimal, sys, warnings; decimal.getcontext().prec = 7; sys.setswitchinterval(0.01)")
        for _ in range(2):
            assert client.submit(lambda: decimal.getcontext().prec).result(DEADLINE) == 7
            assert client.submit(sys.getswitchinterval).result(DEADLINE) == 0.01
            client.submit(lambda: setattr(decimal.getcontext(), "prec", 3)).result(DEADLINE)
            client.submit(sys.setswitchinterval, 1).result(DEADLINE)
