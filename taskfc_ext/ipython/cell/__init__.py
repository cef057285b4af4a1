"""Analysis of a cell: its names, the names that are sent with it, and the names that come back."""
