"""The measured figures as tables, and the ratios that this project promises."""

from __future__ import annotations

from benchmarks.rounds import Measured

COLUMNS = {
    "tasks_per_s": ("submit + flush + results, tasks/s", "{:,.0f}"),
    "p50_us": ("round trip p50, µs", "{:,.0f}"),
    "p99_us": ("p99, µs", "{:,.0f}"),
    "cold_s": ("cold start, s", "{:.2f}"),
    "scheduler_us": ("scheduler CPU, µs/task", "{:,.1f}"),
}

TARGETS = [
    # what, quantity, peer, whether more is better, bound on ours / peer's
    ("submit + flush + results against dask", "tasks_per_s", "dask", True, 10.0),
    ("submit + flush + results against ipyparallel", "tasks_per_s", "ipyparallel", True, 10.0),
    ("cold start against dask's LocalCluster", "cold_s", "dask LocalCluster", False, 0.5),
    ("round trip p50 against dask", "p50_us", "dask", False, 0.15),
]


def figures(measured: Measured, systems: list[str]) -> str:
    """Return the table of medians, with the range of the rounds in brackets."""
    rows = [[system, *(_figure(measured, system, quantity) for quantity in COLUMNS)] for system in systems]
    return table(["two workers, no-op task", *(title for title, _ in COLUMNS.values())], rows)


def ratios(measured: Measured, ours: str) -> str:
    """Return the table of what was promised, and whether it is met."""
    rows = []
    for what, quantity, peer, more_is_better, bound in TARGETS:
        mine, theirs = measured.median(ours, quantity), measured.median(peer, quantity)
        promise = f"{'≥' if more_is_better else '≤'} {bound:g}"
        if mine is None or theirs is None:
            rows.append([what, promise, "", "not measured"])
            continue
        ratio = mine / theirs
        met = ratio >= bound if more_is_better else ratio <= bound
        rows.append([what, promise, f"{ratio:.3g}", "met" if met else "MISSED"])
    return table(["ratio, ours / theirs", "promised", "measured", ""], rows)


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


def _figure(measured: Measured, system: str, quantity: str) -> str:
    middle = measured.median(system, quantity)
    if middle is None:
        return ""
    form = COLUMNS[quantity][1]
    low, high = measured.range(system, quantity)
    return f"{form.format(middle)} [{form.format(low)}-{form.format(high)}]"
