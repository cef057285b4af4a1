"""Views of a queue: models, commands, details and messages, for the kernel and the Jupyter server alike."""
