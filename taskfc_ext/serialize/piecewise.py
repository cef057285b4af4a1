"""Pickling of exceptions without the parts that cannot be pickled; a note lists these."""

from __future__ import annotations

import io

from taskfc_ext.errors import RemoteError
from taskfc_ext.serialize.blame import describe_error, text_of, type_name_of
from taskfc_ext.serialize.exceptions import Exceptions, Named, Reduced, WithChains
from taskfc_ext.serialize.limited import LimitedFile
from taskfc_ext.serialize.trial import try_to_pickle
from taskfc_ext.serialize.values import load_value

MAX_PART = 4 * 2**20
"""Largest pickled attribute in bytes; larger ones are left out of an exception that cannot be pickled whole."""


class Piecewise(WithChains):
    """Reducer of exceptions that leaves out attributes that cannot be pickled or loaded again.

    A cause, a context or a member of a group that cannot be pickled at all becomes a `RemoteError` with its text.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, tuple[Named, Named]] = {}
        self._replacements: dict[int, BaseException] = {}
        self._held: list[BaseException] = []  # holds them, so that their ids stay unique

    def select(self, error: BaseException, fields: Named, attributes: Named) -> tuple[Named, Named]:
        known = self._kept.get(id(error))
        if known is None:
            self._held.append(error)
            gone: dict[str, str] = {}
            fields, attributes = _without(fields, gone), _without(attributes, gone)
            notes = attributes.get("__notes__")
            if gone and isinstance(notes, (list, type(None))):
                attributes["__notes__"] = [*(notes or ()), *map(_note, gone.items())]
            known = self._kept[id(error)] = fields, attributes
        return known

    def members_of(self, group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
        return [self._replace_unpicklable(member) for member in super().members_of(group)]

    def link(self, link: BaseException) -> BaseException:
        return self._replace_unpicklable(link)

    def _own_reduction(self, error: BaseException) -> Reduced | None:
        reduction = super()._own_reduction(error)
        if not isinstance(reduction, tuple) or not _why_not(reduction[1], Exceptions()):
            return reduction
        return None

    def _replace_unpicklable(self, error: BaseException) -> BaseException:
        known = self._replacements.get(id(error))
        if known is None:
            self._held.append(error)
            self._replacements[id(error)] = error  # during the trial: it may refer to itself
            known = self._replacements[id(error)] = self._make_replacement(error)
        return known

    def _make_replacement(self, error: BaseException) -> BaseException:
        reason = _why_not(error, self)
        if not reason:
            return error
        name, text = type_name_of(type(error)), text_of(error)
        return RemoteError(f"{name}: {text}" if text else name, type_name=name, hint=f"it was left behind: {reason}")


def _without(attributes: Named, gone: dict[str, str]) -> Named:
    """Return the attributes that can be pickled; add the others to `gone`, with the reason."""
    kept = {}
    for name, value in attributes.items():
        reason = _why_not(value, Exceptions())
        if reason:
            gone[name] = reason
        else:
            kept[name] = value
    return kept


def _why_not(value: object, exceptions: Exceptions) -> str:
    """Return the reason why a value cannot be pickled or loaded again; empty if it can."""
    body = io.BytesIO()
    try:
        try_to_pickle(value, LimitedFile(MAX_PART, body=body), exceptions)
    except (Exception, SystemExit) as problem:  # noqa: BLE001  the user's `__reduce__`
        return text_of(problem) or type_name_of(type(problem))
    try:
        load_value(body.getvalue())  # as a guest: a host would take the copies for the attempt's own
    except (Exception, SystemExit) as problem:  # noqa: BLE001  the user's `__setstate__`
        return f"it cannot be loaded again: {describe_error(problem)}"
    return ""


def _note(gone: tuple[str, str]) -> str:
    name, reason = gone
    return f"its attribute `{name}` stayed on the worker: {reason}"
