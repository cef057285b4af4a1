from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import VersionMismatch
from taskfc_ext.ipython import extension
from tests.ipython.conftest import FakeFarms, future_on
from tests.processes import DEADLINE
from tests.shells import end_shell, new_shell

FUTURE = ".".join(extension.FUTURE)


def traces(ip: InteractiveShell) -> dict[str, Any]:
    tables = ip.magics_manager.magics
    return {
        "magics": {kind: tables[kind].get("task") for kind in ("line", "cell")},
        "registry": sorted(ip.magics_manager.registry),
        "configurables": len(ip.configurables),
        "matchers": list(ip.Completer.custom_matchers),
        "events": {name: list(found) for name, found in ip.events.callbacks.items()},
        "formatter": [str(key) for key in ip.display_formatter.ipython_display_formatter.deferred_printers],
    }


def test_unloading_leaves_the_shell_as_it_was(shell: Any) -> None:
    extension.unload(shell.ip)
    before = traces(shell.ip)
    extension.load(shell.ip)
    assert traces(shell.ip) != before
    extension.unload(shell.ip)
    assert traces(shell.ip) == before
    extension.unload(shell.ip)


def test_loading_twice_is_loading_once(shell: Any) -> None:
    once = traces(shell.ip)
    extension.load(shell.ip)
    twice = traces(shell.ip)
    for key in ("registry", "configurables", "formatter"):
        assert once[key] == twice[key]
    assert len(once["matchers"]) == len(twice["matchers"]) == 1


def test_a_shadowed_magic_comes_back(shell: Any) -> None:
    extension.unload(shell.ip)

    def task(line: str) -> str:
        return f"theirs {line}"

    shell.ip.register_magic_function(task, "line", "task")
    extension.load(shell.ip)
    assert shell.ip.find_line_magic("task") is not task
    extension.unload(shell.ip)
    assert shell.run("%task 1") == "theirs 1"
    assert shell.ip.find_cell_magic("task") is None


