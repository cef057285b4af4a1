"""The bridge's process; the supervisor starts `main` in the place of local workers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import sys
from hashlib import blake2b
from typing import Any

from taskfc_ext.drivers.memory import give_back_memory, keep_little_memory
from taskfc_ext.drivers.memory_folder import place_store
from taskfc_ext.drivers.options_file import read_options
from taskfc_ext.drivers.paths import FarmPaths, check_store, farm_paths
from taskfc_ext.drivers.processes import die_with_parent
from taskfc_ext.engines.adapter import Adapter, Events
from taskfc_ext.engines.bridge import Bridge
from taskfc_ext.protocol.options import EngineOptions, FarmOptions

logger = logging.getLogger(__name__)


def main() -> None:
    """Bridge a farm to its engine until the supervisor ends it. Arguments: the farm's name, and the socket pair's end.

    Reads the engine's secrets from stdin, as JSON.
    """
    die_with_parent(os.getppid())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor says when the farm ends
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    keep_little_memory()
    name, supervisor = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    given = json.loads(sys.stdin.buffer.read() or b"{}")
    paths = farm_paths(name)
    check_store(paths)
    options = read_options(paths)
    paths = place_store(paths, options)
    if options.engine is None:
        raise SystemExit(f"farm {name!r} has no engine")
    run = name_bridge(paths.tag, socket.gethostname())
    has_failed = asyncio.run(_serve(paths, options, options.engine, supervisor, run, given))
    os._exit(int(has_failed))  # an engine's library may have threads that do not end


def name_bridge(tag: str, host: str) -> str:
    """Return a new name for a bridge of the farm with this tag on this host.

    A bridge ends the slots of its predecessors, whose names are the same up to the `x`. The tag alone does not say
    whose they are: it stands for a path, which farms on two hosts may share.
    """
    return f"{tag}{blake2b(host.encode(), digest_size=3).hexdigest()}x{secrets.token_hex(3)}"


async def _serve(
    paths: FarmPaths,
    options: FarmOptions,
    engine: EngineOptions,
    supervisor: socket.socket,
    run: str,
    given: dict[str, Any],
) -> bool:
    events: Events = asyncio.Queue()
    sys.modules.setdefault("numpy", None)  # type: ignore[arg-type]  # an engine's library does without, in 12 MB less
    adapter = make_adapter(engine, events, run, given)
    give_back_memory()  # after the import of that library: 11 MB
    bridge = Bridge(paths, options, engine, supervisor, run=run, adapter=adapter, events=events)
    await bridge.run()
    return bridge.has_failed


def make_adapter(engine: EngineOptions, events: Events, run: str, given: dict[str, Any]) -> Adapter:
    """Return the adapter of an engine.

    Args:
        given: the engine's secrets.
    """
    if engine.kind == "dask":
        from taskfc_ext.engines.dask import DaskAdapter

        return DaskAdapter(engine.url, events, run=run, resources=engine.resources, security=given.get("security"))
    if engine.kind == "ray":
        from taskfc_ext.engines.ray import RayAdapter

        return RayAdapter(engine.url, events, run=run, resources=engine.resources)
    from taskfc_ext.engines.fake import FakeAdapter

    return FakeAdapter(engine.url, events, run=run)
