from __future__ import annotations

from collections.abc import Sequence

import pytest

from taskfc_ext.ipython.inspection import find_topic
from taskfc_ext.ipython.parse.completion import Found, complete
from taskfc_ext.ipython.parse.tables import SUBMISSION, VERBS


class Names:
    """A notebook with a few names, and a task."""

    def tasks(self) -> Sequence[str]:
        return ["fit", "fit-1", "3", "other:fit"]

    def variables(self) -> Sequence[str]:
        return ["abacus", "fit", "model"]

    def functions(self) -> Sequence[str]:
        return ["mend"]

    def exceptions(self) -> Sequence[str]:
        return ["KeyError"]

    def bound_by(self, body: str) -> Sequence[str]:
        return [body.strip()]

    def farms(self) -> Sequence[str]:
        return ["default", "night"]


def find(text: str, names: Names | None = None) -> Found | None:
    """Complete at `|`, or at the end."""
    before, _, _ = text.partition("|")
    row = before.count("\n")
    return complete(text.replace("|", ""), row, len(before.split("\n")[-1]), names or Names())


TASKS = ["fit", "fit-1", "3", "other:fit"]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%task ab", ["abort", "abacus", "abs"]),
        ("%task zi", ["zip"]),
        ("%task fit(mod", ["model"]),
        ("%task wait(mod", ["model"]),
        ("%task run mod", ["model"]),
        ("  t = %task res", ["result", "restart"]),
        ("a, b = %task sho", ["show"]),
        ("%task log ", [*TASKS, "--all"]),
        ("%task abort 3,f", ["fit", "fit-1"]),
        ("%task abort fit,f", ["fit-1"]),
        ("%task abort other:", ["other:fit"]),
        ("%task move ", [*TASKS, "--priority"]),
        ("%task move 3 -", ["--priority"]),
        ("%task move 3 --priority 1 -", []),
        ("%task scale ", []),
        ("%task wait -", ["--all", "--timeout"]),
        ("%task help mo", ["move"]),
        ("%task use n", ["night"]),
        ("%task start --name ", ["default", "night"]),
        ("%task pull fit -o ", []),
        ("%%task --on", ["--on-lost"]),
        ("%%task --on|\nx = 1", ["--on-lost"]),
        ("\n%%task --on", ["--on-lost"]),
        ("%%task a \\\n  --on|\nx = 1", ["--on-lost"]),
        ("%%task a --on-lost ", ["retry", "fail"]),
        ("%%task a --on-lost=f", ["fail"]),
        ("%%task a --after o", ["other:fit"]),
        ("%%task a --after 3, ", TASKS),
        ("%%task -o |\nbeta", ["beta", "*"]),
        ("%%task -o a \\\n -o |\\\n --wait\nbeta", ["beta", "*"]),
        ("%%task -i ", ["abacus", "fit", "model"]),
        ("%%task -i fit,", ["abacus", "model"]),
        ("%%task --recover ", ["mend"]),
        ("%%task --retry-on Key", ["KeyError"]),
        ("%%task f", ["fit", "fit-1"]),
        ("%%task --retries 3 --retries", []),
        ("%%task --timeout ", []),
    ],
)
def test_completions(text: str, offered: list[str]) -> None:
    found = find(text)
    assert found is not None
    assert [candidate.word for candidate in found.candidates] == offered


@pytest.mark.parametrize(
    "text",
    [
        "%task fit(",
        "%task model.fi",
        "%task run ",
        "%%task fit\nmod",
        "%%task\n--on",
        "x = 1\n%%task --on",
        '%%task --depend "properties.ge',
        "%tasks ab",
        "%task",
        "x = 1",
    ],
)
def test_elsewhere_python_is_completed(text: str) -> None:
    assert find(text) is None


def test_what_is_replaced_is_the_part_after_a_comma_or_an_equals_sign() -> None:
    for text, replaced in (("%%task --after 3,fi", "fi"), ("%%task --on-lost=re", "re"), ("%%task --re", "--re")):
        found = find(text)
        assert found is not None
        assert found.replaces == replaced


def test_every_verb_and_option_is_a_completion() -> None:
    found = find("%task ")
    assert found is not None
    assert [candidate.word for candidate in found.candidates] == list(VERBS)
    found = find("%%task ")
    assert found is not None
    options = [flag for argument in SUBMISSION for flag in argument.flags if flag.startswith("-")]
    assert [word for word, kind in found.candidates if kind == "option"] == options


def test_the_farm_is_asked_only_where_its_names_fit() -> None:
    class Apart(Names):
        def tasks(self) -> Sequence[str]:
            raise AssertionError

        farms = tasks

    for text in ("%task st", "%task wait --", "%%task fit --re", "%%task -i mo", "%%task --on-lost "):
        assert find(text, Apart()) is not None


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("%%ta|sk", "%%task"),
        ("%%task|", "%%task"),
        ("%%task?|", "%%task"),
        ("%%task fi|t --retries 3\nx = 1", "%%task"),
        ("%%task fit \\\n  --ret|ries 3\nx = 1", "%%task"),
        ("%%task fit\nx|", None),
        ("x = 1\n%task abo|rt 3", "abort"),
        ("%task abort 3|", "abort"),
        ("t = %ta|sk fit(3)", "%task"),
        ("%task|", "%task"),
        ("%task fi|t(3)", None),
        ("%task run fi|t(3)", None),
        ("%task ru|n fit(3)", "run"),
        ("math.sq|rt", None),
    ],
)
def test_help_at_a_place(text: str, topic: str | None) -> None:
    assert find_topic(text.replace("|", ""), text.index("|")) == topic
