"""Cost of the same answer as here: an earlier version and this one, measured in turns in one run.

The farms and kernels of both versions run side by side, and every piece of work is given to one right after the other,
so that whatever else the machine does meets both. `TASKFC_BEFORE` is the Git revision of the earlier version.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import mean, quantiles

from benchmarks.answer import Answer, answer

ROOT = Path(__file__).resolve().parents[2]
BEFORE = "4689a7f"
"""The last version whose functions had globals of their own in a task."""

WORK = {
    # measure: turns in a round, pieces of work in a turn
    "submit": (4, 4_000),
    "cell": (4, 10),
    "waited": (4, 10),
    "map": (3, 1_000),
    "cpu_constant": (2, 4_000),
    "cpu_uses": (2, 2_000),
    "cpu_list": (2, 2_000),
    "cpu_cell": (2, 10),
}


def revision() -> str:
    """Return the Git revision of the earlier version."""
    return os.environ.get("TASKFC_BEFORE") or BEFORE


def is_known(name: str) -> bool:
    """Tell whether this clone has a revision."""
    command = ["git", "cat-file", "-e", f"{name}^{{commit}}"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    except OSError:  # there is no Git
        return False


def cost_of_same(system: str, n: int) -> Answer:
    """Measure everything in `n` rounds; return what both versions take, the ratio, and that of single turns.

    What else runs on the machine only adds, so a version's figure is the mean of the faster half of its turns.
    """
    del system
    found: dict[str, list[tuple[float, float]]] = {measure: [] for measure in WORK}
    with tempfile.TemporaryDirectory(prefix="tfcs-") as name:
        folder = Path(name)
        _unpack(revision(), folder / "before")
        shutil.copytree(ROOT / "taskfc_ext", folder / "after" / "taskfc_ext", ignore=_no_caches)
        with _side(folder / "before") as before, _side(folder / "after") as after:
            for number in range(n):
                print(f"round {number + 1}/{n}", file=sys.stderr, flush=True)
                for measure, (turns, size) in WORK.items():
                    for turn in range(turns):
                        pair = [before, after] if (number + turn) % 2 else [after, before]  # neither is always first
                        answers = {id(side): _ask(side, measure, size) for side in pair}
                        found[measure].append((answers[id(before)], answers[id(after)]))
    costs: Answer = {}
    for measure, pairs in found.items():
        sides = [_faster_half(times) for times in zip(*pairs, strict=True)]
        ratios = quantiles([after / before for before, after in pairs], n=4) if len(pairs) > 1 else [0.0] * 3
        costs |= {f"{measure}_{of}": value * 1e6 for of, value in zip(("before", "after"), sides, strict=True)}
        costs |= {f"{measure}_ratio": sides[1] / sides[0], f"{measure}_low": ratios[0], f"{measure}_high": ratios[2]}
    return costs


def _faster_half(times: Sequence[float]) -> float:
    return mean(sorted(times)[: (len(times) + 1) // 2])


def _no_caches(folder: str, names: list[str]) -> set[str]:
    del folder
    return {name for name in names if name == "__pycache__"}


def _unpack(name: str, folder: Path) -> None:
    """Put the package of a revision into `folder`, with what was built for the browser from this one."""
    archive = subprocess.run(["git", "archive", name, "taskfc_ext"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    built = ROOT / "taskfc_ext" / "widget" / "static"
    if built.is_dir():
        shutil.copytree(built, folder / "taskfc_ext" / "widget" / "static", dirs_exist_ok=True)


@contextmanager
def _side(version: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a version, with folders of its own for what runs of it."""
    folder = tempfile.mkdtemp(prefix="tfcs-")
    homes = ("TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = {**os.environ, **dict.fromkeys(homes, folder), "PYTHONPATH": f"{version}{os.pathsep}{ROOT}"}
    script = str(Path(__file__).with_name("same_side.py"))
    command = [sys.executable, "-P", script]  # -P: not the modules beside it
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        used = json.loads(_line(process))
        if Path(used).resolve() != version.resolve():
            raise RuntimeError(f"{version} was to be measured, and {used} was imported")
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # ends it
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ask(side: subprocess.Popen[str], measure: str, n: int) -> float:
    assert side.stdin is not None
    side.stdin.write(f"{measure} {n}\n")
    side.stdin.flush()
    return float(json.loads(_line(side)))


def _line(side: subprocess.Popen[str]) -> str:
    assert side.stdout is not None
    line = side.stdout.readline()
    if not line:
        raise RuntimeError(f"a version ended with exit code {side.wait()}")
    return line


if __name__ == "__main__":
    answer(cost_of_same)
