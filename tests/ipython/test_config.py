from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets import TraitError

from taskfc_ext.client.progress import switch
from taskfc_ext.ipython import extension
from tests.ipython.conftest import FakeFarms
from tests.shells import end_shell, new_shell


@pytest.fixture
def profile() -> Iterator[Callable[..., InteractiveShell]]:
    """Makes a shell whose profile configures our traits."""
    made: list[InteractiveShell] = []

    def make(**traits: Any) -> InteractiveShell:
        made.append(new_shell(**traits))
        return made[-1]

    yield make
    for shell in reversed(made):
        extension.unload(shell)
        end_shell(shell)


def test_a_profile_configures_magics_that_are_loaded_later(profile: Any, farm: Any) -> None:
    shell = profile(farm="other", n_workers=3)
    extension.load(shell, FakeFarms(farm))
    assert not farm.runs
    shell.run_cell("%task 1")
    assert (farm.name, farm.starts) == ("other", [("other", 3, False)])


@pytest.mark.parametrize("traits", [{"farm": "../x"}, {"n_workers": "many"}])
def test_a_bad_profile_is_refused_and_leaves_nothing(profile: Any, farm: Any, traits: dict[str, Any]) -> None:
    shell = profile(**traits)
    before = len(shell.configurables)
    with pytest.raises(TraitError, match=next(iter(traits))):
        extension.load(shell, FakeFarms(farm))
    assert len(shell.configurables) == before


def test_config_acts_on_the_next_call(shell: Any, farm: Any) -> None:
    shell.run("%config TaskMagics.n_workers = 5")
    shell.run("%task start")
    shell.run("%task stop")
    shell.run("%task 1")
    shell.run("%task start -n 2 --name third")
    assert farm.starts == [("default", 5, False), ("default", 5, False), ("third", 2, False)]
    assert shell.magics.farm == "third"
    shell.run("%config TaskMagics.farm = 'fourth'")
    shell.run("%task 1")
    assert farm.name == "fourth"


def test_bars_are_turned_off_and_come_back_with_the_extension_gone(profile: Any, farm: Any) -> None:
    shell = profile(progress=False)
    extension.load(shell, FakeFarms(farm))
    assert not switch.is_on()
    shell.run_cell("%config TaskMagics.progress = True")
    assert switch.is_on()
    shell.run_cell("%config TaskMagics.progress = False")
    extension.unload(shell)
    assert switch.is_on()


def test_a_verb_and_the_trait_agree(shell: Any, farm: Any) -> None:
    shell.run("%task use other")
    assert shell.magics.farm == "other"
    shell.run("%config TaskMagics.farm = 'default'")
    assert shell.magics.session.name == "default"


def test_cards_can_be_kept_still(live_shell: Any, farm: Any) -> None:
    live_shell.run("%config TaskMagics.live_cards = False")
    live_shell.run("%%task fit\n1")
    farm.succeed(0, 42)
    live_shell.run("x = 1")
    card, notice = live_shell.shown
    assert (card["update"], "scheduled" in card["data"]["text/plain"]) == (False, True)
    assert notice["data"]["text/plain"] == "task 0 fit has ended: succeeded"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("farm = '../x'", "TaskMagics.farm: '../x' is not a farm name"),
        ("farm = 3", "'farm' trait of a TaskMagics instance expected a unicode string"),
        ("n_workers = -1", "should not be less than 0"),
        ("n_workers = 'two'", "'n_workers' trait of a TaskMagics instance expected an int"),
        ("live_cards = 3", "'live_cards' trait of a TaskMagics instance expected a boolean"),
    ],
)
def test_bad_values_are_refused_and_change_nothing(
    shell: Any, caplog: pytest.LogCaptureFixture, line: str, answer: str
) -> None:
    before = {name: getattr(shell.magics, name) for name in ("farm", "n_workers", "live_cards")}
    shell.run(f"%config TaskMagics.{line}")
    assert answer in caplog.text  # IPython logs it, in one line
    assert before == {name: getattr(shell.magics, name) for name in before}


def test_config_lists_them_with_help_until_unloading(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%config TaskMagics")
    out = capsys.readouterr().out
    for text in ("TaskMagics.farm", "TaskMagics.n_workers", "TaskMagics.live_cards", "Number of workers"):
        assert text in out
    extension.unload(shell.ip)
    assert not shell.ip.run_cell("%config TaskMagics").success
