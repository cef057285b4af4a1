from __future__ import annotations

import pytest

from taskfc_ext.ipython.parse.completion import complete


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%task ab", ["abort"]),
        ("t = %task res", ["result", "restart"]),
        ("%task wait ", ["3", "fit"]),
        ("%task abort 3,f", ["3", "fit"]),
        ("%task hold 3,", ["3", "fit"]),
        ("%task rel", ["release"]),
        ("%task move ", ["3", "fit"]),
        ("%task move 3 -", ["--priority"]),
        ("%task scale ", []),
        ("%task wait -", ["--all", "--timeout"]),
        ("%task fit(x", []),
        ("%task wait(x", []),
        ("%%task --on", ["--on-lost"]),
        ("%%task a --on-lost ", ["retry", "fail"]),
        ("%%task a --after f", ["3", "fit"]),
        ("%%task f", []),
        ("%tasks ab", []),
        ("x = 1", []),
    ],
)
def test_completions(text: str, offered: list[str]) -> None:
    found = complete(text, lambda: ["3", "fit"])
    assert [word for word in found if word.startswith("--on") or not text.startswith("%%task --on")] == offered


def test_every_verb_is_a_completion() -> None:
    assert {"status", "run", "wait", "help"} <= set(complete("%task ", list))
    assert "abort" in complete("%task help ", list)


def test_tasks_are_requested_only_where_they_fit() -> None:
    def never() -> list[str]:
        raise AssertionError

    assert complete("%task st", never) == ["status", "start", "stop"]
