"""The attacks, each in a process of its own: `python -m tests.hostile.attacks NAME FARM SECONDS`.

Each is bounded in count and time. One that ends before its time, most often as it is cut off, comes again with a new
connection. The process prints a line when it is ready, begins when a line comes on stdin, and prints what it has sent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from taskfc_ext.drivers.paths import FarmPaths, farm_paths
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.limits import MAX_CLIENT_FRAME
from taskfc_ext.protocol.spec import Kind, Spec
from tests.hostile.peer import Peer, hello

RESULTS = "results"
"""Name of the tasks whose results are asked for."""

SPEC = Spec(kind=Kind.STRING, code=b"c" * 16, label="f")

Attack = Callable[[FarmPaths, float], str]


def _flood(paths: FarmPaths, until: float, n: int, ask: Callable[[Peer], said.Request], *, at_once: int = 1000) -> str:
    """Send `n` requests as fast as the controller takes them, and wait while it works on them."""
    peer, sent, answered = Peer(paths.clients), 0, 0
    peer.greet()
    while sent < n and time.monotonic() < until:
        if not peer.send_soon([ask(peer) for _ in range(min(at_once, n - sent))]):
            break
        sent += at_once
    while answered < sent and (left := until - time.monotonic()) > 0:
        answers = peer.receive(left)
        if any(isinstance(answer, said.Refused) and answer.seq == 0 for answer in answers):
            break  # it is cut off
        answered += len(answers)
    peer.close()
    return f"{sent:,} requests, {answered:,} answers"


def _find(paths: FarmPaths, **filters: Any) -> tuple[int, ...]:
    """Return the ids of the tasks that match a list's filters."""
    peer = Peer(paths.clients)
    peer.greet()
    peer.send(peer.ask(said.ListTasks, **filters))
    (reply,) = peer.answers_to([peer.seq], 30.0).values()
    peer.close()
    assert isinstance(reply, said.Reply), reply
    assert reply.value, f"no task has {filters}"
    return tuple(info.taskid if hasattr(info, "taskid") else info["taskid"] for info in reply.value)


def computes(paths: FarmPaths, until: float) -> str:
    """No attack: it takes a core, and sends nothing. What the others lose to it is the machine's."""
    n = 0
    while time.monotonic() < until:
        n += 1
    return f"{n:,} looks at the clock, no message"


def pings(paths: FarmPaths, until: float) -> str:
    """A million pings."""
    return _flood(paths, until, 1_000_000, lambda peer: peer.ask(said.Ping))


def barriers(paths: FarmPaths, until: float) -> str:
    """A hundred thousand barriers on a task that never ends."""
    unfinished = _find(paths, states=("waiting",), limit=1)
    return _flood(paths, until, 100_000, lambda peer: peer.ask(said.Barrier, taskids=unfinished))


def lists(paths: FarmPaths, until: float) -> str:
    """Lists of a long queue, with a filter that nothing passes."""
    return _flood(paths, until, 2_000, lambda peer: peer.ask(said.ListTasks, name="nobody"), at_once=100)


def long_lists(paths: FarmPaths, until: float) -> str:
    """Lists of ten thousand tasks each."""
    return _flood(paths, until, 500, lambda peer: peer.ask(said.ListTasks, limit=10_000), at_once=50)


def watches(paths: FarmPaths, until: float) -> str:
    """Subscriptions to a long queue, again and again."""
    return _flood(paths, until, 500, lambda peer: peer.ask(said.Watch), at_once=50)


def submits(paths: FarmPaths, until: float) -> str:
    """Submissions in messages of one task; none of them ever starts, as they come after one that never ends."""
    unfinished = _find(paths, states=("waiting",), limit=1)
    peer, sent = Peer(paths.clients), 0
    peer.greet()
    peer.send(said.Define(SPEC.code, b"pass"))
    while sent < 200_000 and time.monotonic() < until:
        batch = [peer.ask(said.Submit, spec=SPEC, bodies=(b"x",), after=unfinished) for _ in range(500)]
        if not peer.send_soon(batch):
            break
        sent += len(batch)
    peer.close()
    return f"{sent:,} submissions"


