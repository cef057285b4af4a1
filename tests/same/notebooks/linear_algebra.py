# %% [markdown]
# Least squares, eigenvalues and a little image compression with numpy.

# %%
import numpy as np
from sklearn.datasets import load_diabetes, load_digits

np.set_printoptions(precision=4, suppress=True)
rng = np.random.default_rng(0)

# %%
A = rng.normal(size=(4, 4))
b = rng.normal(size=4)
x = np.linalg.solve(A, b)
x

# %%
np.allclose(A @ x, b), np.linalg.cond(A)

# %%
noise = rng.normal(size=3)
noise

# %%
rng.integers(100, size=5)

# %%
X, y = load_diabetes(return_X_y=True)
X = np.column_stack([np.ones(len(X)), X])
coefficients, residuals, rank, _ = np.linalg.lstsq(X, y, rcond=None)
print("rank", rank, "residual", residuals.round(1))
coefficients

# %%
tolerance = 1e-12


def power_iteration(matrix, steps=500):
    vector = np.ones(len(matrix)) / np.sqrt(len(matrix))
    for _ in range(steps):
        following = matrix @ vector
        following /= np.linalg.norm(following)
        if np.linalg.norm(following - vector) < tolerance:
            break
        vector = following
    return vector @ matrix @ vector


# %%
symmetric = A + A.T + 8 * np.eye(4)
power_iteration(symmetric), np.linalg.eigvalsh(symmetric)[-1]

# %%
tolerance = 0.5
power_iteration(symmetric, 50)

# %%
symmetric[0, :] *= 2
symmetric[:, 0] *= 2
symmetric

# %%
symmetric.sort(axis=1)
symmetric.diagonal()

# %%
digits = load_digits().images[:100].reshape(100, 64)
U, s, Vt = np.linalg.svd(digits - digits.mean(axis=0), full_matrices=False)
share = (s**2 / (s**2).sum()).cumsum()
int(np.searchsorted(share, 0.9))

# %%
smooth = (U[:, :10] * s[:10]) @ Vt[:10]
error = np.abs(smooth + digits.mean(axis=0) - digits)
print(f"largest error {error.max():.2f}, mean {error.mean():.3f}")

# %%
np.linalg.inv(np.zeros((2, 2)))

# %%
np.linalg.solve(A, np.ones(3))

# %%
masked = np.ma.masked_less(digits[:2, :8], 5)
masked

# %%
record = np.array([("ash", 2.3), ("hue", 1.1)], dtype=[("name", "U8"), ("value", float)])
record["value"] *= 2
record

# %%
np.linspace(0, 1, 5);
