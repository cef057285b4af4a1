from __future__ import annotations

from taskfc_ext.worker import Properties


def test_a_change_is_noted() -> None:
    properties = Properties()
    properties.initialize({"gpu": 1})
    assert not properties.changed
    assert properties["gpu"] == 1
    for change in (
        lambda: properties.update(ram=2),
        lambda: properties.pop("ram"),
        lambda: properties.setdefault("x", 1),
        lambda: properties.clear(),
    ):
        properties.changed = False
        change()
        assert properties.changed


def test_reading_is_not_a_change() -> None:
    properties = Properties()
    properties.initialize({"gpu": 1})
    assert (properties.get("a"), dict(properties), "gpu" in properties) == (None, {"gpu": 1}, True)
    assert not properties.changed
