"""The same lines here and as a task, in one notebook: what comes of them is compared, not what was expected of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskfc_ext import LoadingFailed, TaskFuture, UnpicklableArgument
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE
from tests.system.conftest import Session, settings_kept


class Notebook(Session):
    """A shell with the extension and a client, whose namespace is `__main__` as in any notebook."""

    def __init__(self) -> None:
        super().__init__()
        self.here("from taskfc_ext import TaskClient\nclient = TaskClient()")

    def here(self, cell: str) -> Any:
        """Run a cell here; return its value."""
        outcome = self.ip.run_cell(cell)
        outcome.raise_error()
        return outcome.result

    def task(self, cell: str, options: str = "") -> Any:
        """Run a cell as a task; return its value."""
        future = self.here(f"%%task {options}\n{cell}")
        assert isinstance(future, TaskFuture)
        return future.result(DEADLINE)

    def close(self) -> None:
        self.here("client.close()")
        super().close()


@pytest.fixture
def notebook(shared_farm: Controller, notebook_of_its_own: None) -> Iterator[Notebook]:
    made = Notebook()
    yield made
    made.close()


FUNCTIONS = """
import functools, contextlib
scale, total, settings, log = 2, 0, {"lr": 1}, []
def times(x): return x * scale
def add(x):
    global total
    total += x
def forget():
    global total
    del total
def start():
    global born
    born = scale + 1
def born_here(): return born
class Opened:
    def __enter__(self):
        global opened_at
        opened_at = scale
        return self
    def __exit__(self, *error): pass
    def at(self): return opened_at
def bind(**names): globals().update(names)
def nested():
    class Inner:
        global within
        within = scale
def helper(x): return ("old", x)
def outer(x): return helper(x)
def read(): return settings["lr"]
def deep():
    class Local:
        factor = scale
        def get(self): return scale
    return Local.factor, Local().get(), [scale for _ in range(2)], (lambda: scale)()
def twice(f):
    @functools.wraps(f)
    def both(*args): return f(*args), scale
    return both
@twice
def decorated(x): return x + scale
@contextlib.contextmanager
def context():
    log.append(scale)
    yield scale
def stream():
    for _ in range(2): yield scale
async def later(): return scale
class Model:
    rate = 3
    def predict(self, x): return x * scale
    @property
    def now(self): return scale
    @classmethod
    def make(cls): return cls, scale
    @staticmethod
    def plain(): return scale
    def __eq__(self, other): return type(self) is type(other)
    __hash__ = None
model = Model()
def counter():
    n = 0
    def step():
        nonlocal n
        n += 1
        return n
    def value(): return n
    return step, value
