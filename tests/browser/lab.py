"""A real JupyterLab and a real Notebook 7 in a real browser, as far as the tests need them.

One server serves both, and a kernel of each version; a test says where its notebook is opened:

    def test_something(lab, page):
        notebook = lab.open(page, "name", "first cell", "second cell")  # JupyterLab, the kernel of this environment
        notebook = lab.open(page, "name", "first cell", place=Place("notebook", "ipykernel-6.31"))
        notebook.run(0, 1)                # run cells, and wait for each; `start` and `ended` are its halves
        notebook.card(1)                  # the card under a cell: a Playwright locator, for `expect`
        notebook.output(1), notebook.prompt(1), notebook.says(1, "text")

A test that takes the fixture `place`, and passes it on, runs in all `PLACES`, and is skipped where a kernel is not
installed (`make` installs them). `TASKFC_SCREENSHOTS=folder` keeps a picture of the end of every test.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from playwright.sync_api import Locator, Page, TimeoutError, expect, sync_playwright

from tests.processes import DEADLINE, jupyter_port

DEADLINE_MS = 1000 * DEADLINE

expect.set_options(timeout=DEADLINE_MS)  # its own five seconds are no bound on hangs

LATEST = "python3"
"""The kernel of this environment."""

OTHERS = Path(sys.prefix) / "kernels"
"""Where `make` puts other versions of ipykernel, each alone in a folder."""


SERVER = Path(os.environ.get("TASKFC_TEST_SERVER") or sys.prefix)
"""The environment of the Jupyter server and its kernel; by default this one. `make browsers` sets others."""

PYTHON = str(SERVER / "bin" / "python")
"""Its Python."""


def version(package: str) -> str:
    """Return the version of a package in the environment of the server."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def has_subshells() -> bool:
    """Whether JupyterLab sends comm messages to subshells of kernels that have them: from 4.4 on."""
    return tuple(map(int, version("jupyterlab").split(".")[:2])) >= (4, 4)


KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
"""A page's connection to its kernel, in JavaScript."""


class Place(NamedTuple):
    """The place where a notebook is opened: `lab` or `notebook`, and its kernel."""

    app: str = "lab"
    kernel: str = LATEST

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def lacks(self) -> str | None:
        """What is missing for it, or `None`."""
        if self.kernel == LATEST:
            return None
        if Path(sys.prefix) != SERVER:  # it is of this environment, and a farm has one
            return f"{self.kernel} is not a kernel of {SERVER}"
        if (OTHERS / self.kernel).is_dir():
            return None
        return f"{self.kernel} is not installed in {OTHERS}: `make {OTHERS.name}` does that"


PLACES = [Place(), Place(kernel="ipykernel-6.31"), Place(kernel="ipykernel-7.3"), Place(app="notebook")]
"""Everywhere that a notebook has to work: what differs is the kernel's threads, and the page around the cells."""

BOTH = [Place(), Place(app="notebook")]
"""JupyterLab and Notebook 7, with the kernel of this environment."""

URLS = {"lab": "lab/workspaces/{name}/tree/{name}.ipynb", "notebook": "notebooks/{name}.ipynb"}

SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}',
    "docmanager-extension/plugin": '{"autosave": false}',
    # JupyterLab gives up after a second, which a kernel on a loaded machine may need
    "completer-extension/manager": '{"providerTimeout": 60000}',
    # every output is in the page, also of cells that were scrolled away
    "notebook-extension/tracker": '{"windowingMode": "none", "maxNumberOutputs": 1000}',
}


def chromium() -> str | None:
    """Return the browser's path, or `None` where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


STARTUP = """import faulthandler, os, signal, time
_stacks = open(f"{folder}/{{os.getpid()}}.stacks", "w", buffering=1)
faulthandler.register(signal.SIGUSR1, file=_stacks)
for _event in ("pre_execute", "pre_run_cell", "post_run_cell", "post_execute"):
    get_ipython().events.register(_event, lambda *_, _event=_event: print(time.ctime(), _event, file=_stacks))

# ipykernel before 7.4 loses a request that comes while it sends a reply: https://github.com/ipython/ipykernel/issues/1554
import ipykernel
if (7, 0) <= ipykernel.version_info[:2] < (7, 4):
    from ipykernel.subshell_manager import SubshellManager
    _stream = get_ipython().kernel.shell_stream
    SubshellManager._send_on_shell_channel = lambda self, reply: _stream.send_multipart(reply)
"""
"""Each kernel writes the stacks of its threads when `Lab.describe` asks, below the begins and ends of its cells: a cell
that does not end has a cause. One cause, which is Jupyter's own, is mended here."""


