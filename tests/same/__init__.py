"""Notebooks run twice, in a plain kernel and with their cells as tasks, and compared cell by cell (`make same`)."""