step, value = counter()
"""

BINDINGS = {
    "assignment": "scale = 10\ntimes(3)",
    "a loop's variable": "[times(10) for scale in (1,)]\nfor scale in (1, 2, 3): last = times(10)\nlast",
    "def": "def helper(x): return ('new', x)\nouter(1)",
    "import": "import math as scale\nouter(scale.pi), model.now.pi",
    "with": "import contextlib\nwith contextlib.nullcontext(7) as scale: pass\ntimes(2)",
    "walrus": "[(scale := 5), times(2)]",
    "global in a function": "add(5); add(6)\ntotal",
    "global in a function, of a new name": "start()\nborn, born_here()",
    "global in a method, of a new name": "with Opened() as opened: pass\nopened_at, opened.at()",
    "globals() in a function, of a new name": "bind(newest=4)\nnewest",
    "global in a class body": "nested()\nwithin",
    "del": "forget()\n'total' in globals()",
    "a container changed": "settings['lr'] = 9\nread()",
    "a container replaced": "settings = {'lr': 7}\nread()",
    "class bodies and inner functions": "scale = 8\ndeep()",
    "a decorated function": "scale = 4\ndecorated(1)",
    "methods, properties, class methods": "scale = 6\nmodel.predict(2), model.now, Model.make() == (Model, 6), "
    "Model.plain()",
    "context managers and generators": "scale = 9\nwith context() as c: pass\nc, log, list(stream())",
    "coroutines": "scale = 11\nawait later()",
    "exec": "exec('scale = 12')\ntimes(1)",
    "globals()": "globals()['scale'] = 13\ntimes(1)",
    "a class replaced": "class Model: rate = 4\nModel.rate, type(model).rate, isinstance(model, Model)",
    "functions that share a variable": "step(); step()\nvalue()",
    "star import": "from math import *\nround(pi, 3), times(1)",
    "augmented assignment": "scale += 1\ntimes(1)",
    "__main__ itself": "import __main__\n__main__.scale = 21\ntimes(1), scale, __main__.times is times",
    "eval": "scale = 3\ntimes(1), eval('times(2)'), eval('scale')",
    "pickle by name": "import pickle\nm = pickle.loads(pickle.dumps(model))\nm == model, "
    "pickle.loads(pickle.dumps(times)) is times",
    "hints": "import typing, dataclasses\n@dataclasses.dataclass\nclass Tree:\n    kids: 'list[Tree]'\n"
    "typing.get_type_hints(Tree)['kids'] == list[Tree]",
}


@pytest.mark.parametrize("cell", BINDINGS.values(), ids=BINDINGS)
def test_what_a_cell_binds_is_what_functions_see(notebook: Notebook, cell: str) -> None:
    notebook.here(FUNCTIONS)
    as_task = notebook.task(cell)
    assert as_task == notebook.here(cell)
    assert as_task is not None


@pytest.mark.parametrize("cell", BINDINGS.values(), ids=BINDINGS)
def test_so_it_is_in_the_persistent_namespace(notebook: Notebook, cell: str) -> None:
    notebook.here(FUNCTIONS)
    assert notebook.task(cell, "--keep --clear-before --clear-after") == notebook.here(cell)


def test_what_comes_back_lives_in_the_notebook(notebook: Notebook) -> None:
    notebook.here("scale = 2")
    notebook.here(
        "%%task --wait -o times, Shape\ndef times(x): return x * scale\nclass Shape:\n  def area(self): return times(2)"
    )
    assert notebook.here("times(3), Shape().area(), times.__globals__ is globals()") == (6, 4, True)
    notebook.here("scale = 5\ndef times(x): return -x * scale")
    assert notebook.here("Shape().area()") == -10
    notebook.here(
        "%%task --wait -o shout\nimport math as own\nsuffix = '!'\n"
        "def shout(x): return f'{own.floor(x)}{suffix}{scale}'"
    )
    assert notebook.here("shout(1.5)") == "1!5"
    assert notebook.here("scale = 6\nshout(1.5), 'suffix' in globals(), 'own' in globals()") == ("1!6", False, False)
    assert notebook.task("shout(2.5), Shape().area()") == ("2!6", -12)


def test_a_function_of_the_same_code_is_another_one(notebook: Notebook) -> None:
    notebook.here("def make(n, k=[]):\n  def value(): return n, value.note\n  value.note = k\n  return value")
    notebook.here("a = make(1); b = a")
    notebook.here("%%task --wait -o a\na = make(2)")
    assert notebook.here("a(), b(), a is b") == ((2, []), (1, []), False)
    notebook.here("b = a")
    notebook.here("%%task --wait -o a\na.note = 'set'")
    assert notebook.here("b(), a is b") == ((2, "set"), True)


STATE = {
    "a callable object": (
        "class Counter:\n  n = 0\n  def __call__(self):\n    self.n += 1\n    return self.n",
        "Counter(), ()",
    ),
    "a bound method": (
        "class Counter:\n  n = 0\n  def step(self, by):\n    self.n += by\n    return self.n\nc = Counter()",
        "c.step, (5,)",
    ),
    "a closure": (
        "def make():\n  total = 0\n  def add(x):\n    nonlocal total\n    total += x\n    return total\n"
        "  return add\nf = make()",
        "f, (2,)",
    ),
    "a list among the globals": ("seen = []\ndef remember(x):\n  seen.append(x)\n  return len(seen)", "remember, (1,)"),
    "a rebound global": ("total = 0\ndef count():\n  global total\n  total += 1\n  return total", "count, ()"),
    "a default argument": ("def gather(x, into=[]):\n  into.append(x)\n  return len(into)", "gather, (1,)"),
    "an attribute of the function": ("def own():\n  own.n = getattr(own, 'n', 0) + 1\n  return own.n", "own, ()"),
    "a partial": (
        "from functools import partial\np = partial(lambda into, x: into.append(x) or len(into), [])",
        "p, (1,)",
    ),
    "a class attribute": ("class K:\n  n = 0\ndef bump():\n  K.n += 1\n  return K.n", "bump, ()"),
    "a class among the arguments": ("class K:\n  n = 0\ndef bump(k):\n  k.n += 1\n  return k.n", "bump, (K,)"),
    "a cache": (
        "import functools\ncalls = []\n@functools.cache\ndef f(x):\n  calls.append(x)\n  return len(calls)",
        "f, (1,)",
    ),
    "a new global": ("def once():\n  g = globals()\n  g['n'] = g.get('n', 0) + 1\n  return g['n']", "once, ()"),
    "a generator": (
        "def numbers():\n  yield from range(9)\nclass It:\n  def __init__(s): s.n = 0\n  def __next__(s):\n"
        "    s.n += 1\n"
        "    return s.n\nit = It()\ndef step(): return next(it)",
        "step, ()",
    ),
    "a nested function's default": (
        "def outer():\n  return inner()\ndef inner(a={}):\n  a[len(a)] = 1\n  return len(a)",
        "outer, ()",
    ),
    "an array": (
        "import numpy as np\na = np.zeros(100_000)\ndef add():\n  a[0] += 1\n  return float(a[0])",
        "add, ()",
    ),
}


@pytest.mark.parametrize(("setup", "call"), STATE.values(), ids=STATE)
def test_each_attempt_starts_from_what_was_submitted(notebook: Notebook, setup: str, call: str) -> None:
    notebook.here(setup)
    notebook.here(f"f_, args_ = {call}")
    futures = notebook.here("[client.submit(f_, *args_) for _ in range(6)]")
    values = [future.result(DEADLINE) for future in futures]
    assert values == values[:1] * 6
    assert values[0] == notebook.here("f_(*args_)")


def test_a_retry_starts_there_too(notebook: Notebook) -> None:
    notebook.here("seen = []\ndef flaky():\n  seen.append(1)\n  raise ValueError(len(seen))")
    future = notebook.here("client.with_options(retries=2).submit(flaky)")
    assert str(future.exception(DEADLINE)) == "1"
    assert future.attempts == 3


UNCHANGED = {
    "a class attribute": ("Account.currency", "Account"),
    "a counter of instances": ("Account.opened", "Account(1)"),
    "a method": ("Account.worth is worth", "Account(1)"),
    "the globals of a method": ("Account.worth.__globals__ is globals()", "Account(1)"),
    "a list that methods fill": ("log is Account.note.__globals__['log']", "Account(1)"),
    "an enumeration": ("Color.RED is red and len(Color)", "Color.RED"),
    "a subclass": ("Sub.__bases__[0] is Account", "Sub(1)"),
    "a registry": ("sorted(Plugin.registry), Plugin.registry['csv'] is Csv", "Csv()"),
    "a function": ("helper.__code__, helper.__defaults__", "helper"),
    "an error": ("Account.opened, Failed.severity", "Failed('x')"),
    "a cached function": ("cached.cache_info()", "cached"),
    "the names here": (
        "sorted(name for name in globals() if name in ('fresh', 'rate'))",
        "(lambda: fresh, Account(2))",
    ),
}


@pytest.mark.parametrize(("watched", "value"), UNCHANGED.values(), ids=UNCHANGED)
def test_reading_a_result_changes_nothing_here(notebook: Notebook, watched: str, value: str) -> None:
    notebook.here(
        "import enum, functools\nrate, log = 1.0, []\n"
        "class Account:\n  opened = 0; currency = 'EUR'\n"
        "  def __init__(self, n):\n    self.n = n\n    type(self).opened += 1\n"
        "  def worth(self): return self.n * rate\n  def note(self, t): log.append(t)\n"
        "class Sub(Account): pass\nclass Color(enum.Enum):\n  RED = 1\n  BLUE = 2\nred = Color.RED\n"
        "class Plugin:\n  registry = {}\n  def __init_subclass__(cls, key):\n    Plugin.registry[key] = cls\n"
        "class Csv(Plugin, key='csv'): pass\nclass Failed(Exception): severity = 1\n"
        "def helper(x=[]): return x\n@functools.lru_cache\ndef cached(x): return x\nworth = Account.worth"
    )
    notebook.here(
        "%%task back\nAccount.currency = 'there'; Account.opened = 99; Failed.severity = 99; rate = 77; fresh = 1\n"
        "log.append('there'); Plugin.registry['there'] = 1; helper(); cached(1)\n" + value
    )
    notebook.here("Account.currency = 'USD'")  # changed here since it was submitted
    before = notebook.here(watched)
    value_here = notebook.here("back.result()")
    assert notebook.here(watched) == before
    assert notebook.here("Account.currency") == "USD"
    assert type(value_here) is type(notebook.here(value))


def test_a_replay_for_the_debugger_changes_nothing_either(notebook: Notebook) -> None:
    notebook.here(
        "seen = []\nclass K:\n  n = 0\ndef bad():\n  seen.append(1)\n  K.n += 1\n  global made\n  made = 1\n"
        "  raise ValueError(K.n)"
    )
    notebook.here("%%task broken\nK.n = 40\nbad()")
    notebook.here("broken.exception()")
    notebook.here("%task debug broken --no-debugger")
    assert notebook.here("seen, K.n, 'made' in globals()") == ([], 0, False)


MACHINERY = """
import abc, contextlib, dataclasses, enum, functools, typing, weakref
from collections import namedtuple
class Plugin:
    registry = {}
    def __init_subclass__(cls, /, key, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.key = key
        Plugin.registry[key] = cls
class Csv(Plugin, key="csv"):
    __slots__ = ("z",)
    def read(self): return self.key, super().__repr__()[:5]
class Base: version = 1
class Child(Base): version = 1
class Color(enum.Enum):
    RED = 1; BLUE = 2; CRIMSON = 1
    @property
    def pretty(self): return self.name.title()
class Perm(enum.Flag): R = enum.auto(); W = enum.auto()
class Bits(enum.IntFlag): X = 1; Y = 2
class Level(enum.StrEnum): LOW = "low"
class Planet(enum.Enum):
    EARTH = (1.0, "e"); MARS = (0.1, "m")
    def __new__(cls, mass, code):
        obj = object.__new__(cls)
        obj._value_, obj.mass = code, mass
        return obj
class Size(int, enum.Enum):
    S = 1; L = 3
    def __init__(self, n): self.double = 2 * n
@dataclasses.dataclass(slots=True, frozen=True, order=True)
class Point: x: int; y: str = "q"
@dataclasses.dataclass
class Bag: xs: list = dataclasses.field(default_factory=list); k: dataclasses.KW_ONLY = None
Pair = namedtuple("Pair", "left right", defaults=[0])
class Typed(typing.NamedTuple): x: int; y: str = "d"
T = typing.TypeVar("T")
class Stack(typing.Generic[T]):
    def __init__(self): self.items = []
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    def area(self): return 4
Shape.register(int)
@typing.runtime_checkable
class HasArea(typing.Protocol):
    def area(self): ...
class Single:
    _it = None
    def __new__(cls):
        if cls._it is None: cls._it = super().__new__(cls)
        return cls._it
class Meta(type):
    made = []
    def __new__(m, name, bases, ns, flag=None):
        cls = super().__new__(m, name, bases, ns); m.made.append(name); cls.flag = flag
        return cls
    def __init__(cls, name, bases, ns, flag=None): super().__init__(name, bases, ns)
    def __call__(cls, *a):
        obj = super().__call__(*a); obj.by = "meta"
        return obj
class WithMeta(metaclass=Meta, flag=7): pass
class Frozen(type):
    def __setattr__(cls, name, value): raise AttributeError("frozen")
class Const(metaclass=Frozen): PI = 3
class Descr:
    def __set_name__(self, owner, name): self.name = "_" + name
    def __get__(self, obj, owner=None): return self if obj is None else getattr(obj, self.name, None)
    def __set__(self, obj, value): setattr(obj, self.name, value * 2)
class WithDescr:
    x = Descr(); __slots__ = ("_x",)
class Td(typing.TypedDict, total=False): a: int
@functools.singledispatch
def kind(x): return "object"
@kind.register
def _(x: int): return "int"
@kind.register(list)
def _(x): return [kind(each) for each in x]
class Disp:
    @functools.singledispatchmethod
    def f(self, x): return "?"
    @f.register
    def _(self, x: int): return "int"
    @functools.cached_property
    def lazy(self): return 42
    @functools.lru_cache
    def cached(self, n): return n * n
    @contextlib.contextmanager
    def within(self): yield 5
    @staticmethod
    @functools.cache
    def side(n): return n + 1
@functools.lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Outer:
    class Nested:
        def hi(self): return "nested"
class Tree:
    all = weakref.WeakKeyDictionary()
    roots = []
    def __init__(self, n): self.n = n; Tree.all[self] = n
    def __hash__(self): return hash(self.n)
    def __eq__(self, other): return self.n == other.n
Tree.roots += [Tree(1), Tree(2)]
SENTINEL = object()
"""

LOADS = {
    "keywords of a class": "Csv().read()[0], sorted(Plugin.registry)",
    "an equal attribute that hides another": "'version' in vars(Child)",
    "an enumeration": "[c.pretty for c in Color], Color.CRIMSON is Color.RED, Color(2), Color['BLUE']",
    "flags": "Perm.R | Perm.W, Perm.W in (Perm.R | Perm.W), ~Perm.R, Bits.X | 8",
    "a text enumeration": "Level('low') is Level.LOW, f'{Level.LOW}'",
    "an enumeration with __new__": "Planet.MARS.mass, Planet('m') is Planet.MARS",
    "an enumeration with __init__": "Size.L.double, Size.L + 1, Size(3) is Size.L",
    "a dataclass with slots": "dataclasses.replace(Point(1), x=2), Point(1) < Point(2), "
    "hash(Point(1)) == hash(Point(1))",
    "a dataclass with a factory": "Bag().xs, dataclasses.fields(Bag)[0].name",
    "named tuples": "Pair(1)._replace(left=5), Typed(3), Typed._field_defaults",
    "a generic class": "Stack[int]().items, Stack.__parameters__ == (T,)",
    "an abstract class": "Square().area(), isinstance(Square(), Shape), isinstance(3, Shape), "
    "Shape.__abstractmethods__",
    "a protocol": "isinstance(Square(), HasArea), isinstance(3, HasArea)",
    "a singleton": "Single() is Single()",
    "a metaclass": "WithMeta().by, WithMeta.flag, Meta.made, type(WithMeta) is Meta",
    "a class that cannot be changed": "Const.PI",
    "a descriptor": "(w := WithDescr(), setattr(w, 'x', 4), w.x)[-1]",
    "a typed dict": "Td(a=1), Td.__total__",
    "single dispatch": "kind(1), kind([1, 'x'])",
    "dispatching, caching, lazy methods": "(d := Disp()) and (d.f(1), d.f(''), d.lazy, d.cached(3), Disp.side(2))",
    "a method that is a context manager": "[*(d.__enter__() for d in [Disp().within()])]",
    "a cached function that calls itself": "fib(25), fib.cache_parameters()",
    "a nested class": "Outer.Nested().hi(), Outer.Nested.__qualname__",
    "instances of a class within it": "len(Tree.roots), Tree.roots[0] in Tree.all, Tree(2) in Tree.roots",
    "a sentinel": "(lambda x=SENTINEL: x is SENTINEL)()",
}


@pytest.mark.parametrize("expression", LOADS.values(), ids=LOADS)
def test_what_travels_by_value_is_there_what_it_is_here(notebook: Notebook, expression: str) -> None:
    notebook.here(MACHINERY)
    there = notebook.task(expression)
    assert there == notebook.here(expression)


@pytest.mark.parametrize(
    "value",
    [
        "Color.RED",
        "Perm.W",
        "Level.LOW",
        "Planet.MARS",
        "Size.L",
        "Csv",
        "Square",
        "WithMeta",
        "Single()",
        "Outer.Nested",
    ],
)
def test_what_came_from_here_comes_back_as_itself(notebook: Notebook, value: str) -> None:
    notebook.here(MACHINERY)
    assert notebook.here(f"client.submit(lambda x: x, {value}).result({DEADLINE}) is {value}")


INSTANCES = {
    "a number whose __new__ converts": (
        "class Celsius(float):\n  def __new__(cls, f): return super().__new__(cls, (f - 32) / 1.8)\nx = Celsius(212)",
        "float(x), type(x) is Celsius",
    ),
    "a text whose __new__ adds to it": (
        "class Tag(str):\n  def __new__(cls, s): return super().__new__(cls, f'<{s}>')\nx = Tag('b')",
        "str(x), Tag('b') == x",
    ),
    "a tuple whose __new__ takes items": (
        "class Path(tuple):\n  def __new__(cls, *steps): return super().__new__(cls, steps)\n"
        "x = Path(1, 2); x.cost = 3",
        "x, x.cost",
    ),
    "a named tuple with fewer arguments": (
        "import collections\nclass Pair(collections.namedtuple('Pair', 'a b')):\n"
        "  def __new__(cls, a): return super().__new__(cls, a, 2 * a)\nx = Pair(3)",
        "tuple(x), x.b",
    ),
    "a frozen set whose __new__ takes items": (
        "class Team(frozenset):\n  def __new__(cls, *who): return super().__new__(cls, who)\nx = Team('a', 'b')",
        "sorted(x)",
    ),
    "a pool of texts": (
        "class Symbol(str):\n  pool = {}\n"
        "  def __new__(cls, s): return cls.pool.setdefault(s, super().__new__(cls, s))\nx = Symbol('a')",
        "Symbol('a') is x",
    ),
    "a dictionary that stores something else": (
        "class Doubling(dict):\n  def __setitem__(self, k, v): super().__setitem__(k, 2 * v)\n"
        "x = Doubling()\nx['a'] = 1",
        "dict(x)",
    ),
    "a dictionary that checks": (
        "class Locked(dict):\n  def __init__(self, *a):\n    super().__init__(*a)\n    self.locked = True\n"
        "  def __setitem__(self, k, v):\n    if self.locked: raise KeyError(k)\n    super().__setitem__(k, v)\n"
        "x = Locked({'a': 1})",
        "dict(x), x.locked",
    ),
    "a list that appends something else": (
        "class Log(list):\n  def __init__(self, name): self.name = name\n"
        "  def append(self, v): super().append((self.name, v))\n  def extend(self, vs): raise TypeError\n"
        "x = Log('n')\nx.append(1)",
        "list(x), x.name",
    ),
    "a set with a name": (
        "class Named(set):\n  def __init__(self, name, items=()):\n    super().__init__(items)\n    self.name = name\n"
        "x = Named('n', 'ab')",
        "sorted(x), x.name",
    ),
    "a counter, an ordered dictionary and a queue with arguments of their own": (
        "import collections\nclass Votes(collections.Counter):\n  def __init__(self, place, votes): "
        "super().__init__(votes); self.place = place\n"
        "class Cache(collections.OrderedDict):\n  def __init__(self, size): super().__init__(); self.size = size\n"
        "class Last(collections.deque):\n  def __init__(self, n): super().__init__(maxlen=n)\n"
        "v, c, q = Votes('p', 'aab'), Cache(3), Last(2)\nc['x'] = 1; c['y'] = 2; c.move_to_end('x'); q += [1, 2, 3]",
        "dict(v), v.place, list(c.items()), c.size, list(q), q.maxlen",
    ),
    "a dictionary that makes what is missing": (
        "import collections\nclass Groups(collections.defaultdict):\n"
        "  def __init__(self): super().__init__(list)\nx = Groups(); x['a'].append(1)",
        "x['b'], dict(x)",
    ),
    "arguments that only __new__ had": (
        "class Unit:\n  def __new__(cls, name):\n    made = super().__new__(cls)\n    made.name = name\n"
        "    return made\nx = Unit('m')",
        "x.name",
    ),
    "attributes by delegation": (
        "class Proxy:\n  def __init__(self, of): self.of = of\n"
        "  def __getattr__(self, name): return getattr(self.of, name)\nx = Proxy('text')",
        "x.upper()",
    ),
    "slots that cannot be set": (
        "class Fixed:\n  __slots__ = ('a', '__b')\n  def __init__(self, a):\n    object.__setattr__(self, 'a', a)\n"
        "    object.__setattr__(self, '_Fixed__b', a + 1)\n"
        "  def __setattr__(self, name, value): raise AttributeError(name)\n  def b(self): return self.__b\n"
        "x = Fixed(1)",
        "x.a, x.b()",
    ),
    "an array with attributes": (
        "import numpy as np\nclass Signal(np.ndarray):\n  def __array_finalize__(self, of): "
        "self.rate = getattr(of, 'rate', None)\nx = np.arange(3).view(Signal); x.rate = 44",
        "x.rate, (x * 2).rate, x.tolist()",
    ),
    "an enumeration of data": (
        "import dataclasses, enum\n@dataclasses.dataclass(frozen=True)\nclass Data:\n  a: int\n  b: str = 'b'\n"
        "class Kind(Data, enum.Enum):\n  P = 1, 'x'\n  Q = 2",
        "Kind.P.a, Kind.Q.b, Kind['Q'].value == Data(2) or Kind.Q.value == 2, [*Kind]",
    ),
    "an enumeration of data with slots": (
        "import dataclasses, enum\n@dataclasses.dataclass(slots=True)\nclass Data:\n  a: int\n"
        "class Kind(Data, enum.Enum):\n  P = 1",
        "Kind.P.a",
    ),
    "an enumeration of dates": (
        "import datetime, enum\nclass Day(datetime.date, enum.Enum):\n  NEW = 2020, 1, 1",
        "Day.NEW.year, Day.NEW.isoformat()",
    ),
    "an enumeration of numbers that convert": (
        "import enum\nclass More(int):\n  def __new__(cls, n): return super().__new__(cls, n + 1)\n"
        "class Level(More, enum.Enum):\n  LOW = 4",
        "int(Level.LOW), Level.LOW.value",
    ),
    "one in its own class": (
        "class Degree(int):\n  def __new__(cls, n): return super().__new__(cls, n % 360 + 1)\n"
        "Degree.FULL = Degree(360)",
        "int(Degree.FULL), int(Degree(361))",
    ),
}


@pytest.mark.parametrize(("setup", "expression"), INSTANCES.values(), ids=INSTANCES)
def test_instances_are_there_what_they_are_here(notebook: Notebook, setup: str, expression: str) -> None:
    notebook.here(setup)
    there = notebook.task(expression)
    assert there == notebook.here(expression)


@pytest.mark.parametrize("setup", [setup for setup, _ in INSTANCES.values() if "\nx = " in setup])
def test_instances_come_back_as_they_were_made(notebook: Notebook, setup: str) -> None:
    notebook.here(setup)
    parts = "type({0}), getattr({0}, '__dict__', 0), sorted({0}) if hasattr(type({0}), '__iter__') else str({0})[:9]"
    back = notebook.here(f"back = client.submit(lambda: x).result({DEADLINE})\n{parts.format('back')}")
    assert back == notebook.here(parts.format("x"))


RESULTS_OF_OTHERS = {
    "an instance": ("made", "lambda p: p.up()", "make(3).up()"),
    "a class": ("lambda: Point", "lambda c: c(4).up()", "make(4).up()"),
    "a function": ("lambda: make", "lambda f: f(5).up()", "make(5).up()"),
    "a closure": ("lambda: (lambda y: make(y).up())", "lambda f: f(6)", "make(6).up()"),
    "a list of instances": ("lambda: [make(7)]", "lambda ps: [p.up() for p in ps]", "[make(7).up()]"),
    "a subclass that the task has defined": (
        "lambda: type('Own', (Point,), {'more': lambda self: self.up()})(8)",
        "lambda p: p.more()",
        "make(8).up()",
    ),
}


@pytest.mark.parametrize(("first", "second", "expected"), RESULTS_OF_OTHERS.values(), ids=RESULTS_OF_OTHERS)
def test_results_are_what_they_are_in_the_tasks_that_take_them(
    notebook: Notebook, first: str, second: str, expected: str
) -> None:
    notebook.here(
        "step = 1\nclass Point:\n  def __init__(self, x): self.x = x\n"
        "  def up(self): return Point(self.x + step)\n"
        "  def __eq__(self, other): return type(self) is type(other) and self.x == other.x\n"
        "def make(x): return Point(x)\ndef made(): return make(3)"
    )
    notebook.here(f"first = client.submit({first})\nboth = [client.submit({second}, first) for _ in range(4)]")
    values = notebook.here(f"[future.result({DEADLINE}) for future in both]")
    assert values == [notebook.here(expected)] * 4


@pytest.mark.parametrize(
    ("setup", "value"),
    [
        (
            "class M(type):\n  def mro(cls):\n    if cls.__name__ == 'Shy' and not getattr(M, 'here', "
            "0): raise TypeError('no')\n"
            "    return super().mro()\nM.here = 1\nclass Shy(metaclass=M): pass\nM.here = 0",
            "Shy",
        ),
        (
            "class D:\n  def __init__(s, n): s.n = n\n  def __setstate__(s, state): raise OSError('not here')\n"
            "class Shy:\n  d = D(1)",
            "Shy",
        ),
    ],
)
def test_a_class_that_cannot_be_made_again_is_refused_here(notebook: Notebook, setup: str, value: str) -> None:
    notebook.here(setup)
    with pytest.raises(UnpicklableArgument, match=r"uses the class Shy, which a worker cannot make again"):
        notebook.here(f"client.submit(lambda: {value})")
    with pytest.raises(UnpicklableArgument, match=r"Shy"):
        notebook.here(f"client.submit(len, [{value}])")
    outcome = notebook.ip.run_cell(f"%%task --dry-run\n{value}")
    assert "Shy" in str(outcome.error_in_exec)


@pytest.mark.parametrize("call", ["client.with_options(retries=3).submit(len, Late())", "%task run len([late])"])
def test_what_cannot_be_loaded_there_says_so_and_is_not_tried_again(notebook: Notebook, call: str) -> None:
    notebook.here(
        "def refuse(): raise RuntimeError('no such device')\nclass Late:\n"
        "  def __reduce__(self): return refuse, ()\nlate = Late()"
    )
    future = notebook.here(call)
    error = future.exception(DEADLINE)
    assert isinstance(error, LoadingFailed)
    assert "loading" in str(error)
    assert "RuntimeError: no such device" in str(error)
    assert future.attempts == 1


def test_a_large_array_is_sent_once_and_each_task_has_its_own(notebook: Notebook) -> None:
    notebook.here(
        "import numpy as np\nbig = np.arange(1_000_000.0)\ndef first(i):\n  big[0] += i\n  return float(big[0])"
    )
    assert notebook.here("client.map(first, range(20))") == [float(i) for i in range(20)]
    assert notebook.here("big[0]") == 0.0


def test_what_each_task_loads_again_is_said_once(notebook: Notebook) -> None:
    notebook.here("table = {i: str(i) for i in range(400_000)}\ndef look(i): return table[i]")
    with pytest.warns(UserWarning, match=r"each task of look loads \d+ MB again") as said:
        assert notebook.here("client.map(look, range(4))") == ["0", "1", "2", "3"]
    assert len(said) == 1


CHANGED_WITHIN = {
    "a generator of random numbers": (
        "import numpy as np\nrng = np.random.default_rng(0)",
        "rng.random()",
        "rng.random()",
    ),
    "a list, by a function": ("seen = []\ndef see(): seen.append(1)", "see()", "seen"),
    "a rebound global, by a function": ("n = 0\ndef count():\n  global n\n  n += 1", "count()", "n"),
    "a closure that functions share": (FUNCTIONS, "step(); step()", "value(), step(), value()"),
    "an attribute of a function": ("def f(): f.n += 1\nf.n = 0", "f()", "f.n"),
    "a default argument": ("def f(x, into=[]):\n  into.append(x)\n  return into", "f(1)", "f(2)"),
    "an attribute of a class": ("class K: rate = 1\nk = K()", "K.rate = 2; K.new = 'new'", "k.rate, k.new"),
    "a list of a class": ("class K: all = []\n", "K.all.append(1)", "K.all"),
    "a method": ("class K:\n  def f(self): return 1\nk = K()", "K.f = lambda self: 2", "k.f()"),
    "a deleted attribute": ("class K: a = 1", "del K.a", "hasattr(K, 'a')"),
    "an instance": ("class K: pass\nk = K()", "setattr(k, 'x', 5)", "k.x"),
    "an array": ("import numpy as np\na = np.zeros(3)", "np.add.at(a, [0, 0], 1)", "a.tolist()"),
}


@pytest.mark.parametrize(("setup", "cell", "look"), CHANGED_WITHIN.values(), ids=CHANGED_WITHIN)
def test_everything_that_was_changed_comes_back(notebook: Notebook, setup: str, cell: str, look: str) -> None:
    notebook.here(setup)
    notebook.here(f"%%task --wait -o '*'\n{cell}")
    came_back = notebook.here(look)
    notebook.here(setup)
    notebook.here(cell)
    assert came_back == notebook.here(look)


def test_what_was_not_changed_stays_here(notebook: Notebook) -> None:
    notebook.here(FUNCTIONS)
    before = notebook.here("times, model, settings, log, Model")
    assert notebook.here("%%task t --wait -o '*'\nscale = 3\ntimes(2)").ns.scale == 3
    assert sorted(notebook.here("t.ns")) == ["scale"]
    assert all(a is b for a, b in zip(notebook.here("times, model, settings, log, Model"), before, strict=True))


def test_figures_of_each_task_are_shown(notebook: Notebook) -> None:
    with settings_kept("matplotlib.pyplot"):
        notebook.here("import matplotlib.pyplot as plt\nplt.style.use('ggplot')")
        for _ in range(4):  # a worker's first task loads the backend
            drawn = notebook.here("%%task drawn --wait\nfig, axes = plt.subplots()\naxes.plot([1, 2]);")
            assert [sorted(output["data"]) for output in drawn.outputs] == [["image/png", "text/plain"]]
