"""The value of a cell, formatted on the worker."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.worker_messages import Finished
from taskfc_ext.worker.output.displays import LARGEST
from taskfc_ext.worker.output.figures import BACKEND, PLOTLY, choose_backend
from tests.worker.conftest import Ran

ONLY_BUNDLE = """
class OnlyBundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": "<b>HTML</b>", "application/vnd.vegalite.v5+json": {"mark": "bar"}}
    def __repr__(self): return "plain form"
OnlyBundle()
"""

WITH_METADATA = """
class WithMetadata:
    def _repr_mimebundle_(self, **kwargs):
        return {"image/png": b"\\x89PNG", "text/plain": "p"}, {"image/png": {"width": 3}}
WithMetadata()
"""

ALONE = """
class Alone:
    def _ipython_display_(self):
        from IPython.display import display
        display({"application/vnd.plotly.v1+json": {"data": []}}, raw=True)
    def __repr__(self): return "Figure()"
Alone()
"""

REGISTERED = """
class Plain:
    def __repr__(self): return "<plain>"
ip = get_ipython()
ip.display_formatter.formatters["text/html"].for_type(Plain, lambda value: "<i>registered</i>")
Plain()
"""

DISPLAY = "from IPython import display as d\n"

HTML, LATEX, MD, TEXT = "text/html", "text/latex", "text/markdown", "text/plain"


@pytest.mark.parametrize(
    ("source", "forms"),
    [
        ("42", {TEXT: "42"}),
        ("'a\\nb'", {TEXT: "'a\\nb'"}),
        ("[1.5] * 3", {TEXT: "[1.5, 1.5, 1.5]"}),
        (
            "class T:\n    def _repr_html_(self): return '<table>'\n    def __repr__(self): return 't'\nT()",
            {HTML: "<table>"},
        ),
        ("class T:\n    def _repr_latex_(self): return '$x$'\nT()", {LATEX: "$x$"}),
        ("class T:\n    def _repr_svg_(self): return '<svg/>'\nT()", {"image/svg+xml": "<svg/>"}),
        ("class T:\n    def _repr_png_(self): return b'\\x89PNG'\nT()", {"image/png": "iVBORw=="}),
        ("class T:\n    def _repr_pretty_(self, p, cycle): p.text('pretty')\nT()", {TEXT: "pretty"}),
        (ONLY_BUNDLE, {HTML: "<b>HTML</b>", "application/vnd.vegalite.v5+json": {"mark": "bar"}, TEXT: "plain form"}),
        (WITH_METADATA, {"image/png": "iVBORw==", TEXT: "p"}),
        (ALONE, {"application/vnd.plotly.v1+json": {"data": []}, TEXT: "Figure()"}),
        (REGISTERED, {HTML: "<i>registered</i>", TEXT: "<plain>"}),
        (DISPLAY + "d.HTML('<script>1</script>')", {HTML: "<script>1</script>"}),
        (DISPLAY + "d.Javascript('1 + 1')", {"application/javascript": "1 + 1"}),
        (DISPLAY + "d.Markdown('*m*')", {MD: "*m*"}),
        (DISPLAY + "d.Latex('$l$')", {LATEX: "$l$"}),
        (DISPLAY + "d.Math('m')", {LATEX: "$\\displaystyle m$"}),
        (DISPLAY + "d.JSON({'a': [1]})", {"application/json": {"a": [1]}}),
        (DISPLAY + "d.SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>')", {"image/svg+xml": "<svg xmlns="}),
        (DISPLAY + "d.Image(url='http://x/y.png')", {HTML: '<img src="http://x/y.png"'}),
        (DISPLAY + "d.Image(data=b'\\x89PNG\\r\\n\\x1a\\n', format='png')", {"image/png": "iVBORw0KGgo="}),
        (
            DISPLAY + "d.Audio(data=b'RIFF', rate=1, normalize=False) if 0 else d.Audio(url='http://x/y.wav')",
            {HTML: "<audio"},
        ),
        (DISPLAY + "d.Video('http://x/y.mp4')", {HTML: "<video"}),
        (DISPLAY + "d.IFrame('http://x', 1, 1)", {HTML: "<iframe"}),
        (DISPLAY + "d.GeoJSON({'type': 'Point'})", {"application/geo+json": {"type": "Point"}}),
        (DISPLAY + "d.Code('x = 1', language='python')", {HTML: "highlight"}),
    ],
)
def test_a_value_has_the_forms_that_a_notebook_gives_it(bench: Any, source: str, forms: dict[str, Any]) -> None:
    ran = Ran(bench, source)
    assert ran.outcome == Outcome.OK
    assert len(ran.values) == 1
    for mime, form in forms.items():
        found = ran.forms[mime]
        assert found == form or (isinstance(form, str) and form in found), mime
    assert ran.forms[TEXT]


@pytest.mark.parametrize("source", ["None", "a = 1", "42;", "", "import sys", "def f(): pass", "print(1)"])
def test_values_that_a_notebook_hides_are_hidden(bench: Any, source: str) -> None:
    assert Ran(bench, source).shown == []


def test_metadata_come_along(bench: Any) -> None:
    (value,) = Ran(bench, WITH_METADATA).values
    assert value["metadata"] == {"image/png": {"width": 3}}
    assert value["execution_count"] is None


def test_a_string_task_has_no_value(bench: Any) -> None:
    bench.source(Kind.STRING, "42", {}, [])
    bench.turn()
    (finished,) = [message for message in bench.take_sent() if isinstance(message, Finished)]
    assert finished.displays == {}


def test_the_value_comes_after_displays_and_before_open_figures(bench: Any) -> None:
    plot = "%matplotlib inline\nfrom matplotlib import pyplot as plt\n"
    ran = Ran(bench, plot + "plt.plot([1, 2])\nplt.show()\ndisplay(1)\nplt.plot([2, 1])\n5")
    assert [sorted(output["data"])[0] for output in ran.shown] == ["image/png", TEXT, TEXT, "image/png"]
    assert ran.shown[2]["data"] == {TEXT: "5"}


RAISES = "class T:\n    def {name}(self, *a, **k): raise {error}\n{end}"


@pytest.mark.parametrize(
    "name", ["_repr_html_", "_repr_png_", "_repr_mimebundle_", "_ipython_display_", "_repr_pretty_", "__repr__"]
)
@pytest.mark.parametrize("end", ["T()", "display(T())\n1"])
def test_the_result_survives_a_form_that_fails(bench: Any, name: str, end: str) -> None:
    ran = Ran(bench, RAISES.format(name=name, error="ValueError('of the form')", end=end))
    assert ran.outcome == Outcome.OK
    assert "ValueError: of the form" in ran.log
    assert f"in {name}" in ran.log
    assert "taskfc_ext" not in ran.log
    assert "T" in ran.values[-1]["data"][TEXT] or end != "T()"


@pytest.mark.parametrize("name", ["_repr_html_", "_repr_mimebundle_", "_ipython_display_", "__repr__"])
def test_the_result_survives_an_exit_from_a_form(bench: Any, name: str) -> None:
    ran = Ran(bench, RAISES.format(name=name, error="SystemExit(3)", end="T()"))
    assert ran.outcome == Outcome.OK
    assert "T" in ran.forms[TEXT]


def test_a_form_that_is_not_implemented_is_ignored(bench: Any) -> None:
    ran = Ran(bench, RAISES.format(name="_repr_html_", error="NotImplementedError", end="T()"))
    assert (ran.log, list(ran.forms)) == ("", [TEXT])


BUNDLE = "class T:\n    def _repr_mimebundle_(self, **k):\n        {body}\n    def __repr__(self): return 'a T'\nT()"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return {'application/json': {'s': {1}, 2: 3}}", "a T"),
        ("return {'text/html': '\\udc80'}", "a T"),
        ("x = {}; x['x'] = x; return {'application/json': x}", "a T"),
        ("return {'text/plain': 'its own'}", "its own"),
        ("return {}", "a T"),
        ("return None", "a T"),
    ],
)
def test_odd_bundles_are_shown_in_part(bench: Any, body: str, text: str) -> None:
    ran = Ran(bench, BUNDLE.format(body=body))
    assert (ran.outcome, ran.forms[TEXT]) == (Outcome.OK, text)


def test_a_value_is_bounded_as_displays_are(bench: Any) -> None:
    ran = Ran(bench, BUNDLE.format(body=f"return {{'text/html': 'x' * {LARGEST + 1}, 'image/png': 'AAAA'}}"))
    assert sorted(ran.forms) == ["image/png", TEXT]
    assert "text/html of" in ran.forms[TEXT]
    text = Ran(bench, f"'x' * {LARGEST + 1}").forms[TEXT]
    assert text.endswith(f"({LARGEST + 1:,} long)")
    assert len(text) < 30_000


def test_a_value_that_cannot_be_sent_is_shown(bench: Any) -> None:
    ran = Ran(bench, "import threading\nthreading.Lock()")
    assert ran.outcome == Outcome.ERROR
    assert "lock" in ran.forms[TEXT]


def test_the_value_is_formatted_in_the_namespace_of_its_task(bench: Any) -> None:
    source = (
        "unit = 'm'\nclass T:\n    def _repr_html_(self):\n        import __main__\n        return __main__.unit\nT()"
    )
    assert Ran(bench, source).forms[HTML] == "m"


WIDGETS = "import warnings; warnings.simplefilter('ignore')\nimport ipywidgets as w\n"
NOTE = "is a widget, and widgets live in the notebook: return its data from the task, and make the widget there"


@pytest.mark.parametrize(
    "shown",
    [
        "display(w.IntSlider(3))",
        "w.IntSlider(3);None",
        "display(w.HBox([w.Text('a'), w.Button()]))",
        "display(w.HTML('<b>text</b>'))",
        "display(w.Output())",
        "w.interact(lambda x: None, x=3);",
        "h = display(1, display_id=True); h.update(w.Dropdown(options=['a']))",
    ],
)
def test_a_widget_is_replaced_by_a_line(bench: Any, shown: str) -> None:
    ran = Ran(bench, WIDGETS + shown)
    assert ran.outcome == Outcome.OK
    if shown.endswith("None"):
        assert ran.shown == []
        return
    assert list(ran.forms) == [TEXT]
    assert ran.forms[TEXT].endswith(NOTE)
    assert "\n" not in ran.forms[TEXT]
    assert len(ran.forms[TEXT]) < 200


def test_a_widget_as_the_value_is_replaced_too(bench: Any) -> None:
    assert Ran(bench, WIDGETS + "w.IntSlider(3)").forms == {TEXT: f"IntSlider(value=3) {NOTE}"}
    bench.source(Kind.CELL, WIDGETS + "w.IntSlider(3)", {}, [])
    assert bench.result().value is None
    source = WIDGETS + "import threading\ns = w.IntSlider(3)\ns.observe(lambda _, lock=threading.Lock(): None)\ns"
    assert Ran(bench, source).outcome == Outcome.OK


def test_a_widget_with_another_form_keeps_that(bench: Any) -> None:
    view = "application/vnd.jupyter.widget-view+json"
    source = f"display({{'{view}': {{'model_id': 'x'}}, 'text/html': '<b>', 'text/plain': 't'}}, raw=True)"
    assert Ran(bench, source).forms == {HTML: "<b>", TEXT: "t"}


BARS = WIDGETS + "from tqdm.notebook import tqdm, trange\n"


@pytest.mark.parametrize(
    ("source", "begins"),
    [
        ("for _ in tqdm(range(4)): pass", ["100%|██████████| 4/4 ["]),
        ("for _ in trange(4, desc='<fit> & co'): pass", ["<fit> & co: 100%|██████████| 4/4 ["]),
        ("for _ in tqdm(iter('abc')): pass", ["3/? ["]),
        ("for _ in tqdm(range(4)):\n    for _ in tqdm(range(2), leave=False): pass", ["100%|██████████| 4/4 ["]),
        ("bar = tqdm(total=4)\nbar.update(1)\nbar.refresh();", [" 25%|██        | 1/4 ["]),
        ("bar = tqdm(total=4)\nbar.update(3)\nbar.close()", [" 75%|████████  | 3/4 ["]),
        ("for n in (1, 2):\n    for _ in tqdm(range(n)): pass", ["100%|██████████| 1/1 [", "100%|██████████| 2/2 ["]),
        ("for _ in tqdm(range(4), disable=True): pass", []),
        ("display(w.HBox([w.Label('done'), w.IntProgress(2, max=4)]))", ["done|█████     |"]),
        ("display(w.VBox([w.Label('done'), w.IntProgress(2, max=4)]))", ["done\n|█████     |"]),
    ],
)
def test_a_bar_of_a_notebook_leaves_its_last_state(bench: Any, source: str, begins: list[str]) -> None:
    shown = Ran(bench, BARS + source).shown
    assert [set(output["data"]) for output in shown] == [{TEXT}] * len(begins)
    for output, begin in zip(shown, begins, strict=True):
        assert output["data"][TEXT].startswith(begin.strip())


def test_a_bar_of_a_failed_task_keeps_its_position(bench: Any) -> None:
    ran = Ran(bench, BARS + "for n in tqdm(range(4)):\n    1 / (2 - n)")
    assert ran.outcome == Outcome.ERROR
    assert ran.forms[TEXT].startswith("50%|█████     | 2/4 [")


@pytest.mark.parametrize(
    ("environ", "renderer"),
    [
        ({}, PLOTLY),
        ({"PLOTLY_RENDERER": "png"}, "png"),
        ({"VSCODE_PID": "1"}, None),
        ({"COLAB_NOTEBOOK_ID": "x"}, None),
    ],
)
def test_plotly_draws_as_in_a_kernel(environ: dict[str, str], renderer: str | None) -> None:
    choose_backend(environ)
    assert environ.get("PLOTLY_RENDERER") == renderer
    assert environ["MPLBACKEND"] == BACKEND
