"""The code that a worker keeps: large bodies stand in files, which are compared with their digest once."""

from __future__ import annotations

import pytest

from taskfc_ext import serialize
from taskfc_ext.errors import LoadingFailed
from taskfc_ext.protocol.payloads import Payload, PayloadRef
from taskfc_ext.worker.load.bodies import Bodies

BODY = b"some code " * 10_000
DIGEST = serialize.digest(BODY)
REF = PayloadRef("1", len(BODY))


class Files:
    """Payloads that can be changed, and how often they were read."""

    def __init__(self) -> None:
        self.content = BODY
        self.n_reads = 0

    def read(self, payload: Payload) -> bytes:
        self.n_reads += 1
        return self.content


def test_code_in_a_file_is_compared_with_its_digest_once(monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files()
    bodies = Bodies(files.read)
    bodies.add(DIGEST, REF)
    assert bodies.read(DIGEST) == BODY
    monkeypatch.setattr(serialize, "digest", lambda body: pytest.fail("compared again"))
    assert bodies.read(DIGEST) == BODY
    assert files.n_reads == 2  # a mapping of its own each time


def test_changed_code_is_refused_also_when_it_was_dropped_and_comes_again() -> None:
    files = Files()
    bodies = Bodies(files.read)
    bodies.add(DIGEST, REF)
    bodies.read(DIGEST)
    assert bodies.drop(DIGEST) == len(BODY)
    files.content = BODY[:-1] + b"x"
    bodies.add(DIGEST, REF)
    with pytest.raises(LoadingFailed, match="is not what was sent"):
        bodies.read(DIGEST)


def test_code_that_did_not_come_is_named() -> None:
    bodies = Bodies(Files().read)
    bodies.add(b"small", b"x = 1")
    assert (bodies.read(b"small"), bodies.size(b"small"), bodies.digests) == (b"x = 1", 5, (b"small",))
    assert (bodies.size(DIGEST), bodies.drop(DIGEST)) == (0, 0)
    with pytest.raises(LookupError, match=f"code {DIGEST.hex()} did not reach this worker"):
        bodies.read(DIGEST)
