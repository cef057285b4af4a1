"""A name means a task of this notebook; another notebook's task is named with its notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from taskfc_ext import UnknownTask
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE

from .conftest import Session

Open = Callable[[str], Session]


@pytest.fixture
def open_notebook(shared_farm: Controller, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return a function that opens the notebook of a path."""
    opened: list[Session] = []

    def open_it(path: str) -> Session:
        monkeypatch.setenv("JPY_SESSION_NAME", path)
        opened.append(Session())
        return opened[-1]

    yield open_it
    for session in reversed(opened):
        session.close()


def submit(session: Session, name: str, source: str) -> None:
    session.run(f"%%task {name}\n{source}")
    session.run(f"_ = {name}.result({DEADLINE}); del {name}")


def test_a_name_means_the_newest_task_of_this_notebook(open_notebook: Open, capsys: pytest.CaptureFixture[str]) -> None:
    train = open_notebook("/home/ada/one/train.ipynb")
    submit(train, "fit", "'old'")
    submit(train, "fit", "'mine'")
    other = open_notebook("/home/ada/two/other.ipynb")
    submit(other, "fit", "'theirs'")
    submit(other, "only", "'only theirs'")
    capsys.readouterr()
    assert train.run("%task result fit") == "mine"
    assert other.run("%task result fit") == "theirs"
    assert "is one of" not in capsys.readouterr().out  # one's own needs no word
    assert train.run("%task result other:fit") == "theirs"
    assert "fit is one of /home/ada/two/other.ipynb\n" in capsys.readouterr().out
    for theirs in ("other.ipynb:only", "only --all"):
        assert train.run(f"%task result {theirs}") == "only theirs"
    assert str(train.error("%task abort only")) == (
        "no task of this notebook and no future named 'only'; other:only is another notebook's"
    )
    assert str(train.error("%task abort nobody:fit")).startswith("nobody has no task named 'fit'")


def test_an_abort_by_name_reaches_no_other_notebook(open_notebook: Open) -> None:
    train = open_notebook("/home/ada/abort/train.ipynb")
    train.run("%%task endless --timeout 60\nimport time\nwhile True: time.sleep(0.01)")
    other = open_notebook("/home/bob/train.ipynb")
    assert "/home/ada/abort/train.ipynb:endless is another notebook's" in str(other.error("%task abort endless"))
    assert str(other.error("%task abort train:endless")).startswith("/home/bob/train.ipynb has no task named 'endless'")
    assert train.run("endless.cancelled()") is False
    train.run("%task abort endless")
    assert "aborted" in str(train.error(f"endless.result({DEADLINE})"))


def test_clients_find_names_by_their_owner(shared_farm: Controller) -> None:
    with (
        shared_farm.client(owner="/srv/jobs/nightly.py") as nightly,
        shared_farm.client(owner="/srv/jobs/weekly.py") as weekly,
        shared_farm.client(owner="nobody") as nobody,
    ):
        nightly.with_options(name="load").submit(abs, -1).result(DEADLINE)
        nightly.with_options(name="early").submit(abs, -1).result(DEADLINE)
        weekly.with_options(name="load").submit(abs, -7).result(DEADLINE)
        assert nightly.future("load").result(DEADLINE) == 1
        assert weekly.future("load").result(DEADLINE) == 7
        assert weekly.future("nightly:load").result(DEADLINE) == 1
        assert nobody.future("/srv/jobs/weekly.py:load").result(DEADLINE) == 7
        with shared_farm.client(owner="/home/eve/nightly.py") as eve:
            with pytest.raises(UnknownTask, match=r"'/srv/jobs/nightly\.py:early' is another's"):
                eve.future("early")
            with pytest.raises(UnknownTask, match=r"/home/eve/nightly\.py has no task named 'early'"):
                eve.future("nightly:early")
        with pytest.raises(UnknownTask, match=r"no task of this notebook is named 'load'\n'weekly:load' is another's"):
            nobody.future("load")
        with pytest.raises(UnknownTask, match="nightly has no task named 'save'"):
            nobody.future("nightly:save")
