"""Plans: everything that a seed decides beforehand, as data. A shorter plan is the same story with something left out.

A plan names tasks by a number from which each step picks among the tasks that are there at its time. So any step can
be removed, and the rest keeps its meaning.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from taskfc_ext.protocol.resources import Needs, Totals

TOTALS = Totals(cores=3, memory=10_000_000, gpus=("0", "1"), others={"licence": 1})
NEEDS = (Needs(cores=2), Needs(gpus=1), Needs(memory=6_000_000), Needs(others=(("licence", 1),)), Needs(gpus=2))

QUICK = (0.0002, 0.0005, 0.002, 0.01, 0.05)
LONG = (0.05, 0.2, 1.0, 3.0)


@dataclass(frozen=True)
class Act:
    """One execution of a task: how it goes on after `seconds`.

    `ok`, `error`, `final`, `refuse`, `not_now` end it; `die` kills the worker; `hang` ends by an interrupt only, and
    `deaf` by a kill; `hold` is an `ok` during which no other thread of the worker runs; `nest` submits two tasks from
    inside, waits for them, and is an `ok`.
    """

    kind: str
    seconds: float


OK = Act("ok", 0.001)


@dataclass(frozen=True)
class Job:
    """One submitted task: the executions of the task and of its recovery, in order; the last one repeats."""

    number: int
    acts: tuple[Act, ...]
    recovery: tuple[Act, ...] = ()


@dataclass(frozen=True)
class Step:
    """Something that happens at a virtual time (seconds from the begin): a client's action, or a fault."""

    at: float
    kind: str
    who: int = 0
    pick: int = 0
    args: dict[str, Any] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()

    def __str__(self) -> str:
        jobs = " ".join(
            f"[{job.number}: {' '.join(f'{act.kind}/{act.seconds:g}' for act in job.acts)}"
            + (f" | {' '.join(f'{act.kind}/{act.seconds:g}' for act in job.recovery)}" if job.recovery else "")
            + "]"
            for job in self.jobs
        )
        args = " ".join(f"{name}={value}" for name, value in self.args.items() if value)
        return f"{self.at:8.3f}  {self.kind:<16} who={self.who} pick={self.pick} {args} {jobs}".rstrip()


@dataclass(frozen=True)
class Plan:
    """A whole story.

    Attributes:
        latency: mean seconds of a message's way.
        horizon: after this time there are no more faults.
        store: "memory" or "sqlite".
    """

    seed: int
    n_clients: int
    n_workers: int
    latency: float
    horizon: float
    steps: tuple[Step, ...]
    store: str = "memory"

    def without(self, steps: set[int]) -> Plan:
        """Return the plan without the steps at these positions."""
        return replace(self, steps=tuple(step for at, step in enumerate(self.steps) if at not in steps))


ACTIONS = {
    "submit": 30, "abort": 5, "abort_many": 2, "hold": 3, "release": 3, "move": 3, "retry": 3, "barrier": 5,
    "unwait": 1, "clear": 3, "broadcast": 2, "await_broadcast": 1, "clear_broadcasts": 1, "scale": 3, "spin": 1,
    "results": 2, "status": 1, "follow": 2, "cancel": 2,
}  # fmt: skip
FAULTS = {
    "crash": 30, "kill_worker": 20, "hang_worker": 8, "cut_worker": 4, "kill_supervisor": 4, "cut_client": 10,
    "kill_client": 4, "part": 6, "slow": 6, "full": 3, "stop": 2, "jump": 2, "power": 1, "hang_controller": 4,
    "suspend": 2, "properties": 2, "disk_full": 6,
}  # fmt: skip
"""Kinds with their weights."""


def make_plan(seed: int, store: str = "memory") -> Plan:
    """Return the plan of a seed."""
    rng = random.Random(seed)
    horizon = rng.choice((0.5, 2.0, 8.0))
    n_tasks = rng.choice((5, 10, 20, 40))
    kinds = _mix(rng, ACTIONS)
    steps: list[Step] = []
    number = 0
    while number < n_tasks:
        kind = _choose(rng, kinds) if number else "submit"
        at = rng.random() * horizon * 0.8
        who, pick = rng.randrange(4), rng.randrange(1000)
        if kind == "submit":
            n = min(n_tasks - number, rng.choice((1, 1, 2, 4, 8)))
            args, acts = _options(rng)
            steps.append(Step(at, kind, who, pick, args, tuple(_job(rng, number + i, acts, args) for i in range(n))))
            number += n
        else:
            steps.append(Step(at, kind, who, pick, _arguments(rng, kind)))
    faults = _mix(rng, FAULTS)
    for _ in range(rng.choice((0, 1, 2, 4, 8))):
        kind = _choose(rng, faults)
        at = rng.random() * horizon
        steps.append(Step(at, kind, rng.randrange(8), rng.randrange(1000), _fault(rng, kind)))
    steps.sort(key=lambda step: step.at)
    n_clients, n_workers = rng.randint(1, 4), rng.randint(1, 6)
    return Plan(seed, n_clients, n_workers, rng.choice((0.0001, 0.0005, 0.005)), horizon, tuple(steps), store)


