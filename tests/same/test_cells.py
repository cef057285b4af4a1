"""Cells are read from both formats, and sorted as a user would run them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.same.cells import read_cells, sort_cells


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np",
        "from math import *",
        "%matplotlib inline",
        "import matplotlib.pyplot as plt\nplt.style.use('ggplot')\nplt.rcParams['font.size'] = 9",
        "import pandas as pd\npd.options.display.max_rows = 4\nN = 3",
        "import decimal\ndecimal.getcontext().prec = 6",
        "import numpy as np\nrng = np.random.default_rng(0)",
        "import logging\nlog = logging.getLogger('x')",
    ],
)
def test_imports_magics_and_settings_are_set_up(source: str) -> None:
    assert sort_cells([source])[0].is_set_up


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "import numpy as np\nx = np.arange(3)",
        "import matplotlib.pyplot as plt\nplt.plot([1])",
        "import pandas as pd\ndef f(): pass",
        "%%time\nx = 1",
        "%timeit 1",
        "!ls",
        "rng = np.random.default_rng(0)",
    ],
)
def test_what_computes_or_defines_is_not(source: str) -> None:
    assert not sort_cells([source])[0].is_set_up


def test_a_setting_is_one_of_a_module_that_was_imported_before() -> None:
    cells = sort_cells(["import numpy as np", "np.set_printoptions(precision=2)", "x.set_printoptions(precision=2)"])
    assert [cell.is_set_up for cell in cells] == [True, True, False]


@pytest.mark.parametrize(
    ("source", "binds"),
    [
        ("a = b, c = 1, 2", ("a", "b", "c")),
        ("for i in range(3): x = i", ("i", "x")),
        ("with open('f') as f: x = f.read()", ("x",)),
        ("%%time\nx = 1", ("x",)),
        ("%%capture printed\nx = 1", ("x", "printed")),
        ("%%bash\nx = 1", ()),
        ("def f(y): z = 1\nclass C:\n    w = 1", ("f", "C")),
        ("if (n := 3) > 2: pass\nn += 1", ("n",)),
        ("import os.path, sys as system\nfrom a import b as c", ("os", "system", "c")),
        ("a = 1\nb = 2\ndel a", ("b",)),
        ("[j for j in range(3)]", ()),
        ("x[0] = 1\ny.z = 2", ()),
        ("match p:\n    case {'a': q, **r}: pass\n    case [s, *t]: pass", ("q", "s", "t")),
        ("await f()\nx = await g()", ("x",)),
        ("x: int\ny: int = 1", ("y",)),
        ("_private = 1", ()),
        ("not python at all", ()),
    ],
)
def test_the_names_that_a_cell_binds(source: str, binds: tuple[str, ...]) -> None:
    assert sort_cells([source])[0].binds == binds


def test_what_a_with_statement_binds_is_brought_back_where_it_is_used() -> None:
    cells = sort_cells(["with a as b, c as d: pass", "d"])
    assert (cells[0].binds, cells[0].passing) == (("d",), {"b"})


def test_both_formats_give_the_same_cells(tmp_path: Path) -> None:
    percent = tmp_path / "a.py"
    percent.write_text("# %% [markdown]\n# words\n\n# %%\n# %matplotlib inline\n\n# %%\n# a comment\nx = 1\n\n\n# %%\n")
    cells = [nbformat.v4.new_markdown_cell("words")]
    cells += map(nbformat.v4.new_code_cell, ("%matplotlib inline", "# a comment\nx = 1", " \n"))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert [cell.source for cell in read_cells(percent)] == ["%matplotlib inline", "# a comment\nx = 1"]
    assert read_cells(tmp_path / "a.ipynb") == read_cells(percent)
