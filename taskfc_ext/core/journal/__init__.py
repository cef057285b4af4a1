"""Meaning of records: applied when they are written, and again at a restart."""
