"""Loaded code of a worker, and its namespaces.

`programs` decides which loaded function the next attempt may use again; `harmless` proves that a call changes nothing;
`namespaces` holds the names of cells and of string tasks.
"""
