from __future__ import annotations

import pytest

from taskfc_ext.client.future.missing import note_of_missing
from taskfc_ext.protocol.payloads import Failure, Reason

HERE = {"get_ipython": None, "limit": 1, "df": 2, "__name__": "__main__"}


def note(message: str, kind: str = "NameError", traceback: str = "", sent: tuple[str, ...] | None = ("a", "b")) -> str:
    failure = Failure(reason=Reason.ERROR, message=message, type_name=kind, traceback=traceback)
    return note_of_missing(failure, HERE, sent)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("name 'limit' is not defined", "NameError"),
        ("name 'limit' is not defined. Did you mean: 'lim'?", "NameError"),
        ("local variable 'limit' is not defined", "pandas.errors.UndefinedVariableError"),
        ("Error evaluating factor: NameError: name 'limit' is not defined\n    y ~ limit", "patsy.PatsyError"),
        ("Catalog Error: Table with name limit does not exist!\nDid you mean x?", "duckdb.CatalogException"),
        ("(sqlite3.OperationalError) no such table: limit", "PandaSQLException"),
        ("relation 'limit' was not found", "polars.SQLInterfaceError"),
        ("module '__main__' has no attribute 'limit'", "AttributeError"),
        ("cannot import name 'limit' from '__main__' (unknown location)", "ImportError"),
        ("Can't get attribute 'limit' on <module '__main__' (built-in)>", "AttributeError"),
        ("Could not find function limit.\nNameError: name 'limit' is not defined", "UsageError"),
    ],
)
def test_a_missing_name_is_found_in_the_message(message: str, kind: str) -> None:
    assert note(message, kind) == "`limit` exists in the notebook and was not sent: `-i a,b,limit`"


@pytest.mark.parametrize("line", ['globals()["limit"]', "vars()['limit']", "a = global_dict[name]", "shell.user_ns[k]"])
def test_a_key_error_of_a_namespace(line: str) -> None:
    assert "`limit` exists" in note("'limit'", "KeyError", f"  {line}\n")


@pytest.mark.parametrize(
    ("message", "kind", "traceback"),
    [
        ("'limit'", "KeyError", '    df["limit"]\n'),
        ("'Series' object has no attribute 'limit'", "AttributeError", ""),
        ("name 'other' is not defined", "NameError", ""),
        ("name 'a' is not defined", "NameError", ""),  # it was sent: deleted since
        ("name '__name__' is not defined", "NameError", ""),
        ('Referenced column "limit" not found in FROM clause!', "duckdb.BinderException", ""),
        ("No such file or directory: 'limit'", "FileNotFoundError", ""),
        ("limit reached", "ValueError", ""),
        ("", "NameError", ""),
    ],
)
def test_other_failures_get_no_note(message: str, kind: str, traceback: str) -> None:
    assert note(message, kind, traceback) == ""


def test_a_note_where_the_sent_names_are_not_known() -> None:
    expected = "`limit` exists in the notebook and was not sent: name it in the code, send it with `-i`, "
    assert note("name 'limit' is not defined", sent=None) == expected + "or pass it as an argument"
    assert note("name 'limit' is not defined", sent=()) == "`limit` exists in the notebook and was not sent: `-i limit`"


def test_only_a_tasks_own_exception_has_missed_a_name() -> None:
    failure = Failure(reason=Reason.ABORTED, message="name 'limit' is not defined")
    assert note_of_missing(failure, HERE, ()) == ""
    assert "exists here" in note_of_missing(
        Failure(reason=Reason.ERROR, message="name 'limit' is not defined", type_name="NameError"), {"limit": 1}, ()
    )
