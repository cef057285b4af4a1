"""A Jupyter server of a user in a JupyterHub, behind the hub's proxy.

What differs for a page: every path begins with `/user/NAME/`, WebSockets pass through a proxy, and cookies of the hub
take the place of a token.
"""

from __future__ import annotations

import socket
import subprocess
import urllib.request

from playwright.sync_api import Page

from tests.browser.lab import PYTHON, SERVER, Lab
from tests.processes import until

USER, PASSWORD = "ada", "analytical engine"

CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = "{home}/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "{password}"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "{home}/proxy.pid"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{home}/home"
c.Spawner.cmd = ["{python}", "-m", "jupyterhub.singleuser"]
c.Spawner.args = {arguments!r}
c.Spawner.environment = {environ!r}
"""


class HubLab(Lab):
    """A Jupyter server that a hub starts for a user when a page first asks for it."""

    def _start(self) -> subprocess.Popen[bytes]:
        home = self.folder.parent / "hub"
        home.joinpath("home").mkdir(parents=True)
        ports = _free_ports(3)
        self._origin = f"http://127.0.0.1:{ports[0]}"
        config = CONFIG.format(
            home=home,
            port=ports[0],
            hub_port=ports[1],
            proxy_port=ports[2],
            password=PASSWORD,
            proxy=SERVER / "node_modules" / ".bin" / "configurable-http-proxy",
            python=PYTHON,
            arguments=["--allow-root", *(f"--{name}={value}" for name, value in self._options.items())],
            environ={
                name: self._environ[name] for name in self._environ if name.startswith(("XDG", "JUPYTER_", "IPY"))
            },
        )
        home.joinpath("config.py").write_text(config)
        return self._run([PYTHON, "-m", "jupyterhub", "-f", str(home / "config.py")])

    def _wait_for_address(self) -> str:
        def answers() -> bool:
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            try:
                return urllib.request.urlopen(f"{self._origin}/hub/login", timeout=5).status == 200
            except OSError:
                return False

        until(answers, "the hub answers")
        return f"{self._origin}/user/{USER}"

    def go(self, page: Page, path: str) -> None:
        """Open a path of the user's server; sign in and start it first."""
        page.goto(f"{self._origin}/hub/spawn")
        if "/hub/login" in page.url:
            page.locator("#username_input").fill(USER)
            page.locator("#password_input").fill(PASSWORD)
            page.locator("#login_submit").click()
        page.wait_for_url(f"{self.url}/**", wait_until="commit")
        page.goto(f"{self.url}/{path}")


def _free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
