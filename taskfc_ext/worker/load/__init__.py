"""Loaded code of a worker, and the namespaces that it runs in."""
