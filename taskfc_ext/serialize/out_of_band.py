"""Reducers that keep large data out of the pickle, for types whose own reducers copy it into the pickle.

numpy hands out the buffers of contiguous arrays of its own class, if their items have a format of the buffer protocol.
Dates, slices, subclasses and masked arrays it copies, as torch does its storages, and polars its frames.

The libraries are not imported before the user's code has imported them.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any, Literal

from taskfc_ext.serialize.bodies import MIN_BUFFER

_PROTOCOL = 5

Reducer = Callable[[Any], Any]


def reducer_for(kind: type) -> Reducer | None:
    """Return the reducer for instances of exactly `kind`; `None` if its own one serves."""
    return _BY_NAME.get((kind.__module__, kind.__qualname__))


# numpy


def reduce_array(array: Any) -> Any:
    """Reduce an array, of any subclass; its attributes are left to the caller.

    A large array comes as two items, and is complete when it is made; another one also has a state.
    """
    if array.nbytes < MIN_BUFFER or array.dtype.hasobject or _exports_itself(array):
        return array.__reduce_ex__(_PROTOCOL)
    numpy: Any = sys.modules["numpy"]
    flags = array.flags
    order: Literal["C", "F"] = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    flat = array.view(numpy.ndarray).ravel(order)  # a copy only where it is not contiguous
    return _array, (type(array), PickleBuffer(flat.view(numpy.uint8)), array.shape, array.dtype, order)


def _exports_itself(array: Any) -> bool:
    """Return whether numpy gives the buffer of `array` to the pickler."""
    if type(array) is not sys.modules["numpy"].ndarray or not _is_contiguous(array):
        return False
    try:
        memoryview(array)
    except (ValueError, BufferError):  # dates, and types of other libraries
        return False
    return True


def _is_contiguous(array: Any) -> bool:
    """Return whether the array has all of its memory, with its axes in any order."""
    flags = array.flags
    if flags.c_contiguous or flags.f_contiguous:
        return True
    axes = sorted(range(array.ndim), key=array.strides.__getitem__, reverse=True)
    return bool(array.transpose(axes).flags.c_contiguous)


def _array(cls: Any, raw: Any, shape: tuple[int, ...], dtype: Any, order: Literal["C", "F"]) -> Any:
    import numpy

    return numpy.ndarray.__new__(cls, shape, dtype, _writable(raw), order=order)


def _reduce_masked(array: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    data = array.data
    if array.nbytes < MIN_BUFFER or array.dtype.hasobject or type(data) is not numpy.ndarray:
        return array.__reduce__()
    return _masked_array, (data, numpy.ma.getmaskarray(array), array._fill_value)


def _masked_array(data: Any, mask: Any, fill_value: Any) -> Any:
    import numpy

    return numpy.ma.MaskedArray(data, mask, fill_value=fill_value, copy=False)


# torch


def _reduce_storage(storage: Any) -> Any:
    """Reduce a storage of a torch tensor. One on another device, or without numpy, is left to torch."""
    torch: Any = sys.modules["torch"]
    untyped = storage._untyped_storage
    if untyped.device.type != "cpu" or untyped.nbytes() < MIN_BUFFER:
        return storage.__reduce__()
    try:
        raw = torch.empty(0, dtype=torch.uint8).set_(untyped).numpy()
    except RuntimeError:
        return storage.__reduce__()
    return _storage, (PickleBuffer(raw), storage.dtype)


def _storage(raw: Any, dtype: Any) -> Any:
    import torch  # type: ignore[import-not-found, unused-ignore]

    untyped = torch.frombuffer(_writable(raw), dtype=torch.uint8).untyped_storage()
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


# polars


def _reduce_frame(frame: Any) -> Any:
    """Reduce an object whose state is bytes."""
    reduced = frame.__reduce_ex__(_PROTOCOL)
    if reduced[0] is not _newobj or type(reduced[2]) is not bytes:
        return reduced
    return _newobj, reduced[1], PickleBuffer(reduced[2]), None, None, _set_bytes


def _set_bytes(made: Any, state: Any) -> None:
    made.__setstate__(bytes(state))


def _writable(raw: Any) -> Any:
    """Return a buffer as one that can be written to: a copy, where the sender's array could not be."""
    return bytearray(raw) if memoryview(raw).readonly else raw


_newobj: Any = copyreg.__newobj__  # type: ignore[attr-defined]  # makes instances in protocol 2 and later

_BY_NAME: dict[tuple[str, str], Reducer] = {
    ("numpy", "ndarray"): reduce_array,
    ("numpy", "matrix"): reduce_array,
    ("numpy", "memmap"): reduce_array,
    ("numpy.ma", "MaskedArray"): _reduce_masked,
    ("numpy.ma.core", "MaskedArray"): _reduce_masked,  # before numpy 2.3
    ("torch.storage", "TypedStorage"): _reduce_storage,
    ("polars.dataframe.frame", "DataFrame"): _reduce_frame,
    ("polars.lazyframe.frame", "LazyFrame"): _reduce_frame,
    ("polars.series.series", "Series"): _reduce_frame,
}
"""By module and name of the type."""
