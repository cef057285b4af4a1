"""Tests of the paths of a farm's files, and of refused folders."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from taskfc_ext.drivers.paths import SOCKET_PATH_LIMIT, check_store, farm_paths, network_file_system, prepare
from taskfc_ext.errors import StartFailed


@pytest.fixture
def home():
    """A folder with a short path: sockets go into it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def paths_in(home, name="default"):
    return farm_paths(name, environ={"XDG_STATE_HOME": f"{home}/state", "XDG_RUNTIME_DIR": f"{home}/run"})


@pytest.mark.parametrize("name", ["default", "a", "A.b-c_9", "_x", "x" * 64])
def test_names_of_farms(home, name):
    assert paths_in(home, name).store == home / "state/taskfc" / name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "ü", "x" * 65, "a\0"])
def test_a_bad_name_is_refused_with_the_rule(home, name):
    with pytest.raises(ValueError, match="1 to 64 of A-Z") as caught:
        paths_in(home, name)
    assert repr(name) in str(caught.value)


def test_the_tag_tells_stores_apart(home):
    tags = {paths_in(home).tag, paths_in(home, "other").tag, paths_in(home / "elsewhere").tag}
    assert len(tags) == 3
    assert all(len(tag) == 8 for tag in tags)
    assert paths_in(home).tag == paths_in(home).tag


def test_sockets_and_pages_are_short_and_carry_the_tag(home):
    paths = paths_in(home, "x" * 64)
    assert paths.clients == home / "run/taskfc" / f"{paths.tag}.c"
    assert paths.workers.name == f"{paths.tag}.w"
    assert paths.page(12).name == f"{paths.tag}.p12"


def test_relative_folders_in_the_environment_do_not_count():
    paths = farm_paths("default", environ={"XDG_STATE_HOME": "state", "XDG_RUNTIME_DIR": "run"})
    assert paths.store == Path.home() / ".local/state/taskfc/default"
    assert paths.sockets == Path.home() / ".local/state/taskfc/.run"


def test_sockets_are_in_the_users_own_state_where_there_is_no_runtime_folder(home):
    paths = farm_paths("default", environ={"XDG_STATE_HOME": f"{home}/state"})
    assert paths.sockets == home / "state/taskfc/.run"


def test_sockets_are_in_the_temporary_folder_where_the_path_would_be_too_long(home):
    long = home / ("x" * (SOCKET_PATH_LIMIT - len(os.fsencode(home)) - len("//taskfc/.run/01234567.c")))
    shared = Path(tempfile.gettempdir(), f"taskfc-{os.getuid()}")
    assert farm_paths("default", environ={"XDG_STATE_HOME": str(long)}).sockets == long / "taskfc/.run"
    assert farm_paths("default", environ={"XDG_STATE_HOME": f"{long}y"}).sockets == shared


def test_prepare_makes_private_folders(home):
    old = os.umask(0)
    try:
        prepare(paths_in(home))
    finally:
        os.umask(old)
    for folder in (paths_in(home).store.parent, paths_in(home).store, paths_in(home).sockets):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    prepare(paths_in(home))  # and finds them good


def test_a_link_in_place_of_a_folder_is_refused(home):
    (home / "run").mkdir()
    (home / "elsewhere").mkdir(mode=0o700)
    (home / "run/taskfc").symlink_to(home / "elsewhere")
    with pytest.raises(StartFailed, match="is a symbolic link") as caught:
        prepare(paths_in(home))
    assert "XDG_RUNTIME_DIR" in caught.value.hint


def test_a_folder_that_others_can_enter_is_refused(home):
    prepare(paths_in(home))
    paths_in(home).sockets.chmod(0o755)
    with pytest.raises(StartFailed, match=r"mode 755") as caught:
        prepare(paths_in(home))
    assert caught.value.hint == f"chmod 700 {paths_in(home).sockets}"


def test_a_file_in_place_of_a_folder_is_refused(home):
    (home / "state").write_text("")
    with pytest.raises(StartFailed, match="cannot make the folder"):
        prepare(paths_in(home))


def test_a_socket_path_that_is_too_long_is_refused(home):
    with pytest.raises(StartFailed, match=f"can have {SOCKET_PATH_LIMIT}"):
        prepare(paths_in(home / ("x" * 100)))


@pytest.mark.parametrize(
    ("file_system", "found"), [("nfs4", "nfs4"), ("fuse.sshfs", "fuse.sshfs"), ("ext4", ""), ("tmpfs", "")]
)
def test_network_file_systems_are_known_by_the_device(home, file_system, found):
    device = home.stat().st_dev
    mounts = (
        "22 1 0:999 / /other rw - nfs server:/x rw\n"
        f"23 1 {os.major(device)}:{os.minor(device)} / /some\\040where rw shared:1 - {file_system} server:/y rw\n"
    )
    assert network_file_system(home / "not/yet/there", mounts=mounts) == found


def test_a_device_that_is_not_listed_counts_as_local(home):
    assert network_file_system(home, mounts="") == ""


def test_without_a_home_folder_it_says_what_to_set(home, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("jupyter_core.paths.jupyter_runtime_dir", no_home)
    with pytest.raises(StartFailed, match=r"no home folder for user \d+.*: set HOME, or XDG_STATE_HOME, to a folder"):
        farm_paths("default", environ={})
    paths = paths_in(home)
    assert paths.connection_file.parent == paths.store.parent


@pytest.mark.parametrize("which", ["store", "parent"])
def test_a_store_that_others_can_write_to_is_not_used(home, which):
    paths = paths_in(home)
    prepare(paths)
    check_store(paths)
    (paths.store if which == "store" else paths.store.parent).chmod(0o777)
    with pytest.raises(StartFailed, match="not a folder that only this user can write to"):
        check_store(paths)
    shutil.rmtree(paths.store)
    with pytest.raises(StartFailed, match=r"gone|only this user"):
        check_store(paths)
