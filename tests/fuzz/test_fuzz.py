"""The short form of the fuzz harness: a fixed seed and a new one; and mistakes that it finds."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from taskfc_ext.controller import endpoint
from taskfc_ext.core.handlers import broadcasts
from taskfc_ext.drivers import connection_file
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from tests.fuzz import core, decoders, files, live, mutate
from tests.fuzz.outcome import Outcome, Report

SEEDS = [1, int.from_bytes(os.urandom(4), "little")]


def quiet(line: str) -> None:
    """Report nothing."""


report: Report = quiet


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "random"])
def test_a_decoder_returns_messages_or_refuses(seed: int) -> None:
    outcome = decoders.run(n=20_000, seed=seed, report=report)
    assert outcome.failures == [], f"python -m tests.fuzz decoders --seed {seed}"
    assert outcome.n_inputs == 20_000
    assert {end for _, end in outcome.counts} == {"messages", "refused"}, "not all damage is noticed"


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "random"])
def test_odd_conversations_break_no_core(seed: int) -> None:
    outcome = core.run(n=6, seed=seed, report=report)
    assert outcome.failures == [], f"python -m tests.fuzz core --seed {seed}"
    assert outcome.counts["client_says", "handled"] > outcome.counts["client_says", "refused"] > 0


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "random"])
def test_damaged_files_lead_to_no_farm_to_the_farm_or_to_an_error(seed: int) -> None:
    outcome = files.run(n=150, seed=seed, report=report)
    assert outcome.failures == [], f"python -m tests.fuzz files --seed {seed}"
    assert {"no farm", "the farm", "an error"} <= {end for _, end in outcome.counts}


def test_a_live_farm_outlasts_odd_messages(home: Path) -> None:
    outcome = live.run(n=2_000, seed=1, report=report, seconds=2.0)
    assert [failure for failure in outcome.failures if not failure.startswith("only ")] == []
    assert outcome.counts["messages", "sent"] > 0


def test_a_seed_gives_the_same_inputs_again() -> None:
    first, again = (decoders.run_batch(3, 2_000, 7)[0] for _ in range(2))
    assert first.counts == again.counts
    outcomes = [Outcome(), Outcome()]
    for outcome in outcomes:
        core.play(7, 3, outcome)
    assert outcomes[0].counts == outcomes[1].counts


def test_damage_leaves_the_samples_as_they_are() -> None:
    samples = decoders.samples_of("from_client", 1)
    before = [sample.frame for sample in samples]
    decoders.run_batch(0, 5_000, 1)
    assert [mutate.encode(sample.tree) for sample in samples] == [
        mutate.encode(mutate.make_sample(f).tree) for f in before
    ]


# mistakes that it must find


def test_the_harness_finds_a_decoder_that_lets_an_error_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "ProtocolError", ValueError)
    assert decoders.run(n=2_000, seed=1, report=report).failures


def test_the_harness_finds_a_hang() -> None:
    outcome = Outcome()
    outcome.took(0.11, "a frame")
    assert outcome.failures == ["a hang of 0.110 s of processor time: a frame"]


def test_the_harness_finds_code_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "commit_code", lambda farm, step, defines: None)
    assert any("code was dropped" in failure for failure in core.run(n=15, seed=1, report=report).failures)


def test_the_harness_finds_an_endpoint_that_checks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("somewhere")

    monkeypatch.setattr(endpoint, "code_in", fail)
    assert any("RuntimeError" in failure for failure in core.run(n=2, seed=1, report=report).failures)


def test_the_harness_finds_a_reader_that_lets_an_error_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_file, "_NOT_UNDERSTOOD", (ProtocolError,))
    failures = files.run(n=200, seed=1, report=report).failures
    assert any(msgspec.DecodeError.__name__ in failure or "ValidationError" in failure for failure in failures)
