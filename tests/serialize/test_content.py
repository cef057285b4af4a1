"""Digests by content: equal in every process, and different for different values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskfc_ext.serialize.content import content_digest, digest_of
from tests.processes import DEADLINE

SCRIPT = """
import abc, dataclasses, enum, functools, sys
import numpy as np, pandas as pd
from taskfc_ext.serialize.content import content_digest

K, J = 3, 4
exec(compile({helper!r}, sys.argv[1], "exec"))

def outer():
    n = [0]
    def f():
        nonlocal n
        return n, helper
    return f

class Base(abc.ABC):
    @abc.abstractmethod
    def f(self): ...

class Model(Base):
    def __init__(self, n): self.a, self.b, self.c = n, n, n
    def f(self): return super().f()
    @staticmethod
    def s(): return Model

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@dataclasses.dataclass
class Point:
    x: int
    y: float = 2.0
    def norm(self): return self.x + self.y

values = [helper, outer(), functools.partial(helper, 1), functools.lru_cache(helper), Model(1), Colour.RED, Point(1)]
values += [Base, Model, Colour, Point, lambda x: x + K, np.arange(10**6), np.random.default_rng(3), {1, 2, 3}]
values += [pd.DataFrame({"a": np.arange(5), "b": list("abcde"), "c": pd.date_range("2020", periods=5)}), np, None]
for value in values:
    print(content_digest({"value": value}).hex())
"""

HELPER = "def helper(x):\n    return J + K if x in {'aa', 'bb', 'cc'} else K"


def digests(seed: str, file: str, helper: str, tmp_path: Path) -> list[str]:
    (tmp_path / "script.py").write_text(SCRIPT.replace("{helper!r}", repr(helper)))
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "script.py", file],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return made.stdout.split()


def test_processes_files_and_lines_do_not_count(tmp_path: Path) -> None:
    one = digests("1", "/tmp/ipykernel_1/1.py", HELPER, tmp_path)
    assert one == digests("2", "/tmp/ipykernel_2/2.py", f"# a comment\n\n{HELPER}  # and one", tmp_path)
    assert len(set(one)) == len(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("a", b"a"),
        ([1, 2], (1, 2)),
        ({"a": 1}, {"a": 2}),
        (lambda: 1, lambda: True),
        (lambda x: x in {1, 2}, lambda x: x in {1, 3}),
        (lambda x: x in {1, 2}, lambda x: x in (1, 2)),
        (lambda x, y=1: x, lambda x, y=2: x),
        (lambda x: x.real, lambda x: x.imag),
        (lambda: len, lambda: max),
        (lambda: [lambda: 1], lambda: [lambda: 2]),
        (type("A", (), {"x": 1}), type("A", (), {"x": 2})),
        (type("A", (), {"f": lambda self: 1}), type("A", (), {"f": lambda self: 2})),
        (type("A", (), {"x": 1})(), type("A", (), {"x": 2})()),
        (bytearray(b"a" * 10**6), bytearray(b"a" * (10**6 - 1) + b"b")),
    ],
)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    assert content_digest(one) != content_digest(other)
    assert content_digest(one) == content_digest(one)


def test_parts_are_apart() -> None:
    assert digest_of(b"a", b"bc") != digest_of(b"ab", b"c")
