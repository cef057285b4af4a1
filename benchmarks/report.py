"""The measured figures as tables, and the ratios that this project promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.rounds import Measured

COLUMNS = {
    "tasks_per_s": ("submit + flush + results, tasks/s", "{:,.0f}"),
    "p50_us": ("round trip p50, µs", "{:,.0f}"),
    "p99_us": ("p99, µs", "{:,.0f}"),
    "balance": ("balance, 1 to 50 ms, %", "{:.1f}"),
    "cold_s": ("cold start, s", "{:.2f}"),
    "scheduler_us": ("scheduler CPU, µs/task", "{:,.1f}"),
}

DATA_COLUMNS = {
    "in_first_ms": ("the first one in, ms", "{:,.0f}"),
    "in_ms": ("in, ms", "{:,.0f}"),
    "out_first_ms": ("the first one out, ms", "{:,.0f}"),
    "out_ms": ("out, ms", "{:,.0f}"),
    "echo_ms": ("100 x 1 MB there and back, ms", "{:,.0f}"),
}
"""Of large arrays, each a new one, read where it arrives."""

NOTEBOOK_COLUMNS = {
    "cell_ms": ("submitting adds to a cell, ms", "{:,.1f}"),
    "load_ms": ("loading, ms", "{:,.0f}"),
    "load_processes": ("loading starts processes", "{:,.0f}"),
    "start_dom_ms": ("a task starts until its card says so, ms", "{:,.0f}"),
    "end_dom_ms": ("ends until its card says so, ms", "{:,.0f}"),
    "abort_ms": ("Abort clicked until it has stopped, ms", "{:,.0f}"),
}

QUEUE_COLUMNS = {
    "widget_dom_ms": ("a task ends until the widget says so, ms", "{:,.0f}"),
    "sidebar_dom_ms": ("until the sidebar says so, ms", "{:,.0f}"),
    "widget_abort_ms": ("Abort clicked until the widget shows it, ms", "{:,.0f}"),
    "sidebar_abort_ms": ("until the sidebar shows it, ms", "{:,.0f}"),
    "long_task_ms": ("longest task of the page, ms", "{:,.0f}"),
    "dom_rows": ("its rows", "{:,.0f}"),
    "thread_busy": ("widget's thread, 10 ends/s, % CPU", "{:.2f}"),
    "thread_idle": ("idle", "{:.2f}"),
    "server_busy": ("Jupyter server, 10 ends/s, % CPU", "{:.2f}"),
    "server_idle": ("idle", "{:.2f}"),
    "watched": ("throughput watched / unwatched", "{:.2f}"),
}
"""Of the live queue. Those of the page and of CPU are with 100,000 queued tasks."""

NOTEBOOK_TARGETS = [
    # what, quantity, the most that it may be, peers that do something like it
    ("`%%task` adds to a cell, ms", "cell_ms", 30, ("ipyparallel", "dask")),
    ("`%load_ext taskfc_ext`, ms", "load_ms", 150, ("ipyparallel", "dask")),
    ("`%load_ext taskfc_ext` starts processes", "load_processes", 0, ()),
    ("a task starts until its card says so, ms", "start_dom_ms", 300, ()),
    ("a task ends until its card says so, ms", "end_dom_ms", 300, ()),
    ("Abort clicked until the task has stopped, kernel blocked, ms", "abort_ms", 1000, ()),
]

QUEUE_TARGETS = [
    # what, quantity, whether more is better, bound
    ("a task ends until the widget says so, ms", "widget_dom_ms", False, 250),
    ("a task ends until the sidebar says so, ms", "sidebar_dom_ms", False, 250),
    ("Abort clicked until the widget shows it, kernel blocked, ms", "widget_abort_ms", False, 1000),
    ("Abort clicked until the sidebar shows it, kernel blocked, ms", "sidebar_abort_ms", False, 1000),
    ("longest task of the page in 100,000 rows, ms", "long_task_ms", False, 100),
    ("rows in the page", "dom_rows", False, 100),
    ("CPU of the widget's thread at 10 ends/s, %", "thread_busy", False, 2),
    ("CPU of the widget's thread, idle, %", "thread_idle", False, 1),
    ("CPU of the Jupyter server for it at 10 ends/s, %", "server_busy", False, 2),
    ("CPU of the Jupyter server for it, idle, %", "server_idle", False, 1),
    ("throughput watched / unwatched", "watched", True, 0.95),
]

TARGETS = [
    # what, quantity, peer, whether more is better, bound on ours / peer's
    ("submit + flush + results against dask", "tasks_per_s", "dask", True, 10.0),
    ("submit + flush + results against ipyparallel", "tasks_per_s", "ipyparallel", True, 10.0),
    ("cold start against dask's LocalCluster", "cold_s", "dask LocalCluster", False, 0.5),
    ("round trip p50 against dask", "p50_us", "dask", False, 0.15),
]

DATA_TARGETS = [
    ("a first array of 100 MB in, against ProcessPoolExecutor", "in_first_ms", "ProcessPoolExecutor", False, 1.0),
    ("100 MB in", "in_ms", "ProcessPoolExecutor", False, 0.25),
    ("a first array of 100 MB out", "out_first_ms", "ProcessPoolExecutor", False, 1.0),
    ("100 MB out", "out_ms", "ProcessPoolExecutor", False, 0.25),
    ("100 x 1 MB there and back", "echo_ms", "ProcessPoolExecutor", False, 0.5),
]

POINTS = [
    # what, quantity in percent, peer, the most points that ours may be behind
    ("balance of 1 to 50 ms against ProcessPoolExecutor", "balance", "ProcessPoolExecutor", 1.0),
]

COSTS = [
    # what, measure, the most that after / before may be
    ("submit of a constant function, µs", "submit", 1.05),
    ("what a `%%task` cell of small inputs adds, µs", "cell", 1.1),
    ("the same with `--wait`, µs", "waited", 1.1),
    ("an item of `map` over a function with a global of 100 MB, µs", "map", 1.1),
    ("worker's CPU: a constant function, µs", "cpu_constant", None),
    ("worker's CPU: a function that uses another and a constant, µs", "cpu_uses", None),
    ("worker's CPU: a function that changes a global list, µs", "cpu_list", None),
    ("worker's CPU: a cell, µs", "cpu_cell", None),
]
"""Of an earlier version and this one; what has no bound is for whoever works on it."""


def figures(measured: Measured, systems: list[str], title: str, columns: Mapping[str, tuple[str, str]]) -> str:
    """Return the table of medians, with the range of the rounds in brackets."""
    rows = [
        [system, *(_figure(measured, system, quantity, form) for quantity, (_, form) in columns.items())]
        for system in systems
    ]
    return table([title, *(heading for heading, _ in columns.values())], rows)


def ratios(measured: Measured, ours: str, targets: Iterable[tuple[str, str, str, bool, float]]) -> str:
    """Return the table of what was promised, and whether it is met."""
    rows = []
    for what, quantity, peer, more_is_better, bound in targets:
        mine, theirs = measured.median(ours, quantity), measured.median(peer, quantity)
        promise = f"{'≥' if more_is_better else '≤'} {bound:g}"
        if mine is None or theirs is None:
            rows.append([what, promise, "", "not measured"])
            continue
        ratio = mine / theirs
        met = ratio >= bound if more_is_better else ratio <= bound
        rows.append([what, promise, f"{ratio:.3g}", "met" if met else "MISSED"])
    return table(["ratio, ours / theirs", "promised", "measured", ""], rows)


def points(measured: Measured, ours: str) -> str:
    """Return the table of percentages that are to be close to a peer's."""
    rows = []
    for what, quantity, peer, bound in POINTS:
        mine, theirs = measured.median(ours, quantity), measured.median(peer, quantity)
        promise = f"≥ {-bound:g}"
        if mine is None or theirs is None:
            rows.append([what, promise, "", "not measured"])
            continue
        rows.append([what, promise, f"{mine - theirs:+.1f}", "met" if mine - theirs >= -bound else "MISSED"])
    return table(["points, ours - theirs", "promised", "measured", ""], rows)


