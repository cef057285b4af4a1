"""Help at Shift+Tab on a line of `%task` or `%%task`: that of the verb, or of the magic.

A kernel inspects the word at the cursor, and a word of a magic's line is no object. There is no hook for that, so the
kernel's `do_inspect` is wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskfc_ext.ipython.parse.completion import find_place
from taskfc_ext.ipython.parse.grammar import split_verb, verb_help


def find_topic(code: str, cursor: int) -> str | None:
    """Return the magic or the verb whose help fits at `cursor`; `None` where Python is inspected."""
    before = code[:cursor]
    row, column = before.count("\n"), len(before.rpartition("\n")[2])
    lines = code.split("\n")
    lines[row] = f"{lines[row].rstrip('?')} "  # behind the magic's name, as if there were more
    place = find_place("\n".join(lines), row, len(lines[row]))
    if place is None:
        return None
    if place.body is not None:
        return "%%task"
    verb, rest = split_verb(place.text)
    is_in_rest = column > len(lines[row]) - len(rest)
    if verb is None:
        return "%task" if not place.text.strip() or not is_in_rest else None
    return None if verb == "run" and is_in_rest else verb


def wrap_inspection(shell: Any) -> Callable[[], None]:
    """Have the kernel of `shell`, if there is one, answer with our help on our lines; return what undoes it."""
    kernel = getattr(shell, "kernel", None)
    inspect_python = getattr(kernel, "do_inspect", None)
    if kernel is None or inspect_python is None:
        return lambda: None

    def do_inspect(code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Sequence[str] = ()) -> Any:
        topic = find_topic(code, cursor_pos)
        if topic is None:
            return inspect_python(code, cursor_pos, detail_level, omit_sections)
        is_magic = topic.startswith("%")
        data = shell.object_inspect_mime(topic, detail_level) if is_magic else {"text/plain": verb_help(topic)}
        return {"status": "ok", "found": True, "data": data, "metadata": {}}

    kernel.do_inspect = do_inspect

    def undo() -> None:
        if kernel.do_inspect is do_inspect:  # otherwise somebody has wrapped it once more
            kernel.do_inspect = inspect_python

    return undo