def _mix(rng: random.Random, weights: dict[str, int]) -> dict[str, int]:
    """Return the weights of this seed: it leaves out some kinds, and has more of others."""
    return {kind: weight * rng.choice((0, 1, 1, 4)) for kind, weight in weights.items()} | (
        {"submit": 30} if "submit" in weights else {"crash": 5}
    )


def _choose(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _options(rng: random.Random) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the options of a submission, and the kinds of its executions."""
    args: dict[str, Any] = {"n_parents": 0}
    if rng.random() < 0.3:
        args |= {
            "n_parents": rng.randint(1, 3), "as_inputs": rng.random() < 0.3, "after_any": rng.random() < 0.3,
            "by_id": rng.random() < 0.3,
        }  # fmt: skip
    if rng.random() < 0.5:
        args["code"] = rng.randrange(3)
    if rng.random() < 0.5:
        return args, ("ok",)
    args |= {
        "retries": rng.choice((0, 0, 1, 2)),
        "timeout": rng.choice((None, None, 0.5, 2.0)),
        "on_lost": rng.choice(("retry", "retry", "fail")),
        "backoff": rng.choice((0.0, 0.0, 0.1, 1.0)),
        "priority": rng.choice((0, 0, 0, 1, -1)),
        "needs": rng.choice((None, None, None, *range(len(NEEDS)))),
        "depend": rng.random() < 0.2,
        "recovery": rng.random() < 0.25,
        "retry_timeouts": rng.random() < 0.7,
    }
    kinds = ["ok", "ok", "ok", "error", "final", "die", "not_now", "hold", "nest"]
    if args["timeout"] is not None:
        kinds += ["hang", "deaf", "hang"]
    if args["depend"]:
        kinds += ["refuse"]
    return args, tuple(kinds)


def _job(rng: random.Random, number: int, kinds: tuple[str, ...], args: dict[str, Any]) -> Job:
    seconds = rng.choice((QUICK, QUICK, QUICK, LONG))

    def acts(n: int) -> tuple[Act, ...]:
        chosen = [(rng.choice(kinds), rng.choice(seconds)) for _ in range(n)]
        return tuple(Act(kind, 0.001 if kind in ("refuse", "not_now") else length) for kind, length in chosen)

    recovery = acts(rng.randint(1, 2)) if args.get("recovery") else ()
    return Job(number, acts(rng.randint(1, 3)), recovery)


def _arguments(rng: random.Random, kind: str) -> dict[str, Any]:
    match kind:
        case "abort":
            return {"queued_only": rng.random() < 0.3}
        case "abort_many" | "hold" | "release" | "retry" | "results":
            return {"n": rng.randint(1, 4)}
        case "barrier" | "clear":
            return {"n": rng.randint(1, 4), "all": rng.random() < 0.4}
        case "move":
            return {"n": rng.randint(1, 4), "priority": rng.choice((-1, 1, 2))}
        case "scale":
            return {"n": rng.randint(1, 5)}
        case "broadcast":
            return {"how": rng.choice(("ok", "ok", "bad", "die")), "context": rng.random() < 0.3}
    return {}


def _fault(rng: random.Random, kind: str) -> dict[str, Any]:
    match kind:
        case "crash":
            return {
                "commits": rng.choice((0, 0, 1, 2, 5, 10)),
                "when": rng.choice(("before", "after", "send")),
                "sends": rng.choice((1, 1, 2, 3, 5)),
                "again": rng.choice((0, 0, 0, 1, 2)),
            }
        case "kill_worker":
            return {"when": rng.choice(("now", "now", "start", "started", "end", "reported"))}
        case "hang_worker" | "part" | "full" | "hang_controller":
            return {"seconds": rng.choice((0.1, 0.5, 2.0, 10.0))}
        case "slow":
            return {"seconds": rng.choice((1.0, 5.0)), "longest": rng.choice((0.05, 0.5, 5.0, 60.0))}
        case "jump":
            return {"seconds": rng.choice((-3600.0, -1.0, 1.0, 3600.0))}
        case "suspend":
            return {"seconds": rng.choice((5.0, 700.0))}
        case "disk_full":
            return {"seconds": rng.choice((0.3, 1.0, 5.0)), "fit": rng.choice((0, 0, 2, 10))}
        case "power":
            return {"lost": rng.choice((0, 1, 3, 10))}
    return {}
