# %% [markdown]
# Files, the shell, time zones, pools: what a notebook does with its machine.

# %%
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
import typing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# %%
folder = Path("data")
folder.mkdir(exist_ok=True)
table = folder / "table.json"
table.write_text(json.dumps({"rows": [1, 2, 3]}))

# %%
rows = json.loads(table.read_text())["rows"]
sum(rows), sorted(path.name for path in folder.iterdir())

# %%
os.environ["UNIT"] = "mm"
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()

# %%
unit = "cm"

# %%
os.environ.get("UNIT"), unit

# %%
# !echo "{unit} and $HOME" | cut -c1-2

# %%
listing = !ls data
listing

# %%
subprocess.run(["sort"], input="b\na\n", capture_output=True, text=True, check=True).stdout.split()

# %%
subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)


# %%
@dataclass
class Reading:
    value: float
    unit: str = "m"


def doubled(reading):
    return Reading(reading.value * 2, reading.unit)


# %%
copy = pickle.loads(pickle.dumps([Reading(1.5), doubled]))
copy[1](copy[0]), type(copy[0]) is Reading

# %%
with multiprocessing.get_context("fork").Pool(2) as pool:
    doubled_there = pool.map(doubled, [Reading(1), Reading(2)])
doubled_there

# %%
with ThreadPoolExecutor(2) as threads:
    values = list(threads.map(lambda reading: doubled(reading).value, doubled_there))
values

# %%
typing.get_type_hints(Reading), globals()["unit"], sys.modules["__main__"].unit

# %%
before = os.getcwd()
with tempfile.TemporaryDirectory() as there:
    os.chdir(there)
    Path("note.txt").write_text("here")
    found = os.listdir()
    os.chdir(before)
found, Path.cwd().name

# %%
time.strftime("%H:%M", time.localtime(0))

# %%
with open(table, "a") as file:
    print("tail", file=file)
file.closed, table.read_text().splitlines()[-1]

# %%
open("nowhere/file.txt")

# %%
print("to the errors", file=sys.stderr)
sys.stdout.write("no newline")
