"""Context of an attempt: folder, modules and settings; and its leftovers, which end with it."""
