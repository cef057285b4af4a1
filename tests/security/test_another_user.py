"""Another user of this machine gets nothing of a farm: no connection, no file, no secret of a command line."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskfc_ext import start
from taskfc_ext.client.start import Controller
from tests.conftest import processes_of
from tests.processes import DEADLINE, until

NOBODY = 65534

SECRET = f"secret-{secrets.token_hex(8)}"
"""In a task's code, its arguments, its result and its output."""

TOKEN = f"token-{secrets.token_hex(8)}"
"""In a variable of the environment of the user's own process."""

CONNECTIONS = 200

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user too")


def as_nobody(attempt: Callable[[], list[str]]) -> list[str]:
    """Return what `attempt` returns in a child that belongs to another user."""
    ours, theirs = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            told = attempt()
        except BaseException:
            told = [traceback.format_exc()]
        os.write(theirs, json.dumps(told)[:60_000].encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        told = json.loads(file.read())
    os.waitpid(pid, 0)
    assert isinstance(told, list)
    return told


SCRIPT = """
from taskfc_ext import TaskClient

def give_back(value):
    print(value)
    return value

with TaskClient() as client:
    assert client.submit(give_back, {secret!r}).result(60) == {secret!r}
    client.submit(give_back, {secret!r} * 500_000).result(60)  # in a file of its own
    client.submit_cell("value = {secret!r}").result(60)
"""
"""A script of the user, who has the token in the environment from the start."""


@pytest.fixture
def farm(home: Path) -> Iterator[Controller]:
    """A farm with tasks, in folders that all users can reach: so it is the farm's own modes that count."""
    home.chmod(0o755)
    for name in ("s", "r", "j"):
        home.joinpath(name).chmod(0o755)
    environ = {**os.environ, "TOKEN_OF_THE_USER": TOKEN, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    source = SCRIPT.format(secret=SECRET)
    subprocess.run([sys.executable, "-c", source], env=environ, umask=0, check=True, timeout=2 * DEADLINE)
    controller = start(1)
    assert controller.attached
    yield controller
    controller.stop()


def all_files(home: Path) -> list[str]:
    """Return the paths of all files and folders of farms, as root finds them."""
    return [str(path) for path in home.rglob("*") if not path.is_symlink() and path.parent != home]


def test_no_file_can_be_opened_and_no_folder_listed(home: Path, farm: Controller) -> None:
    files = all_files(home)
    for part in ("taskfc/default/journal.sqlite", "journal.sqlite-payloads/", ".log", "options.json", ".p0", "taskfc-"):
        assert any(part in file for file in files), f"{part}: one of {files}"

    def attempt() -> list[str]:
        found = []
        for file in files:
            for how in (os.O_RDONLY, os.O_WRONLY):
                try:
                    os.close(os.open(file, how | os.O_NONBLOCK))
                    found.append(f"opened {file}")
                except OSError:
                    pass
            for act in (os.listdir, os.unlink, os.rmdir):
                try:
                    act(file)
                    found.append(f"{act.__name__} {file}")
                except OSError:
                    pass
        return found

    assert as_nobody(attempt) == []
    with farm.client() as client:
        assert client.submit(abs, -1).result(DEADLINE) == 1


def test_no_connection_is_made(home: Path, farm: Controller) -> None:
    sockets = [str(path) for path in home.rglob("*") if path.is_socket()]
    assert len(sockets) >= 2

    def attempt() -> list[str]:
        found = []
        for _ in range(CONNECTIONS // len(sockets)):
            for path in sockets:
                with socket.socket(socket.AF_UNIX) as probe:
                    try:
                        probe.connect(path)
                        found.append(f"connected to {path}")
                    except OSError:
                        pass
        return found

    assert as_nobody(attempt) == []


def test_nothing_listens_on_a_port_or_an_abstract_socket(home: Path, farm: Controller) -> None:
    inodes = set()
    for pid in processes_of(home):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    assert inodes
    listening, abstract = "0A", "@"
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
        assert not [row for row in rows if row[3] == listening and row[9] in inodes]
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    assert not [row for row in rows if row[6] in inodes and len(row) > 7 and row[7].startswith(abstract)]


def test_no_secret_is_in_a_command_line_and_no_environment_can_be_read(home: Path, farm: Controller) -> None:
    pids = processes_of(home)
    roles = {"controller", "supervisor", "worker"}
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in pids}
    assert {role for role in roles if any(f"taskfc_ext.{role}.app" in text for text in commands.values())} == roles
    assert not [text for text in commands.values() if SECRET in text or TOKEN in text]

    def attempt() -> list[str]:
        found = []
        for pid in pids:
            for name in ("environ", "mem", "maps", "fd", "cwd"):
                try:
                    path = f"/proc/{pid}/{name}"
                    _ = os.listdir(path) if name in ("fd", "cwd") else os.close(os.open(path, os.O_RDONLY))
                    found.append(f"read {path}")
                except OSError:
                    pass
        return found

    assert as_nobody(attempt) == []


def test_no_secret_of_a_task_is_in_an_environment_of_ours(home: Path, farm: Controller) -> None:
    for pid in processes_of(home):
        assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_no_secret_of_the_environment_is_stored(home: Path, farm: Controller) -> None:
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert any(SECRET.encode() in content for content in files.values()), "what tasks carry is stored"
    assert not [path for path, content in files.items() if TOKEN.encode() in content]


def test_a_folder_that_another_user_plants_is_not_used(home: Path) -> None:
    folder = home / "r/taskfc"
    home.joinpath("r").chmod(0o1777)
    home.chmod(0o755)
    as_nobody(lambda: [str(folder.mkdir(mode=0o777))])
    assert folder.stat().st_uid == NOBODY
    with pytest.raises(Exception, match=f"belongs to user {NOBODY}"):
        start(1)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    as_nobody(lambda: [str(folder.symlink_to("/tmp"))])
    with pytest.raises(Exception, match="is a symbolic link"):
        start(1)
    folder.unlink()


def test_the_folders_are_private_under_any_umask(home: Path, farm: Controller) -> None:
    shared = [path for path in home.rglob("*") if path.parent != home and not path.is_symlink()]
    assert until(lambda: shared, "there are files")
    open_folders = {path for path in shared if path.is_dir() and path.stat().st_mode & 0o077}
    assert {path.relative_to(home) for path in open_folders if path.name in ("default", "taskfc")} == set()
