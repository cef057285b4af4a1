"""Random numbers: no two tasks draw the same by accident, and what is seeded on purpose is the same each time."""

from __future__ import annotations

import functools
import random as random_module
import warnings
from collections.abc import Callable
from random import choice, gauss, getrandbits, random, randrange, shuffle, uniform
from threading import Lock
from typing import Any

import numpy as np
import pytest
from numpy.random import normal, permutation, rand, randint

from taskfc_ext import RepeatedStreamWarning, start
from taskfc_ext.errors import UnpicklableArgument
from tests.processes import DEADLINE

N = 6


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` as one that a notebook has defined."""
    function.__module__ = "__main__"
    function.__qualname__ = function.__name__ = "defined_in_a_notebook"
    return function


def shuffle_items() -> tuple[int, ...]:
    items = list(range(50))
    shuffle(items)
    return tuple(items)


table = {"draw": random, "many": [rand, normal]}


class Model:
    def __init__(self) -> None:
        self.draw = random
        self.source = random_module._inst  # type: ignore[attr-defined]


def held_in_an_object(model: Any) -> tuple[float, float]:
    return model.draw(), model.source.random()


DRAWS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "random.random itself": (random, ()),
    "random.gauss itself": (gauss, (0, 1)),
    "numpy.random.rand itself": (rand, ()),
    "a partial": (functools.partial(uniform, 0, 1), ()),
    "a partial of numpy": (functools.partial(randint, 0, 2**30), ()),
    "by name": (by_value(lambda: random()), ()),
    "by name, others": (by_value(lambda: (getrandbits(64), randrange(2**40), choice(range(10**9)))), ()),
    "by name, of numpy": (by_value(lambda: (float(rand()), permutation(50).tolist(), float(normal()))), ()),
    "by name, in place": (by_value(shuffle_items), ()),
    "by module": (by_value(lambda: (random_module.random(), float(np.random.rand()))), ()),
    "a closure": ((lambda draw: by_value(lambda: draw()))(random), ()),
    "a default": (by_value(lambda draw=normal: float(draw())), ()),
    "in a container": (by_value(lambda: (table["draw"](), float(table["many"][0]()))), ()),  # type: ignore[operator, index]
    "as an argument": (by_value(lambda draw: draw()), (random,)),
    "in an argument": (by_value(lambda draws: [float(draw()) for draw in draws]), ([random, rand, normal],)),
    "in an object": (by_value(held_in_an_object), (Model(),)),
    "the hidden generator": (by_value(lambda source: source.random()), (random_module._inst,)),  # type: ignore[attr-defined]
    "that of numpy": (by_value(lambda source: float(source.rand())), (np.random.mtrand._rand,)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_tasks_draw_different_numbers(client: Any, name: str) -> None:
    function, args = DRAWS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no generator of the user's travels
        values = [client.submit(function, *args).result(DEADLINE) for _ in range(N)]
        values += [client.submit_cell("f(*args)", {"f": function, "args": args}).result(DEADLINE) for _ in range(N)]
    assert len(set(map(str, values))) == 2 * N


SEEDS = {
    "random": lambda: random_module.seed(0),
    "random, by its state": lambda: random_module.setstate(random_module.Random(1).getstate()),
    "numpy": lambda: np.random.seed(0),
    "numpy, by its state": lambda: np.random.set_state(np.random.RandomState(1).get_state()),
    "another generator of numpy": lambda: np.random.set_bit_generator(np.random.MT19937(3)),
}


def seed(name: str) -> tuple[float, float]:
    SEEDS[name]()
    return random_module.random(), float(np.random.rand())


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_ends_with_its_task(client: Any, name: str) -> None:
    drawn = set()
    for _ in range(N):
        client.submit(seed, name).result(DEADLINE)
        drawn.add(client.submit(seed_nothing).result(DEADLINE))
    assert len({first for first, _ in drawn}) == len({second for _, second in drawn}) == N


def seed_nothing() -> tuple[float, float]:
    return random_module.random(), float(np.random.rand())


def draw(generator: Any, *args: Any) -> float:
    return float(generator.random())


GENERATORS: dict[str, Callable[[], Any]] = {
    "a Generator": np.random.default_rng,
    "another one": lambda: np.random.Generator(np.random.Philox(4)),
    "a RandomState": lambda: np.random.RandomState(5),
    "a Random": lambda: random_module.Random(6),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_that_travels_twice_in_one_state_is_named_once(client: Any, name: str) -> None:
    generator = GENERATORS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = client.submit(draw, generator)
    with pytest.warns(RepeatedStreamWarning, match="the same numbers") as found:
        second, _ = [client.submit(draw, generator) for _ in range(2)]
    assert len(found) == 1
    assert found[0].filename == __file__
    assert first.result(DEADLINE) == second.result(DEADLINE)


def test_one_of_a_submission_that_was_refused_is_in_no_task(client: Any) -> None:
    generator = np.random.default_rng()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnpicklableArgument):
            client.submit(draw, generator, Lock())
        client.submit(seed_nothing)
        client.submit(draw, generator).result(DEADLINE)
        generator.random()
        with pytest.raises(UnpicklableArgument):
            client.submit_cell("pass", {"generator": generator, "lock": Lock()})
        client.submit_cell("pass", {})
        client.submit_cell("pass", {"generator": generator}).result(DEADLINE)


def test_one_that_has_moved_on_is_another_stream(client: Any) -> None:
    generator = np.random.default_rng()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = set()
        for _ in range(3):
            values.add(client.submit(draw, generator).result(DEADLINE))
            generator.random()
        futures = [client.submit(draw, own) for own in generator.spawn(3)]
        values |= {future.result(DEADLINE) for future in futures}
    assert len(values) == 6


def test_a_map_over_a_function_that_holds_one_says_so(client: Any) -> None:
    generator = np.random.default_rng()
    function = by_value(lambda item: draw_from(generator))
    draw_from = draw
    with pytest.warns(RepeatedStreamWarning, match="rng.spawn"):
        client.map(function, range(3))


def test_one_cell_gives_what_it_gives_here(client: Any) -> None:
    generator = np.random.default_rng(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = client.submit_cell("float(rng.random())", {"rng": generator}).result(DEADLINE)
    assert there == generator.random()


def seeded_here(seed: int) -> tuple[float, float]:
    random_module.seed(seed)
    np.random.seed(seed)
    return random_module.random(), float(np.random.rand())


def test_a_seed_gives_the_same_numbers_in_each_attempt(client: Any) -> None:
    state, numpy_state = random_module.getstate(), np.random.get_state()
    try:
        expected = seeded_here(7)
    finally:
        random_module.setstate(state)
        np.random.set_state(numpy_state)
    seeded = client.with_options(seed=7)
    assert {seeded.submit(seed_nothing).result(DEADLINE) for _ in range(N)} == {expected}
    cell = "import random, numpy as np\n(random.random(), float(np.random.rand()))"
    assert seeded.submit_cell(cell).result(DEADLINE) == expected
    failing = "import random, builtins\nprint(random.random())\n1 / 0"
    task = client.submit_cell(failing, seed=7, retries=1)
    task.exception(DEADLINE)
    assert set(task.stdout.split()) == {str(expected[0])}
    assert client.submit(seed_nothing).result(DEADLINE) != client.submit(seed_nothing).result(DEADLINE)


def test_a_module_that_a_seeded_task_imports_is_seeded_too(home: Any) -> None:
    cell = "import sys\nwas_loaded = 'numpy' in sys.modules\nimport numpy as np\n(was_loaded, float(np.random.rand()))"
    with start(1) as farm, farm.client() as client:
        assert client.submit_cell(cell, seed=7).result(DEADLINE) == (False, float(np.random.RandomState(7).rand()))
        assert client.submit_cell(cell).result(DEADLINE)[1] != float(np.random.RandomState(7).rand())


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "x"])
def test_a_seed_that_numpy_does_not_take_is_refused(client: Any, seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seed"):
        client.with_options(seed=seed)
