"""A farm on a Dask cluster whose connections are encrypted: the certificates come from a live client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Security

from taskfc_ext import restart, start
from tests.engines.clusters import DaskCluster
from tests.processes import DEADLINE, kill_and_wait, until

REQUEST = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=taskfc -keyout key.pem -out cert.pem"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    try:
        subprocess.run(["openssl", *REQUEST.split()], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no `openssl` command, which makes the certificates")
    return folder


@pytest.fixture(scope="module")
def cluster(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    cert, key = certificates / "cert.pem", certificates / "key.pem"
    options = [f"--tls-ca-file={cert}", f"--tls-cert={cert}", f"--tls-key={key}"]
    found = DaskCluster(tmp_path_factory.mktemp("dask"), options=options)
    yield found
    found.close()


@pytest.fixture(params=["by name", "by value"])
def live(request: pytest.FixtureRequest, certificates: Path, cluster: DaskCluster, monkeypatch: Any) -> Iterator[Any]:
    """A client of the cluster whose certificates are files, named from its working directory, or texts."""
    monkeypatch.chdir(certificates)
    cert, key = "cert.pem", "key.pem"
    if request.param == "by value":
        cert, key = Path(cert).read_text(), Path(key).read_text()
    security = Security(tls_ca_file=cert, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
    with Client(cluster.url, security=security, set_as_default=False) as client:
        yield client


def files_with(home: Path, *texts: bytes) -> list[str]:
    """Return the files of a farm that have one of these texts, each with what is around it."""
    files = [file for file in home.rglob("*") if file.is_file()]
    assert files
    found = []
    for file in files:
        content = file.read_bytes()
        found += [
            f"{file}: {content[max(0, at - 80) : at + 40]!r}" for text in texts if (at := content.find(text)) >= 0
        ]
    return found


def test_tasks_run_with_the_certificates_of_a_live_client(home: Path, live: Any, certificates: Path) -> None:
    secret = certificates.joinpath("key.pem").read_bytes().splitlines()[1]
    with start(1, on=live) as farm, farm.client() as client:
        assert client.engine().url.startswith("tls://")
        assert client.submit(abs, -1).result(DEADLINE) == 1
        assert not files_with(home, secret, os.fsencode(certificates / "key.pem"))


@pytest.mark.parametrize("live", ["by value"], indirect=True)
def test_a_farm_that_was_revived_asks_for_the_client_again(home: Path, live: Any) -> None:
    with start(1, on=live) as farm, farm.client() as client:
        kill_and_wait(farm.supervisor_pid)
        task = client.submit(abs, -1)
        until(lambda: "restart(on=client)" in client.engine().text, "the state says what to do")
        with restart(on=live) as again, again.client() as here:
            assert here.future(task.taskid).result(DEADLINE) == 1
