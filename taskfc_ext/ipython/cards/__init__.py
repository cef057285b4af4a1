"""Cards of tasks under their cells: rendered, kept up to date, and published."""
