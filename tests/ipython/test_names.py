from __future__ import annotations

import sys

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from taskfc_ext.ipython.cell.names import BUILTINS, used_names

transform = TransformerManager().transform_cell

# names that a cell needs; after "|", names that it may need
NEEDS = [
    ("", ""),
    ("1 + 1", ""),
    ("x", "x"),
    ("x.y.z", "x"),
    ("d['k'][i]", "d i"),
    ("print(len(x))", "x"),
    ("x = 1\nx + y", "y"),
    ("total = total + 1", "total"),
    ("total += 1", "total"),
    ("n = 0\nn += 1", ""),
    ("d[k] = v", "d k v"),
    ("obj.attr = 1", "obj"),
    ("a, (b, *c) = t\na, b, c", "t"),
    ("x: int = 1\nx", ""),
    ("x: Model = 1", "Model"),
    ("x: Model", "Model"),
    ("from __future__ import annotations\nx: Model = 1", "| Model"),
    ("x: 'Model' = 1", ""),
    ("del x", "x"),
    ("x = 1\ndel x\nx", "x"),
    ("del d[0]", "d"),
    ("global g\ng = 1\ng", ""),
    # imports
    ("import numpy as np\nnp.ones(n)", "n"),
    ("import os.path\nos.path.join(a)", "a"),
    ("from math import sqrt as root\nroot(x)", "x"),
    ("from math import *\nsqrt(x)", "| sqrt x"),
    ("y\nfrom math import *\nsqrt(2)", "y | sqrt"),
    ("try:\n    import fast\nexcept ImportError:\n    fast = None\nfast", ""),
    ("try:\n    import fast\nexcept ImportError:\n    pass\nfast", "| fast"),
    ("try:\n    import fast\nexcept ImportError:\n    raise\nfast", ""),
    ("try:\n    cache\nexcept NameError:\n    cache = {}\ncache[k]", "k | cache"),
    ("try:\n    f = open(p)\nfinally:\n    f.close()", "p | f"),
    ("try:\n    go()\nexcept Oops as e:\n    log(e)", "go Oops log"),
    ("try:\n    go()\nexcept* ValueError as group:\n    group.exceptions", "go"),
    # branches and loops
    ("if c:\n    x = 1\nelse:\n    x = 2\nx", "c"),
    ("if c:\n    x = 1\nx", "c | x"),
    ("if c:\n    raise E\nelse:\n    x = 1\nx", "c E"),
    ("for i in items:\n    pass\ni", "items | i"),
    ("for i in range(3):\n    if i:\n        use(prev)\n    prev = i", "use | prev"),
    ("while more():\n    n = step()\nelse:\n    n", "more step | n"),
    ("with open(p) as f, lock:\n    s = f.read()\ns", "p lock"),
    (
        "match m:\n"
        "    case Point(x=0, y=yy):\n        yy\n"
        "    case [a, *rest]:\n        a, rest\n"
        "    case {'k': v, **kw} if v > t:\n        kw\n"
        "    case Color.RED | None as w:\n        w",
        "m Point t Color",
    ),
    ("async for i in source():\n    i", "source"),
    ("async with pool as p:\n    await p.run(job)", "pool job"),
    ("r = await fetch(url)\nr", "fetch url"),
    ("[x async for x in source]", "source"),
    # expressions
    ("[i * k for i in xs if i > lo]", "k xs lo"),
    ("[x for x in x]", "x"),
    ("{k: v for k, v in d.items()}", "d"),
    ("[(i, j) for i in range(n) for j in row(i)]", "n row"),
    ("i\n[i for i in range(3)]", "i"),
    ("[i for i in range(3)]\ni", "i"),
    ("sum(x for x in xs)", "xs"),
    ("(n := len(xs)) and n", "xs"),
    ("[last := i for i in xs]\nlast", "xs"),
    ("f'{x!r:>{width}} {y=}'", "x width y"),
    ("f'{x:{\"a\"}}'", "x"),
    ("'{x}'.format(x=y)", "y"),
    ("f(*args, **kwargs)", "f args kwargs"),
    ("x[a:b, ::c]", "x a b c"),
    ("lambda q, r=default: q + r + k", "default k"),
    ("[lambda: i + k for i in xs]", "xs k"),
    ("sorted(xs, key=lambda r: r[key])\nkey = 1", "xs | key"),
    ("sum = 3\nsum", ""),
    ("__name__, __file__, get_ipython(), display(x)", "x"),
    # functions
    ("def f(a, *b, c=d, **e):\n    return a, b, c, e, g", "d g"),
    ("def f(x: T = 1) -> R:\n    y: Unused = x\n    return y", "T R" if sys.version_info < (3, 14) else "| T R"),
    ("from __future__ import annotations\ndef f(x: T) -> R: ...", "| T R"),
    ("def f():\n    def g(q):\n        nonlocal n\n        n = q + k\n    n = 0\n    return g", "k"),
    ("def f():\n    return y\ny = 1\nf()", ""),
    ("def f():\n    return y\nf()\ny = 1", "| y"),
    ("def f():\n    return g()\ndef g():\n    return y\nf()", "y"),
    ("def f():\n    return f() + y", "y"),
    ("def f():\n    global g\n    g = 1\nf()\ng", "| g"),
    ("def f():\n    x = 1\n    return x\nx", "x"),
    ("def f():\n    return [i for i in xs if (n := i)], n", "xs"),
    ("def f(xs):\n    return [g(x) for x in xs]\ndef g(a):\n    return a + x\n[f(x) for x in items]", "items x"),
    ("@cache(size=n)\ndef f(): ...", "cache n"),
    ("async def f():\n    async with a as b:\n        return await b\nawait f()", "a"),
    ("def gen():\n    yield from xs\n", "xs"),
    ("def f():\n    import json\n    return json.dumps(x)", "x"),
    ("def f():\n    return f'{a!r:>{w}}\\n{\"b\"}'", "a w"),
    ("def f():\n    try:\n        pass\n    except E as e:\n        raise X from e", "E X"),
    ("f = lambda: y\ny = 1\nf()", ""),
    ("def f(n):\n    return n and f(n - 1)\nf(3)", ""),
    # classes
    ("class A(Base, metaclass=Meta):\n    x = y\n    z = x", "Base Meta y"),
    ("class A:\n    def m(self):\n        return super().m() + k + __class__.q", "k"),
    ("class A:\n    x = 1\n    def m(self):\n        return x", "x"),
    ("class A:\n    x = x", "x"),
    ("class A:\n    def m(self):\n        return B()\nclass B: ...\nA()", ""),
    ("class A:\n    def m(self):\n        return B()\nA()\nclass B: ...", "| B"),
    ("class A:\n    def m(self): return B()\nclass B: ...\n", ""),
    (
        "class A:\n    f: T = field(default=d)\n    g: 'A' = None",
        "T field d" if sys.version_info < (3, 14) else "field d | T",
    ),
    ("@dataclass\nclass P:\n    x: int\nP(1)", "dataclass"),
    ("class A:\n    @property\n    def p(self): ...\n    @p.setter\n    def p(self, v): ...", ""),
    # IPython's syntax
    ("!ls", ""),
    ("!cp {src} $dst {a.b[0]} ${HOME} {x,y}", "| src dst a HOME x y"),
    ("files = !ls {folder}\nlen(files)", "| folder"),
    ("%matplotlib inline\nplot(x)", "plot x"),
    ("%time y = fit(x)\ny", "fit x"),
    ("%timeit -n 10 -r 3 fit(x)", "fit x"),
    ("%%time\ny = fit(x)\ny.z", "fit x"),
    ("%%capture out\nfit(x)", "fit x"),
    ("%%timeit s = setup(n)\nfit(s)", "setup n fit"),
    ("%%timeit -n 1 -r 1 s = setup(n)\nfit(s)", "setup n fit"),
    ("%prun -s cumulative -l 5 fit(x)", "fit x"),
    ("%prun -q fit(x)", "fit x"),
    ("%lprun -f fit fit(x)", "fit x"),
    ("%memit -r 2 fit(x)", "fit x"),
    ("!echo {x:.2f} {y!r:>8} {{z}}", "| x y"),
    ("def f():\n    %time g(x)\nf()", "| g x"),
    ("%run helpers.py\nhelp_me(x)", "| help_me x"),
    ("%cd {folder}", "| folder"),
    ("x?", ""),
    ("def f(p):\n    !cp {p} {dst}\nf(q)", "q | p dst"),
    ("exec(code)\nmade", "code | made"),
    ("get_ipython().system(command)", "command"),
]


