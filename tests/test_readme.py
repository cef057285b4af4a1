"""What the README shows works, and shows what it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.cli import main

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def farm(home: Path) -> Iterator[None]:
    """The farm that the example starts, stopped at the end."""
    yield
    main(["stop"])


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.usefixtures("farm")
def test_the_python_example_gives_what_its_comments_say() -> None:
    names: dict[str, Any] = {}
    checked = 0
    source = block("python")
    lines = source.splitlines()
    try:
        for statement in ast.parse(source).body:
            text = ast.get_source_segment(source, statement) or ""
            comment = lines[(statement.end_lineno or 1) - 1].partition("# ")[2]
            if isinstance(statement, ast.Expr):
                value = eval(text, names)
                if re.match(r"[\d(]", comment):
                    assert repr(value) == re.split("[:;]", comment)[0]
                    checked += 1
            else:
                exec(text, names)
    finally:
        if "tc" in names:
            names["tc"].close()
    assert checked == 3


def test_the_terminal_example_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\$ taskfc (.*)", README, re.MULTILINE)
    assert len(commands) > 3
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main([*command.split(), "--help"])
        assert end.value.code == 0
    assert capsys.readouterr().err == ""


def test_every_link_within_the_repository_leads_somewhere() -> None:
    root = Path(__file__).resolve().parent.parent
    for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (root / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (root / target).exists(), (document, target)
