"""Cache of the outputs of running tasks."""

from __future__ import annotations

from taskfc_ext.client.future.output_cache import KEPT, CachedOutputs, OutputCache


def test_known_outputs_are_not_needed_again() -> None:
    shown = OutputCache()
    before = shown.get(3)
    assert before == CachedOutputs("", ())
    assert shown.update(3, before, {"version": "1.1", "outputs": [b'{"data": 1}']}) == [{"data": 1}]
    before = shown.get(3)
    assert before.version == "1.1"
    shown.update(3, before, {"version": "1.2", "outputs": []})  # asked by another thread meanwhile
    assert shown.update(3, before, {"version": "1.1", "outputs": None}) == [{"data": 1}]


def test_only_so_many_are_kept() -> None:
    shown = OutputCache()
    for taskid in range(KEPT + 1):
        shown.update(taskid, CachedOutputs(), {"version": "1.1", "outputs": []})
    assert shown.get(0) == CachedOutputs()
    assert shown.get(1).version == shown.get(KEPT).version == "1.1"
