"""A real Jupyter server, and clients of its API."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import websocket

from taskfc_ext import start
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, jupyter_port

BASE = "/user/me%40place/"
"""Under which all of the server is, as behind a hub: with the name of a user who is called by an address."""

READ_ONLY = """
from jupyter_server.auth import Authorizer

class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action in {actions!r}

c.ServerApp.authorizer_class = ReadOnly
"""


class Server:
    """A Jupyter server with our extension: its settings, its folder, its port, its token.

    Args:
        home: a folder for all of it.
        config: text of its configuration file.
    """

    def __init__(self, home: Path, config: str = "") -> None:
        self.folder = home / "notebooks"
        for folder in (self.folder, home / "c"):
            folder.mkdir(parents=True, exist_ok=True)
        (home / "c" / "jupyter_server_config.py").write_text(config)
        self.token = secrets.token_hex(8)
        self._log = home / "jupyter.log"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,
            "ServerApp.base_url": BASE,
            "ServerApp.root_dir": self.folder,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.jpserver_extensions": "{'taskfc_ext.server_extension': True}",
            "IdentityProvider.token": self.token,
        }
        folders = {"JUPYTER_CONFIG_DIR": "c", "JUPYTER_DATA_DIR": "d", "IPYTHONDIR": "i"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server", *(f"--{name}={value}" for name, value in options.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **{name: str(home / folder) for name, folder in folders.items()}},
            )
        self.origin = f"http://127.0.0.1:{jupyter_port(self.process, self._log)}"
        self.api = f"{self.origin}{BASE}taskfc/api/"

    @property
    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")

    def http(self, *, token: bool = True, **more: Any) -> httpx.Client:
        """Return what sends requests below `taskfc/api/`, with the token or without."""
        headers = {**({"Authorization": f"token {self.token}"} if token else {}), **more.pop("headers", {})}
        return httpx.Client(base_url=self.api, headers=headers, timeout=DEADLINE, **more)

    def ask(self, path: str, **fields: Any) -> httpx.Response:
        """Return the answer to one request: a GET, or a POST of these fields."""
        with self.http() as http:
            return http.post(path, json=fields) if fields else http.get(path)

    def cookies(self) -> dict[str, str]:
        """Log in as a page does; return its cookies, `_xsrf` among them."""
        with httpx.Client(timeout=DEADLINE, follow_redirects=True) as http:
            http.get(f"{self.origin}{BASE}login", params={"token": self.token})
            http.get(f"{self.origin}{BASE}login")
            return dict(http.cookies)

    def page(self, *farms: str, **options: Any) -> Page:
        """Return a page that watches `farms`."""
        page = Page(self, **options)
        for farm in farms:
            page.watch(farm)
        return page

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the Jupyter server did not end: {self.log[-2000:]}")


class Page:
    """A page as the WebSocket sees it."""

    def __init__(self, server: Server, *, token: bool = True, origin: str | None = None, cookies: Any = None) -> None:
        url = server.api.replace("http", "ws", 1) + "watch" + (f"?token={server.token}" if token else "")
        cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items()) or None
        self.farms: dict[str, Any] = {"farms": []}
        who = {"origin": origin} if origin else {"suppress_origin": True}
        self.socket = websocket.create_connection(
            url, timeout=DEADLINE, cookie=cookie, skip_utf8_validation=True, **who
        )

    def watch(self, farm: str) -> None:
        """Ask for a queue."""
        self.say(f'{{"ask": "watch", "farm": "{farm}"}}')

    def say(self, text: str) -> None:
        """Send a text."""
        self.socket.send(text)

    def is_heard(self) -> None:
        """Wait until the server has heard what was said; what it has sent by then is dropped."""
        self.socket.ping()
        while self.socket.recv_data(control_frame=True)[0] != websocket.ABNF.OPCODE_PONG:
            pass

    def next(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = msgspec.json.decode(self.socket.recv())
        if message["type"] == "farms":
            self.farms = message
        return message

    def until(self, wanted: Callable[[dict[str, Any]], object], kind: str = "") -> dict[str, Any]:
        """Return the first message, of this type, that is `wanted`."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = self.next()
            if kind in ("", message["type"]) and wanted(message):
                return message
        pytest.fail("no such message")

    def until_farm(self, name: str, state: str) -> dict[str, Any]:
        """Wait for a farm to be so, if it was not by the last word of the farms; return its status."""
        while farm_of(self.farms, name).get("state") != state:
            self.until(lambda _: True, "farms")
        return farm_of(self.farms, name)

    def why_closed(self) -> tuple[int, str]:
        """Wait for the end; return its code and reason."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            opcode, data = self.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big"), data[2:].decode()
        pytest.fail("it is not closed")

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.shutdown()


def farm_of(farms: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a farm's status in a `Farms`, empty if it is not in it."""
    return next((farm for farm in farms["farms"] if farm["name"] == name), {})


@pytest.fixture(scope="module")
def server(module_home: Path) -> Iterator[Server]:
    """A server for all tests of a module."""
    server = Server(module_home)
    yield server
    server.stop()
    problems = re.findall(r"(?m)^\[E .*|^Traceback.*", server.log)
    assert not problems, server.log


@pytest.fixture(scope="module")
def farm(module_home: Path) -> Iterator[Controller]:
    """A farm of two workers for all tests of a module."""
    with start(2) as controller:
        yield controller


@pytest.fixture
def client(farm: Controller) -> Iterator[Any]:
    """A client of that farm."""
    with farm.client() as client:
        yield client
