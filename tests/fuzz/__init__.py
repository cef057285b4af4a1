"""The fuzz harness: inputs that no peer of ours makes, into the decoders, the core, a live farm, and its files.

    python -m tests.fuzz --seed 1

Each part ends with a table; an input that ends in anything but its regular ends is a failure, and is printed with the
command that repeats it. `values.py` makes odd messages, `mutate.py` damages bytes and trees; `decoders.py`, `core.py`,
`live.py` and `files.py` are the parts, and `outcome.py` counts.
"""
