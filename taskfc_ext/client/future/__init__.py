"""Futures of tasks: waiting for them, decoding their outcomes, and calling back."""
