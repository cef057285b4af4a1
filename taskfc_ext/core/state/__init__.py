"""State of a farm: plain data, its invariants, and the questions that it answers."""