@pytest.mark.parametrize(("source", "expected"), NEEDS, ids=[source.replace("\n", "⏎")[:50] for source, _ in NEEDS])
def test_names_that_a_cell_needs(source: str, expected: str) -> None:
    needs, _, may_need = expected.partition("|")
    use = used_names(source, transform=transform)
    assert (set(use.needs), set(use.may_need)) == (set(needs.split()), set(may_need.split()))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax of Python 3.12")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def first[T: Bound](xs: list[T]) -> T:\n    return xs[0]", "Bound"),
        ("class Box[T](Base):\n    item: T", "Base"),
    ],
)
def test_type_parameters(source: str, expected: str) -> None:
    assert set(used_names(source).needs) == set(expected.split())


@pytest.mark.parametrize(
    ("source", "defines"),
    [
        ("x = 1\nimport a.b as c\ndef f(y): z = 1\nclass K: inner = 1", "x c f K"),
        ("for i in []: j = 1\nwith q as w: pass\n[k := 1 for m in []]", "i j w k"),
        ("%%capture out\nv = 1", "v out"),
        ("def f():\n    global g\n    g = 1", "f g"),
    ],
)
def test_names_that_a_cell_defines(source: str, defines: str) -> None:
    assert set(used_names(source, transform=transform).defines) == set(defines.split())


