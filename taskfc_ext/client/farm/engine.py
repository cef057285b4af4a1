"""The engine that `on=` names: the address of a Dask scheduler or a Ray cluster, a scheduler file, a live client."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from taskfc_ext.errors import BadEngine, EngineWarning, StartFailed
from taskfc_ext.protocol.limits import MAX_SECONDS
from taskfc_ext.protocol.options import EngineOptions
from taskfc_ext.view.engine_words import RAY

IDLE = 60.0
"""Default of `idle`: seconds after which an idle slot ends."""

_DASK = ("tcp", "tls", "ucx", "ws", "wss")
"""Schemes of the addresses of Dask's schedulers."""

_ENCRYPTED = ("tls", "wss")

_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+")

_FILES = ("tls_ca_file", "tls_client_cert", "tls_client_key")
"""The certificates of a `distributed.Security`."""

_EXAMPLES = (
    "such as 'tcp://head:8786' (Dask), 'ray://head:10001' or 'ray' (Ray), a scheduler file, or a distributed.Client"
)

_PACKAGES = {"dask": ("distributed",), "ray": ("ray", "grpc")}
"""The packages that reach an engine, all in the extra of its name; Ray Client needs grpc."""


class Engine(NamedTuple):
    """An engine to start a farm on.

    Attributes:
        options: to be stored.
        secrets: handed to the bridge, and never stored, as JSON; empty: the user's own configuration lets it in.
        note: what the user should know, in a sentence; else empty.
    """

    options: EngineOptions
    secrets: bytes = b""
    note: str = ""


def engine_of(on: object, *, resources: Mapping[str, float] | None = None, idle: float = IDLE) -> Engine:
    """Return the engine that `on` names.

    Args:
        on: an address, `ray`, the path of a scheduler file, or a live `distributed.Client` or `Cluster`.
        resources: of the engine, that each slot takes.
        idle: seconds after which an idle slot ends.

    Raises:
        TypeError, BadEngine: it names none, or an option is not possible; the message says what can be given.
        StartFailed: it cannot be used from here.
    """
    resources = _check_slot_resources(resources)
    if not isinstance(idle, int | float) or isinstance(idle, bool) or not 0 <= idle <= MAX_SECONDS:
        raise BadEngine(f"idle is a number of seconds from 0, where 0 keeps idle slots, not {idle!r}")
    kind, url, secrets, note = _find(on)
    for package in _PACKAGES.get(kind, ()):
        if importlib.util.find_spec(package) is None:
            raise StartFailed(
                f"{url} is reached with the package {package!r}, which is not installed here",
                hint=f"pip install 'taskfc-ext[{kind}]'",
            )
    note = note or _warning_of(kind, url)
    return Engine(EngineOptions(kind=kind, url=url, idle=idle, resources=resources), secrets, note)


def _check_slot_resources(resources: object) -> dict[str, float]:
    """Return the resources of an engine that each slot takes; `None` stands for none.

    Raises:
        BadEngine: a name or an amount is not possible.
    """
    if resources is None:
        return {}
    if not isinstance(resources, Mapping):
        raise BadEngine(f"resources is a dict of names and amounts, such as {{'GPU': 1}}, not {resources!r}")
    for name, amount in resources.items():
        if not isinstance(name, str) or not name.strip():
            raise BadEngine(f"the name of a resource is a str, such as 'GPU', not {name!r}")
        if not isinstance(amount, int | float) or isinstance(amount, bool) or not 0 < amount < math.inf:
            raise BadEngine(f"resources[{name!r}] is an amount above 0, not {amount!r}")
    return dict(resources)


def tell(engine: Engine) -> None:
    """Warn of what the user should know."""
    if engine.note:
        warnings.warn(engine.note, EngineWarning, stacklevel=3)


class _Found(NamedTuple):
    kind: Literal["dask", "ray", "fake"]
    url: str
    secrets: bytes = b""
    note: str = ""


