"""Near misses: the name that a user most likely meant by one that does not exist, in all faces. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SYNONYMS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            ("n", "workers", "n_workers", "num_workers", "nworkers", "max_workers", "w", "j", "jobs", "n_jobs", "size"),
            ("cores", "core", "cpus", "cpu", "num_cpus", "c", "threads"),
            ("memory", "mem", "ram", "memory_limit", "max_memory"),
            ("gpus", "gpu", "num_gpus"),
            ("retries", "retry", "max_retries", "n_retries", "num_retries"),
            ("priority", "prio", "p"),
            ("timeout", "time_limit", "max_time", "t", "seconds"),
            ("backoff", "delay", "retry_delay", "wait_before_retry"),
            ("after", "depends_on", "dependencies", "deps", "needs", "wait_for"),
            ("seed", "random_state", "random_seed", "rng"),
            ("chunksize", "chunk", "chunk_size", "batch_size", "batch"),
            ("on", "engine", "cluster", "address", "scheduler"),
            ("i", "in", "input", "inputs", "ship"),
            ("o", "out", "outs", "output", "outputs", "returns"),
            ("fresh", "clean", "empty", "reset"),
            ("name", "farm", "task_name"),
            ("limit", "last", "head", "tail", "max", "n_tasks"),
            ("recover", "recovery_task", "recovery", "fallback", "on_error"),
            ("on_lost", "on_death", "when_lost"),
            ("wait", "block", "blocking"),
            ("keep", "persistent"),
            ("resources", "resource"),
        ),
    )
)
"""Names that other tools and other faces have for the same thing."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the name of `known` that means the same as `word`, that `word` begins, or the closest; empty if none.

    Options may have dashes: `--n-workers` and `n_workers` are one name.
    """
    names = list(known)
    plain = {name: _plain(name) for name in names}
    for name in names:
        if plain[name] == _plain(word) or any({plain[name], _plain(word)} <= group for group in _SYNONYMS):
            return name
    begun = [name for name in names if name.startswith(word)] if len(word.lstrip("-")) > 2 else []
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    return near[0] if near else ""


def _plain(name: str) -> str:
    return re.sub("-", "_", name.lstrip("-")).lower()
