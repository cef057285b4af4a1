# %% [markdown]
# Charts: a style for all of them, several in one cell, and one that is drawn over several cells.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

plt.style.use("ggplot")
plt.rcParams["figure.figsize"] = (4, 3)
plt.rcParams["font.size"] = 9
plt.rc("lines", linewidth=3)

# %%
iris = load_iris(as_frame=True).frame
x = np.linspace(0, 4 * np.pi, 200)

# %%
plt.plot(x, np.sin(x), label="sin")
plt.plot(x, np.cos(x), label="cos")
plt.legend()
plt.title("two waves")

# %%
plt.hist(iris["petal length (cm)"], bins=20)
plt.show()

# %%
fig, axes = plt.subplots(1, 2, figsize=(6, 2.5), sharey=True)
for ax, column in zip(axes, iris.columns[:2]):
    ax.hist(iris[column])
    ax.set_xlabel(column)
fig.tight_layout()

# %%
for kind in range(2):
    plt.figure()
    plt.scatter(*iris[iris["target"] == kind].iloc[:, :2].to_numpy().T)
    plt.title(iris.columns[kind])

# %%
fig.suptitle("petals and sepals")
fig.set_size_inches(5, 2)
fig

# %%
palette = plt.rcParams["axes.prop_cycle"].by_key()["color"]
palette[:3]


# %%
def chart(column, ax=None):
    ax = ax or plt.gca()
    ax.plot(np.sort(iris[column]), color=palette[1])
    return ax


# %%
chart("petal width (cm)");

# %%
with plt.style.context("dark_background"):
    plt.plot(x, x**2)
    plt.show()
plt.rcParams["axes.facecolor"]

# %%
iris.plot.scatter("sepal length (cm)", "petal length (cm)", c="target", colormap="viridis")

# %%
picture = np.outer(np.sin(x), np.cos(x))
plt.imshow(picture, cmap="magma")
plt.colorbar()
plt.axis("off")
plt.show()
print("drawn", len(plt.get_fignums()))

# %%
fig, ax = plt.subplots()
plt.close(fig)

# %%
ax.plot([1, 2, 3])
len(ax.lines)

# %%
iris.groupby("target").mean().T.plot.bar(legend=False);
