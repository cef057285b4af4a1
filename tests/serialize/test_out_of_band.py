"""Large data of array libraries stays out of the pickle, and arrives as it would by `pickle` alone.

torch and polars are too large to be installed for these tests (5 GB and 180 MB). Where they are not installed,
stand-ins with the same interface take their place.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from taskfc_ext.serialize.bodies import MIN_BUFFER, Pieces, join, size_without_buffers
from taskfc_ext.serialize.values import dump_value, load_value

N = 200_000

SMALL = 20_000
"""Bytes: the rest of a pickle without its large buffers."""


class Labelled(np.ndarray):
    """A subclass with an attribute."""

    def __array_finalize__(self, source: Any) -> None:
        self.label = getattr(source, "label", "none")


def labelled() -> Any:
    array = np.arange(float(N)).view(Labelled)
    array.label = "mine"
    return array


def masked() -> Any:
    values = np.arange(float(N))
    return np.ma.masked_array(values, values > 5, fill_value=-1)


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def dates() -> Any:
    return np.arange(N).astype("M8[s]")


ARRAYS: dict[str, Callable[[], Any]] = {
    "plain": lambda: np.arange(float(N)),
    "in the order of Fortran": lambda: np.asfortranarray(np.arange(float(N)).reshape(400, 500)),
    "every other item": lambda: np.arange(float(N))[::2],
    "backwards": lambda: np.arange(float(N))[::-1],
    "some columns": lambda: np.arange(float(N)).reshape(400, 500)[:, :100],
    "some columns in the order of Fortran": lambda: np.asfortranarray(np.arange(float(N)).reshape(400, 500))[:90],
    "three axes": lambda: np.arange(float(N)).reshape(20, 100, 100).transpose(1, 0, 2),
    "dates": dates,
    "dates in columns": lambda: np.asfortranarray(dates().reshape(400, 500)),
    "every other date": lambda: dates()[::2],
    "read-only dates": lambda: read_only(dates()),
    "records with dates": lambda: np.zeros(N, dtype=[("when", "M8[ns]"), ("x", "f4")]),
    "text": lambda: np.array(["abc", "d"] * N),
    "of a subclass": labelled,
    "every other one of a subclass": lambda: labelled()[::2],
    "matrix": lambda: np.arange(float(N)).reshape(400, 500).view(np.matrix),
    "masked": masked,
    "masked nowhere": lambda: np.ma.masked_array(np.arange(float(N))),
}


def sent(value: Any) -> tuple[Any, int]:
    """Return `value` as a receiver of its file gets it, and the size of the pickle in the file."""
    body = dump_value(value, what="it")
    assert isinstance(body, Pieces)
    return load_value(bytearray(join(body))), size_without_buffers(body)


def alone(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, 5))


# numpy


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_an_array_arrives_as_alone_and_its_data_out_of_band(make: Callable[[], Any]) -> None:
    array = make()
    arrived, size = sent(array)
    expected = alone(array)
    assert size < SMALL
    assert type(arrived) is type(array)
    assert (arrived.dtype, arrived.shape, arrived.strides) == (expected.dtype, expected.shape, expected.strides)
    assert np.array_equal(arrived, array)
    assert arrived.flags.writeable == expected.flags.writeable
    if type(array) is Labelled:
        assert arrived.label == "mine"  # alone it is lost
    if arrived.flags.writeable:
        arrived[...] = arrived.flat[3]
        assert (arrived == arrived.flat[0]).all()


def test_a_masked_array_keeps_its_mask_and_its_fill_value() -> None:
    array = masked()
    arrived, _ = sent(array)
    assert np.array_equal(arrived.mask, array.mask)
    assert np.array_equal(arrived.data, array.data)
    assert (arrived.fill_value, arrived._sharedmask) == (-1, alone(array)._sharedmask)
    arrived.mask[0] = True
    assert arrived[0] is np.ma.masked


def test_a_mapped_file_arrives_as_an_array_that_can_be_written_to(tmp_path: Any) -> None:
    np.save(tmp_path / "a.npy", np.arange(float(N)))
    array = np.load(tmp_path / "a.npy", mmap_mode="r")
    arrived, size = sent(array)
    assert size < SMALL
    assert type(arrived) is type(alone(array)) is np.memmap
    assert np.array_equal(arrived, array)
    arrived[0] = 7
    assert np.load(tmp_path / "a.npy")[0] == 0


@pytest.mark.parametrize(
    "array",
    [np.array(["x", None] * N, dtype=object), np.arange(3)[::2], dates()[:5], np.ma.masked_array([1, 2], [0, 1])],
    ids=["objects", "small slice", "few dates", "small and masked"],
)
def test_other_arrays_are_left_to_numpy(array: Any) -> None:
    arrived = load_value(join(dump_value(array, what="it")))
    assert np.array_equal(arrived, array)
    assert arrived.flags.writeable


def test_an_array_that_is_there_twice_is_one_array() -> None:
    array = dates()
    (first, second), _ = sent((array, array))
    assert first is second


# pandas and scipy


def test_a_table_arrives_out_of_band() -> None:
    table = pd.DataFrame(
        {
            "x": np.arange(float(N)),
            "n": pd.array([1, None] * (N // 2), dtype="Int64"),
            "kind": pd.Categorical(np.arange(N) % 300),
            "when": pd.date_range("2020-01-01", periods=N, freq="s"),
            "zoned": pd.date_range("2020-01-01", periods=N, freq="s", tz="Europe/Berlin"),
            "span": pd.timedelta_range("1s", periods=N, freq="s"),
        },
        index=pd.date_range("1990-01-01", periods=N, freq="min"),
    )
    arrived, size = sent(table)
    assert size < SMALL
    pd.testing.assert_frame_equal(arrived, table)
    assert arrived.index.freq == table.index.freq
    arrived.iloc[0, 0] = 5.0
    arrived.iloc[0, 3] = arrived.iloc[1, 3]
    assert arrived.iloc[0, 3] == table.iloc[1, 3]


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
def test_a_sparse_array_arrives_out_of_band(form: str) -> None:
    matrix = scipy.sparse.random(1000, 1000, density=0.1, random_state=1).asformat(form)
    arrived, size = sent(matrix)
    assert size < SMALL
    assert type(arrived) is type(matrix)
    assert (arrived != matrix).nnz == 0
    arrived.data[:1] = 9
    assert (arrived.data[:1] == 9).all()


# polars


def stand_in_for_polars() -> Any:
    class Frame:
        def __init__(self, values: Any) -> None:
            self.values = list(values)

        def __getstate__(self) -> bytes:
            return np.array(self.values).tobytes()

        def __setstate__(self, state: bytes) -> None:
            assert type(state) is bytes
            self.values = np.frombuffer(state, dtype=int).tolist()

        def equals(self, other: Any) -> bool:
            return bool(self.values == other.values)

    return SimpleNamespace(
        **{
            name: type(name, (Frame,), {"__module__": f"polars.{module}", "__qualname__": name})
            for name, module in (("DataFrame", "dataframe.frame"), ("Series", "series.series"))
        }
    )


@pytest.fixture
def polars(monkeypatch: pytest.MonkeyPatch) -> Any:
    if importlib.util.find_spec("polars") is not None:
        return importlib.import_module("polars")
    library = stand_in_for_polars()
    for kind in (library.DataFrame, library.Series):
        package = kind.__module__.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, "polars", ModuleType("polars"))
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
        module = ModuleType(kind.__module__)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, kind.__module__, module)
    return library


@pytest.mark.parametrize("kind", ["DataFrame", "Series"])
def test_a_frame_of_polars_arrives_out_of_band(polars: Any, kind: str) -> None:
    frame = getattr(polars, kind)(range(N))
    arrived, size = sent(frame)
    assert size < SMALL
    assert type(arrived) is type(frame)
    assert arrived.equals(frame)
    small = getattr(polars, kind)(range(3))
    assert load_value(join(dump_value(small, what="it"))).equals(small)


# torch


class Storage:
    """A stand-in for `torch.UntypedStorage`."""

    def __init__(self, array: Any, device: str = "cpu") -> None:
        self.array = array
        self.device = SimpleNamespace(type=device)

    def nbytes(self) -> int:
        return int(self.array.nbytes)


class TypedStorage:
    """A stand-in for `torch.storage.TypedStorage`."""

    made_by_itself: ClassVar[list[TypedStorage]] = []

    def __init__(self, *, wrap_storage: Storage, dtype: Any, _internal: bool) -> None:
        assert _internal
        self._untyped_storage = wrap_storage
        self.dtype = dtype

    def __reduce__(self) -> Any:
        self.made_by_itself.append(self)
        return _typed_storage, (self._untyped_storage.array.tobytes(), self.dtype)


def _typed_storage(content: bytes, dtype: Any) -> TypedStorage:
    storage = Storage(np.frombuffer(bytearray(content), np.uint8))
    return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


TypedStorage.__module__ = "torch.storage"


class Tensor:
    """A stand-in for `torch.Tensor`."""

    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage

    def set_(self, storage: Storage) -> Tensor:
        self.storage = storage
        return self

    def numpy(self) -> Any:
        assert self.storage is not None
        return self.storage.array

    def untyped_storage(self) -> Storage | None:
        return self.storage


def stand_in_for_torch() -> ModuleType:
    torch: Any = ModuleType("torch")
    torch.uint8 = np.uint8
    torch.empty = lambda n, dtype: Tensor()
    torch.frombuffer = lambda buffer, dtype: Tensor(Storage(np.frombuffer(buffer, dtype)))
    torch.storage = ModuleType("torch.storage")
    torch.storage.TypedStorage = TypedStorage
    return torch  # type: ignore[no-any-return]


@pytest.fixture
def storages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A stand-in for torch; yields what makes a storage from an array."""
    torch = stand_in_for_torch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch.storage", torch.storage)
    yield lambda array, device="cpu": TypedStorage(wrap_storage=Storage(array, device), dtype="f8", _internal=True)
    TypedStorage.made_by_itself.clear()


