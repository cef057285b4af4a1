"""Promises of this project about its speed, and whether a run met them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.report import span, table
from benchmarks.results import Results
from benchmarks.systems import ON_DASK, ON_RAY, OURS

POOL, EXECUTOR = "multiprocessing.Pool", "ProcessPoolExecutor"
DASK, CLUSTER, IPYPARALLEL = "dask", "dask LocalCluster", "ipyparallel"


@dataclass(frozen=True)
class Promise:
    """A bound on a quantity of ours, as it is or against another one.

    Attributes:
        what: the words for it.
        quantity: of this project.
        bound: the most that it may be; with `at_least` the least.
        peer: with it the quantity is divided by this system's.
        base: with it the quantity is divided by this other one, of the peer or else of ours.
        is_difference: subtract instead of dividing.
        system: the system of ours.
    """

    what: str
    quantity: str
    bound: float
    at_least: bool = False
    peer: str = ""
    base: str = ""
    is_difference: bool = False
    system: str = OURS

    def value(self, find: Callable[[str, str], float | None]) -> float | None:
        """Return the value that has the bound; `find` gives the quantity of a system."""
        ours = find(self.system, self.quantity)
        if not (self.peer or self.base):
            return ours
        other = find(self.peer or self.system, self.base or self.quantity)
        if ours is None or other is None:
            return None
        return ours - other if self.is_difference else ours / other

    def is_met(self, value: float) -> bool:
        """Tell whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


SPEED = [
    Promise("submit + flush + results / Pool's", "tasks_per_s", 6, at_least=True, peer=POOL),
    Promise("submit + flush + results / dask's", "tasks_per_s", 300, at_least=True, peer=DASK),
    Promise("submit + flush + results / ipyparallel's", "tasks_per_s", 300, at_least=True, peer=IPYPARALLEL),
    Promise("map, a task for each item / Pool's", "items_per_s", 3, at_least=True, peer=POOL),
    Promise("round trip p50 / Pool's", "p50_us", 3, peer=POOL),
    Promise("cold start / LocalCluster's", "cold_s", 0.4, peer=CLUSTER),
    Promise(
        "balance, points above ProcessPoolExecutor", "balance", -1, at_least=True, peer=EXECUTOR, is_difference=True
    ),
    Promise("controller's CPU, µs a task", "submit_controller_us", 4),
    Promise("client's CPU, µs a task", "submit_client_us", 6),
    Promise("workers' CPU, µs a task", "submit_workers_us", 5),
    Promise("controller's CPU in a map, µs a task", "map_controller_us", 4),
    Promise("client's CPU in a map, µs a task", "map_client_us", 6),
    Promise("workers' CPU in a map, µs a task", "map_workers_us", 5),
    Promise("a task of 1,000,000 in a map / one of 10,000", "map_us_at_1000000", 1.5, base="map_us_at_10000"),
    Promise("last tiny result beside a sleep of 2 s, s", "sleep_tiny_s", 0.3),
    Promise("last tiny result beside 2 s of Python, s", "burn_tiny_s", 0.3),
    Promise("last tiny result beside 2 s that hold the GIL, s", "hold_tiny_s", 0.5),
]

DATA = [
    Promise("a first array of 100 MB in / ProcessPoolExecutor's", "in_first_ms", 1, peer=EXECUTOR),
    Promise("100 MB in / ProcessPoolExecutor's", "in_ms", 0.25, peer=EXECUTOR),
    Promise("a first array of 100 MB out / ProcessPoolExecutor's", "out_first_ms", 1, peer=EXECUTOR),
    Promise("100 MB out / ProcessPoolExecutor's", "out_ms", 0.25, peer=EXECUTOR),
    Promise("100 arrays of 1 MB there and back / ProcessPoolExecutor's", "echo_ms", 0.5, peer=EXECUTOR),
    Promise("a function with 10 MB over 200 items, s", "closure_s", 0.15),
    Promise("copies of these 10 MB in memory", "closure_copies", 1.5),  # one, and what a first run touches
    Promise("p99 of round trips while payloads of 1 GB flow / without", "flowing_p99_us", 2, base="still_p99_us"),
]

ROOM = [
    Promise("a queued task with its future, bytes in all processes", "queued_bytes", 600),
    Promise("restart with 100,000 live tasks, s", "restart_s", 0.5),
    Promise("supervisor and controller, idle, % CPU", "idle_percent", 0.2),
    Promise("supervisor and controller, idle, MB", "idle_mb", 60),
    Promise("throughput watched / unwatched", "watched", 0.95, at_least=True),
]

