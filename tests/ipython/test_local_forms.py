"""The forms of a function's result, which are made in the notebook when its future is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from IPython.display import HTML, JSON, GeoJSON, Image, display

from taskfc_ext.ipython.cards.local_forms import has_own_printers, other_forms, text_form
from tests.shells import end_shell, new_shell


class OnlyBundle:
    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return {"text/html": "<b>HTML</b>", "image/png": b"\x89PNG"}, {"image/png": {"width": 3}}


class Alone:
    def _ipython_display_(self) -> None:
        display(HTML("<b>1</b>"))
        display({"application/x": {}}, raw=True)


class BundleAndAlone(OnlyBundle):
    def _ipython_display_(self) -> None:
        raise AssertionError("the bundle is enough")


class Failing:
    def __init__(self, error: type[BaseException] = ValueError) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    def _repr_html_(self) -> str:
        raise self.error

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        raise self.error

    def _ipython_display_(self) -> None:
        display(1)
        raise self.error

    def _repr_latex_(self) -> str:
        return "$x$"


class Registered:
    pass


@pytest.fixture
def shell() -> Iterator[Any]:
    shell = new_shell(InteractiveShell.instance)
    yield shell
    end_shell(shell)


def forms(value: object, shell: Any) -> list[Any]:
    return [(output["data"], output["metadata"]) for output in other_forms(value, shell.display_formatter)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, []),
        ("text", []),
        ([HTML("<b>")], []),
        (HTML("<b>"), [({"text/html": "<b>"}, {})]),
        (OnlyBundle(), [({"text/html": "<b>HTML</b>", "image/png": "iVBORw=="}, {"image/png": {"width": 3}})]),
        (BundleAndAlone(), [({"text/html": "<b>HTML</b>", "image/png": "iVBORw=="}, {"image/png": {"width": 3}})]),
        (
            JSON({"a": 1}, expanded=True),
            [({"application/json": {"a": 1}}, {"application/json": {"expanded": True, "root": "root"}})],
        ),
        (Image(url="http://x"), [({"text/html": '<img src="http://x"/>'}, {})]),
    ],
)
def test_a_value_has_the_forms_that_the_notebook_gives_it(value: object, expected: list[Any], shell: Any) -> None:
    assert forms(value, shell) == expected
    assert shell.display_pub.outputs == []


def test_a_value_that_displays_itself_is_taken(shell: Any) -> None:
    first, second = forms(Alone(), shell)
    assert first == ({"text/html": "<b>1</b>", "text/plain": "<IPython.core.display.HTML object>"}, {})
    assert second == ({"application/x": {}}, {})
    ((data, _),) = forms(GeoJSON({"type": "Point"}), shell)
    assert data["application/geo+json"] == {"type": "Point"}
    assert shell.display_pub.outputs == []


def test_forms_that_fail_are_left_out_in_silence(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    value = Failing()
    assert forms(value, shell) == []  # it displays itself, and fails
    assert text_form(value, shell.display_formatter) == "<Failing whose repr raised ValueError>"
    assert shell.display_pub.outputs == []
    assert capsys.readouterr() == ("", "")


def test_registered_formatters_are_asked(shell: Any) -> None:
    formatter = shell.display_formatter.formatters["text/html"]
    formatter.for_type(Registered, lambda value: "<i>registered</i>")
    try:
        assert forms(Registered(), shell) == [({"text/html": "<i>registered</i>"}, {})]
    finally:
        formatter.pop(Registered)


def test_the_text_has_the_precision_of_the_notebook(shell: Any) -> None:
    plain = shell.display_formatter.formatters["text/plain"]
    assert text_form(1 / 3) == text_form(1 / 3, shell.display_formatter) == repr(1 / 3)
    plain.float_precision = "3"
    try:
        assert text_form([1 / 3], shell.display_formatter) == "[0.333]"
    finally:
        plain.float_precision = ""


@pytest.mark.parametrize(
    ("formats", "options", "own"),
    [
        ({"png"}, {"bbox_inches": "tight"}, False),
        ({"png"}, {"bbox_inches": None}, True),
        ({"png"}, {"dpi": 200}, True),
        ({"svg"}, {"bbox_inches": "tight"}, True),
        ({"retina"}, {"bbox_inches": "tight"}, True),
    ],
)
def test_figures_are_drawn_here_only_where_the_notebook_wants_them_otherwise(
    shell: Any, formats: set[str], options: dict[str, Any], own: bool
) -> None:
    assert not has_own_printers(shell.display_formatter)
    select_figure_formats(shell, formats, **options)
    assert has_own_printers(shell.display_formatter) is own
