"""The soak harness: many tasks through one farm, and how much its processes and its store grow with each.

    python -m tests.soak --rounds 100

`slopes.py` fits a line to each series and gives its upper bound, `harness.py` runs the rounds and takes the samples.
"""
