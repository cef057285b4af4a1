"""Groups: the tasks of one map, as a sequence of futures with counts, results and a table."""
