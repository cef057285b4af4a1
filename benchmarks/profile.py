"""Profile of the controller's CPU time while no-op tasks flow through it, by stage and by function."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from benchmarks.report import table
from benchmarks.rounds import Cell, run_cell
from benchmarks.systems import OURS

STAGES = {
    "taskfc_ext/protocol/": "protocol: frames in and out",
    "taskfc_ext/core/": "core: decide",
    "taskfc_ext/drivers/store": "store: commit",
    "taskfc_ext/drivers/transport": "transport: ZMQ",
    "taskfc_ext/drivers/": "other drivers",
    "taskfc_ext/controller/": "controller: the loop itself",
}
"""The first of these that occurs in the path of a sample's innermost frame of ours says where the time went."""


def profile(folder: Path, n_tasks: int) -> str:
    """Run `n_tasks` through a controller that samples itself, and return tables of where its time went."""
    samples_file = folder / "samples.json"
    sampler = Path(__file__).parent / "sampler"
    answer = run_cell(
        Cell(OURS, "cpu_of_submissions", n_tasks, "benchmarks.measures.cpu"),
        environment={
            "PYTHONPATH": os.pathsep.join(filter(None, [str(sampler), os.environ.get("PYTHONPATH", "")])),
            "TASKFC_SAMPLE": "taskfc_ext.controller.app",
            "TASKFC_SAMPLE_FILE": str(samples_file),
        },
    )
    stacks: dict[str, int] = json.loads(samples_file.read_text())
    stages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for stack, count in stacks.items():
        frames = stack.split(";")
        stages[stage(frames)] += count
        functions[own_frame(frames)] += count
    total = sum(stages.values())
    per_task = answer["submit_controller_us"]
    return "\n".join(
        [
            f"{n_tasks:,} no-op tasks, {1e6 / answer['submit_wall_us']:,.0f} tasks/s while sampled, "
            f"{per_task:.1f} µs of the controller's CPU per task, {total:,} samples (start and stop included)",
            "",
            table(
                ["where", "share", "µs per task"],
                [[name, f"{n / total:.1%}", f"{n / total * per_task:.2f}"] for name, n in stages.most_common()],
            ),
            "",
            table(
                ["function", "share", "µs per task"],
                [[name, f"{n / total:.1%}", f"{n / total * per_task:.2f}"] for name, n in functions.most_common(15)],
            ),
        ]
    )


def stage(frames: list[str]) -> str:
    """Return the stage that the innermost frame of ours belongs to; `frames` come innermost first."""
    if _imports(frames):
        return "start and imports"
    for frame in frames:
        for path, name in STAGES.items():
            if path in frame:
                return name
    return "start and imports"


def own_frame(frames: list[str]) -> str:
    """Return the innermost frame of ours, as module and function."""
    if _imports(frames):
        return "(imports)"
    for frame in frames:
        if "taskfc_ext/" in frame:
            return frame.rpartition("taskfc_ext/")[2].replace(".py:", " ")
    return "(outside)"


def _imports(frames: list[str]) -> bool:
    return any("taskfc_ext/" in frame and frame.endswith(":<module>") for frame in frames)