def test_unloading_disconnects_and_leaves_the_farm(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    extension.unload(shell.ip)
    assert ("close",) in farm.asked
    assert farm.runs


WIDGET = "application/vnd.jupyter.widget-view+json"


def test_a_name_holds_the_task_that_a_button_has_retried(live_shell: Any, farm: Any) -> None:
    live_shell.run("%%task fit\n1 / 0")
    old = live_shell.ns["fit"]
    farm.fail(0, ZeroDivisionError("no"))
    (entry,) = live_shell.magics.board._entries()
    assert live_shell.magics.board._act(entry, "retry") == "Task 0 runs again as task 1."
    assert live_shell.ns["fit"] is old  # not behind the back of a running cell
    live_shell.run("x = 1")
    assert live_shell.ns["fit"].taskid == 1
    assert "task 1 fit" in "".join(live_shell.texts()[-2:])
    farm.succeed(1, 42)
    live_shell.run("x = 2")
    assert "42" in "".join(live_shell.texts()[-2:])


def test_tasks_that_buttons_have_retried_on_two_farms_are_told_apart(live_shell: Any, farm: Any) -> None:
    fit = live_shell.run("%%task fit\n1")
    olds = [future_on(name, fit, taskid=0) for name in ("day", "night")]
    news = [future_on(name, fit, taskid=7) for name in ("day", "night")]
    for old, new in zip(olds, news, strict=True):
        live_shell.ns["fit"] = old
        live_shell.magics.board.renewed.extend((0, each) for each in news)
        live_shell.run("1")
        assert live_shell.ns["fit"] is new


def test_the_value_of_a_cell_is_shown_as_a_card(live_shell: Any, farm: Any) -> None:
    live_shell.run("%%task fit\n1")
    card, buttons = live_shell.shown
    assert card["data"]["text/plain"].startswith("○ task 0 fit · scheduled · as of ")
    assert "display_id" in card["transient"]
    assert WIDGET in buttons["data"]
    farm.succeed(0, 42)
    live_shell.run("x = 1")
    card_again, buttons_again = live_shell.shown[-2:]
    assert card_again["transient"] == card["transient"]
    assert card_again["update"] is buttons_again["update"] is True
    assert "42" in card_again["data"]["text/plain"]
    assert buttons_again["transient"] == buttons["transient"]
    assert WIDGET not in buttons_again["data"]
    live_shell.run("t = %task 2")
    assert not any("task 1" in text for text in live_shell.texts())
    live_shell.run("%task show 0-1")
    *_, first, second, buttons_of_second = live_shell.shown
    assert "task 0" in first["data"]["text/plain"]
    assert "task 1" in second["data"]["text/plain"]
    assert WIDGET in buttons_of_second["data"]


def test_the_buttons_of_a_card_are_for_its_own_farm(
    live_shell: Any, farm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    magics = live_shell.magics
    monkeypatch.setattr(magics.session.farms, "identity", lambda name: f"the processes of {name}")
    fit = live_shell.run("%%task fit\n1")
    fit._template.owner = type("Owner", (), {"farm_name": "default", "get_details": fit._template.owner.get_details})()
    live_shell.run("%task use night")
    live_shell.run("fit")
    buttons = magics.board._with_buttons[-1]._buttons
    assert (buttons.farm, buttons.identity) == ("default", "the processes of default")


def test_a_waiting_cell_shows_one_card(live_shell: Any, farm: Any) -> None:
    farm.flush = lambda *_: farm.succeed(0, 7)
    live_shell.run("%%task fit --wait\n7")
    assert len([output for output in live_shell.shown if not output.get("update")]) == 1


def test_a_terminal_is_never_written_to_later(shell: Any, farm: Any) -> None:
    shell.run("%%task fit\n1")
    farm.succeed(0, 42)
    shell.run("x = 1")
    assert len(shell.shown) == 1


@pytest.mark.parametrize("use_jedi", [False, True])
def test_our_completions_come_alone(shell: Any, use_jedi: bool) -> None:
    shell.ip.Completer.use_jedi = use_jedi

    def complete(text: str) -> list[str]:
        cursor = text.index("|") if "|" in text else len(text)
        with provisionalcompleter():
            return [found.text for found in shell.ip.Completer.completions(text.replace("|", ""), cursor)]

    shell.run("%%task fit-1\n1")
    shell.run("fast = 3")
    shell.ip.user_ns["client"] = object.__new__(BlockingTaskClient)  # not connected: only its type counts
    assert complete("%task abo") == ["abort"]
    assert complete("%task wait --t") == ["--timeout"]
    assert complete("%%task --retr|\nx = 1") == ["--retries", "--retry-on"]
    assert complete("%task wait fi") == ["fit-1"]
    assert complete("%%task --on-lost ") == ["retry", "fail"]
    assert complete("%%task -o |\nalpha = 1\nbeta = alpha(") == ["alpha", "beta", "*"]
    assert complete("%%task --timeout ") == [""]
    assert complete("%%task --timeout 3") == ["3"]
    assert "pow" in complete("%task po")
    assert complete("%%task -i fas|\nprint(fast)") == ["fast"]
    assert complete("x = client.with_options(\n    retries=2, pri") == ["priority="]
    assert "*" not in complete("%%task fit\nfas|")
    assert "fast" in complete("%%task fit\nfas|")
    assert "priority=" not in complete("fast.with_options(pri")
    assert "fast" in complete("client.with_options(retries=fa")


def test_loading_imports_nothing_slow_and_starts_nothing() -> None:
    program = """
import sys, threading
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell(config=config)
before = set(sys.modules)
from taskfc_ext.ipython.extension import load
load(shell)
new = set(sys.modules) - before
slow = {"zmq", "cloudpickle", "asyncio", "sqlite3", "ipywidgets", "ipykernel", "numpy"}
assert not {name.partition(".")[0] for name in new} & slow, new
light = {"taskfc_ext.client", "taskfc_ext.client.context", "taskfc_ext.client.context.owner",
         "taskfc_ext.client.progress", "taskfc_ext.client.progress.switch"}
light |= {"taskfc_ext.client.group", "taskfc_ext.client.group.front"}
light |= {"taskfc_ext.drivers", "taskfc_ext.drivers.environment", "taskfc_ext.drivers.cores"}
assert not [name for name in new - light if name.startswith(("taskfc_ext.client", "taskfc_ext.drivers"))]
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE)


def test_two_shells_have_their_own(shell: Any) -> None:
    other = new_shell()
    try:
        extension.load(other)
        extension.unload(other)
        assert shell.ip.find_line_magic("task") is not None
    finally:
        end_shell(other)


def test_loading_beside_a_farm_of_another_version_is_silent(
    farm: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    class OfAnotherVersion(FakeFarms):
        def connect(self, name: str, *, owner: str) -> Any:
            raise VersionMismatch("this client speaks protocol 8, this controller 7")

    monkeypatch.setenv("JPY_SESSION_NAME", "folder/my notebook.ipynb")
    farm.runs = True
    ip = new_shell()
    extension.load(ip, OfAnotherVersion(farm))  # a thread that raised would fail the test
    extension.unload(ip)
    end_shell(ip)
    assert capfd.readouterr() == ("", "")