NOTEBOOK = [
    Promise("`%%task` adds to a cell, ms", "cell_ms", 30),
    Promise("`%load_ext taskfc_ext`, ms", "load_ms", 150),
    Promise("`%load_ext taskfc_ext` starts processes", "load_processes", 0),
    Promise("CPU of the kernel for the card of a map of 10,000 tasks, %", "group_card_percent", 2),
    Promise("a task starts until its card says so, ms", "start_dom_ms", 300),
    Promise("a task ends until its card says so, ms", "end_dom_ms", 300),
    Promise("Abort clicked until the task has stopped, kernel blocked, ms", "abort_ms", 1000),
    Promise("a reload until all 50 cards of a notebook are true, kernel restarted, ms", "true_ms", 1000),
]

QUEUE = [
    Promise("a task ends until the widget says so, ms", "widget_dom_ms", 250),
    Promise("a task ends until the sidebar says so, ms", "sidebar_dom_ms", 250),
    Promise("Abort clicked until the widget shows it, kernel blocked, ms", "widget_abort_ms", 1000),
    Promise("Abort clicked until the sidebar shows it, kernel blocked, ms", "sidebar_abort_ms", 1000),
    Promise("longest task of the page in 100,000 rows, ms", "long_task_ms", 100),
    Promise("rows in the page", "dom_rows", 100),
    Promise("CPU of the widget's thread at 10 ends/s, %", "thread_busy", 2),
    Promise("CPU of the widget's thread, idle, %", "thread_idle", 1),
    Promise("CPU of the Jupyter server for it at 10 ends/s, %", "server_busy", 2),
    Promise("CPU of the Jupyter server for it, idle, %", "server_idle", 1),
]

ENGINE = [
    Promise("map, a task for each item / dask's", "items_per_s", 30, at_least=True, peer=DASK, system=ON_DASK),
    Promise("round trip p50 / dask's", "p50_us", 0.5, peer=DASK, system=ON_DASK),
    Promise("efficiency at 5 ms / dask's", "naps_5", 1, at_least=True, peer=DASK, system=ON_DASK),
    Promise("efficiency at 20 ms / dask's", "naps_20", 1, at_least=True, peer=DASK, system=ON_DASK),
    Promise("100 MB in / dask's", "in_ms", 1.5, peer=DASK, system=ON_DASK),
    Promise("100 MB out / dask's", "out_ms", 1.5, peer=DASK, system=ON_DASK),
    Promise("100 arrays of 1 MB there and back / dask's", "echo_ms", 1.5, peer=DASK, system=ON_DASK),
    Promise("map, a task for each item / Ray's", "items_per_s", 20, at_least=True, peer="Ray", system=ON_RAY),
    Promise("bridge, idle, % CPU", "bridge_percent", 0.2, system=ON_DASK),
    Promise("bridge, idle, MB", "bridge_mb", 70, system=ON_DASK),
]

PROMISES = {
    "speed": SPEED,
    "data": DATA,
    "room": ROOM,
    "in a notebook": NOTEBOOK,
    "the live queue": QUEUE,
    "on a cluster": ENGINE,
}


def is_measured(results: Results, promises: Iterable[Promise]) -> bool:
    """Tell whether a run has measured some quantity of ours among those of `promises`."""
    return any(results.knows(promise.system, [promise.quantity]) for promise in promises)


def verdicts(results: Results, title: str, promises: Iterable[Promise]) -> str:
    """Return the table of promises, their values (that of the medians, and the range of the rounds), and verdicts."""
    rows = []
    for promise in promises:
        bound = f"{'≥' if promise.at_least else '≤'} {promise.bound:g}"
        value = promise.value(results.median)
        if value is None:
            rows.append([promise.what, bound, "", "not measured"])
            continue
        each = [promise.value(lambda *key, number=number: _at(results, number, *key)) for number in results.rounds]
        within = [found for found in each if found is not None]
        rows.append([promise.what, bound, span("{:.3g}", value, within), "met" if promise.is_met(value) else "MISSED"])
    return table([title, "promised", "measured", ""], rows)


def _at(results: Results, number: int, system: str, quantity: str) -> float | None:
    return results.by_round(system, quantity).get(number)
