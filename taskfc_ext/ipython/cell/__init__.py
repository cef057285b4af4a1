"""Analysis of a cell: its names, what is shipped with it, and what comes back."""
