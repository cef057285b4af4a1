"""Cache of templates: bounded by the bytes of their code, which is dropped when the controller releases it."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.client.future import template_cache
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.future.template_cache import TemplateCache, forget_code
from taskfc_ext.protocol.spec import Kind, Spec


def template(sink: Any, digest: bytes, size: int) -> Template:
    spec = Spec(kind=Kind.FUNCTION, code=digest, label="f")
    return Template(sink, spec, label="f", defines=[(digest, b"x" * size)])


def put(cache: TemplateCache, sink: Any, letter: str, size: int) -> Template:
    digest = letter.encode() * 16
    made = template(sink, digest, size)
    assert made.spec is not None
    cache.put((made.spec, None), made)
    cache.plain[digest] = made
    return made


def test_templates_are_bounded_by_the_bytes_of_their_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_cache, "TEMPLATE_BYTES", 100)
    sink: Any = object()
    cache = TemplateCache(sink)
    made = [put(cache, sink, letter, 40) for letter in "abcde"]
    kept = [each for each in made if each.spec is not None and cache.get((each.spec, None)) is each]
    assert kept == made[-2:]
    assert set(cache.plain.values()) <= set(kept), "nothing else keeps them"


def test_released_code_is_dropped_for_that_connection_only() -> None:
    sink: Any = object()
    other: Any = object()
    caches = TemplateCache(sink), TemplateCache(sink), TemplateCache(other)
    made = [put(cache, cache.sink, "a", 10) for cache in caches]
    forget_code(sink)
    assert [len(cache.plain) for cache in caches] == [0, 0, 1]
    found = [cache.get((each.spec, None)) for each, cache in zip(made, caches, strict=True) if each.spec is not None]
    assert found == [None, None, made[2]]
