# %% [markdown]
# How numbers and tables are shown, and what is warned about: set once at the top, expected in every cell.

# %%
import decimal
import logging
import sys
import warnings

import numpy as np
import pandas as pd

np.set_printoptions(precision=3, suppress=True)
pd.set_option("display.max_rows", 6)
pd.options.display.precision = 2
decimal.getcontext().prec = 8
warnings.filterwarnings("ignore", message="mean of empty slice")
np.seterr(divide="ignore", invalid="ignore")

# %%
# %precision 4

# %%
grid = np.linspace(0, 1, 7)
grid

# %%
print(grid**3)
print(np.array2string(grid, precision=5))

# %%
frame = pd.DataFrame({"x": grid, "square": grid**2, "inverse": 1 / grid})
frame

# %%
print(frame)

# %%
1 / 7

# %%
third = decimal.Decimal(1) / decimal.Decimal(3)
third

# %%
with decimal.localcontext() as context:
    context.prec = 30
    long_third = decimal.Decimal(1) / 3
print(long_third, decimal.Decimal(1) / 3)

# %%
ratio = grid / (grid - grid)
ratio

# %%
with np.errstate(divide="raise"):
    np.ones(3) / np.zeros(3)

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    np.log(-grid[1:2])
    np.mean([])
[str(each.message) for each in caught]

# %%
warnings.warn("this table is a draft", stacklevel=1)
frame.round(1)

# %%
with np.printoptions(precision=1):
    print(grid)
print(grid)

# %%
with pd.option_context("display.max_rows", 2):
    print(frame)

# %%
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout, force=True)
log = logging.getLogger("report")

# %%
log.info("rows: %d", len(frame))
log.debug("nobody reads this")

# %%
np.geterr()["divide"], pd.get_option("display.max_rows"), decimal.getcontext().prec
