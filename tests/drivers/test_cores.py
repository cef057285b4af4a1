"""Tests of the count of available cores."""

from __future__ import annotations

from taskfc_ext.drivers import cores


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_smallest_quota_from_the_group_to_the_root_counts(tmp_path):
    group(tmp_path / "a/b", cpu__max="max 100000\n")
    group(tmp_path / "a", cpu__max="150000 100000\n")
    group(tmp_path, cpu__max="400000 100000\n")
    assert cores.cgroup_quota("0::/a/b\n", tmp_path) == 1.5


def test_version_1(tmp_path):
    group(tmp_path / "cpu,cpuacct/a", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    group(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert cores.cgroup_quota("4:memory:/a\n3:cpu,cpuacct:/a\n", tmp_path) == 2.0


def test_no_quota(tmp_path):
    assert cores.cgroup_quota("0::/a\n", tmp_path) is None


def test_there_is_always_a_core():
    assert cores.available_cores() >= 1


def test_the_users_own_thread_counts_stay(monkeypatch):
    for name in cores.THREAD_POOLS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environ = cores.thread_pool_environment(10_000)
    assert "OMP_NUM_THREADS" not in environ
    assert environ["MKL_NUM_THREADS"] == "1"
    assert len(environ) == len(cores.THREAD_POOLS) - 1
