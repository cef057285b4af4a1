# %% [markdown]
# Random walks, an epidemic and a coin: everything with seeds, so that a second run gives the same.

# %%
import math
import random
from random import gauss

import numpy as np

# %%
seed, n_walks = 2024, 200
rng = np.random.default_rng(seed)

# %%
steps = rng.choice([-1, 1], size=(n_walks, 100))
walks = steps.cumsum(axis=1)
walks[:, -1].mean(), walks[:, -1].std()

# %%
rng.random(3)

# %%
rng.random(3)

# %%
population = list(range(12))
rng.shuffle(population)
population

# %%
random.seed(3)
hand = random.sample(range(52), 5)
hand, round(gauss(0, 1), 6)

# %%
np.random.seed(3)
np.random.normal(size=3).round(4)

# %%
dice = random.Random(8)

# %%
[dice.randint(1, 6) for _ in range(10)]

# %%
[dice.randint(1, 6) for _ in range(10)]

# %%
state = {"susceptible": 990, "infected": 10, "recovered": 0}
history = []
infection, recovery = 0.3, 0.1


def day(generator):
    """Move people from one state to the next."""
    total = sum(state.values())
    ill = generator.binomial(state["susceptible"], infection * state["infected"] / total)
    well = generator.binomial(state["infected"], recovery)
    state["susceptible"] -= ill
    state["infected"] += ill - well
    state["recovered"] += well
    history.append(dict(state))


# %%
epidemic = np.random.default_rng(1)
for _ in range(30):
    day(epidemic)
state

# %%
peak = max(history, key=lambda each: each["infected"])
print(len(history), peak["infected"])

# %%
infection = 0.05
for _ in range(10):
    day(epidemic)
history[-1]


# %%
def pi(n, seed):
    points = np.random.default_rng(seed).random((n, 2))
    return 4 * (np.hypot(*points.T) < 1).mean()


estimates = [pi(5_000, each) for each in range(6)]
math.isclose(sum(estimates) / 6, math.pi, abs_tol=0.05), estimates[0]

# %%
children = np.random.SeedSequence(99).spawn(3)
[int(np.random.default_rng(child).integers(1000)) for child in children]
