"""The damage harness: stores are damaged at random, and nothing may be silently different afterwards.

    python -m tests.damage --cases 10000 --seed 1

Each case copies a store, damages the copy, and reads all of it: as it is, and again after one more commit. It ends
*equal* (each read gave what was written), *warned* (the same, and a line says that the witness was lost) or *refused*
(a `StoreError` named the damage). Anything else is a violation, and is printed with its seed.

`stores.py` makes the stores and reads them, `damages.py` has the kinds of damage, `harness.py` runs the cases.
"""
