"""The states of a task, as lists name them: in the order in which a task goes through them."""

UNFINISHED = ("waiting", "scheduled", "running")
FINISHED = ("succeeded", "failed", "aborted")
