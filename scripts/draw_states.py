"""Draw the states of a task as SVG, from the table of transitions.

python scripts/draw_states.py            writes docs/states.svg
python scripts/draw_states.py --check    exits with 1 if that file is not what would be written
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from generated import write_or_check

from taskfc_ext.core.state.task import TRANSITIONS
from taskfc_ext.protocol.states import FINISHED, UNFINISHED, State

FILE = Path(__file__).resolve().parent.parent / "docs" / "states.svg"

WIDTH, HEIGHT = 120, 36
MARGIN = 40
ROW = 22
"""Pixels from one line of the list to the next."""

UNFINISHED_Y, FINISHED_Y, LIST_Y = 64, 204, 292

COLOURS = {
    State.WAITING: ("#e8ebee", "#39434d"),
    State.SCHEDULED: ("#cfe3f6", "#2f5579"),
    State.RUNNING: ("#fdf0c8", "#6b5a1e"),
    State.SUCCEEDED: ("#d3efd9", "#285c38"),
    State.FAILED: ("#f8d7d5", "#76312d"),
    State.ABORTED: ("#e6dcf2", "#54407a"),
}
"""The fill of each state's box on a light and on a dark page."""

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title text" \
font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="14">
  <!-- Written by scripts/draw_states.py from taskfc_ext/core/: change the table there, and run the script. -->
  <title id="title">The states of a task</title>
  <desc id="text">{text}</desc>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
      <path class="tip" d="M0 0 10 5 0 10z"/>
    </marker>
  </defs>
  <style>
    .paper {{ fill: #f6f8fa }}
    .tip {{ fill: #5b6770 }}
    .line {{ fill: none; stroke: #5b6770; stroke-width: 1.5; marker-end: url(#tip) }}
    .disc {{ fill: #f6f8fa; stroke: #a3adb5 }}
    .box {{ stroke: #5b6770 }}
    .state {{ font-weight: 600; fill: #1d262d; text-anchor: middle }}
    .number {{ font-size: 12px; font-weight: 600; fill: #1d262d; text-anchor: middle }}
    .cause {{ font-size: 13px; fill: #1d262d }}
{light}
    @media (prefers-color-scheme: dark) {{
      .paper {{ fill: #1b2127 }}
      .tip {{ fill: #8b98a3 }}
      .line, .box {{ stroke: #8b98a3 }}
      .disc {{ fill: #1b2127; stroke: #5b6770 }}
      .state, .number, .cause {{ fill: #e6ebef }}
{dark}
    }}
  </style>
  <rect class="paper" width="{width}" height="{height}" rx="10"/>
"""


def draw() -> str:
    """Return the picture: live states above, ends below, an arrow for each transition, and the list of causes."""
    pairs = [(state, following) for state in State for following in TRANSITIONS[state]]
    text = "; ".join(f"{state} to {following}: {TRANSITIONS[state][following]}" for state, following in pairs)
    height = LIST_Y + ROW * len(pairs)
    light, dark = _fills(0, "    "), _fills(1, "      ")
    parts = [HEAD.format(width=760, height=height, text=escape(text, quote=False), light=light, dark=dark)]
    for number, (state, following) in enumerate(pairs, start=1):
        parts.append(_arrow(number, state, following))
        parts.append(_cause(number, f"{state} → {following}: {TRANSITIONS[state][following]}"))
    parts += [_box(state) for state in State]
    return "".join(parts) + "</svg>\n"


def _fills(theme: int, indent: str) -> str:
    return "\n".join(f"{indent}.{state} {{ fill: {fills[theme]} }}" for state, fills in COLOURS.items())


def _centre(state: State) -> tuple[int, int]:
    row, y = (UNFINISHED, UNFINISHED_Y) if state in UNFINISHED else (FINISHED, FINISHED_Y)
    return MARGIN + WIDTH // 2 + 280 * row.index(state), y


def _box(state: State) -> str:
    x, y = _centre(state)
    return (
        f'  <rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT // 2}" '
        f'class="box {state}"/>\n'
        f'  <text class="state" x="{x}" y="{y + 5}">{state}</text>\n'
    )


def _arrow(number: int, state: State, following: State) -> str:
    """Return a line from one box to the other, with its number on it near the start."""
    (x1, y1), (x2, y2) = _centre(state), _centre(following)
    if following in UNFINISHED:
        side = 1 if x2 > x1 else -1  # to the right along the upper side, back along the lower one
        start, end = (x1 + side * WIDTH // 2, y1 - 6 * side), (x2 - side * WIDTH // 2, y2 - 6 * side)
        share = 0.35
    else:
        lean = (x2 - x1) // 14  # so that the lines of one box leave it side by side
        start, end = (x1 + lean, y1 + HEIGHT // 2), (x2 - lean, y2 - HEIGHT // 2)
        share = 0.24
    x, y = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return (
        f'  <path class="line" d="M{start[0]} {start[1]}L{end[0]} {end[1]}"/>\n'
        f'  <circle cx="{x}" cy="{y}" r="9" class="disc"/>\n'
        f'  <text class="number" x="{x}" y="{y + 4}">{number}</text>\n'
    )


def _cause(number: int, text: str) -> str:
    """Return a line of the list beneath the picture."""
    y = LIST_Y + (number - 1) * ROW
    return (
        f'  <text class="number" x="{MARGIN + 8}" y="{y}">{number}</text>\n'
        f'  <text class="cause" x="{MARGIN + 28}" y="{y}">{escape(text)}</text>\n'
    )


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, draw(), doc=__doc__))
