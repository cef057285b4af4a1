"""The measured figures as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.results import Results
from benchmarks.systems import SYSTEMS

Columns = Mapping[str, tuple[str, str]]
"""Quantity -> heading and format."""

TINY = {
    "tasks_per_s": ("submit + flush + results, tasks/s", "{:,.0f}"),
    "items_per_s": ("map, items/s", "{:,.0f}"),
    "p50_us": ("round trip p50, µs", "{:,.0f}"),
    "p99_us": ("p99, µs", "{:,.0f}"),
    "cold_s": ("cold start, s", "{:.2f}"),
}
"""Of tasks that do nothing."""

REAL = {
    "balance": ("balance, 1 to 50 ms, %", "{:.1f}"),
    "queued_bytes": ("a queued task, bytes", "{:,.0f}"),
    "closure_s": ("10 MB function x 200, s", "{:.2f}"),
    "closure_copies": ("its copies in memory", "{:.1f}"),
}

ARRAYS = {
    "in_first_ms": ("the first one in, ms", "{:,.0f}"),
    "in_ms": ("in, ms", "{:,.0f}"),
    "out_first_ms": ("the first one out, ms", "{:,.0f}"),
    "out_ms": ("out, ms", "{:,.0f}"),
    "echo_ms": ("100 x 1 MB there and back, ms", "{:,.0f}"),
}
"""Of large arrays, each a new one, read where it arrives."""

NOTEBOOK = {
    "cell_ms": ("submitting adds to a cell, ms", "{:,.1f}"),
    "load_ms": ("loading, ms", "{:,.0f}"),
    "load_processes": ("loading starts processes", "{:,.0f}"),
    "group_card_percent": ("card of a map, % CPU", "{:.2f}"),
    "start_dom_ms": ("a task starts until its card says so, ms", "{:,.0f}"),
    "end_dom_ms": ("ends until its card says so, ms", "{:,.0f}"),
    "abort_ms": ("Abort clicked until it has stopped, ms", "{:,.0f}"),
    "true_ms": ("after a reload, until all cards are true, ms", "{:,.0f}"),
}

QUEUE = {
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
}
"""Of the live queue. Those of the page and of CPU are with 100,000 queued tasks."""

BRIDGE = {
    "bridge_percent": ("2 slots, idle, % CPU", "{:.2f}"),
    "bridge_mb": ("MB", "{:.0f}"),
    "slots_s": ("64 slots: start, s", "{:.1f}"),
    "slots_percent": ("their time that tasks of 0.5 s use, %", "{:.0f}"),
    "slots_mb": ("MB", "{:.0f}"),
}
"""Of the bridge to a Dask cluster."""

BY_SECOND = "_ended_at_"
"""In the name of a quantity, before the second: how many tasks had ended right by then."""


def _after_a_kill(measure: str) -> dict[str, tuple[str, str]]:
    words = {"submitted": "tasks", "kills": "kills", "right": "right", "lost": "lost", "pending": "still pending"}
    words |= {"workers": "workers at the end", "s": "last end, s"}
    forms = {"s": "{:.1f}"}
    return {f"{measure}_{name}": (heading, forms.get(name, "{:,.0f}")) for name, heading in words.items()}


DEATHS = {
    "one worker is killed": _after_a_kill("worker_killed"),
    "a kill storm": _after_a_kill("kill_storm"),
    "what holds the queue is killed": _after_a_kill("controller_killed"),
    "the client is killed": _after_a_kill("client_killed"),
}
"""Tables of tasks of 50 ms on three workers. *Right*: ended with its own value, at most 30 s after the last kill."""

GROWTH_SIZES = [10**power for power in range(2, 7)]

TABLES = {
    "two workers, no-op task": TINY,
    "two workers": REAL,
    "arrays of 100 MB": ARRAYS,
    "in a notebook": NOTEBOOK,
    "the live queue": QUEUE,
    "the bridge to a Dask cluster": BRIDGE,
    **DEATHS,
}

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


def figures(results: Results, title: str, columns: Columns) -> str:
    """Return the table of medians with the range of the rounds, for each system that has any; else an empty text."""
    rows = [
        [system, *(_figure(results, system, quantity, form) for quantity, (_, form) in columns.items())]
        for system in SYSTEMS
        if results.knows(system, columns)
    ]
    return table([title, *(heading for heading, _ in columns.values())], rows) if rows else ""


def growth(results: Results, system: str) -> str:
    """Return the table of microseconds of a task by the number of tasks; else an empty text."""
    rows = []
    for size in GROWTH_SIZES:
        cells = [_figure(results, system, f"{way}_us_at_{size}", "{:.1f}") for way in ("map", "submit")]
        if any(cells):
            rows.append([f"{size:,}", *cells])
    return table(["tasks", "map, µs a task", "submit + results, µs a task"], rows) if rows else ""


def span(form: str, middle: float, values: Iterable[float]) -> str:
    """Return a figure with the smallest and the largest of the values that it stands for, if there are several."""
    found = sorted(values)
    shown = form.format(middle)
    return f"{shown} [{form.format(found[0])}-{form.format(found[-1])}]" if len(found) > 1 else shown


def costs(results: Results, system: str) -> str:
    """Return the table of what the same answer as here costs."""
    rows = []
    for what, measure, bound in COSTS:
        before, after, ratio, low, high = (
            results.median(system, f"{measure}_{of}") for of in ("before", "after", "ratio", "low", "high")
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


def _figure(results: Results, system: str, quantity: str, form: str) -> str:
    middle = results.median(system, quantity)
    return "" if middle is None else span(form, middle, results.by_round(system, quantity).values())
