"""Context of submissions: folder, module path, environment, the user's modules, and the owner."""
