"""`ByteLRU`: its limits of bytes and entries, and the entries that stay beyond them."""

from __future__ import annotations

import pytest

from taskfc_ext.lru import ByteLRU


def fill(*sizes: int, **options) -> ByteLRU[int, str]:
    cache: ByteLRU[int, str] = ByteLRU(100, **options)
    for key, size in enumerate(sizes):
        cache.put(key, str(key), size)
    return cache


def keys_of(cache: ByteLRU[int, str]) -> list[int]:
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
def test_the_latest_entries_are_kept(sizes, options, expected):
    cache = fill(*sizes, **options)
    assert keys_of(cache) == expected
    assert cache.n_bytes == sum(sizes[key] for key in expected)


def test_get_makes_an_entry_the_latest():
    cache = fill(40, 40)
    assert cache.get(0) == "0"
    cache.put(2, "2", 40)
    assert keys_of(cache) == [0, 2]


def test_a_second_put_replaces_the_first():
    cache = fill(40)
    cache.put(0, "again", 60)
    assert (cache.get(0), cache.n_bytes, len(cache)) == ("again", 60, 1)


def test_put_returns_whether_an_entry_was_dropped():
    cache = fill(40, 40)
    assert not cache.put(1, "1", 50)
    assert cache.put(2, "2", 50)


def test_clear_and_drop_leave_no_bytes():
    cache = fill(40, 40)
    cache.drop(0)
    cache.drop(77)
    assert cache.n_bytes == 40
    cache.clear()
    assert (cache.n_bytes, len(cache), cache.get(1)) == (0, 0, None)
