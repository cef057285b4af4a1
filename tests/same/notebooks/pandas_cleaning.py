# %% [markdown]
# Cleaning a table and grouping it: wine samples, with the faults that tables have.

# %%
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

# %%
wine = load_wine(as_frame=True).frame
wine.columns = [name.split("/")[0] for name in wine.columns]
wine.head()

# %%
holes = np.random.default_rng(4).choice(len(wine), 20, replace=False)
raw = wine.copy()
raw.loc[holes, "ash"] = np.nan
raw["target"] = raw["target"].map({0: "barolo ", 1: "Grignolino", 2: " barbera"})
raw = pd.concat([raw, raw.iloc[:5]], ignore_index=True)
raw.shape

# %%
raw.isna().sum().loc[lambda counts: counts > 0]

# %%
raw["target"] = raw["target"].str.strip().str.title().astype("category")
raw["target"].value_counts()

# %%
raw.drop_duplicates(inplace=True)
raw.reset_index(drop=True, inplace=True)
len(raw)

# %%
raw["ash"] = raw.groupby("target", observed=True)["ash"].transform(lambda column: column.fillna(column.median()))
assert not raw["ash"].isna().any()

# %%
strong = 13.5
raw.query("alcohol > @strong and target == 'Barolo'")[["alcohol", "ash", "hue"]].describe().round(2)

# %%
def spread(column):
    """Width of the middle half."""
    return column.quantile(0.75) - column.quantile(0.25)


by_kind = raw.groupby("target", observed=True).agg(alcohol=("alcohol", "mean"), hue=("hue", spread), n=("ash", "size"))
by_kind

# %%
by_kind.loc["all"] = [raw["alcohol"].mean(), spread(raw["hue"]), len(raw)]
by_kind.index.name = "kind"
print(by_kind.to_string(float_format="{:.3f}".format))

# %%
raw.pivot_table(index="target", columns=pd.cut(raw["alcohol"], [11, 12.5, 13.5, 15]), values="proline", observed=True)

# %%
long = raw.melt(id_vars="target", value_vars=["ash", "hue"], var_name="what")
long.groupby(["target", "what"], observed=True)["value"].mean().unstack()

# %%
raw.loc[0, "alcohol"] = -1
raw[raw["alcohol"] < 0].index.tolist()

# %%
raw["colour"]

# %%
days = pd.date_range("2024-01-01", periods=len(raw), freq="D")
series = pd.Series(raw["hue"].to_numpy(), index=days, name="hue")
series.resample("MS").mean().round(3)
