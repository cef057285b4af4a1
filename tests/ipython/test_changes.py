from __future__ import annotations

import types
from collections import deque
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from sklearn.linear_model import LinearRegression

from taskfc_ext.ipython.cell.changes import changed_names, note

transform = TransformerManager().transform_cell

SENT: dict[str, Any] = {
    "X": np.arange(6.0).reshape(3, 2),
    "y": np.arange(3.0),
    "df": pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
    "items": [[1], [2]],
    "d": {"k": [1]},
    "s": {1},
    "q": deque(),
    "n": 3,
    "text": "abc",
    "pair": ([1], 2),
    "model": LinearRegression(),
    "models": (LinearRegression(),),
    "obj": types.SimpleNamespace(a=1, parts=[]),
    "np": np,
    "rng": np.random.default_rng(0),
}

CHANGES = [
    ("X[0] = 1", "X"),
    ("X[:, 1:] = (X[:, 1:] - X[:, 1:].mean()) / X[:, 1:].std()", "X"),
    ("X += 1", "X"),
    ("X[0] += 1", "X"),
    ("X[0], z = 1, 2", "X"),
    ("del d['k']", "d"),
    ("del obj.a", "obj"),
    ("obj.a = 1", "obj"),
    ("obj.b.c = 1", "obj"),
    ("df['c'] = df.a + 1", "df"),
    ("df.loc[df.a > 1, 'b'] = 0", "df"),
    ("df.at[0, 'a'] = 5", "df"),
    ("df.drop(columns='a', inplace=True)", "df"),
    ("df.insert(0, 'z', 1)", "df"),
    ("df.columns = ['p', 'q']", "df"),
    ("items.append(1)", "items"),
    ("items[0].append(1)", "items"),
    ("items += [1]", "items"),
    ("items.sort(key=len)", "items"),
    ("d.update(a=1)", "d"),
    ("d['k'].append(2)", "d"),
    ("d.setdefault('z', []).append(1)", "d"),
    ("s.add(3); s |= {4}", "s"),
    ("q.appendleft(1)", "q"),
    ("obj.parts.append(1)", "obj"),
    ("setattr(obj, 'a', 2)", "obj"),
    ("np.random.shuffle(X)", "X"),
    ("rng.shuffle(y)", "y"),
    ("from random import shuffle\nshuffle(items)", "items"),
    ("import heapq\nheapq.heappush(items, [0])", "items"),
    ("np.fill_diagonal(X, 0)", "X"),
    ("np.copyto(X, 0)", "X"),
    ("np.add.at(X, [0], 1)", "X"),
    ("np.multiply(X, 2, out=X)", "X"),
    ("X.sort(); y.fill(0)", "X y"),
    ("list.append(items, 1)", "items"),
    ("model.fit(X, y)", "model"),
    ("fitted = model.fit(X, y)\nfitted.coef_", "model"),
    ("model.set_params(fit_intercept=False)", "model"),
    ("for m in models:\n    m.fit(X, y)", "models"),
    ("for row in items:\n    row.append(1)", "items"),
    ("for k, v in d.items():\n    v.append(1)", "d"),
    ("for i, row in enumerate(items):\n    row[0] = i", "items"),
    ("pair[0].append(1)", "pair"),
    ("Z = X\nZ[0] = 1", "X"),
    ("def f():\n    X[0] = 1\nf()", "X"),
    ("def f():\n    global n\n    items.append(n)\nf()", "items"),
    ("g = lambda: items.append(1)\ng()", "items"),
    ("%time X[0] = 1", "X"),
    ("%%time\nitems.append(1)", "items"),
    ("with open('f') as obj.file: pass", "obj"),
    ("if n:\n    X[0] = 1\nelse:\n    y[0] = 1", "X y"),
    ("[items.append(i) for i in range(3)]", "items"),
    ("row = X[0]\nrow[:] = 1", "X"),
    ("left, right = X[:, :1], 1\nhalf = X[:, :1]\nhalf *= 2", "X"),
    ("first = items[0]\nfirst.append(1)", "items"),
    ("k = d['k']\nk.append(1)", "d"),
    ("parts = obj.parts\nparts += [1]", "obj"),
    ("add = items.append\nadd(1)", "items"),
    ("list(map(s.add, [1]))", "s"),
    ("np.put(X, 0, 1)", "X"),
    # no change of a name that was sent
    ("X + 1", ""),
    ("X = X + 1\nX[0] = 1", ""),
    ("Z = X.copy()\nZ[0] = 1", ""),
    ("Z = np.zeros(3)\nZ[0] = X[0]", ""),
    ("X[0]", ""),
    ("Z = X[X > 1]\nZ[0] = 1\nW = X[[0]]\nW[0] = 1", ""),
    ("sub = df[['a']]\nsub['c'] = 1", ""),
    ("some = items[:1]\nsome.append(1)", ""),
    ("a = obj.a\na += 1", ""),
    ("first = y[0]\nfirst += 1", ""),
    ("n += 1", ""),
    ("text += 'd'", ""),
    ("other.append(1)", ""),
    ("df.add(1); df.pop; df.sort_values('a'); df.drop(columns='a', inplace=False)", ""),
    ("df.fillna(0)", ""),
    ("text.replace('a', 'b'); sorted(items); items.index([1])", ""),
    ("np.sort(X); np.append(X, 1); np.insert(X, 0, 1)", ""),
    ("np.random.seed(1)", ""),
    ("model.predict(X); model.score(X, y)", ""),
    ("def f(X):\n    X[0] = 1\n    return X\nf(X.copy())", ""),
    ("def f():\n    items = []\n    items.append(1)\n    return items", ""),
    ("items = [1]\nitems.append(2)", ""),
    ("for items in [[1]]:\n    items.append(1)", ""),
    ("import copy as df\ndf.x = 1", ""),
    ("results = []\nfor i in range(n):\n    results.append(i)", ""),
    ("obj == 1; obj.a", ""),
    ("X?", ""),
]


class _Options(dict[str, Any]):
    __getattr__ = dict.__getitem__  # raises KeyError where an attribute is looked for


class _Proxy:
    @property
    def __dict__(self) -> Any:
        raise RuntimeError("not connected")


@pytest.mark.parametrize("source", ["rate = options['rate']", "rate = proxy.rate.of", "rate = proxy.rate[0]"])
def test_objects_with_answers_of_their_own_are_left_alone(source: str) -> None:
    assert changed_names(source, {"options": _Options(rate=1), "proxy": _Proxy()}) == ()


@pytest.mark.parametrize(("source", "expected"), CHANGES, ids=[source[:50] for source, _ in CHANGES])
def test_names_that_a_cell_changes_in_place(source: str, expected: str) -> None:
    assert changed_names(source, SENT, transform=transform) == tuple(expected.split())


def test_the_note_names_the_option_that_brings_them_back() -> None:
    assert note(["X"]) == "changed `X` on the worker only; `-o X` brings it back"
    assert note(["X", "d"], ("y",)) == "changed `X`, `d` on the worker only; `-o y,X,d` brings them back"
    assert note(["X"], command="%%task") == "changed `X` on the worker only; `%%task -o X` brings it back"
    assert note(["X"], ("X",)) == note(["X"], ("*",)) == note([]) == ""
