"""A real JupyterLab in a real browser, as far as the tests need it."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect

DEADLINE_MS = 60_000  # a bound on hangs

SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}',
    "docmanager-extension/plugin": '{"autosave": false}',
    # every output is in the page, also of cells that were scrolled away
    "notebook-extension/tracker": '{"windowingMode": "none", "maxNumberOutputs": 1000}',
}


class Lab:
    """A Jupyter server of its own: its settings, its folder, its port, its token.

    Args:
        home: a folder for all of it.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "notebooks"
        self.folder.mkdir()
        self.settings = home / "c" / "lab" / "user-settings" / "@jupyterlab"
        for name, text in SETTINGS.items():
            self.set(name, text)
        self.token = secrets.token_hex(8)
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._log = home / "jupyter.log"
        folders = {"JUPYTER_CONFIG_DIR": "c", "JUPYTER_DATA_DIR": "d", "IPYTHONDIR": "i"}
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.url.rpartition(":")[2],
            "ServerApp.root_dir": self.folder,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": True,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **{name: str(home / folder) for name, folder in folders.items()}},
            )
        self._wait_until_it_answers()

    def set(self, name: str, text: str) -> None:
        """Write a user's setting; the next page that is opened has it."""
        path = self.settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, page: Page, name: str, *sources: str) -> OpenNotebook:
        """Make the notebook `name` with these cells, and open it."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
        path = self.folder / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        page.goto(f"{self.url}/lab/workspaces/{name}/tree/{path.name}?token={self.token}")
        return OpenNotebook(page, path)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + DEADLINE_MS / 1000
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=5).close()
                return
            except OSError:
                alive = self._process.poll() is None and time.monotonic() < deadline
                assert alive, self._log.read_text()
                time.sleep(0.05)


class OpenNotebook:
    """A notebook that is shown in the browser."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the notebook is drawn and its kernel answers."""
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=DEADLINE_MS)
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=DEADLINE_MS)
        self.page.wait_for_function(
            """() => {
                const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
                return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
            }""",
            timeout=DEADLINE_MS,
        )

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
            self.ended(index)

    def ended(self, index: int) -> None:
        """Wait until a cell has run."""
        expect(self.prompt(index)).to_have_text(re.compile(r"\[\d+\]:"), timeout=DEADLINE_MS)

    def prompt(self, index: int) -> Locator:
        """Return a cell's number."""
        return self.cell(index).locator(".jp-InputPrompt")

    def command(self, name: str) -> None:
        """Run a command of JupyterLab's."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def says(self, index: int, text: str) -> None:
        """Wait until `text` stands under a cell."""
        expect(self.output(index)).to_contain_text(text, timeout=DEADLINE_MS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
