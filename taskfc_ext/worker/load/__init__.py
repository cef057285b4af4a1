"""Loaded code of a worker, and its namespaces."""
