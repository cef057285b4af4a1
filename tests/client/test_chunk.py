"""Chunks of a map: several calls in one task."""

from __future__ import annotations

import asyncio

import pytest

from taskfc_ext.client.chunk import ForChunk


def half(x: int) -> float:
    return 1 / x


async def half_later(x: int) -> float:
    await asyncio.sleep(0)
    return 1 / x


def test_a_chunk_is_called_item_by_item() -> None:
    assert ForChunk(half)(0, [(1,), (2,)]) == [1.0, 0.5]


def test_a_chunk_of_a_coroutine_function_is_a_coroutine() -> None:
    assert asyncio.run(ForChunk(half_later)(0, [(1,), (2,)])) == [1.0, 0.5]


@pytest.mark.parametrize("function", [half, half_later])
def test_an_error_has_a_note_with_its_item(function: object) -> None:
    async def run() -> None:
        result = ForChunk(function)(10, [(1,), (0,)])  # type: ignore[arg-type]
        if asyncio.iscoroutine(result):
            await result

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(run())
    assert caught.value.__notes__ == ["item 11 in a map"]
