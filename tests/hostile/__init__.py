"""Hostile and clumsy peers against a live farm: what they cost the others, and the controller.

`python -m tests.hostile` measures all attacks and prints a table; `test_hostile.py` runs short forms.
"""
