"""Cells that take names by text, change what they were sent, or use the notebook's settings: as here, or a clear no."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError

from taskfc_ext import RemoteError, TaskClient, UnpicklableResult
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE
from tests.system.conftest import Session

SETUP = """
import numpy as np, pandas as pd, sqlite3, string, timeit, sys
df = pd.DataFrame({"a": range(6), "b": [1.0, 2, 4, 8, 16, 32]})
limit = 3
text = "limit * 2"
query = "a > @limit"
formula = "np.log(b) ~ centre(a)"
def work(n): return sum(range(n))
def centre(x): return x - x.mean()
class Config: depth = 2
"""


@pytest.fixture(scope="module")
def notebook(shared_farm: Controller) -> Iterator[Session]:
    made = Session()
    made.run("%config TaskMagics.notify = False")
    made.run(SETUP)
    yield made
    made.close()


@pytest.fixture
def session(session: Session) -> Session:
    session.run("%config TaskMagics.notify = False")
    return session


SAME = [
    'len(df.query("a > @limit"))',
    "len(df.query(query))",
    'df.query("a > @limit and b < @df.b.max()").b.tolist()',
    'df.eval("c = a + @limit").c.tolist()',
    'pd.eval("limit * 2")',
    'pd.eval("df.a + limit").tolist()',
    'eval("limit + work(3)")',
    "eval(text)",
    'code = "limit + 1"\neval(code)',
    'exec("y = limit + 1")\ny',
    '"limit is {limit}, {Config.depth}".format(**globals())',
    '"{limit}".format_map(globals())',
    '"%(limit)d" % globals()',
    'string.Template("$limit").substitute(globals())',
    'globals()["limit"]',
    'globals().get("limit")',
    '"limit" in globals()',
    'locals()["limit"]',
    'vars()["limit"]',
    "import __main__\n__main__.limit",
    'import __main__\ngetattr(__main__, "limit")',
    'sys.modules["__main__"].limit',
    "sys.modules[__name__].limit",
    "from __main__ import limit as lim\nlim",
    'get_ipython().user_ns["limit"]',
    'timeit.timeit("work(3)", globals=globals(), number=1) >= 0',
    "def inner(): return eval('limit')\ninner()",
    "[eval('limit') for _ in range(2)]",
    "%time limit",
    "names = ['limit', 'work']\n[n in globals() for n in names]",
    "x = !echo {limit + 1} $limit\nx",
]


@pytest.mark.parametrize("cell", SAME, ids=[cell[:40] for cell in SAME])
def test_a_cell_gives_what_it_gives_here(notebook: Session, cell: str) -> None:
    future = notebook.run(f"%%task --wait\n{cell}")
    here = notebook.run(cell)
    assert future.result(DEADLINE) == here
    assert here is not None


def test_a_formula_of_names(notebook: Session) -> None:
    pytest.importorskip("statsmodels")
    cell = "import statsmodels.formula.api as smf\nsmf.ols(formula, df).fit().params.round(4).to_dict()"
    assert notebook.run(f"%%task --wait\n{cell}").result(DEADLINE) == notebook.run(cell)


def test_sql_over_a_data_frame(notebook: Session) -> None:
    pytest.importorskip("duckdb")
    cell = 'import duckdb\nduckdb.sql("select sum(b) from df").fetchall()'
    assert notebook.run(f"%%task --wait\n{cell}").result(DEADLINE) == [(63.0,)]


@pytest.mark.parametrize(
    ("cell", "way"),
    [
        ('name = "li" + "mit"\nglobals()[name]', "`-i limit`"),
        ('n = "li" + "mit"\neval(n + " + work(2)")', "`-i work,limit`"),
        ('d = df\nd.query("a > @" + "limit")', "`-i df,limit`"),
        ('import __main__ as m\ngetattr(m, "li" + "mit")', "`-i limit`"),
    ],
)
def test_a_failure_names_what_the_notebook_has(
    notebook: Session, capsys: pytest.CaptureFixture[str], cell: str, way: str
) -> None:
    notebook.run("%%task missed\n" + cell)
    for line in ("%task result missed", f"%task result {notebook.ip.user_ns['missed'].task_result().taskid}"):
        capsys.readouterr()
        error = notebook.error(line)
        assert "`limit` exists in the notebook and was not sent: " in error.__notes__[-1]
        assert way in error.__notes__[-1]
        assert capsys.readouterr().out.rstrip().endswith(error.__notes__[-1])
    notebook.run("%task show missed")
    assert error.__notes__[-1] in notebook.ip.display_pub.outputs[-1]["data"]["text/plain"]


@pytest.mark.parametrize(
    "cell", ["exit()", "quit()", "if 1:\n    exit(3)", "def f(): quit()\nf()", "%time exit()", "%%capture out\nquit()"]
)
def test_exit_ends_the_task_in_one_sentence(notebook: Session, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    error = notebook.error(f"%%task --wait\n{cell}")
    assert isinstance(error, RemoteError)
    assert error.type_name == "SystemExit"
    assert "which ends it as failed" in str(error)
    assert len(capsys.readouterr().out.strip().splitlines()) <= 2
    assert notebook.run("%%task --wait\nif len([]) > 1: quit()\n'done'").result(DEADLINE) == "done"


def test_exit_in_a_function_ends_its_task(session: Session) -> None:
    session.run("def stop(n):\n    if n: exit()\n    return 'went on'")
    with TaskClient() as client:
        assert client.submit(session.ip.user_ns["stop"], 0).result(DEADLINE) == "went on"
        with pytest.raises(RemoteError, match=r"^SystemExit: .*which ends it as failed"):
            client.submit(session.ip.user_ns["stop"], 1).result(DEADLINE)


# what comes back


def test_what_is_changed_in_place_is_said_and_comes_back(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.run("X, d = [1], {}")
    capsys.readouterr()
    session.run("%%task --wait\nX.append(2)\nd['k'] = 1")
    assert capsys.readouterr().out.startswith("changed `X`, `d` on the worker only; `-o X,d` brings them back\n")
    assert session.ip.user_ns["X"] == [1]
    session.run("%%task --wait -o '*'\nX.append(2)\nd['k'] = 1\nimport json\ny = 3\ndef f(): return y")
    assert "changed" not in capsys.readouterr().out
    names = session.ip.user_ns
    assert (names["X"], names["d"], names["y"], names["f"]()) == ([1, 2], {"k": 1}, 3, 3)
    assert names["json"] is __import__("json")


BAD = [
    "(i for i in X)",
    "__import__('sqlite3').connect(':memory:')",
    "__import__('threading').Lock()",
    "(lambda: (yield))()",
]


@pytest.mark.parametrize("bad", BAD)
def test_one_name_that_cannot_travel_keeps_the_others(
    session: Session, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    session.run("X = [1]")
    capsys.readouterr()
    task = session.run(f"%%task t --wait -o model,bad\nmodel = [X, X]\nbad = {bad}\nprint('an hour')")
    assert "`bad` did not come back: a" in capsys.readouterr().out
    assert session.ip.user_ns["model"] == [[1], [1]]
    assert session.ip.user_ns["model"][0] is session.ip.user_ns["model"][1]
    assert "bad" not in session.ip.user_ns
    with pytest.raises(UnpicklableResult, match=r"'bad' was not brought back: .* cannot be pickled"):
        task.ns.bad  # noqa: B018
    assert "bad" not in task.ns
    session.run("%task pull t -o model")
    assert "bad" in session.ip.display_pub.outputs[-1]["data"]["text/plain"]


def test_a_name_that_does_not_load_here_keeps_the_others(session: Session) -> None:
    code = "class E(Exception):\n    def __init__(self, a, b): super().__init__(a)\nbad, model = E(1, 2), [1, 2]"
    with TaskClient() as client:
        ns = client.submit_cell(
            f"{code}\nclass B:\n    def __reduce__(self): return (int, ('x',))\nbad = B()", outs="*"
        ).ns
        assert ns.model == [1, 2]
        with pytest.raises(UnpicklableResult, match=r"'bad' was not brought back: .*ValueError"):
            ns.bad  # noqa: B018


def test_a_value_that_cannot_travel_keeps_the_names(session: Session) -> None:
    task = session.run("%%task --wait -o a\na = 7\n(i for i in range(3))")
    assert session.ip.user_ns["a"] == task.ns.a == 7
    with pytest.raises(UnpicklableResult, match="end the cell with `;`"):
        task.result(DEADLINE)
    assert task.exception() is None
    assert session.run("%%task --wait\n(i for i in range(3));").result(DEADLINE) is None
    with TaskClient() as client:
        future = client.submit_cell("a = 7\n(i for i in range(3))", outs="a")
        assert future.ns.a == 7
        with pytest.raises(UnpicklableResult):
            future.result(DEADLINE)
        with pytest.raises(UnpicklableResult):
            client.submit(abs, future).result(DEADLINE)


# the notebook's settings


def show(task: Any) -> list[str]:
    task.result(DEADLINE)
    return [output["data"]["text/plain"] for output in task.outputs]


@pytest.mark.parametrize(
    ("interactivity", "cell", "displays", "value"),
    [
        ("all", "1 + 1\n2 + 2\n'last'", ["2", "4"], "last"),
        ("all", "for i in range(2): i\n'last'", ["0", "1"], "last"),
        ("all", "None\n1;", [], None),
        ("all", "import asyncio\nawait asyncio.sleep(0, 5)\n6", ["5"], 6),
        ("all", "def f():\n    1\nf()\nx = 2", [], None),
        ("last", "1\nfor i in range(2): i", ["0", "1"], None),
        ("last", "1\n2", [], 2),
        ("last_expr_or_assign", "1\nx = 2", [], 2),
        ("last_expr_or_assign", "x: int = 2", [], 2),
        ("last_expr_or_assign", "x = 2\nx += 1", [], 3),
        ("last_expr_or_assign", "x, y = 2, 3", [], None),
        ("none", "1\n2", [], 2),
        ("last_expr", "1\n2", [], 2),
    ],
)
def test_interactivity(session: Session, interactivity: str, cell: str, displays: list[str], value: object) -> None:
    session.run(f"%config InteractiveShell.ast_node_interactivity = {interactivity!r}")
    task = session.run(f"t = get_ipython().run_cell_magic('task', '', {cell!r})\nt")
    session.run("%config InteractiveShell.ast_node_interactivity = 'last_expr'")
    task = session.ip.user_ns["t"]
    assert (show(task), task.result()) == (displays, value)


def test_settings_of_one_cell_are_not_the_next_ones(session: Session) -> None:
    session.run("%precision 3")
    assert show(session.run("%%task --wait\ndisplay(3.14159)")) == ["3.142"]
    session.run("%precision")
    assert show(session.run("%%task --wait\ndisplay(3.14159)")) == ["3.14159"]


def test_future_imports_of_earlier_cells_hold(session: Session) -> None:
    session.run("from __future__ import annotations")
    cell = "class Node:\n    def link(self, other: Nodule) -> Nodule: ...\n"
    assert session.run(f"%%task --wait\n{cell}Node.link.__annotations__").result(DEADLINE) == {
        "other": "Nodule",
        "return": "Nodule",
    }
    cell = "from dataclasses import dataclass\n@dataclass\nclass A:\n    nxt: A | None = None\nA().nxt"
    assert session.run(f"%%task --wait\n{cell}").result(DEADLINE) is None
    session.run("%%task --everywhere\nclass B:\n    nxt: B | None = None\n    other: Nothing")
    assert session.run("%%task --wait --keep\nB.__annotations__").result(DEADLINE)["other"] == "Nothing"


def test_a_display_of_the_notebooks_own(session: Session) -> None:
    session.run("from IPython import display")
    assert show(session.run("%%task --wait\ndisplay.display('frame')")) == ["'frame'"]
    session.run("def display(x): return ('mine', x)")
    assert session.run("%%task --wait\ndisplay(1)").result(DEADLINE) == ("mine", 1)
    session.run("from IPython.display import display")
    assert show(session.run("%%task --wait\ndisplay(1)")) == ["1"]


# magics and the first line


def test_a_magic_that_only_the_notebook_has(session: Session) -> None:
    definition = (
        "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef hello(line): return line * 2"
    )
    session.run(definition)
    for cell in ("%hello you", "x = %hello you", "if 1:\n    %hello you", "%%time\n%hello you"):
        error = session.error(f"%%task --wait\n{cell}")
        assert type(error) is UsageError
        assert "`%hello` is a magic of this notebook" in str(error)
        assert "`%%task --everywhere`" in str(error)
    assert (
        session.run(f"%%task --wait\n{definition}\nget_ipython().run_line_magic('hello', 'a')").result(DEADLINE) == "aa"
    )
    session.run(f"%%task --everywhere\n{definition}")
    assert session.run("%%task --wait\nx = %hello you\nx").result(DEADLINE) == "youyou"


def test_magics_find_their_names(notebook: Session) -> None:
    for cell in (
        "%%timeit -n 1 -r 1 v = limit + 1\nv * 2",
        "%prun -s cumulative -l 3 work(10)",
        "%timeit -n 1 -r 1 work(limit)",
        "work?",
        "work??",
        "%pinfo work",
        "for i in range(2):\n    %time work(i)",
        "%%capture out\nprint(limit)",
        "%cd /\nhere = %pwd\nassert here == '/'",
        "%cd /\n%cd -",
        "%dhist",
    ):
        task = notebook.run(f"%%task --wait\n{cell}")
        assert task.exception(DEADLINE) is None, cell
        assert "not found" not in task.log


def test_a_first_line_with_more_than_options(session: Session) -> None:
    session.run("T, names, k = 30, ['k'], 2")
    assert session.run("%%task fit \\\n   --retries 2 \\\n --wait\nk").result(DEADLINE) == 2
    assert session.run("%%task fit --wait  # the slow one\nk").result(DEADLINE) == 2
    assert session.run("%%task fit-{k} --timeout {T * 2} --retries $k -i {names} --wait\nk").name == "fit-2"
    error = session.error("%%task --timeout {TT}\n1")
    assert str(error) == "%%task: {TT}: unknown name 'TT'"
    assert session.run("%%task --depend \"properties.get('gpu', {}) == {}\" --wait\nk").result(DEADLINE) == 2


# the persistent namespace


def test_keep_after_keep(session: Session) -> None:
    assert type(session.error("%%task --keep\nkk_unknown + 1")) is UsageError
    session.run("%task scale 1")
    try:
        session.run("%%task --wait --keep\nkk = 3")
        assert session.run("%%task --wait --keep\nkk + 1").result(DEADLINE) == 4
        assert session.run("%%task --wait --keep -i ''\nkk + 1").result(DEADLINE) == 4
        session.run("jj = 10")
        session.run("%%task --wait --keep\njj = 3")
        assert session.run("%%task --wait --keep\njj + 1").result(DEADLINE) == 4  # bound last there
        session.run("jj = 20")
        assert session.run("%%task --wait --keep\njj + 1").result(DEADLINE) == 21  # bound last here
        assert isinstance(session.error("%%task --wait --keep\nnever_bound"), NameError)
        assert session.run("%%task --wait --keep -o '*'\nii = kk").ns.ii == 3
        session.run("%%task --wait --keep --clear-after\nkk")
        assert type(session.error("%%task --keep --clear-before\nkk")) is UsageError
    finally:
        session.run("%task scale 2")


def test_the_namespace_of_a_failed_result_raises_when_it_is_read(session: Session) -> None:
    with TaskClient() as client:
        failed = client.submit_cell("1 / 0")
        with pytest.raises(ZeroDivisionError):
            failed.task_result().ns  # noqa: B018
        with pytest.raises((RemoteError, ZeroDivisionError)):
            failed.task_result().ns.x  # noqa: B018
