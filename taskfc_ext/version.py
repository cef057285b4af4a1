"""The version of this package, where everything that greets a peer can read it."""

__version__ = "0.1.0"
