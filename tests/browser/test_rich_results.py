"""Results that a page draws, under a `%%task` cell in a real JupyterLab and Notebook 7."""

from __future__ import annotations

import nbformat
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, Place

LOAD = "%load_ext taskfc_ext\n%task start -n 1"

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR42mP8z4AP/GcYWdIAhY4B/xLXYLMAAAAASUVORK5CYII="

# without `--wait` the card ends while another cell blocks the kernel
FIGURES = f"""%%task figures
import pathlib, time
from IPython.display import HTML, display
while not pathlib.Path("{{gate}}").exists():
    time.sleep(0.02)
display({{{{"image/png": "{PNG}", "text/plain": "a figure"}}}}, raw=True)
display(HTML("<em class='drawn'>a table</em>"))
display({{{{"image/png": "{PNG}", "text/plain": "a figure"}}}}, raw=True)
"the value"
"""

BLOCKING = """import pathlib, time
print("blocking")
while not pathlib.Path("{gate}").exists():
    time.sleep(0.02)
"""

CHART = """%%task chart --wait
class Chart:
    def _repr_mimebundle_(self, include=None, exclude=None):
        values = [{"x": x, "y": x * x} for x in range(5)]
        axes = {axis: {"field": axis, "type": "quantitative"} for axis in "xy"}
        schema = "https://vega.github.io/schema/vega-lite/v5.json"
        spec = {"$schema": schema, "data": {"values": values}, "mark": "bar", "encoding": axes}
        return {"application/vnd.vegalite.v5+json": spec, "text/plain": "Chart"}
Chart()
"""

PLOTLY = """%%task bars --wait
import plotly.graph_objects as go
go.Figure(data=go.Bar(y=[3, 1, 4]))
"""

ALONE = """%%task alone --wait
class Alone:
    def _ipython_display_(self):
        from IPython.display import JSON, Javascript, display
        display(JSON({"from": "a task"}, expanded=True))
        display(Javascript("element.innerHTML = '<em class=scripted>' + (40 + 2) + '</em>'"))
Alone()
"""

BAR = """%%task bar --wait
import ipywidgets
from tqdm.notebook import tqdm
for _ in tqdm(range(3), desc="fit"):
    pass
ipywidgets.IntSlider(3)
"""


def test_charts_are_drawn_by_the_page(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, "charts", LOAD, CHART, PLOTLY, ALONE)
    notebook.run(0, 1, 2, 3)
    expect(notebook.output(1).locator(".jp-OutputArea-output canvas, .jp-OutputArea-output svg.marks")).to_be_visible()
    expect(notebook.output(2).locator(".js-plotly-plot .barlayer .point")).to_have_count(3)
    expect(notebook.output(3).locator(".jp-RenderedJSON")).to_contain_text("a task")
    expect(notebook.output(3).locator(".scripted")).to_have_text("42")


def test_a_widget_is_text_and_a_bar_of_a_notebook_is_its_last_state(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, "bar", LOAD, BAR)
    notebook.run(0, 1)
    notebook.says(1, "fit: 100%|██████████| 3/3")
    notebook.says(1, "IntSlider(value=3) is a widget, and widgets live in the notebook")
    expect(notebook.output(1)).not_to_contain_text("Error displaying widget")


def test_outputs_stand_under_their_own_cell_in_order(lab: Lab, page: Page, place: Place, tmp_path: object) -> None:
    gate, unblocked = f"{tmp_path}/gate", f"{tmp_path}/unblocked"
    notebook = lab.open(page, "order", LOAD, FIGURES.format(gate=gate), BLOCKING.format(gate=unblocked), place=place)
    notebook.run(0, 1)
    notebook.start(2)
    notebook.says(2, "blocking")
    open(gate, "w").close()
    expect(notebook.output(1).locator("img")).to_have_count(2)
    notebook.says(1, "the value")
    open(unblocked, "w").close()
    notebook.wait_for_end(2)
    expect(notebook.output(2).locator("img, .drawn")).to_have_count(0)

    notebook.command("docmanager:save")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    outputs = nbformat.read(notebook.path, as_version=4).cells[1].outputs
    texts = [output.data["text/plain"] for output in outputs if output.data["text/plain"]]
    assert texts[0].splitlines()[0].startswith("✔")
    assert texts[1:] == ["a figure", "<IPython.core.display.HTML object>", "a figure", "'the value'"]
    page.reload()
    notebook.wait_for_kernel()
    expect(notebook.output(1).locator("img")).to_have_count(2)
    expect(notebook.card(1)).to_contain_text("succeeded")
