"""A notebook that is opened again finds what it has left in the farm."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, until

from .conftest import Session

WAITING = """import pathlib, time
while not pathlib.Path("{gate}").exists():
    time.sleep(0.01)
7"""


def test_loading_says_what_there_is_and_binds_the_names_again(
    shared_farm: Controller, notebook_of_its_own: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    before = Session()
    assert "this notebook has" not in capsys.readouterr().out
    before.run("%%task early\n1 + 1")
    before.run(f"early.result({DEADLINE})")
    for name in ("slow", "taken", "bad"):
        before.run(f"%%task {name}\n{WAITING.format(gate=gate)}\n" + ("1 / 0" if name == "bad" else "'value'"))
    with shared_farm.client() as client:
        until(lambda: client.queue_status()["pending"] == 2, "two of them run")
        before.close()
        after = Session()
        said = capsys.readouterr().out
        assert "default: this notebook has 2 running, 1 waiting; here again: early, slow, taken, bad\n" in said
        assert after.run("early.result()") == 2
        gate.touch()
        assert after.run(f"slow.result({DEADLINE})") == "value"
        assert isinstance(after.error(f"bad.result({DEADLINE})"), ZeroDivisionError)
        after.run(f"taken.result({DEADLINE})")
    after.close()
    again = Session()
    assert "this notebook has 3 finished since (1 failed)" in capsys.readouterr().out
    again.close()


def test_a_name_that_is_taken_stays(shared_farm: Controller, notebook_of_its_own: None) -> None:
    before = Session()
    before.run("%%task fit\n1")
    before.run(f"fit.result({DEADLINE})")
    before.run("%unload_ext taskfc_ext")
    before.run("fit = 'mine'")
    before.run("%load_ext taskfc_ext")
    assert before.run("fit") == "mine"
    before.close()