def notebook(measured: Measured, ours: str) -> str:
    """Return the table of what was promised of the notebook, and how the peers that can be compared do."""
    rows = []
    for what, quantity, bound, peers in NOTEBOOK_TARGETS:
        mine = measured.median(ours, quantity)
        if mine is None:
            rows.append([what, f"≤ {bound}", "", "", "not measured"])
            continue
        theirs = {peer: measured.median(peer, quantity) for peer in peers}
        beside = ", ".join(f"{mine / value:.2g} of {peer}'s" for peer, value in theirs.items() if value)
        rows.append([what, f"≤ {bound}", f"{mine:.3g}", beside, "met" if mine <= bound else "MISSED"])
    return table(["in a notebook", "promised", "measured", "beside", ""], rows)


def queue(measured: Measured, ours: str) -> str:
    """Return the table of what was promised of the live queue."""
    rows = []
    for what, quantity, more_is_better, bound in QUEUE_TARGETS:
        found = measured.median(ours, quantity)
        promise = f"{'≥' if more_is_better else '≤'} {bound:g}"
        if found is None:
            rows.append([what, promise, "", "not measured"])
            continue
        met = found >= bound if more_is_better else found <= bound
        rows.append([what, promise, f"{found:.3g}", "met" if met else "MISSED"])
    return table(["the live queue", "promised", "measured", ""], rows)


def costs(measured: Measured, system: str) -> str:
    """Return the table of what the same answer as here costs."""
    rows = []
    for what, measure, bound in COSTS:
        before, after, ratio, low, high = (
            measured.median(system, f"{measure}_{of}") for of in ("before", "after", "ratio", "low", "high")
        )
        if before is None or after is None or ratio is None:
            continue
        verdict = "" if bound is None else "met" if ratio <= bound else "MISSED"
        promise = "" if bound is None else f"≤ {bound:g}"
        rows.append([what, f"{before:,.1f}", f"{after:,.1f}", promise, f"{ratio:.3f} [{low:.2f}-{high:.2f}]", verdict])
    return table(["before and after", "before", "after", "promised", "ratio [half of the turns]", ""], rows)


def table(headers: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table that is aligned as plain text too; the first column is text, the others figures."""
    widths = [max(len(row[column]) for row in [headers, *rows]) for column in range(len(headers))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return "\n".join([line(headers), rule, *(line(row) for row in rows)])


def _figure(measured: Measured, system: str, quantity: str, form: str) -> str:
    middle = measured.median(system, quantity)
    if middle is None:
        return ""
    low, high = measured.range(system, quantity)
    return f"{form.format(middle)} [{form.format(low)}-{form.format(high)}]"
