"""Results and figures of tasks against those of the same cell in the notebook, and in what a saved notebook becomes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.interactiveshell import InteractiveShell

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import Controller, stop
from taskfc_ext.view.cards import OF_CARD
from tests.processes import run_notebook
from tests.system.conftest import Session, settings_kept

MIME = """
class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": "<b>HTML</b>", "text/plain": "plain form"}, {"text/html": {"isolated": True}}
"""

ALONE = """
class Alone:
    def _ipython_display_(self):
        from IPython.display import HTML, display
        display(HTML("<b>1</b>"))
        display(HTML("<b>2</b>"))
"""

FORMS = """
class Forms:
    def __repr__(self): return "forms"
    def _repr_html_(self): return "<table></table>"
    def _repr_latex_(self): return "$x$"
    def _repr_markdown_(self): return "*x*"
    def _repr_svg_(self): return "<svg></svg>"
    def _repr_png_(self): return b"\\x89PNG", {"width": 3}
    def _repr_jpeg_(self): return None
"""

FRAME = "import pandas as pd\nframe = pd.DataFrame({'x': [1, 2], 'y': [1 / 3, 2 / 3]})\n"
PLOTLY = "import plotly.graph_objects as go\n"
ALTAIR = f"import altair as alt\nalt.renderers.enable('mimetype')\n{FRAME}"
IPY = "from IPython.display import *\n"

CELLS = [
    "1 / 3",
    "{'a': [1, 2], 'b': 'text'}",
    "'x' * 5000",
    "list(range(1500))",
    f"{MIME}Bundle()",
    f"{ALONE}Alone()",
    f"{FORMS}Forms()",
    f"{FRAME}frame",
    f"{FRAME}frame.style.format('{{:.2f}}').set_uuid('u')",
    f"{FRAME}frame.y",
    f"{PLOTLY}go.Figure(data=go.Bar(y=[3, 1, 4]))",
    f"{ALTAIR}alt.Chart(frame).mark_bar().encode(x='x:O', y='y')",
    f"{IPY}HTML('<script>1</script>')",
    f"{IPY}Javascript('1 + 1')",
    f"{IPY}JSON({{'a': 1}}, expanded=True)",
    f"{IPY}GeoJSON({{'type': 'Point'}})",
    f"{IPY}Image(url='http://x/y.png')",
    f"{IPY}Video('http://x/y.mp4')",
    f"{IPY}Audio(url='http://x/y.wav')",
    f"{IPY}Markdown('*m*')",
    f"{IPY}display(HTML('<i>1</i>'), 2)\nLatex('$l$')",
    f"{IPY}handle = display(HTML('<i>1</i>'), display_id='h')\nhandle.update(HTML('<i>2</i>'))\n3",
]


class Showing(Session):
    """A session that takes what it shows."""

    def __init__(self) -> None:
        super().__init__(InteractiveShell.instance)
        self.ip.display_trap.hook = CapturingDisplayHook(self.ip, self.ip.display_pub.outputs)
        self.run("%config TaskMagics.notify = False")

    def shown_by(self, cell: str) -> list[tuple[Any, Any]]:
        """Run a cell; return what it displays and its value, as contents and metadata."""
        self.ip.display_pub.outputs.clear()
        self.ip.run_cell(cell).raise_error()
        shown: list[tuple[Any, Any]] = []
        for output in self.ip.display_pub.outputs:
            if output.get("update"):
                shown.pop()
            metadata = output["metadata"] or {}
            shown.append((output["data"], {key: about for key, about in metadata.items() if key != OF_CARD}))
        return [(data, metadata) for data, metadata in shown if data]


@pytest.fixture(scope="module")
def session(shared_farm: Controller) -> Iterator[Showing]:
    with settings_kept("altair", "matplotlib.pyplot", "plotly.io"):
        made = Showing()
        made.ip.run_cell("import plotly.io\nplotly.io.renderers.default = 'plotly_mimetype'").raise_error()
        yield made
        made.close()


@pytest.mark.filterwarnings("default")  # of the libraries that draw
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.splitlines()[-1][:40])
def test_a_task_shows_what_the_cell_shows(session: Showing, cell: str) -> None:
    here = session.shown_by(cell)
    card, *there = session.shown_by(f"%%task --wait\n{cell}")
    lines = card[0]["text/plain"].splitlines()
    assert "succeeded" in lines[0]
    while here and list(here[0][0]) == ["text/plain"] and len(here[0][0]["text/plain"]) < 20_000:  # stands on the card
        expected = here.pop(0)[0]["text/plain"].splitlines()
        found, lines = lines[1 : 1 + len(expected)], lines[len(expected) :]
        assert [line.strip() for line in found] == [line.strip() for line in expected]
    assert len(lines) == 1
    assert [plain(*output) for output in there] == [plain(*output) for output in here]


def plain(data: Any, metadata: Any) -> Any:
    """Return an output as it is in a file; a text that only the task adds is left out."""
    forms = {mime: form for mime, form in data.items() if mime != "text/plain"}
    encoded = {mime: "iVBORw==" if form == b"\x89PNG" else form for mime, form in forms.items()}
    return encoded, {mime: about for mime, about in metadata.items() if about}


@pytest.mark.parametrize("kind", ["MIME Bundle", "ALONE Alone", "FORMS Forms"])
def test_a_function_shows_its_result_as_the_notebook_does(session: Showing, kind: str) -> None:
    source, name = kind.split()
    here = session.shown_by(f"{globals()[source]}{name}()")
    session.ip.run_cell("from taskfc_ext import TaskClient\nclient = TaskClient()").raise_error()
    session.ip.run_cell(f"future = client.submit({name}); future.result()").raise_error()
    _, *there = session.shown_by("%task show future")
    assert [plain(*output) for output in there] == [plain(*output) for output in here]


PLOTS = """%%task {name} {options}
plt.plot([1, 3, 2]); plt.show()
display(pd.DataFrame({{'first': [1, 2]}}))
plt.plot([3, 1, 2]); plt.show()
display("said")
pd.DataFrame({{'second': [3]}})
"""


@pytest.fixture(scope="module")
def saved(home_of_notebook: Path) -> Path:
    """A notebook that was run headless, with a task that its cell waits for and one that is left alone."""
    cells = [
        "%load_ext taskfc_ext\n%task start -n 1",
        "import matplotlib.pyplot as plt, pandas as pd",
        PLOTS.format(name="waited", options="--wait"),
        PLOTS.format(name="alone", options=""),
        "%task wait",
        "%task stop",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    run_notebook(notebook, home_of_notebook)
    nbformat.validate(notebook)
    path = home_of_notebook / "plots.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def home_of_notebook(module_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    stop(LocalFarm("default"))
    yield tmp_path_factory.mktemp("saved")
    stop(LocalFarm("default"))


@pytest.mark.parametrize(
    ("form", "suffix", "figure"),
    [
        ("latex", "tex", r"\\adjustimage\{.*\}\{(plots_files/.*\.png)\}"),
        ("rst", "rst", r"\.\. image:: (plots_files/.*\.png)"),
        ("markdown", "md", r"!\[.*\]\((plots_files/.*\.png)\)"),
    ],
)
def test_figures_are_files_in_what_a_saved_notebook_becomes(saved: Path, form: str, suffix: str, figure: str) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", form, str(saved)]
    subprocess.run(command, check=True, capture_output=True)
    text = saved.with_suffix(f".{suffix}").read_text()
    images = re.findall(figure, text)
    assert len(set(images)) == 4  # of either task both
    assert all((saved.parent / image).read_bytes().startswith(b"\x89PNG") for image in images)
    assert "Figure size" not in text
    assert "data:image" not in text
    pattern = rf"{figure}|\b(first|second|said)\b|(waited|alone) · succeeded|(waited|alone)</strong>"
    places = [next(filter(None, match.groups())) for match in re.finditer(pattern, text)]
    names = ["image" if place in images else place for place in places]
    for name in ("waited", "alone"):
        begin = names.index(name)
        shown = names[begin + 1 : begin + 6]
        assert shown == ["image", "first", "image", "said", "second"], names
