"""Installation from wheel and sdist: both contain the browser's files, so that it needs no Node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.processes import DEADLINE

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "taskfc_ext" / "labextension"
LABEXTENSION = "share/jupyter/labextensions/taskfc-ext"
ENABLED = "etc/jupyter/jupyter_server_config.d/taskfc_ext.json"
WIDGET = [f"taskfc_ext/widget/static/{name}.{kind}" for name in ("queue", "buttons") for kind in ("js", "css")]

pytestmark = pytest.mark.skipif(not BUILT.is_dir(), reason="the browser's files are not built: `make frontend`")


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no command is found, Node neither."""
    return {**os.environ, "PATH": str(tmp_path_factory.mktemp("nowhere"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, nowhere: dict[str, str]) -> Path:
    """A folder with wheel and sdist, made without Node of what is built."""
    folder = tmp_path_factory.mktemp("dist")
    run(nowhere, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder))
    return folder


@pytest.fixture(scope="module")
def wheel(made: Path) -> Path:
    (wheel,) = made.glob("*.whl")
    return wheel


@pytest.fixture
def unpacked(made: Path, tmp_path: Path) -> Path:
    """The sources as they are in the sdist."""
    (sdist,) = made.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(tmp_path / "sdist")
    (root,) = tmp_path.joinpath("sdist").iterdir()
    return root


def run(environment: dict[str, str], *command: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names_in(wheel: Path) -> set[str]:
    """Return what is in a wheel; of shared data, where it is installed."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name.partition(".data/data/")[2] or name for name in names}


def test_the_wheel_has_all_that_runs_in_a_browser(wheel: Path) -> None:
    names = names_in(wheel)
    assert {*WIDGET, ENABLED, f"{LABEXTENSION}/package.json", f"{LABEXTENSION}/install.json"} <= names
    entry = json.loads(BUILT.joinpath("package.json").read_text())["jupyterlab"]["_build"]["load"]
    assert f"{LABEXTENSION}/{entry}" in names
    built = {f"{LABEXTENSION}/{file.relative_to(BUILT)}" for file in BUILT.rglob("*") if file.is_file()}
    assert built <= names
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests", "labextension"))]
    assert not [name for name in names if name.startswith("taskfc_ext/labextension")]  # once is enough


def test_the_wheel_is_installed_without_node(wheel: Path, nowhere: dict[str, str], tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=False)
    python = str(tmp_path / "bin" / "python")
    run(nowhere, sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel))
    assert tmp_path.joinpath(ENABLED).is_file()
    paths = {"JUPYTER_PATH": str(tmp_path / "share" / "jupyter"), "JUPYTER_CONFIG_DIR": str(tmp_path / "c")}
    listed = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list"],
        env={**nowhere, **paths},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    below = (listed.stdout + listed.stderr).partition(str(tmp_path))[2]
    (line,) = [line for line in below.splitlines() if "taskfc-ext" in line][:1]
    assert "enabled" in line
    assert "OK" in line


def test_the_sdist_makes_the_same_wheel_without_node(
    wheel: Path, unpacked: Path, nowhere: dict[str, str], tmp_path: Path
) -> None:
    run(nowhere, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), folder=unpacked)
    (again,) = tmp_path.glob("*.whl")
    assert names_in(again) == names_in(wheel)


def test_both_halves_have_one_version(wheel: Path) -> None:
    assert json.loads(BUILT.joinpath("package.json").read_text())["version"] == wheel.name.split("-")[1]


def test_sources_that_were_changed_are_not_packed_as_they_were_built(unpacked: Path, nowhere: dict[str, str]) -> None:
    changed = unpacked / "labextension" / "src" / "index.ts"
    os.utime(changed)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(unpacked / "dist")]
    done = subprocess.run(
        command, cwd=unpacked, env=nowhere, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode != 0
    assert "The browser's files are not built. Install npm, and Node.js" in done.stderr
