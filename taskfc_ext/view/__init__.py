"""Views of a queue: model, commands, details, messages and wording, for the kernel and the Jupyter server alike."""
