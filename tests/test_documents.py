"""Examples of the README and the site run and show what they say; the site builds, and its links lead somewhere."""

from __future__ import annotations

import decimal
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest

from taskfc_ext.cli import main, make_parser
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import stop
from taskfc_ext.drivers.paths import known_farms
from taskfc_ext.ipython.magics import TaskMagics
from taskfc_ext.ipython.parse.grammar import parse_cell_line, parse_line
from taskfc_ext.ipython.parse.tables import SUBMISSION, VERBS

from .examples import LANGUAGES, Shell, blocks, check, read

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = sorted(ROOT.joinpath("docs").rglob("*.md"))
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]


def show_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


# examples


@pytest.fixture
def shell(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell in an empty folder; the farms that a page starts are stopped at its end."""
    folder = home / "nb"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "page.ipynb"))
    made = Shell()
    decimals = decimal.getcontext().copy()
    yield made
    decimal.setcontext(decimals)  # a page sets it, and tasks of later tests would find that
    made.close()
    for name in known_farms():
        stop(LocalFarm(name))


@pytest.mark.parametrize("path", [README, *PAGES], ids=show_path)
def test_the_examples_of_a_page_show_what_it_says(path: Path, shell: Shell) -> None:
    check(read(path), shell, show_path(path))


@pytest.mark.parametrize("path", [README, *PAGES], ids=show_path)
def test_every_block_says_what_it_is(path: Path) -> None:
    for block in blocks(read(path)):
        assert block.language in LANGUAGES, block


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python\n1 + 1  # 3\n```", "2, not 3"),
        ("```python\nprint(1)\n```\n```output\n2\n```", "shows\n2"),
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```ipython\n%no_such_magic\n```", "no_such_magic"),
        ("```console\n$ taskfc no_such_command\n```", "no_such_command"),
        ("```console\n$ taskfc list\nno farm at all\n```", "shows\nno farm at all"),
    ],
)
def test_a_wrong_example_is_noticed(page: str, complaint: str, shell: Shell) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(page + "\n", shell, "a page")


def test_a_right_example_is_counted(shell: Shell) -> None:
    page = "```python\n@staticmethod\ndef f(): return 2\nf() * 2  # 4; as it should be\nprint('took 3 s')\n```\n"
    checked = check(page + "```output\ntook 4.25 s\n```\n", shell, "a page")
    assert (checked.values, checked.outputs) == (1, 1)


def test_news_of_tasks_that_have_ended_come_when_they_come(shell: Shell) -> None:
    page = "```python\nprint('6 of 9')\nprint('tasks 3-5 have ended: 2 succeeded, 1 failed (task 5: E: x)')\n```\n"
    assert check(page + "```output\n6 of 9\n```\n", shell, "a page").outputs == 1


def test_the_readme_begins_with_a_cell_as_a_task_that_brings_a_name_back() -> None:
    cells = [block.source for block in blocks(read(README)) if block.language == "ipython"]
    assert cells[0] == "%load_ext taskfc_ext\n"
    found = re.findall(r"^%(%?)task(.*)", "\n".join(cells), re.MULTILINE)
    assert any(cell and " -o " in line for cell, line in found)
    for cell, line in found:
        (parse_cell_line if cell else parse_line)(line)


@pytest.fixture
def nightly(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], tuple[int, str, Any]]]:
    """The notebook on the page about papermill, run by it; returns exit code, complaints, and the cells by source."""
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    cells = list(takewhile(lambda block: block.language != "console", blocks(read(ROOT / "docs/howto/papermill.md"))))
    code = [nbformat.v4.new_code_cell(block.source.rstrip()) for block in cells if block.language != "output"]
    code[0].metadata["tags"] = ["parameters"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=metadata), home / "nightly.ipynb")

    def run(parameters: str) -> tuple[int, str, Any]:
        command = [sys.executable, "-m", "papermill", "nightly.ipynb", "out.ipynb", "-y", parameters]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300)
        found = nbformat.read(home / "out.ipynb", as_version=4).cells
        return done.returncode, done.stderr, {cell.source: cell.outputs for cell in found if "outputs" in cell}

    yield run
    stop(LocalFarm("nightly"))


def test_papermill_runs_the_notebook_and_its_cards_show_the_end(nightly: Callable[[str], tuple[int, str, Any]]) -> None:
    code, complaints, outputs = nightly("sizes: [2, 100, 10000]")
    assert code == 0, complaints
    results = outputs["{size: future.result() for size, future in futures.items()}"]
    assert results[-1].data["text/plain"] == "{2: 0.56, 100: 0.29, 10000: 0.289}"
    card = outputs['%%task sizes_read\nf"{len(sizes)} sizes"'][0].data  # its buttons come after it
    assert re.match(r"✔ task \d sizes_read · succeeded", card["text/plain"])  # `tc` and the cells are two clients
    assert "3 sizes" in card["text/html"]
    assert "nightly: stopped" in outputs["%task stop"][0].text


def test_papermill_fails_where_a_task_has_failed(nightly: Callable[[str], tuple[int, str, Any]]) -> None:
    code, complaints, outputs = nightly("sizes: [100, 1]")
    assert code == 1
    assert re.search(r"1 of \d tasks? did not succeed: task \d spread-1 \(failed: StatisticsError: ", complaints)
    assert not outputs["%task stop"]


def test_the_tests_on_the_page_about_tests_pass(tmp_path: Path) -> None:
    source = [block.source for block in blocks(read(ROOT / "docs/howto/testing.md")) if block.language == "python"]
    test = tmp_path / "test_page.py"
    test.write_text("from taskfc_ext.testing import FakeFarm\n" + source[1])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


# links


@pytest.mark.parametrize("path", DOCUMENTS, ids=show_path)
def test_every_link_is_well_formed(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https", target
            assert "." in parts.netloc, target
        elif parts.path:
            assert (path.parent / parts.path).exists(), target


# the live queue


SOURCES = [*ROOT.joinpath("taskfc_ext").rglob("*.py"), *ROOT.joinpath("labextension", "src").rglob("*.ts")]


def test_what_the_views_say_is_quoted_as_they_say_it() -> None:
    page = read(ROOT / "docs" / "queue.md")
    quoted = re.findall(r"^\| \*(.+?)\* \|", page, re.MULTILINE)
    assert len(quoted) > 5
    said = "\n".join(map(read, SOURCES))
    for sentence in quoted:
        parts = [part.strip() for part in sentence.split("…")]
        assert all(part in said for part in parts), sentence


def test_what_can_be_turned_off_is_what_there_is() -> None:
    told = set(re.findall(r"taskfc-ext:[\w-]+", read(ROOT / "docs" / "reference" / "configuration.md")))
    plugins = {id_ for file in SOURCES for id_ in re.findall(r"\b(?:id:|ID =) '(taskfc-ext:[\w-]+)'", read(file))}
    assert told == plugins


# the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Building it checks every link and anchor within."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(page: Path) -> str:
    """Return the words of a built page."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", read(page), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", body)).split())


def test_nothing_on_the_site_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", read(page))
        assert not [target for target in loaded if not target.startswith("https://squidfunk.github.io/")], page


def test_the_reference_has_every_option_verb_command_and_setting(site: Path) -> None:
    magics = text_of(site / "reference" / "magics.html")
    for verb in VERBS.values():
        for argument in verb.arguments:
            assert argument.flags[0] in magics or argument.settings.get("metavar", "") in magics
        assert " ".join(verb.summary.split())[1:].replace("`", "") in magics
        assert " ".join(verb.more.split()).replace("`", "") in magics
    for argument in SUBMISSION:
        assert argument.settings["help"].replace("%%", "%")[1:] in magics
    terminal = text_of(site / "reference" / "command-line.html")
    assert " ".join(make_parser().description.split()) in terminal
    for command in ("start", "stop", "tasks", "abort"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"usage: taskfc {command}" in terminal
    settings = text_of(site / "reference" / "configuration.html")
    for name, trait in TaskMagics.class_own_traits(config=True).items():
        assert name in settings
        assert " ".join(trait.help.replace("`", "").split()) in settings


def test_the_reference_has_every_public_name(site: Path) -> None:
    import taskfc_ext

    documented = " ".join(text_of(page) for page in site.joinpath("reference").glob("*.html"))
    missing = [name for name in taskfc_ext.__all__ if name not in documented and not name.startswith("__")]
    assert not missing


def test_the_reference_shows_the_methods_of_both_clients_with_their_texts(site: Path) -> None:
    def section(page: str, client: str) -> str:
        start = f'id="taskfc_ext.client.{client}.scale"'
        return read(site / "reference" / page).partition(start)[2].partition("<h3")[0]

    blocking, asynchronous = (
        section("clients.html", "blocking.BlockingTaskClient"),
        section("async-client.html", "aio.FCTaskClient"),
    )
    texts = [re.findall(r"<p>(.*?)</p>", each)[0] for each in (blocking, asynchronous)]
    assert texts[0] == texts[1]
    assert ("async" in blocking, "async" in asynchronous) == (False, True)


def test_the_body_of_a_task_cell_is_highlighted(site: Path) -> None:
    cell = read(site / "index.html").partition("primes")[2].partition("</code>")[0]
    assert '<span class="k">for</span>' in cell
