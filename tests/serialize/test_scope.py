"""Namespaces and classes of a load."""

from __future__ import annotations

from taskfc_ext.serialize import scope


def test_a_guest_left_by_plain_pickle_is_not_used_in_later_loads() -> None:
    left = scope.loader()  # as if a user had loaded a file with `pickle.load`
    try:
        assert scope.load_as_guest(lambda _: scope.loader(), b"") is not left
        with scope.trial():
            assert isinstance(scope.loader(), scope.Host)
        host = scope.Host(scope.new_main())
        with scope.in_host(host):
            assert scope.loader() is host
    finally:
        scope._here.guest = None
