"""What a client keeps of what running tasks show."""

from __future__ import annotations

from taskfc_ext.client.future.output_cache import KEPT, Seen, Shown


def test_what_is_known_is_not_needed_again() -> None:
    shown = Shown()
    before = shown.of(3)
    assert before == Seen("", ())
    assert shown.learn(3, before, {"version": "1.1", "outputs": [b'{"data": 1}']}) == [{"data": 1}]
    before = shown.of(3)
    assert before.version == "1.1"
    shown.learn(3, before, {"version": "1.2", "outputs": []})  # asked by another thread meanwhile
    assert shown.learn(3, before, {"version": "1.1", "outputs": None}) == [{"data": 1}]


def test_only_so_many_are_kept() -> None:
    shown = Shown()
    for taskid in range(KEPT + 1):
        shown.learn(taskid, Seen(), {"version": "1.1", "outputs": []})
    assert shown.of(0) == Seen()
    assert shown.of(1).version == shown.of(KEPT).version == "1.1"
