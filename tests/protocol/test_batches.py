from __future__ import annotations

import pytest

from taskfc_ext.protocol.batches import chunks, split


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([3, 3, 3, 4, 1], [[3, 3, 3], [4, 1]]),
        ([99, 1, 99], [[99], [1], [99]]),
        ([0, 0, 0, 0, 0], [[0, 0, 0, 0], [0]]),
    ],
)
def test_a_batch_stays_within_both_limits_unless_one_item_is_too_large(
    sizes: list[int], batches: list[list[int]]
) -> None:
    assert list(split(sizes, lambda size: size, max_bytes=10, max_items=4)) == batches


def test_chunks_keep_the_order_and_the_last_may_be_short() -> None:
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [(1, 2), (3, 4), (5,)]
    assert list(chunks((1, 2), 2)) == [(1, 2)]
    assert list(chunks((), 2)) == []
