"""Options are checked where they are given, and become a `Spec`."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from taskfc_ext import start
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.submit.labels import label_of, label_of_source
from taskfc_ext.client.submit.options import Options, check_no_option
from taskfc_ext.client.submit.submitter import Submitter
from taskfc_ext.errors import TaskTimeout, UnpicklableArgument
from taskfc_ext.near_misses import START_OPTIONS
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.tasks import MapTask, StringTask


class Sink:
    """Keeps what is submitted."""

    farm_name = "test"
    store_began = 0.0

    def __init__(self) -> None:
        self.submitted: list[tuple[Template, bytes]] = []

    def submit(self, template: Template, body: bytes) -> TaskFuture:
        self.submitted.append((template, body))
        return TaskFuture(template, body)

    def share(self, digest: bytes, body: bytes, *, what: str) -> bytes:
        return body

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody may ask for {name}")


def double(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"retires": 1}, TypeError, "did you mean 'retries'"),
        ({"retries": -1}, ValueError, "-1"),
        ({"retries": 10**7}, ValueError, "10,000,000"),
        ({"name": "3x"}, ValueError, "'3x'"),
        ({"name": 3}, TypeError, "3"),
        ({"priority": 1.5}, TypeError, "1.5"),
        ({"priority": 10**7}, ValueError, "10,000,000"),
        ({"timeout": 0}, ValueError, "more than 0"),
        ({"timeout": -1}, ValueError, "-1"),
        ({"timeout": float("nan")}, ValueError, "nan"),
        ({"timeout": "3"}, TypeError, "'3'"),
        ({"after": "fit"}, TypeError, "'fit'"),
        ({"after": [True]}, TypeError, "True"),
        ({"on_lost": "cry"}, ValueError, "'cry'"),
        ({"retry_on": ValueError("x")}, TypeError, "ValueError"),
        ({"retry_on": int}, TypeError, "int"),
        ({"backoff": -1}, ValueError, "-1"),
        ({"after_any": 1}, TypeError, "1"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Options().with_changes(changes)


def test_options_become_a_spec() -> None:
    options = Options().with_changes(
        {
            "retries": 3,
            "timeout": 60,
            "priority": 2,
            "on_lost": "fail",
            "backoff": 1,
            "retry_on": OSError,
            "name": "fit",
        }
    )
    sink = Sink()
    Submitter(sink, options).submit(double, (1,), {})
    template, _ = sink.submitted[0]
    spec = template.spec
    assert spec is not None
    assert (spec.kind, spec.retries, spec.timeout, spec.priority, spec.backoff) == (Kind.FUNCTION, 3, 60.0, 2, 1.0)
    assert (spec.on_lost, spec.retry_timeouts, template.name) == ("fail", True, "fit")  # TimeoutError is an OSError
    assert [digest for digest, _ in template.defines] == [*spec.modules, spec.context, spec.code, spec.retry_on]


def test_whether_timeouts_are_retried() -> None:
    def covers(kind: object) -> bool:
        return Options().with_changes({"retry_on": kind}).retries_timeouts

    assert covers(None)
    assert covers((ValueError, TaskTimeout))
    assert covers(TimeoutError)
    assert not covers(ValueError)


@pytest.mark.parametrize("options", [{}, {"depend": bool}, {"recovery_task": MapTask(double, [1])}])
def test_equal_submissions_share_a_template(options: dict[str, Any]) -> None:
    sink = Sink()
    submitter = Submitter(sink, Options().with_changes(options))
    for i in range(3):
        submitter.submit(double, (i,), {})
        submitter.submit(double, (), {"x": i})
    assert len({id(template) for template, _ in sink.submitted}) == 1


def test_inputs_are_referred_to_once_each() -> None:
    sink = Sink()
    submitter = Submitter(sink, Options())
    parent = submitter.submit(double, (1,), {})
    submitter.submit(pow, (parent, parent), {"mod": parent})
    template, _ = sink.submitted[1]
    assert template.inputs == (parent,)


def test_a_future_of_another_farm_is_refused() -> None:
    other, sink = Sink(), Sink()
    other.farm_name = "other"
    foreign = Submitter(other, Options()).submit(double, (1,), {})
    with pytest.raises(ValueError, match="'other'"):
        Submitter(sink, Options()).submit(double, (foreign,), {})
    other.farm_name = sink.farm_name
    with pytest.raises(ValueError, match="flush"):
        Submitter(sink, Options()).submit(double, (foreign,), {})
    foreign._place = 12
    Submitter(sink, Options().with_changes({"after": foreign})).submit(double, (foreign,), {})
    assert (sink.submitted[0][0].after, sink.submitted[0][0].inputs) == ((12,), (12,))


def test_a_recovery_task_is_sent_with_its_code() -> None:
    sink = Sink()
    recovery = StringTask("x = 1", retries=2)
    Submitter(sink, Options().with_changes({"recovery_task": recovery})).submit(double, (1,), {})
    spec = sink.submitted[0][0].spec
    assert spec is not None
    assert spec.recovery is not None
    assert (spec.recovery.spec.kind, spec.recovery.spec.retries) == (Kind.STRING, 2)
    assert spec.recovery.spec.code in dict(sink.submitted[0][0].defines)
    deep = MapTask(double, [1], recovery_task=MapTask(double, [2]))
    with pytest.raises(ValueError, match="of its own"):
        Submitter(sink, Options().with_changes({"recovery_task": deep})).submit(double, (1,), {})


def test_the_arguments_of_a_recovery_task_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskfc_ext.client.submit.submitter.MAX_RECOVERY", 1000)
    recovery = MapTask(double, [bytes(1000)])
    text = r"the recovery task double are 1,\d{3} bytes pickled, over the limit of 1,000"
    with pytest.raises(UnpicklableArgument, match=text):
        Submitter(Sink(), Options().with_changes({"recovery_task": recovery})).submit(double, (1,), {})


def test_labels() -> None:
    assert label_of(double) == "double"
    assert label_of(test_labels) == "test_labels"
    assert label_of(lambda: 1) == "<lambda>"
    assert label_of("".join) == "str.join"


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("x = 1\ny = 2", "x = 1"),
        ("\n# load\n%matplotlib inline\nimport numpy as np\nfrom os import path\nmodel = fit(x)", "model = fit(x)"),
        ("from os import (\n    path,\n    sep,\n)\nfit(x)", "fit(x)"),
        ("from os import (path)  # (\nfit(x)", "fit(x)"),
        ("import os, \\\n    sys\nfit(x)", "fit(x)"),
        ("@cache\ndef f():\n    return 1", "def f():"),
        ("importance = 3", "importance = 3"),
        ("# only\n# comments", "# only"),
        ("import os", "import os"),
        ("  \n", "empty"),
        ("y" * 300, "y" * 80),
    ],
)
def test_the_label_of_a_cell_is_its_first_telling_line(source: str, label: str) -> None:
    assert label_of_source(source) == label


def test_near_misses_know_all_options_of_a_start() -> None:
    assert {*START_OPTIONS, "name"} == set(inspect.signature(start).parameters)


def test_a_named_argument_that_means_no_option_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(function: object) -> None:
        raise AssertionError(f"the signature of {function} takes longer than a submission")

    monkeypatch.setattr(inspect, "signature", look_up)
    check_no_option(double, {"x": 1})
