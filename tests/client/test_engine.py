"""`on=`: what names an engine, and what is refused with the reason."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from taskfc_ext.client.farm.engine import engine_of
from taskfc_ext.errors import BadEngine, StartFailed


@pytest.mark.parametrize(
    ("on", "kind", "url"),
    [
        ("tcp://head:8786", "dask", "tcp://head:8786"),
        ("tls://10.0.0.1:8786", "dask", "tls://10.0.0.1:8786"),
        ("dask://=tcp://head:1", "dask", "tcp://head:1"),
        ("fake:///tmp/x", "fake", "fake:///tmp/x"),
        ("ray://head:10001", "ray", "ray://head:10001"),
        ("ray", "ray", "ray"),
        (SimpleNamespace(scheduler_address="tcp://h:1", scale=len), "dask", "tcp://h:1"),
        (SimpleNamespace(scheduler_info=dict, scheduler=SimpleNamespace(address="tcp://h:2")), "dask", "tcp://h:2"),
    ],
    ids=str,
)
def test_an_engine_is_named_by_an_address_or_a_live_object(on, kind, url, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # Ray is large, and need not be there
    options = engine_of(on, resources={"GPU": 1}, idle=5.0).options
    assert (options.kind, options.url, options.resources, options.idle) == (kind, url, {"GPU": 1}, 5.0)


def test_a_scheduler_file_has_the_address(tmp_path: Path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://head:8786", "workers": {}}))
    assert engine_of(file).options.url == engine_of(str(file)).options.url == "tcp://head:8786"
    file.write_text("[]")
    with pytest.raises(ValueError, match="is not a scheduler file of Dask"):
        engine_of(file)


@pytest.mark.parametrize(
    ("on", "error", "message"),
    [
        (7, TypeError, "not 7"),
        ("head:8786", ValueError, "'head:8786' is neither the address of an engine.* is it tcp://head:8786?"),
        ("cluster.json", ValueError, "'cluster.json' is neither the address of an engine, .*, nor a file$"),
        ("", ValueError, "not an empty text"),
        ("tcp://head", ValueError, "has no host or no port"),
        ("tcp://head:port", ValueError, "has no host or no port"),
        ("http://head:8787", ValueError, "is not the address of an engine"),
        ("ray://head", ValueError, "has no host or no port; a Ray Client server is at an address such as ray://head:1"),
        ("ray:head:6379", ValueError, "is neither the address of an engine, such as .* 'ray' "),
        ("inproc://10.0.0.1/1/1", ValueError, r"use LocalCluster\(processes=True\)"),
        (SimpleNamespace(scheduler_info=dict, scheduler=None), StartFailed, "has no scheduler any more"),
        (
            SimpleNamespace(scheduler_address="tcp://head:1", status=SimpleNamespace(name="closed")),
            StartFailed,
            "has no scheduler any more",
        ),
    ],
    ids=str,
)
def test_what_names_no_engine_is_refused_with_the_reason(on, error, message):
    with pytest.raises(error, match=message):
        engine_of(on)


@pytest.mark.parametrize(
    ("url", "environ", "is_told"),
    [
        ("tcp://head:8786", {}, True),
        ("tcp://127.0.0.1:8786", {}, False),
        ("tcp://localhost:1", {}, False),
        ("tls://head:1", {}, False),
        ("ray://head:10001", {}, True),
        ("ray://head:10001", {"RAY_USE_TLS": "1"}, False),
        ("ray://127.0.0.1:10001", {}, False),
        ("ray", {}, False),
        ("ray", {"RAY_ADDRESS": "10.0.0.1:6379"}, True),
        ("ray", {"RAY_ADDRESS": "127.0.0.1:6379"}, False),
        ("ray", {"RAY_ADDRESS": "auto"}, False),
    ],
)
def test_an_address_that_is_not_encrypted_is_told(url, environ, is_told, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for name in ("RAY_ADDRESS", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert ("is not encrypted" in engine_of(url).note) == is_told


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("tcp://h:1", "distributed", "dask"), ("ray", "ray", "ray"), ("ray", "grpc", "ray")]
)
def test_a_missing_package_is_named_with_what_installs_it(url, package, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(StartFailed, match=f"the package '{package}', which is not installed here") as caught:
        engine_of(url)
    assert caught.value.hint == f"pip install 'taskfc-ext[{extra}]'"


def test_the_certificates_of_a_live_client_are_secrets_and_no_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    security = SimpleNamespace(tls_ca_file="ca.pem", tls_client_cert="-----\nc.pem\n", tls_client_key="/k.pem")
    engine = engine_of(SimpleNamespace(scheduler_address="tls://h:1", security=security))
    assert json.loads(engine.secrets) == {
        "security": {
            "tls_ca_file": f"{tmp_path}/ca.pem",
            "tls_client_cert": "-----\nc.pem\n",
            "tls_client_key": "/k.pem",
        }
    }
    assert "pem" not in repr(engine.options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"idle": -4.0}, "idle is a number of seconds from 0, where 0 keeps idle slots, not -4.0"),
        ({"idle": "1"}, "idle is a number of seconds from 0, where 0 keeps idle slots, not '1'"),
        ({"resources": {"GPU": 0}}, r"resources\['GPU'\] is an amount above 0, not 0"),
        ({"resources": {"GPU": "x"}}, r"resources\['GPU'\] is an amount above 0, not 'x'"),
        ({"resources": {"GPU": True}}, r"resources\['GPU'\] is an amount above 0, not True"),
        ({"resources": {"": 1}}, "the name of a resource is a str, such as 'GPU', not ''"),
        ({"resources": {5: 1}}, "the name of a resource is a str, such as 'GPU', not 5"),
        ({"resources": [("GPU", 1)]}, r"resources is a dict of names and amounts, such as \{'GPU': 1\}, not "),
    ],
    ids=str,
)
def test_options_that_are_not_possible_are_named(options, message):
    with pytest.raises(BadEngine, match=message):
        engine_of("tcp://head:8786", **options)
