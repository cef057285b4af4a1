"""Handlers of messages: they decide, and commit the records of their decisions."""