def test_the_storage_of_a_tensor_arrives_out_of_band(storages: Callable[..., Any]) -> None:
    array = np.arange(float(N))
    arrived, size = sent(storages(array))
    assert size < SMALL
    assert not TypedStorage.made_by_itself
    content = arrived._untyped_storage.array
    assert (arrived.dtype, content.tobytes()) == ("f8", array.tobytes())
    content[0] = 1


def test_small_storages_and_those_on_other_devices_are_left_to_torch(storages: Callable[..., Any]) -> None:
    large = storages(np.arange(float(N)), "cuda")
    small = storages(np.zeros(MIN_BUFFER - 1, np.uint8))
    for storage in (large, small):
        arrived = load_value(join(dump_value(storage, what="it")))
        assert arrived._untyped_storage.array.tobytes() == storage._untyped_storage.array.tobytes()
    assert TypedStorage.made_by_itself == [large, small]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch has 5 GB; the tests above have a stand-in")
def test_tensors_arrive_out_of_band_and_can_be_written_to() -> None:
    torch: Any = importlib.import_module("torch")
    base = torch.arange(float(N)).reshape(400, 500)
    for tensor in (base, base.T, base[:, :50], base.to(torch.bfloat16), torch.nn.Parameter(base)):
        arrived, size = sent(tensor)
        assert size < SMALL
        assert (arrived.dtype, arrived.stride(), arrived.requires_grad) == (
            tensor.dtype,
            tensor.stride(),
            tensor.requires_grad,
        )
        assert torch.equal(arrived, tensor)
        arrived.detach()[0, 0] = 7
    layer = torch.nn.Linear(500, 400)
    arrived, size = sent(layer)
    assert size < SMALL
    assert torch.equal(arrived.weight, layer.weight)
