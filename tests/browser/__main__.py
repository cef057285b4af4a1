"""Run the tests of the browser again, in other Jupyter servers with the wheel as users install it: `make browsers`.

python -m tests.browser [NAME of a server] [arguments of pytest]
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

SERVERS = {
    "lab-4.2": ["jupyterlab==4.2.*", "notebook==7.2.*", "ipykernel"],
    "hub": ["jupyterhub", "jupyterlab", "notebook", "ipykernel"],
}
"""The packages of each server, besides the wheel."""

PROXY = "configurable-http-proxy"


def main() -> int:
    """Run the tests in one server, or in each; return the first exit code of pytest that is not 0."""
    names, arguments = (
        (sys.argv[1:2], sys.argv[2:]) if sys.argv[1:2] in [[n] for n in SERVERS] else ([*SERVERS], sys.argv[1:])
    )
    return next(filter(None, (run(name, arguments or ["tests/browser"]) for name in names)), 0)


def run(name: str, arguments: list[str]) -> int:
    """Install the server `name`, and run pytest with it; return its exit code."""
    folder = Path(sys.prefix) / "servers" / name
    install(folder, SERVERS[name])
    print(f"the tests of the browser in {name}", flush=True)
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "TASKFC_TEST_SERVER": str(folder)}, check=False
    ).returncode


def install(folder: Path, packages: list[str]) -> None:
    """Make the environment of a server, unless there is one, and put the present wheel into it."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wheel = make_wheel(folder.parent / "dist")
    if not folder.exists():
        print(f"installing {', '.join(packages)} into {folder}", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([*pip, *packages, f"{wheel}[demo]"], check=True)
    if "jupyterhub" in packages and not (folder / "node_modules").exists():
        npm = ["npm", "--prefix", str(folder), "install", "--silent", "--no-audit", "--no-fund", PROXY]
        subprocess.run(npm, check=True)
    # the version is that of the wheel before
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(wheel)], check=True)


def make_wheel(folder: Path) -> Path:
    """Build the wheel in a folder, and return its path."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


if __name__ == "__main__":
    sys.exit(main())
