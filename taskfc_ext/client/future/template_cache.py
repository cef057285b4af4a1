"""Cache of templates for repeated submissions, bounded by the bytes of their code."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from mmap import mmap
from typing import Any, NamedTuple
from weakref import WeakSet

from taskfc_ext.client.future.template import Template
from taskfc_ext.drivers.memory import MUCH, give_back_memory
from taskfc_ext.lru import ByteLRU
from taskfc_ext.protocol.spec import Spec

MAX_TEMPLATES = 1000
"""Templates kept for one set of options; more functions than that in turn only cost a new message each."""

TEMPLATE_BYTES = 32 * 2**20
"""Bytes of code kept with them; code that was dropped is pickled and defined again on its next use."""

MAX_SENT = 8
"""Large functions kept to be compared with: each takes a descriptor."""

Key = tuple[Spec, str | None]


class LastFunction(NamedTuple):
    """The last submission of a function.

    Attributes:
        function: the function; nothing here keeps it alive.
        is_unchanged: tells whether it would be pickled in the same way now.
        context: the context of the submission.
        template: its template.
    """

    function: weakref.ref[Callable[..., Any]]
    is_unchanged: Callable[[Any], bool]
    context: Any
    template: Template


class TemplateCache:
    """The templates of one set of options.

    Args:
        sink: the connection that they are for.

    Attributes:
        plain: some of them by the digest of their code, where the options name no other code.
        last: the one of the last function, which is often that of the next.
        sent: the files with the newest large functions, by digest.
    """

    def __init__(self, sink: object) -> None:
        self.sink = sink
        self.plain: dict[bytes, Template] = {}
        self.last: LastFunction | None = None
        self.sent: dict[bytes, mmap] = {}
        self._by_key: ByteLRU[Key, Template] = _empty()
        self._n_put = 0
        with _adding:
            _caches.add(self)

    def get(self, key: Key) -> Template | None:
        """Return the template with this spec and name."""
        return self._by_key.get(key)

    def put(self, key: Key, template: Template) -> None:
        """Keep `template`; the least recently used ones make room for it."""
        size = sum(len(body) for _, body in template.defines if isinstance(body, bytes))
        if self._by_key.put(key, template, size):
            self.plain.clear()  # it may hold a dropped template
            self.last = None
        self._n_put += size
        if self._n_put >= MUCH:  # pickling has copied as much, and the C library would keep that memory
            self._n_put = 0
            give_back_memory()

    def keep_sent(self, digest: bytes, content: mmap) -> None:
        """Keep a large function that was just sent, to compare it with its next pickle."""
        sent = dict(list(self.sent.items())[1 - MAX_SENT :])
        sent[digest] = content
        self.sent = sent

    def forget(self) -> int:
        """Drop all templates; return their bytes. Any thread: a submission under way goes on with the old tables."""
        by_key, self._by_key = self._by_key, _empty()
        self.plain = {}
        self.last = None
        self.sent = {}
        return by_key.n_bytes


_caches: WeakSet[TemplateCache] = WeakSet()
_adding = threading.Lock()


def forget_code(sink: object) -> None:
    """Drop the code that is kept for `sink`: no task there needs it; a later submission makes it again."""
    with _adding:
        caches = [cache for cache in _caches if cache.sink is sink]
    if sum(cache.forget() for cache in caches) >= MUCH:
        give_back_memory()


def _empty() -> ByteLRU[Key, Template]:
    return ByteLRU(TEMPLATE_BYTES, n_entries=MAX_TEMPLATES)
