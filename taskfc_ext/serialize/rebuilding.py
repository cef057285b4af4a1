"""Trial of classes before they are sent: can a worker make them again?"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from weakref import WeakSet

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.serialize import scope
from taskfc_ext.serialize.blame import text_of, type_name_of
from taskfc_ext.serialize.pickler import dump

_can_be_made: WeakSet[type] = WeakSet()


def check_classes(classes: Iterable[type], *, what: str) -> None:
    """Refuse classes of the notebook that a worker could not make again; each is tried once in this process.

    Args:
        classes: those in a pickle that is to be sent.
        what: how messages call what they are part of.

    Raises:
        UnpicklableArgument: names the class, and the reason.
    """
    if scope.host() is not None:
        return  # of an attempt: where it came from they were tried
    for cls in classes:
        if cls not in _can_be_made:
            _try(cls, what)
            _can_be_made.add(cls)


def _try(cls: type, what: str) -> None:
    file = io.BytesIO()
    dump(cls, file)
    try:
        with scope.trial():
            pickle.loads(file.getvalue())
    except Exception as error:
        raise UnpicklableArgument(
            f"{what} uses the class {type_name_of(cls)}, which a worker cannot make again: "
            f"{type(error).__name__}: {text_of(error)}",
            hint="define the class in a module beside the notebook, and import it",
        ) from error
