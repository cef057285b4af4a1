"""Trial of classes before they are sent, to find those that a worker cannot make again."""

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
    """Reject classes of the notebook that a worker could not make again. Each is tried once in this process.

    Args:
        classes: the classes in a pickle to be sent.
        what: the name of the pickled object in messages.

    Raises:
        UnpicklableArgument: a class cannot be made again; the message has the class and the reason.
    """
    if scope.host() is not None:
        return  # in an attempt: they were tried where it was submitted
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