class Lab:
    """A Jupyter server of its own: its settings, its folder, its port, its token.

    Args:
        home: a folder for all of it.
        knows_farms: whether our server extension is on.
    """

    def __init__(self, home: Path, *, knows_farms: bool = True) -> None:
        self.folder = home / "notebooks"
        self.folder.mkdir(parents=True)
        self.settings = home / "c" / "lab" / "user-settings" / "@jupyterlab"
        for name, text in SETTINGS.items():
            self.set(name, text)
        for folder in OTHERS.glob("ipykernel-*"):
            _write_kernelspec(home / "d" / "kernels" / folder.name, folder)
        self.token = secrets.token_hex(8)
        self._log = home / "jupyter.log"
        self._stacks = home / "stacks"
        self._stacks.mkdir()
        startup = home / "i" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        startup.joinpath("stacks.py").write_text(STARTUP.format(folder=self._stacks))
        folders = {"JUPYTER_CONFIG_DIR": "c", "JUPYTER_DATA_DIR": "d", "IPYTHONDIR": "i"}
        self._options = {
            "KernelManager.transport": "ipc",  # a TCP port that is found free may be taken before the kernel has it
            "ServerApp.root_dir": self.folder,
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
            "ServerApp.jpserver_extensions": {"taskfc_ext.server_extension": knows_farms},
        }
        self._environ = {**os.environ, **{name: str(home / folder) for name, folder in folders.items()}}
        self._process = self._start()
        self.url = self._wait_for_address()

    def _start(self) -> subprocess.Popen[bytes]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": self.token,
            **self._options,
        }
        return self._run([PYTHON, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())])

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ)

    def _wait_for_address(self) -> str:
        return f"http://127.0.0.1:{jupyter_port(self._process, self._log)}"

    def go(self, page: Page, path: str) -> None:
        """Open a path of this server in the browser, with the permission to."""
        page.goto(f"{self.url}/{path}?token={self.token}")

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._process.pid

    def set(self, name: str, text: str) -> None:
        """Write a user's setting; the next page that is opened has it."""
        path = self.settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def describe(self) -> str:
        """Return the end of the server's log and the newest kernel's stacks, for a message about a cell that hangs.

        Its main thread stands first, as the end of a long message may be cut off.
        """
        lines = ["log of the server:", *self._log.read_text().splitlines()[-12:]]
        living = [file for file in self._stacks.iterdir() if Path("/proc", file.stem).exists()]
        if living:
            newest = max(living, key=lambda file: file.stat().st_mtime_ns)
            os.kill(int(newest.stem), signal.SIGUSR1)
            time.sleep(1)
            cells, *threads = newest.read_text().replace(sys.base_prefix, "").replace(sys.prefix, "").split("\n\n")
            lines += [f"stacks of kernel {newest.stem}, of {len(living)}:", *reversed(threads), cells]
        return "\n".join(lines)

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(
        self,
        page: Page,
        name: str,
        *sources: str,
        place: Place = Place(),  # noqa: B008
        cells: Sequence[Any] = (),
    ) -> OpenNotebook:
        """Make the notebook `name` with these cells, then those of another one, and open it at `place`."""
        name = f"{name}-{place}".replace(".", "_")  # a workspace has no dots
        cells = [*(nbformat.v4.new_code_cell(source) for source in sources), *cells]
        kernel = {"kernelspec": {"name": place.kernel, "display_name": place.kernel, "language": "python"}}
        path = self.folder / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        self.go(page, URLS[place.app].format(name=name))
        return OpenNotebook(self, page, path)


@contextmanager
def lab_and_page(width: int = 1200, height: int = 900) -> Iterator[tuple[Lab, Page]]:
    """Yield a JupyterLab, and an empty page of a browser: for benchmarks and pictures; tests have fixtures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=options, timeout=5 * DEADLINE_MS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(DEADLINE_MS)
        lab = Lab(Path(folder))
        try:
            yield lab, page
        finally:
            lab.stop()
            browser.close()


class OpenNotebook:
    """A notebook that is shown in the browser."""

    def __init__(self, lab: Lab, page: Page, path: Path) -> None:
        self.lab = lab
        self.page = page
        self.path = path
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the notebook is drawn and its kernel answers."""
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        try:
            self.page.wait_for_function(
                f"""() => {{
                    const kernel = {KERNEL};
                    return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
                }}""",
                timeout=3 * DEADLINE_MS,
            )
        except TimeoutError as error:
            error.add_note(self.lab.describe())
            raise

    def cell(self, index: int) -> Locator:
        """Return the code cell at `index`."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> Locator:
        """Return what stands under a cell."""
        return self.cell(index).locator(".jp-Cell-outputWrapper")

    def card(self, index: int) -> Locator:
        """Return the card under a cell."""
        return self.output(index).locator(".taskfc-card")

    def start(self, index: int) -> None:
        """Run a cell, and go on."""
        self.cell(index).locator(".jp-InputArea-editor .cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def run(self, *indexes: int) -> None:
        """Run cells, and wait for each."""
        for index in indexes:
            self.start(index)
            self.wait_for_end(index)

    def wait_for_end(self, index: int) -> None:
        """Wait until a cell has run."""
        try:
            expect(self.prompt(index)).to_have_text(re.compile(r"\[\d+\]:"))
        except AssertionError as error:
            kernel = self.page.evaluate(
                f"() => {{ const kernel = {KERNEL}; return [kernel?.status, kernel?.connectionStatus]; }}"
            )
            under = self.output(index).all_inner_texts()
            error.add_note(f"under the cell: {under}\nthe page's kernel: {kernel}\n{self.lab.describe()}")
            raise

    def prompt(self, index: int) -> Locator:
        """Return a cell's number."""
        return self.cell(index).locator(".jp-InputPrompt")

    def command(self, name: str) -> None:
        """Run a command of JupyterLab's."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def says(self, index: int, text: str) -> None:
        """Wait until `text` stands under a cell."""
        expect(self.output(index)).to_contain_text(text)


def _write_kernelspec(folder: Path, ipykernel: Path) -> None:
    """Write a kernel like the environment's own, but with another ipykernel before it."""
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": ipykernel.name,
        "language": "python",
        "env": {"PYTHONPATH": str(ipykernel)},
    }
    folder.mkdir(parents=True)
    folder.joinpath("kernel.json").write_text(json.dumps(spec))
