"""Picture of a run: a panel for each quantity, a bar for each system, and the growth of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import GROWTH_SIZES
from benchmarks.results import Results
from benchmarks.systems import OURS, SYSTEMS

PANELS = [
    # quantity, title, whether more is better, format of the bar's label
    ("tasks_per_s", "Submit and results, tasks/s", True, "{:,.0f}"),
    ("items_per_s", "Map, a task for each item, items/s", True, "{:,.0f}"),
    ("p50_us", "Round trip of one task, median, µs", False, "{:,.0f}"),
    ("cold_s", "Cold start, import to first result, s", False, "{:.2f}"),
    ("in_ms", "Array of 100 MB in, ms", False, "{:,.0f}"),
    ("out_ms", "Array of 100 MB out, ms", False, "{:,.0f}"),
    ("echo_ms", "100 arrays of 1 MB there and back, ms", False, "{:,.0f}"),
    ("closure_s", "Function with 10 MB over 200 items, s", False, "{:.2f}"),
    ("queued_bytes", "Memory of a queued task, bytes", False, "{:,.0f}"),
]
"""The last place is for the growth."""

COLUMNS = 2
SIZE = (9.5, 13.5)  # inches, of which a page shows each as about 80 pixels

OURS_COLOUR, PEER_COLOUR, SECOND_COLOUR, INK = "#2f6fb0", "#b9c2ca", "#c77a18", "#1d262d"

STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "taskfc_ext",  # the same figures give the same file
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": "#8a949c",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e1e6ea",
}


def draw(results: Results, path: Path) -> None:
    """Draw the medians, with the range of the rounds, and write them to `path` as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        rows = (len(PANELS) + COLUMNS) // COLUMNS
        figure, axes = pyplot.subplots(rows, COLUMNS, figsize=SIZE, facecolor="white")
        places = list(axes.flat)
        for place, panel in zip(places, PANELS, strict=False):
            _draw_bars(place, results, *panel)
        _draw_growth(places[-1], results)
        figure.tight_layout(h_pad=2, w_pad=2)
        figure.savefig(path, metadata={"Date": None, "Title": "Benchmarks"})
        pyplot.close(figure)


def _draw_bars(place: Any, results: Results, quantity: str, title: str, more_is_better: bool, form: str) -> None:
    found = {system: values for system in SYSTEMS if (values := results.by_round(system, quantity))}
    place.set_title(f"{title}\n", loc="left", fontsize=10, fontweight="bold")
    better = "more" if more_is_better else "less"
    place.text(0, 1.03, f"{better} is better; logarithmic scale", transform=place.transAxes, fontsize=8)
    if not found:
        place.set_axis_off()
        place.text(0.5, 0.5, "not measured", ha="center", transform=place.transAxes)
        return
    middles = {system: results.median(system, quantity) or 0.0 for system in found}
    ordered = sorted(found, key=lambda system: middles[system], reverse=not more_is_better)
    for row, system in enumerate(ordered):
        low, high = min(found[system].values()), max(found[system].values())
        is_ours = system == OURS
        place.barh(row, middles[system], color=OURS_COLOUR if is_ours else PEER_COLOUR, height=0.72)
        place.plot([low, high], [row, row], color=INK, linewidth=1)
        label = form.format(middles[system])
        place.annotate(
            label, (high, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
            fontweight="bold" if is_ours else "normal",
        )  # fmt: skip
    place.set_xscale("log")
    smallest, largest = min(middles.values()), max(max(values.values()) for values in found.values())
    place.set_xlim(smallest / 2, largest * (largest / smallest) ** 0.22 * 1.3)  # room for the labels
    place.set_yticks(range(len(ordered)), ordered)
    if OURS in ordered:
        place.get_yticklabels()[ordered.index(OURS)].set_fontweight("bold")
    place.grid(axis="x")
    place.minorticks_off()
    place.tick_params(length=0)


def _draw_growth(place: Any, results: Results) -> None:
    place.set_title("taskfc_ext: µs a task, by number of tasks\n", loc="left", fontsize=10, fontweight="bold")
    place.text(0, 1.03, "less is better", transform=place.transAxes, fontsize=8)
    for way, label, colour in (("map", "map", OURS_COLOUR), ("submit", "submit + results", SECOND_COLOUR)):
        found = {size: results.by_round(OURS, f"{way}_us_at_{size}") for size in GROWTH_SIZES}
        found = {size: values for size, values in found.items() if values}
        middles = [results.median(OURS, f"{way}_us_at_{size}") or 0.0 for size in found]
        lows = [middle - min(values.values()) for middle, values in zip(middles, found.values(), strict=True)]
        highs = [max(values.values()) - middle for middle, values in zip(middles, found.values(), strict=True)]
        place.errorbar(list(found), middles, yerr=[lows, highs], marker="o", color=colour, label=label, capsize=2)
    place.set_xscale("log")
    place.set_ylim(bottom=0)
    place.grid(axis="y")
    place.legend(frameon=False)
