"""Tests of the folder for sockets: made if it is missing, and refused if it is not safe, at each use."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from taskfc_ext.drivers.processes import Page
from taskfc_ext.drivers.socket_folder import FolderRefused, check_peer, hold_folder, open_folder
from taskfc_ext.drivers.transport import Dealer, Router
from taskfc_ext.protocol.client_messages import ControllerMessage, QueueStatus
from taskfc_ext.protocol.codec import from_controller
from tests.processes import until

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user too")


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of the folder, below one that all users can write to."""
    parent = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))
    parent.chmod(0o1777)
    yield parent / "sockets"
    shutil.rmtree(parent)


def as_nobody(function: Callable[[], None]) -> int:
    """Run `function` in a child that belongs to another user; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            function()
        finally:
            os._exit(0)
    return pid


def make_as_nobody(folder: Path) -> None:
    os.waitpid(as_nobody(lambda: folder.mkdir(mode=0o777)), 0)
    folder.chmod(0o777)


def link(folder: Path) -> None:
    folder.with_name("elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.with_name("elsewhere"))


def file(folder: Path) -> None:
    folder.write_text("")


def make_world_writable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def make_group_writable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def make_dangling_link(folder: Path) -> None:
    folder.symlink_to(folder.with_name("nowhere"))


BAD = [
    (link, "is a symbolic link"),
    (make_dangling_link, "is a symbolic link"),
    (file, "Not a directory"),
    (make_world_writable, "can be written to by other users"),
    (make_group_writable, "can be written to by other users"),
    pytest.param(make_as_nobody, f"belongs to user {NOBODY}, not to 0", marks=needs_root),
]


def bind(folder: Path) -> None:
    Router(folder / "c")


def connect(folder: Path) -> None:
    Dealer(folder / "c", from_controller)


def connect_both(folder: Path) -> tuple[Router, Dealer[ControllerMessage], object]:
    """Return a router, a dealer that has sent it a message, and the dealer's routing id."""
    router = Router(folder / "c")
    dealer: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
    dealer.send([QueueStatus(seq=1)])
    ((peer, _),) = until(lambda: router.receive(1), "something arrives")
    return router, dealer, peer


def page(folder: Path) -> None:
    Page.create(folder / "p")


@pytest.mark.parametrize("use", [bind, connect, page], ids=lambda use: use.__name__)
@pytest.mark.parametrize(("made", "problem"), BAD)
def test_an_unsafe_folder_is_refused_at_each_use(
    folder: Path, use: Callable[[Path], None], made: Callable[[Path], None], problem: str
) -> None:
    made(folder)
    with pytest.raises(FolderRefused, match=problem) as caught:
        use(folder)
    assert str(folder) in str(caught.value)
    assert "or set XDG_RUNTIME_DIR to another folder" in caught.value.hint


def test_a_missing_folder_is_made_for_its_owner_alone(folder: Path) -> None:
    with hold_folder(folder):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_removed_folder_is_made_again_and_connections_go_on(folder: Path) -> None:
    router, old, peer = connect_both(folder)
    for _ in range(2):
        shutil.rmtree(folder)
        early: Dealer[ControllerMessage] = Dealer(router.path, from_controller)  # it makes the folder
        early.send([QueueStatus(seq=2)])
        shutil.rmtree(folder)
        assert early.is_astray
        assert router.rebind_if_vanished()
        assert not router.rebind_if_vanished()
        late: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
        assert not late.is_astray
        late.send([QueueStatus(seq=3)])
        assert until(lambda: router.receive(1), "something arrives")[0][0] != peer
        old.send([QueueStatus(seq=4)])
        assert until(lambda: router.receive(1), "something arrives")[0][0] == peer
        early.close()
        late.close()
    old.close()
    router.close()


@needs_root
def test_a_folder_that_another_user_has_made_again_is_not_used(folder: Path) -> None:
    router, old, peer = connect_both(folder)
    shutil.rmtree(folder)
    make_as_nobody(folder)
    assert not router.rebind_if_vanished()
    assert list(folder.iterdir()) == []
    with pytest.raises(FolderRefused):
        Dealer(router.path, from_controller)
    old.send([QueueStatus(seq=2)])  # connected peers stay connected
    assert until(lambda: router.receive(1), "something arrives")[0][0] == peer
    shutil.rmtree(folder)
    assert router.rebind_if_vanished()
    old.close()
    router.close()


@needs_root
def test_a_connection_that_breaks_is_not_made_again_in_another_users_folder(folder: Path) -> None:
    """ZMQ reconnects by itself, and must not use another socket at the old path."""
    router, dealer, _ = connect_both(folder)
    router.close()
    shutil.rmtree(folder)
    make_as_nobody(folder)

    with zmq.Context() as context, context.socket(zmq.ROUTER) as trap:
        trap.linger = 0
        trap.bind(f"ipc://{folder}/c")
        os.chmod(folder / "c", 0o777)
        dealer.send([QueueStatus(seq=2)])
        assert not trap.poll(300)
    dealer.close()


@needs_root
def test_messages_of_another_user_are_not_received(folder: Path) -> None:
    router = Router(folder / "c")
    folder.chmod(0o777)
    (folder / "c").chmod(0o777)

    def speak() -> None:
        dealer = zmq.Context().socket(zmq.DEALER)
        dealer.linger = 0
        dealer.connect(f"ipc://{folder}/c")
        dealer.send(b"hello")
        time.sleep(0.3)

    os.waitpid(as_nobody(speak), 0)
    assert router.receive(10) == []
    router.close()


@needs_root
def test_no_message_is_sent_to_another_user(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    ready, tell = os.pipe()

    def listen() -> None:
        server = socket.socket(socket.AF_UNIX)
        server.bind(f"{folder}/c")
        os.chmod(f"{folder}/c", 0o777)
        server.listen()
        os.write(tell, b"x")
        time.sleep(60)

    pid = as_nobody(listen)
    os.read(ready, 1)
    folder.chmod(0o700)
    fd = open_folder(folder)
    with pytest.raises(FolderRefused, match=f"user {NOBODY} listens on"):
        check_peer(fd, folder / "c")
    with pytest.raises(FolderRefused, match=f"user {NOBODY} listens on"):
        Dealer(folder / "c", from_controller)
    os.close(fd)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
