"""Damaged frames and odd messages for a live farm, from peers with a session and without, while a client works.

A peer is cut off after ten illegal frames, so it comes back with a new connection. It sends nothing that may harm
others by right: no stop, no other number of workers, no broadcast; it aborts and clears no task of others, and none of
its tasks ever starts. On the workers' socket there is only what no worker says: a worker may do all that its user may.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec

from taskfc_ext.drivers.memory import resident
from taskfc_ext.drivers.paths import FarmPaths, farm_paths
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from tests.fuzz.mutate import damaged, make_sample
from tests.fuzz.outcome import MEMORY, Outcome, Report
from tests.fuzz.values import Maker, is_sendable, types_in
from tests.hostile.measure import Peak, farm, quantiles, round_trips
from tests.hostile.peer import Peer, hello

NAME = "fuzz"

RATIO = 2.0
"""The most that the p99 of others may grow by."""

QUEUE = 2_000
"""Tasks that wait in the queue meanwhile."""

BURST = 500
"""Messages between two looks at the answers."""

CUT_OFF = "this connection is cut off"

PAUSE = 0.2
"""Seconds for which a peer that is not let in waits."""

FOREIGN = -(2**53)
"""Stands for tasks of nobody: a task of another client may be aborted by right."""

BY_RIGHT = (said.Stop, said.Scale, said.Broadcast, said.ClearBroadcasts, said.Hello, said.Spin, said.Unwatch)

KINDS = [kind for kind in types_in(said.ClientMessage) if kind not in BY_RIGHT]


class Sender:
    """One peer after the other, until so many messages are sent.

    Args:
        paths: the files of the farm.
        draw: the chance.
        blocker: a task that never ends, for which all tasks wait.
    """

    def __init__(self, paths: FarmPaths, draw: random.Random, blocker: int) -> None:
        self.paths, self.draw, self.blocker = paths, draw, blocker
        self.maker = Maker()
        self.peer = Peer(paths.clients)
        self.n_sent = self.n_frames = self.n_peers = self.n_answers = 0
        samples = []
        while len(samples) < 300:
            message = self._own(self.maker.make(draw.choice(KINDS), draw))
            if is_sendable(message):
                samples.append(make_sample(codec.encode([message])))
        self.samples = samples

    def send(self, n: int, seconds: float) -> None:
        """Send `n` messages, or as many as the farm takes in so much time."""
        end = time.monotonic() + seconds
        junk = Peer(self.paths.workers)
        while self.n_sent < n and time.monotonic() < end:
            self._begin()
            for _ in range(40):
                if not self._burst():
                    break
                if self._read():
                    break
            for _, frame in damaged(self.draw, self.samples, 20):  # a client's words, and pieces of them
                if junk.send_raw(frame, PAUSE):
                    self.n_sent += 1
            self.peer.close()
        junk.close()

    def _begin(self) -> None:
        self.peer = Peer(self.paths.clients)
        self.n_peers += 1
        if self.draw.random() < 0.7:
            self.peer.send(hello(self.peer.session), said.Define(b"c" * 16, b"pass"))
            self.peer.receive(30.0)

    def _burst(self) -> bool:
        """Send frames, a few of them damaged or against the schema; return whether the farm has taken them."""
        sent, broken = 0, [frame for _, frame in damaged(self.draw, self.samples, 2)]
        while sent < BURST:
            messages = self._messages(self.draw.choice((1, 5, 40)))
            frames, n = [*codec.pack(messages)], len(messages)
            if not all(map(_is_legal, frames)):
                if not broken:
                    continue
                frames, n = (frames, n) if self.draw.random() < 0.3 else ([broken.pop()], 1)
            if not all(self.peer.send_raw(frame, 5.0) for frame in frames):
                return False
            sent += n
            self.n_sent += n
            self.n_frames += len(frames)
        return True

    def _read(self) -> bool:
        """Read all answers; return whether this peer is cut off, or has to greet first."""
        end = time.monotonic() + 10.0
        self.peer.send(self.peer.ask(said.Ping))
        while time.monotonic() < end:
            for message in self.peer.receive(PAUSE) or [None]:
                self.n_answers += 1
                if isinstance(message, said.Confirm):
                    self.peer.send(said.Confirmed(message.number))
                elif isinstance(message, said.Reply) and message.seq == self.peer.seq:
                    return False
                elif message is None or (isinstance(message, said.Refused) and message.hint.startswith(CUT_OFF)):
                    return True
        return True

    def _messages(self, n: int) -> list[Message]:
        made = [self._own(self.maker.make(self.draw.choice(KINDS), self.draw)) for _ in range(n)]
        return [message for message in made if is_sendable(message)]

    def _own(self, message: Message) -> Message:
        """Let a message harm nobody by right, and give a request the next number, mostly."""
        changes: dict[str, Any] = {}
        if isinstance(message, said.Submit):
            changes = {"after": (self.blocker,), "after_any": False}
        elif isinstance(message, said.Abort | said.Retry):
            changes = {"taskid": FOREIGN}
        elif isinstance(message, said.AbortTasks | said.Hold | said.Move | said.Clear):
            changes = {"taskids": (FOREIGN,) * min(3, len(message.taskids or ()))}
        if isinstance(message, said.Request) and self.draw.random() < 0.9:
            self.peer.seq += 1
            changes["seq"] = self.peer.seq
        return msgspec.structs.replace(message, **changes) if changes else message


def _is_legal(frame: bytes) -> bool:
    try:
        codec.from_client.decode(frame)
    except ProtocolError:
        return False
    return True


def run(*, n: int, seed: int, report: Report, seconds: float = 3600.0) -> Outcome:
    """Send `n` messages to a farm of its own, for at most so many seconds; see `outcome` for the rest."""
    outcome = Outcome()
    with farm(NAME, queue=QUEUE, results=0) as (controller, client):
        pid = controller.pid
        blocker = min(info.taskid for info in client.list_tasks(states=["waiting"], limit=QUEUE + 1))
        words = [sys.executable, "-m", "tests.fuzz.live", str(n), str(seed), str(seconds), str(blocker)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            assert sender.stdout.readline() == "ready\n"
            before = round_trips(client, min(5.0, seconds), at_least=200)
            memory, during, due = resident(pid), list[float](), time.monotonic() + 10
            with Peak(pid) as peak:
                sender.stdin.write("go\n")
                sender.stdin.flush()
                while sender.poll() is None:
                    during += round_trips(client, 0.05, at_least=1)
                    if time.monotonic() >= due:
                        due = time.monotonic() + 10
                        grown = (resident(pid) - memory) / 2**20
                        report(f"{len(during):,} round trips meanwhile, the controller's memory {grown:+.1f} MiB")
                words = sender.stdout.read().split()
        if sender.returncode:
            outcome.failures.append(f"the sender ended with {sender.returncode}")
            return outcome
        n_sent, n_frames, n_peers, n_answers = map(int, words)
        outcome.counts["messages", "sent"] = n_sent
        if n_sent < n:
            outcome.failures.append(f"only {n_sent:,} messages were sent")
        round_trips(client, min(6.0, seconds))  # its sessions are forgotten, and the housekeeping has come
        if controller.pid != pid:
            outcome.failures.append("the controller is another one")
        p99 = quantiles(before)[1], quantiles(during)[1]
        outcome.growth = resident(pid) - memory
        for label, times in (("before", before), ("meanwhile", during)):
            p50, high = (1000 * each for each in quantiles(times))
            outcome.figures[f"round trips {label}"] = f"p50 {p50:.2f} ms, p99 {high:.2f} ms, n={len(times):,}"
        outcome.figures["ratio of the p99"] = f"{p99[1] / p99[0]:.2f}, to be under {RATIO:g} where nothing else runs"
        outcome.figures["longest round trip"] = f"{1000 * max(during):.0f} ms"
        outcome.figures["frames, connections, answers"] = f"{n_frames:,}, {n_peers:,}, {n_answers:,}"
        most = (peak.highest - memory) / 2**20
        grown_text = f"{outcome.growth / 2**20:+.1f} MiB afterwards, {most:+.1f} MiB at most"
        outcome.figures["the controller's memory"] = grown_text
        if outcome.growth > MEMORY:
            outcome.failures.append(f"memory grows: {grown_text}")
    return outcome


def main() -> None:
    """Send when a line comes, and print what was sent."""
    n, seed, seconds, blocker = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    sender = Sender(farm_paths(NAME), random.Random(f"{seed}/live"), blocker)
    print("ready", flush=True)
    sys.stdin.readline()
    with suppress(KeyboardInterrupt):
        sender.send(n, seconds)
    print(sender.n_sent, sender.n_frames, sender.n_peers, sender.n_answers, flush=True)


if __name__ == "__main__":
    main()