def test_a_redefined_builtin_is_an_ordinary_name() -> None:
    assert used_names("sum(x)", builtins=BUILTINS - {"sum"}).needs == {"sum", "x"}


@pytest.mark.parametrize("source", ["x =", "return 1", "def f(:\n    pass", "for", "'", "break"])
def test_a_cell_that_does_not_compile_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        used_names(source)


# names that text looks up in the namespace; after "|", names that may be columns as well
IN_STRINGS = [
    ('df.query("a > @limit")', "limit"),
    ('df.eval("c = a + @limit")', "limit a"),
    ('q = "a > @limit"\ndf.query(q)', "limit"),
    ('limit = 3\ndf.query("a > @limit")', ""),
    ('df.query("a > @limit")\nlimit = 3', "limit"),
    ('f"a > @limit and b < {x}"', "limit"),
    ('mail("me@example.org")', ""),
    ('pd.eval("limit * 2")', "limit"),
    ('eval("limit + 1")', "limit"),
    ('exec("y = limit")', "limit"),
    ('timeit.timeit("work(10)", globals=globals())', "work"),
    ('code = "limit + 1"\neval(code)', "limit"),
    ('ne.evaluate("a * b")', "a b"),
    ('"{limit:.2f} {x.y}".format(**globals())', "limit x"),
    ('"{limit}".format(limit=3)', ""),
    ('"{limit}".format_map(vars())', "limit"),
    ('"%(limit)d" % globals()', "limit"),
    ('Template("$limit ${other}").substitute(globals())', "limit other"),
    ('globals()["limit"]', "limit"),
    ('locals()["x"]', "x"),
    ('"x" in globals() and globals().get("x")', "x"),
    ("import __main__\n__main__.limit", "limit"),
    ('import __main__\ngetattr(__main__, "limit")', "limit"),
    ('import sys\nsys.modules["__main__"].limit', "limit"),
    ("import sys\nsys.modules[__name__].limit", "limit"),
    ("from __main__ import limit", "limit"),
    ('get_ipython().user_ns["limit"]', "limit"),
    ('smf.ols("y ~ centre(age)", data)', "| y centre age"),
    ("smf.ols(formula='np.log(b) ~ C(a, \"Sum\")', data=df)", "| np b C a"),
    ('duckdb.sql("select sum(b) from df")', "df"),
    ('duckdb.sql("select * from df a, third t join other b on a.x = b.x")', "df other third"),
    ('duckdb.sql("from df")', "df"),
    ('con.execute(f"""\n  select a from df where a > {low}\n""")', "df"),
    ("%sql select * from df", "df"),
    ("%%sql\nselect * from df", "df"),
    ("f?", "f"),
    ("f??", "f"),
    ("obj.method?", "obj"),
    ("%lprun -f g work()", "g"),
    ("%psource f", "f"),
    ('lib.compute("a * b + 1")', "| a b"),
    ('print("limit reached", "a * b + 1")', ""),
    ('open("out/limit.txt")', ""),
    ('df["limit"], d.get("limit")', ""),
    ('plt.title("select the best from df")', ""),
    ('def f():\n    return df.query("a > @limit")', "limit"),
    ('df.assign(c=lambda d: d.eval("a + @limit"))', "limit a"),
    ('class A:\n    def m(self):\n        return eval("limit")', "limit"),
]


@pytest.mark.parametrize(("source", "expected"), IN_STRINGS, ids=[source[:50] for source, _ in IN_STRINGS])
def test_names_in_text(source: str, expected: str) -> None:
    plain, _, likely = expected.partition("|")
    use = used_names(source, transform=transform)
    assert use.in_strings == set(plain.split())
    assert use.likely == set(likely.split())


def test_a_future_import_of_an_earlier_cell_holds() -> None:
    assert used_names("x: Model = 1", lazy_hints=True).needs == set()