def sessions(paths: FarmPaths, until: float) -> str:
    """Fifty thousand sessions that say hello and leave."""
    n = 0
    while n < 50_000 and time.monotonic() < until:
        peers = [Peer(paths.clients) for _ in range(100)]
        for peer in peers:
            peer.greet()
            peer.close()
        n += len(peers)
    return f"{n:,} sessions"


def hellos(paths: FarmPaths, until: float) -> str:
    """Fifty thousand sessions over one connection."""
    peer, n = Peer(paths.clients), 0
    while n < 50_000 and time.monotonic() < until:
        if not peer.send_soon([hello(f"{n + i:016x}") for i in range(500)]):
            break
        n += 500
    peer.receive(1.0)
    peer.close()
    return f"{n:,} sessions"


def results(paths: FarmPaths, until: float) -> str:
    """Sixty times forty megabytes of results, of which nothing is read."""
    ids = _find(paths, taskids=tuple(range(10_000)), name=RESULTS, limit=10_000)
    peer = Peer(paths.clients, keep=1)
    peer.greet()
    for _ in range(60):
        peer.send_soon([peer.ask(said.GetResults, taskids=ids)], 1.0)
    time.sleep(max(0.0, until - time.monotonic()))
    peer.close()
    return f"60 x {len(ids)} results"


def large_frames(paths: FarmPaths, until: float) -> str:
    """Twenty frames of a hundred megabytes: one submission each."""
    return _send_twenty(paths, until, codec.encode([said.Submit(seq=1, spec=SPEC, bodies=(bytes(100 * 2**20),))]))


def frames_of_ids(paths: FarmPaths, until: float) -> str:
    """Twenty frames, each as large as a farm takes, of 20 million ids."""
    frame = codec.encode([said.GetResults(seq=1, taskids=(5,) * 100_000)] * (MAX_CLIENT_FRAME // 100_100))
    assert 0.99 * MAX_CLIENT_FRAME < len(frame) <= MAX_CLIENT_FRAME
    return _send_twenty(paths, until, frame)


def _send_twenty(paths: FarmPaths, until: float, frame: bytes) -> str:
    peer, n = Peer(paths.clients, keep=1), 0
    peer.greet()
    for _ in range(20):
        if time.monotonic() > until or not peer.send_raw(frame, 2.0):
            break
        n += 1
    time.sleep(min(2.0, max(0.0, until - time.monotonic())))
    peer.close()
    return f"{n} frames"


def junk(paths: FarmPaths, until: float) -> str:
    """A million frames that are no messages."""
    return _send_junk(Peer(paths.clients), until, 1_000_000)


def worker_junk(paths: FarmPaths, until: float) -> str:
    """A hundred thousand frames of junk on the socket of the workers."""
    return _send_junk(Peer(paths.workers), until, 100_000)


def _send_junk(peer: Peer, until: float, n: int) -> str:
    sent = 0
    while sent < n and time.monotonic() < until and peer.send_raw(b"\xc1junk" * 3, 1.0):
        sent += 1
    time.sleep(min(1.0, max(0.0, until - time.monotonic())))
    peer.close()
    return f"{sent:,} frames"


def connections(paths: FarmPaths, until: float) -> str:
    """A thousand connections at once."""
    peers = []
    while len(peers) < 900 and time.monotonic() < until:
        peer = Peer(paths.clients)
        peer.greet()
        peers.append(peer)
    for peer in peers:
        peer.close()
    return f"{len(peers)} connections"


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        computes, pings, barriers, lists, long_lists, watches, submits, sessions, hellos, results, large_frames,
        frames_of_ids, junk, worker_junk, connections,
    )
}  # fmt: skip


def main() -> None:
    """Run one attack when a line comes, again and again until its time is over."""
    name, farm, seconds = sys.argv[1:4]
    paths = farm_paths(farm)
    print("ready", flush=True)
    sys.stdin.readline()
    until, n, sent = time.monotonic() + float(seconds), 0, ""
    while not n or time.monotonic() < until:
        n, sent = n + 1, ATTACKS[name](paths, until)
    print(sent if n == 1 else f"{n} times, at the end {sent}", flush=True)


if __name__ == "__main__":
    main()
