# %% [markdown]
# Results that are more than text: charts of two libraries, tables with colours, formulas, HTML.

# %%
import altair as alt
import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import plotly.io as pio
from IPython import display
from sklearn.datasets import load_iris

pio.templates.default = "plotly_white"

# %%
iris = load_iris(as_frame=True).frame.rename(columns=lambda name: name.split(" (")[0].replace(" ", "_"))
iris["kind"] = iris.pop("target").map(dict(enumerate(["setosa", "versicolor", "virginica"])))
iris.sample(3, random_state=0)

# %%
alt.Chart(iris.head(20)).mark_point().encode(x="sepal_length", y="petal_length", color="kind")

# %%
bars = go.Figure(go.Bar(x=["a", "b"], y=[1, 3]))
bars

# %%
bars.update_layout(title="two bars", width=300)
bars.layout.title.text, bars.layout.width

# %%
px.scatter(iris, x="sepal_width", y="petal_width", color="kind")

# %%
iris.groupby("kind").mean().style.background_gradient().set_uuid("means").format(precision=1)

# %%
display.display(display.Markdown("**bold** and $x^2$"))
display.HTML("<b>done</b>")

# %%
handle = display.display("first", display_id="step")
for step in ("second", "third"):
    handle.update(step)

# %%
for step in range(3):
    display.clear_output(wait=True)
    print("step", step)


# %%
class Swatch:
    def __init__(self, colour):
        self.colour = colour

    def _repr_html_(self):
        return f'<span style="color: {self.colour}">{self.colour}</span>'

    def __repr__(self):
        return f"Swatch({self.colour})"


Swatch("red")

# %%
class Both:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": "<i>both</i>", "text/plain": "both", "text/latex": "$both$"}


Both()

# %%
display.display(Swatch("green"), Both(), iris.head(2))

# %%
display.SVG('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4" cx="4" cy="4"/></svg>')

# %%
[Swatch("blue"), np.float64(0.5), pd.Timestamp("2024-02-29")]
