"""Resources: what a task needs while it runs, what a farm has, and how both are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from taskfc_ext.protocol.limits import MAX_AMOUNT, MAX_RESOURCES, MIN_MEMORY, RESOURCE_NAME

CORES, MEMORY, GPUS = "cores", "memory", "gpus"
"""The resources that every farm knows. A farm may have others, which its start names."""

ResourceName = Annotated[str, Meta(pattern=rf"\A{RESOURCE_NAME}\Z")]
ResourceAmount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


class Needs(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The needs of one attempt of a task. A task without `Needs` counts as one core.

    Attributes:
        cores: 0 where the task does not name them; it counts as one core then, and its thread pools stay as they are.
        memory: in bytes; also the limit of the attempt. 0: no limit.
        gpus: whole devices, each for this attempt alone.
        others: (name, amount) of the farm's own resources, in the order of their names.
    """

    cores: ResourceAmount = 0
    memory: ResourceAmount = 0
    gpus: ResourceAmount = 0
    others: Annotated[tuple[tuple[ResourceName, ResourceAmount], ...], Meta(max_length=MAX_RESOURCES)] = ()

    def amounts(self) -> dict[str, int]:
        """Return resource -> amount, without the ones that are not needed."""
        named = {CORES: max(1, self.cores), MEMORY: self.memory, GPUS: self.gpus, **dict(self.others)}
        return {name: amount for name, amount in named.items() if amount}


class Totals(Struct, frozen=True, kw_only=True):
    """The resources of a farm.

    Attributes:
        cores: that this machine lets it use. A farm with more workers has one for each.
        memory: in bytes.
        gpus: the devices, as `CUDA_VISIBLE_DEVICES` names them.
        others: own resources, name -> amount.
        for_each: each worker has so much for itself, in its slot on an engine; else all workers share it.
    """

    cores: int = 1
    memory: int = 0
    gpus: tuple[str, ...] = ()
    others: Mapping[str, int] = {}
    for_each: bool = False

    def amounts(self, n_workers: int) -> dict[str, int]:
        """Return resource -> amount, with `n_workers` workers."""
        return {
            CORES: self.cores if self.for_each else max(self.cores, n_workers),
            MEMORY: self.memory,
            GPUS: len(self.gpus),
            **self.others,
        }


_SPELLINGS = {
    **{name: name for name in (CORES, MEMORY, GPUS)},
    "core": CORES,
    "cpu": CORES,
    "cpus": CORES,
    "gpu": GPUS,
    "mem": MEMORY,
}
"""How engines and their users name what we know, in lower case."""


def slot_totals(held: Mapping[str, float]) -> Totals:
    """Return what each worker of a farm on an engine has, whose slots hold these resources of the engine.

    A slot has one core unless it says more, also where it shares one with others. Its memory is unknown unless it says
    so: tasks may name any limit. The devices of its GPUs are the engine's or the cluster's matter.
    """
    amounts = {_SPELLINGS.get(name.lower(), name): int(amount) for name, amount in held.items()}
    cores, memory = max(1, amounts.pop(CORES, 1)), amounts.pop(MEMORY, MAX_AMOUNT)
    return Totals(cores=cores, memory=memory, others=amounts, for_each=True)


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `500M`, `8G`, `8GB` (powers of 1000) or `1.5GiB` (powers of 1024).

    Raises:
        ValueError: it is not a size, or not a possible one; the message says what it must be.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"a size such as 500M, 8G or 1.5GiB, not {text!r}")
    unit = (match[2] or "").lower()
    size = round(float(match[1]) * {**_UNITS, **_BINARY_UNITS}[unit])
    check_size(size, text)
    return size


def check_size(size: int, given: str) -> None:
    """Check that a task may need `size` bytes of memory; `given`: how they were given.

    Raises:
        ValueError: it may not; the message says what it must be.
    """
    if not MIN_MEMORY <= size <= MAX_AMOUNT:
        limits = f"from {format_size(MIN_MEMORY)} to {format_size(MAX_AMOUNT)}"
        raise ValueError(f"{limits}, not {given}; 8G means 8 GB")


def format_size(size: float) -> str:
    """Return a number of bytes as people read it, to three digits: `999 bytes`, `1.5 MB`, `9.24 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.4g} TB"


def need_text(name: str, amount: int) -> str:
    """Return a need in words: `4 cores`, `8 GB of memory`, `1 GPU`, `2 licence`."""
    if name == MEMORY:
        return f"{format_size(amount)} of memory"
    noun = {CORES: "core", GPUS: "GPU"}.get(name)
    if noun is None:
        return f"{amount:,} {name}"
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def amount_text(name: str, amount: int) -> str:
    """Return an amount where the resource was named before: `8`, `3.2 GB`, `none`."""
    if not amount:
        return "none"
    return format_size(amount) if name == MEMORY else f"{amount:,}"
