"""The name that a user most likely meant by one that does not exist, in Python, the magics and the terminal. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

OPTIONS = (
    *("name", "retries", "retry_on", "backoff", "recovery_task", "priority", "timeout", "after", "after_any", "depend"),
    *("on_lost", "seed", "cores", "memory", "gpus", "resources", "clear_before", "clear_after"),
)
"""The options of `with_options`, in the order in which messages list them."""

START_OPTIONS = (
    "workers",
    "fresh",
    "properties",
    "unreachable_after",
    "max_deaths",
    "on",
    "resources",
    "idle",
    "store",
    "keep_days",
    "keep_bytes",
    "idle_stop",
    "durability",
)
"""The arguments of `start` that a client does not take."""

OTHER_VERBS = {
    **dict.fromkeys(("cancel", "kill"), "abort"),
    **dict.fromkeys(("delete", "remove", "rm"), "clear"),
    **dict.fromkeys(("rerun", "resubmit"), "retry"),
    "logs": "log",
    "resume": "release",
    "pause": "hold",
}
"""Names that other tools have for verbs of both `%task` and `taskfc`."""

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
    """Return the word of `known` that `word` begins, or the closest one; empty if none is close."""
    words = list(known)
    begun = [each for each in words if each.startswith(word)] if len(word) > 2 else []
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, words, n=1, cutoff=0.7)
    return near[0] if near else ""


def nearest_option(word: str, known: Iterable[str]) -> str:
    """Return the option of `known` that means the same as `word`, or is the nearest one; empty if none is.

    Options may have dashes, which do not count: `--n-workers` and `n_workers` are one name.
    """
    options = {each: _plain(each) for each in known}
    wanted = _plain(word)
    meant = [name for name in options.values() if name == wanted or any({name, wanted} <= group for group in _SYNONYMS)]
    near = meant[0] if meant else nearest(wanted, options.values())
    return next((each for each, name in options.items() if near and name == near), "")


def _plain(option: str) -> str:
    return option.lstrip("-").replace("-", "_")
