"""Cells of a run: the measures of each system, and their sizes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from benchmarks.measures.same_cost import is_known, revision
from benchmarks.rounds import Cell
from benchmarks.systems import ON_DASK, ON_RAY, OURS

PACKAGES = {
    "loky": "loky",
    "joblib": "joblib",
    "executorlib": "executorlib",
    "Ray": "ray",
    "dask": "distributed",
    ON_DASK: "distributed",
    ON_RAY: "ray",
    "dask LocalCluster": "distributed",
    "ipyparallel": "ipyparallel",
}
"""What a system needs. Ray is large, so that no extra has it."""

NEEDS = {
    "data": ("numpy",),
    "closure": ("numpy",),
    "flow": ("numpy",),
    "notebook": ("jupyter_client",),
    "watching": ("jupyter_client",),
    "page": ("jupyterlab", "playwright"),
    "queue": ("jupyterlab", "playwright"),
    "same_cost": ("jupyter_client", "numpy"),
}
"""What a module of measures needs."""


def _script(module: str) -> str:
    return f"benchmarks.measures.{module}"


def _each(module: str, measure: str, sizes: Mapping[str, int]) -> list[Cell]:
    return [Cell(system, measure, n, _script(module)) for system, n in sizes.items()]


def _ours(module: str, measure: str, n: int) -> Cell:
    return Cell(OURS, measure, n, _script(module))


# system: tasks of throughput, of maps, of latency, and queued ones; each gives a few seconds
SIZES = {
    OURS: (50_000, 100_000, 2_000, 100_000),
    "multiprocessing.Pool": (30_000, 50_000, 2_000, 20_000),
    "ProcessPoolExecutor": (20_000, 20_000, 2_000, 20_000),
    "loky": (8_000, 8_000, 1_000, 10_000),
    "joblib": (0, 6_000, 200, 0),
    "executorlib": (6_000, 6_000, 200, 10_000),
    "Ray": (3_000, 3_000, 500, 5_000),
    "dask": (800, 800, 200, 2_000),
    "ipyparallel": (600, 500, 200, 500),
}
"""0: it has no such call."""

PEERS = [
    *(Cell(system, "throughput", sizes[0], _script("calls")) for system, sizes in SIZES.items() if sizes[0]),
    *(Cell(system, "maps", sizes[1], _script("calls")) for system, sizes in SIZES.items()),
    *(Cell(system, "latency", sizes[2], _script("calls")) for system, sizes in SIZES.items()),
    *_each("cold", "cold", dict.fromkeys([*SIZES, "dask LocalCluster"], 1)),
    *_each("balance", "balance", dict.fromkeys(SIZES, 128)),
    *_each("data", "data", dict.fromkeys(SIZES, 4)),
    *_each("closure", "closure", dict.fromkeys(SIZES, 200)),
    *_each("closure", "copies", dict.fromkeys(SIZES, 50)),
    *(Cell(system, "room", sizes[3], _script("room")) for system, sizes in SIZES.items() if sizes[3]),
]
"""The work that all systems can do."""

ALONE = [
    _ours("cpu", "cpu_of_submissions", 100_000),
    _ours("cpu", "cpu_of_maps", 100_000),
    _ours("growth", "growth_of_maps", 1_000_000),
    _ours("growth", "growth_of_submissions", 100_000),
    _ours("restart", "restart", 100_000),
    _ours("idle", "idle", 10),
    _ours("ahead", "ahead", 10_000),
    _ours("flow", "flow", 1_000),
    _ours("watching", "watching", 50_000),
]

NOTEBOOK = [
    *_each("notebook", "cell", dict.fromkeys([OURS, "ipyparallel", "dask"], 40)),
    *_each("notebook", "load", dict.fromkeys([OURS, "ipyparallel", "dask"], 3)),
    _ours("notebook", "group_card", 10_000),
    _ours("page", "card", 10),
    _ours("page", "abort", 5),
    _ours("page", "reload", 50),
]

QUEUE = [
    _ours("queue", "widget", 10),
    _ours("queue", "sidebar", 10),
    _ours("queue", "scroll", 100_000),
    _ours("queue", "cost", 10),
]

ENGINE = [
    *_each("calls", "maps", {ON_DASK: 50_000, "dask": 800, ON_RAY: 50_000, "Ray": 3_000}),
    *_each("calls", "latency", {ON_DASK: 1_000, "dask": 200, ON_RAY: 1_000, "Ray": 500}),
    *_each("naps", "naps", {ON_DASK: 400, "dask": 400}),
    *_each("data", "data", {ON_DASK: 4, "dask": 4}),
    Cell(ON_DASK, "bridge", 10, _script("slots")),
    Cell(ON_DASK, "slots", 64, _script("slots")),
]
"""Workers on a Dask or a Ray cluster, beside Dask and Ray themselves on equal ones."""

SAME = [_ours("same_cost", "cost_of_same", 5)]
"""This version beside an earlier one; its rounds are its own, within one run of it."""

DEATHS = [
    *_each("deaths", "worker_killed", dict.fromkeys([OURS, "ipyparallel", "dask", "loky"], 200)),
    *_each("deaths", "kill_storm", dict.fromkeys([OURS, "ipyparallel", "dask", "loky"], 600)),
    *_each("deaths", "controller_killed", dict.fromkeys([OURS, "ipyparallel", "dask"], 200)),
    *_each("deaths", "client_killed", dict.fromkeys([OURS, "ipyparallel", "dask", "loky"], 200)),
]
"""Tasks while processes are killed; loky has nothing that holds the queue but the client."""

GROUPS = {
    "peers": PEERS,
    "alone": ALONE,
    "notebook": NOTEBOOK,
    "queue": QUEUE,
    "same": SAME,
    "engine": ENGINE,
    "deaths": DEATHS,
}

USUAL = ("peers", "alone")
"""The groups that a run has unless it is told otherwise."""

SMOKE = [
    _ours("calls", "throughput", 200),
    _ours("calls", "maps", 200),
    _ours("calls", "latency", 20),
    _ours("cold", "cold", 1),
    _ours("balance", "balance", 4),
    _ours("data", "data", 2),
    _ours("closure", "closure", 8),
    _ours("closure", "copies", 8),
    _ours("room", "room", 200),
    *_each("calls", "throughput", {"multiprocessing.Pool": 200, "ProcessPoolExecutor": 200}),
    Cell("ProcessPoolExecutor", "latency", 20, _script("calls")),
    _ours("cpu", "cpu_of_submissions", 200),
    _ours("growth", "growth_of_maps", 100),
    _ours("restart", "restart", 200),
    _ours("idle", "idle", 1),
    _ours("flow", "flow", 4),
    _ours("notebook", "cell", 2),
    _ours("notebook", "load", 1),
    _ours("notebook", "group_card", 20),
    _ours("page", "card", 1),
    _ours("queue", "widget", 1),
    _ours("queue", "cost", 1),
    _ours("same_cost", "cost_of_same", 1),
    _ours("deaths", "worker_killed", 20),
    _ours("deaths", "controller_killed", 20),
    _ours("deaths", "client_killed", 20),
]
"""Shows that the scripts run; its figures mean nothing."""


def absence(cell: Cell) -> str:
    """Return what a cell lacks here; empty when it can be measured."""
    module = cell.script.rpartition(".")[2]
    for package in (PACKAGES.get(cell.system), *NEEDS.get(module, ())):
        if package is not None and importlib.util.find_spec(package) is None:
            return f"{package} is not installed, and what needs it is left out ({_remedy(package)})"
    if module == "same_cost" and not is_known(revision()):
        return f"this clone has no revision {revision()}, and what is compared with it is left out (--before REVISION)"
    if module in ("page", "queue"):
        from tests.browser.lab import chromium  # needs Playwright

        if chromium() is None:
            return "there is no Chromium, and what is seen in it is left out (apt-get install chromium)"
    return ""


def _remedy(package: str) -> str:
    return "pip install ray" if package == "ray" else "pip install 'taskfc-ext[bench,test]'"