def _find(on: object) -> _Found:
    if on == RAY:
        return _Found("ray", RAY)
    if on == "":
        raise BadEngine(f"on= takes an engine, {_EXAMPLES}; not an empty text")
    if isinstance(on, Path) or (isinstance(on, str) and "://" not in on):
        return _of_file(Path(on))
    if isinstance(on, str):
        return _of_address(on)
    if hasattr(on, "scheduler_address") or hasattr(on, "scheduler_info"):  # Cluster, Client
        return _of_live(on)
    raise TypeError(f"on= takes an engine, {_EXAMPLES}; not {on!r}")


def _of_address(address: str) -> _Found:
    scheme, _, rest = address.partition("://")
    if scheme == "dask" and rest.startswith("="):
        return _of_address(rest[1:])
    if scheme == "inproc":
        raise BadEngine(f"{address}: this cluster lives inside this process; use LocalCluster(processes=True)")
    if scheme == "fake" and rest:
        return _Found("fake", address)
    if scheme == RAY:
        return _complete("ray", address, "a Ray Client server is at an address such as ray://head:10001")
    if scheme not in _DASK:
        raise BadEngine(f"{address!r} is not the address of an engine, {_EXAMPLES}")
    return _complete("dask", address, "a Dask scheduler is at an address such as tcp://head:8786")


def _complete(kind: Literal["dask", "ray"], address: str, hint: str) -> _Found:
    """Return the engine at an address with a host and a port."""
    try:
        parts = urlsplit(address)
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if not complete:
        raise BadEngine(f"{address!r} has no host or no port; {hint}")
    return _Found(kind, address)


def _of_file(path: Path) -> _Found:
    try:
        content = json.loads(path.read_text())
        address = content["address"]
    except FileNotFoundError:
        more = f"; is it {_DASK[0]}://{path}?" if _HOST_AND_PORT.fullmatch(str(path)) else ""
        raise BadEngine(f"{str(path)!r} is neither the address of an engine, {_EXAMPLES}, nor a file{more}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadEngine(f"{path} is not a scheduler file of Dask: {type(error).__name__}: {error}") from None
    return _of_address(str(address))


def _of_live(on: Any) -> _Found:
    """Return the engine of a live `distributed.Client` or `Cluster`."""
    scheduler = getattr(on, "scheduler", None)
    address = getattr(on, "scheduler_address", "") or getattr(scheduler, "address", "") or ""
    status = getattr(getattr(on, "status", None), "name", getattr(on, "status", None))
    if not address or status in ("closing", "closed", "failed"):
        raise StartFailed(f"{on!r} has no scheduler any more", hint="make a new client or cluster")
    kind, url, _, _ = _of_address(str(address))
    note = ""
    if hasattr(on, "scale"):  # a Cluster, of which this process is the owner
        note = f"{type(on).__name__} ends with this process; its tasks then wait for the next start(on=...)"
    return _Found(kind, url, _secrets_of(getattr(on, "security", None)), note)


def _secrets_of(security: Any) -> bytes:
    """Return the arguments that make an equal `distributed.Security`, as JSON; empty without TLS.

    Dask takes a certificate as a text of some lines or as the name of a file, here relative to our working directory,
    which the bridge does not have.
    """
    names = (*_FILES, "tls_ciphers", "require_encryption")
    found = {name: value for name in names if (value := getattr(security, name, None)) is not None}
    for name in _FILES:
        if name in found and "\n" not in found[name]:
            found[name] = os.path.abspath(found[name])
    return json.dumps({"security": found}).encode() if found.get("tls_ca_file") else b""


def _warning_of(kind: str, url: str) -> str:
    """Return what to know of an address that is not encrypted and not of this machine; else ""."""
    address = os.environ.get("RAY_ADDRESS", "auto") if url == RAY else url
    parts = urlsplit(address if "://" in address else f"//{address}")
    host = "" if address == "auto" else parts.hostname or ""
    is_here = host in ("", "localhost", "::1") or host.startswith("127.")
    if kind == "fake" or is_here or parts.scheme in _ENCRYPTED or (kind == "ray" and _uses_tls(os.environ)):
        return ""
    remedy = "Dask's TLS prevents it" if kind == "dask" else "Ray's TLS and tokens prevent it"
    return f"{address} is not encrypted: whoever reaches that port can run code as you; {remedy}"


def _uses_tls(environ: Mapping[str, str]) -> bool:
    return environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
