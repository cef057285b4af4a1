from __future__ import annotations

from pathlib import Path

import anywidget
import pytest

from taskfc_ext.widget.built import NOT_BUILT, script, style


def test_a_clone_without_built_files_shows_what_to_do(tmp_path: Path) -> None:
    class Widget(anywidget.AnyWidget):
        _esm = script("queue", tmp_path)
        _css = style("queue", tmp_path)

    assert NOT_BUILT in str(Widget()._esm)


@pytest.mark.parametrize("name", ["queue", "buttons"])
def test_built_files_are_taken(name: str, tmp_path: Path) -> None:
    for file in (f"{name}.js", f"{name}.css"):
        tmp_path.joinpath(file).touch()
    assert script(name, tmp_path) == tmp_path / f"{name}.js"
    assert style(name, tmp_path) == tmp_path / f"{name}.css"
