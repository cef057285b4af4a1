"""Settings of numpy, pandas, scikit-learn and torch. None of them is imported here."""

from __future__ import annotations

import contextvars
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.settings.setting import Setting, Value
from taskfc_ext.settings.twister import quick_read

_modules: dict[str, Any] = sys.modules  # for attributes of modules that may not be installed

# numpy: its error state is in a context variable from 2.0 on, its print options from 2.2 on

_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def _variable(module: str, name: str) -> Any:
    return getattr(_modules.get(module), name, None)


def error_variable() -> Any:
    """Return the context variable of the error state; `None` where numpy has none, or is not loaded."""
    return _variable("numpy._core.umath", "_extobj_contextvar")


def print_variable() -> Any:
    """Return the context variable of the print options; `None` where numpy has none, or is not loaded."""
    return _variable("numpy._core.arrayprint", "format_options")


def _read_errors() -> Any:
    variable = error_variable()
    return variable.get() if variable is not None else (_modules["numpy"].geterr(), _modules["numpy"].geterrcall())


def _write_errors(value: Any) -> None:
    variable = error_variable()
    if variable is not None:
        variable.set(value)
    else:
        _modules["numpy"].seterr(**value[0])
        _modules["numpy"].seterrcall(value[1])


def _pack_errors() -> Any:
    found = _modules["numpy"].geterr()
    return None if found == _ERRORS else found


def _read_printing() -> Any:
    variable = print_variable()
    return variable.get() if variable is not None else _modules["numpy"].get_printoptions()


def _write_printing(value: Any) -> None:
    variable = print_variable()
    if variable is not None:
        variable.set(value)
    else:
        _modules["numpy"].set_printoptions(**value)


_PRINTING = {
    "edgeitems": 3,
    "threshold": 1000,
    "floatmode": "maxprec",
    "precision": 8,
    "suppress": False,
    "linewidth": 75,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "formatter": None,
    "legacy": False,
    "override_repr": None,
}


def _pack_printing() -> Any:
    found = _modules["numpy"].get_printoptions()
    usual = contextvars.Context().run(_modules["numpy"].get_printoptions) if print_variable() else _PRINTING
    return {name: value for name, value in found.items() if usual.get(name, ABSENT) != value} or None


_reads: dict[int, Callable[[], Any]] = {}
"""The read function of the latest generator, by its id."""


def _read_numpy_random() -> Any:
    generator = _modules["numpy.random.mtrand"]._rand._bit_generator
    read = _reads.get(id(generator))
    if read is None:
        _reads.clear()
        read = _reads[id(generator)] = _read_of(generator)
    return generator, read()


def _read_of(generator: Any) -> Callable[[], Any]:
    def words() -> Any:
        state = generator.state
        return tuple(map(int, state["state"]["key"][2:4])) if state["bit_generator"] == "MT19937" else repr(state)

    address = generator.ctypes.state_address
    return quick_read(address + 8 if type(generator).__name__ == "MT19937" else 0, words)


def _write_numpy_random(value: Any) -> None:
    random = _modules["numpy.random"]
    if random.mtrand._rand._bit_generator is not value[0]:
        random.set_bit_generator(value[0])
    random.seed()


# pandas


def _read_pandas() -> Any:
    return object.__getattribute__(_modules["pandas"].options, "d")


class _Nested(Value):
    """A dict of dicts."""

    def take(self) -> Any:
        return _copy_nested(self.read())


def _copy_nested(nested: Any) -> Any:
    return {name: _copy_nested(part) for name, part in nested.items()} if isinstance(nested, dict) else nested


def _flat(nested: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, part in nested.items():
        if isinstance(part, dict):
            yield from _flat(part, f"{before}{name}.")
        else:
            yield before + name, part


def _write_pandas(value: Any) -> None:
    now = dict(_flat(_read_pandas()))
    _set_pandas({name: option for name, option in _flat(value) if now.get(name, ABSENT) is not option})


def _set_pandas(options: Mapping[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated
        for name, option in options.items():
            try:
                _modules["pandas"].set_option(name, option)
            except Exception:  # noqa: BLE001  an option that this version lacks, or checks in another way
                continue


def _pack_pandas() -> Any:
    registered: Any = getattr(_modules["pandas._config.config"], "_registered_options", {})
    found = {}
    for name, option in _flat(_read_pandas()):
        known = registered.get(name)
        if known is not None and known.defval is not option and known.defval != option:
            found[name] = option
    return found or None


# scikit-learn


def _pack_sklearn() -> Any:
    usual: Any = getattr(_modules["sklearn._config"], "_global_config", {})
    found = {
        name: value
        for name, value in _modules["sklearn"].get_config().items()
        if name in usual and usual[name] != value
    }
    return found or None


def _write_sklearn(value: Any) -> None:
    _modules["sklearn"].set_config(**value)


# torch


def _read_torch() -> Any:
    torch = _modules["torch"]
    return torch.get_default_dtype(), torch.is_grad_enabled()


def _write_torch(value: Any) -> None:
    torch = _modules["torch"]
    torch.set_default_dtype(value[0])
    torch.set_grad_enabled(value[1])


def _pack_torch() -> Any:
    found = _read_torch()
    return None if found == (_modules["torch"].float32, True) else found


NUMERIC: tuple[Setting, ...] = (
    Value(
        name="numpy's error state (`numpy.seterr`)",
        module="numpy",
        read=_read_errors,
        write=_write_errors,
        pack=_pack_errors,
        unpack=lambda packed: _modules["numpy"].seterr(**packed),
        is_in_context=True,
    ),
    Value(
        name="numpy's print options",
        module="numpy",
        read=_read_printing,
        write=_write_printing,
        pack=_pack_printing,
        unpack=lambda packed: _modules["numpy"].set_printoptions(**packed),
        is_in_context=True,
    ),
    Value(
        name="random state of `numpy.random`",
        module="numpy.random",
        read=_read_numpy_random,
        write=_write_numpy_random,
    ),
    _Nested(
        name="pandas' options",
        module="pandas",
        read=_read_pandas,
        write=_write_pandas,
        pack=_pack_pandas,
        unpack=_set_pandas,
    ),
    Value(
        name="scikit-learn's `set_config`",
        module="sklearn",
        read=lambda: _modules["sklearn"].get_config(),
        write=_write_sklearn,
        pack=_pack_sklearn,
        unpack=_write_sklearn,
    ),
    Value(
        name="torch's default type, and gradients on or off",
        module="torch",
        read=_read_torch,
        write=_write_torch,
        pack=_pack_torch,
        unpack=_write_torch,
    ),
    Value(
        name="random state of `torch`",
        module="torch",
        read=lambda: _modules["torch"].initial_seed(),
        write=lambda value: _modules["torch"].seed(),
    ),
)
