"""`ByteLRU`: bounded by bytes, by number, and useful all the same."""

from __future__ import annotations

import pytest

from taskfc_ext.lru import ByteLRU


def filled(*sizes: int, **options) -> ByteLRU[int, str]:
    cache: ByteLRU[int, str] = ByteLRU(100, **options)
    for key, size in enumerate(sizes):
        cache.put(key, str(key), size)
    return cache


def kept(cache: ByteLRU[int, str]) -> list[int]:
    return [key for key in range(100) if cache.get(key) is not None]


@pytest.mark.parametrize(
    ("sizes", "options", "expected"),
    [
        ((40, 40), {}, [0, 1]),
        ((40, 40, 40), {}, [1, 2]),
        ((100,), {}, [0]),
        ((500,), {}, [0]),
        ((500, 500), {}, [0, 1]),
        ((500, 500, 500), {}, [1, 2]),
        ((500,), {"n_kept": 0}, []),
        ((10, 500, 10), {"n_kept": 0}, [2]),
        ((1, 1, 1, 1), {"n_entries": 3}, [1, 2, 3]),
        ((0,) * 50, {}, list(range(50))),
    ],
)
def test_what_was_used_last_is_kept(sizes, options, expected):
    cache = filled(*sizes, **options)
    assert kept(cache) == expected
    assert cache.n_bytes == sum(sizes[key] for key in expected)


def test_use_renews():
    cache = filled(40, 40)
    assert cache.get(0) == "0"
    cache.put(2, "2", 40)
    assert kept(cache) == [0, 2]


def test_a_second_put_replaces_the_first():
    cache = filled(40)
    cache.put(0, "again", 60)
    assert (cache.get(0), cache.n_bytes, len(cache)) == ("again", 60, 1)


def test_put_says_whether_something_had_to_go():
    cache = filled(40, 40)
    assert not cache.put(1, "1", 50)
    assert cache.put(2, "2", 50)


def test_clear_and_drop_leave_no_bytes():
    cache = filled(40, 40)
    cache.drop(0)
    cache.drop(77)
    assert cache.n_bytes == 40
    cache.clear()
    assert (cache.n_bytes, len(cache), cache.get(1)) == (0, 0, None)
