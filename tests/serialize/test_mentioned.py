from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from taskfc_ext.serialize.mentioned import MAX_TEXT, names_in_strings, names_in_text

df = limit = duckdb = smf = pd = plt = None  # type: Any

# the text; the plain names; after "|", the likely names
TEXTS = [
    ("a > @limit", "limit"),
    ("a > @limit & b < @x.y[0]", "limit x"),
    ("@f(a)", "f"),
    ("me@example.org, @ nobody", ""),
    ("select sum(b) from df", "df"),
    ("SELECT *\n  FROM df AS d LEFT JOIN other ON d.a = other.a", "df other"),
    ("with q as (select 1) select * from df", "df"),
    ("-- all\nselect * from df", "df"),
    ("insert into target select * from df", "target df"),
    ("create or replace table t as select * from df", "t df"),
    ("From data to wisdom", "| data"),
    ("selected from the list", ""),
    ("y ~ x", "| y x"),
    ("y ~ C(g, Treatment('low')) + np.log(x):z", "| y C g Treatment np x z"),
    ("~ x", "| x"),
    ("~/data/x", ""),
    ("about ~ 3 ~ 4", ""),
    ("limit * 2", "| limit"),
    ("df.age + 1", "| df"),
    ("f(x)", "| f x"),
    ("limit", ""),
    ("data.csv", ""),
    ("out/limit.txt", ""),
    ("limit-reached", ""),
    ("a sentence of words", ""),
    (r"re.findall('\d+', limit)", ""),  # Python would warn
    ("1if limit else(2)", ""),
    ("", ""),
    ("x" * (MAX_TEXT + 1), ""),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS, ids=[text[:40] for text, _ in TEXTS])
def test_names_in_one_text(text: str, expected: str) -> None:
    plain, _, likely = expected.partition("|")
    assert names_in_text(text) == (set(plain.split()), set(likely.split()))


def by_format() -> Any:
    return "limit is {limit:>3}, {df.a}".format(**globals())


def by_percent() -> Any:
    return "%(limit)d" % globals()  # noqa: UP031


def by_word() -> Any:
    return globals()["limit"]


def by_eval() -> Any:
    return eval("limit + 1")


def by_query() -> Any:
    return df.query("a > @limit")


def by_main() -> Any:
    import __main__

    return __main__.limit


def inside() -> Any:
    def deep() -> Any:
        return [df.query("a > @limit") for _ in range(2)]

    return deep


def by_sql() -> Any:
    return duckdb.sql("from df"), duckdb.sql(f"select * from df where a > {limit}")


def by_tuple() -> Any:
    return [df.query(text) for text in ("a > @limit", "b > 3")]


def by_formula() -> Any:
    return smf.ols("y ~ limit", df)


def by_nothing() -> Any:
    """Say @nobody from df."""
    return df["limit"], {"limit": 1}, plt.plot("limit")


@pytest.mark.parametrize(
    ("function", "plain", "likely"),
    [
        (by_format, "limit df", ""),
        (by_percent, "limit", ""),
        (by_word, "limit", ""),
        (by_eval, "limit", ""),
        (by_query, "limit", ""),
        (by_main, "limit", ""),
        (inside, "limit", ""),
        (by_sql, "df", ""),
        (by_tuple, "limit", ""),
        (by_formula, "", "y limit"),
        (by_nothing, "", ""),
    ],
)
def test_names_in_the_code_of_functions(function: Callable[[], Any], plain: str, likely: str) -> None:
    found = names_in_strings(function.__code__)
    assert found.plain - {"nobody"} == set(plain.split())
    assert found.likely >= set(likely.split())
    assert "limit" in found.plain | found.likely or function in (by_sql, by_nothing)


@pytest.mark.parametrize(
    "text",
    [
        "~" + "a" * (MAX_TEXT - 2),
        "a~" * (MAX_TEXT // 3),
        "select " * (MAX_TEXT // 8),
        "from a, " * (MAX_TEXT // 9),
        "(" * 900 + ")" * 900,
        "@" * MAX_TEXT,
        "from a b " * (MAX_TEXT // 10),
        "with " * (MAX_TEXT // 6),
        "{" * MAX_TEXT,
        "from " + "a" * (MAX_TEXT - 10),
    ],
    ids=lambda text: text[:12],
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.process_time()  # not affected by other load
    names_in_text(text, looks_up=True, evaluates=True, takes_sql=True)
    assert time.process_time() - begun < 1
