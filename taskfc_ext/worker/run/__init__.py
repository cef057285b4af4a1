"""Running of an attempt: the user's code, its interruption, and its outcome."""
