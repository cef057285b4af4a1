# %% [markdown]
# IPython's own syntax, as notebooks are full of it.

# %%
import math
import statistics

# %config InlineBackend.figure_format = "png"

# %%
from __future__ import annotations

# %%
n = 200
numbers = [math.sin(each) for each in range(n)]


# %%
def spread(values):
    return max(values) - min(values)


# %%
# %time total = sum(numbers)

# %%
# %%time
middle = statistics.median(numbers)
middle

# %%
best = %timeit -n 5 -r 2 -q -o spread(numbers)
best.loops

# %%
# !echo {n} numbers, spread {round(spread(numbers), 3)}

# %%
words = !printf "one two\nthree\n"
words.fields(0)

# %%
# %%bash
echo "from bash"
echo "and its errors" >&2

# %%
spread?

# %%
# %pprint
list(range(3))

# %%
class Node:
    def __init__(self, value: float, parent: Node | None = None):
        self.value, self.parent = value, parent


Node.__init__.__annotations__

# %%
# %%capture printed
print("kept for later", n)

# %%
printed.stdout

# %%
print("a first line", end="");

# %%
%prun -q spread(numbers)

# %%
# %precision 3
math.pi

# %%
help(spread)
