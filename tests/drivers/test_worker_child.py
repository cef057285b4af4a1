"""Tests of a worker's process as its parent sees it; tests/supervisor has those with real workers."""

from __future__ import annotations

import os
import signal
import time

import pytest

from taskfc_ext.drivers import worker_child
from taskfc_ext.drivers.process_tree import is_stopped
from taskfc_ext.drivers.processes import Page
from taskfc_ext.drivers.worker_child import WorkerChild
from tests.processes import until


@pytest.fixture
def child(tmp_path):
    fd = Page.create(tmp_path / "page")
    with (tmp_path / "log").open("wb") as log:
        child = WorkerChild(
            ["sleep", "1000"], page_fd=fd, log_fd=log.fileno(), environ=dict(os.environ), folder=str(tmp_path)
        )
    child.words = Page(fd).words
    os.close(fd)
    yield child
    child.process.kill()
    child.process.wait()


def test_a_suspended_process_is_resumed_once(child):
    assert not child.resume_if_stopped()
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: child.resume_if_stopped(), "it is resumed")
    until(lambda: not is_stopped(child.pid), "it goes on")
    assert not child.resume_if_stopped()


def test_a_process_that_starts_an_attempt_and_is_suspended_while_its_parent_looks_stays_so(child, monkeypatch):
    look = worker_child.is_suspended

    def start_and_stop_then_look(process):
        child.words[Page.STARTED] = 7
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: is_stopped(process.pid), "it is suspended")
        return look(process)

    monkeypatch.setattr(worker_child, "is_suspended", start_and_stop_then_look)
    assert not child.resume_if_stopped()
    time.sleep(0.05)
    assert is_stopped(child.pid)
