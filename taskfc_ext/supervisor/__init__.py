"""The parent of controller and workers: starts, watches, reaps and stops them. No ZMQ, no user code, no threads."""
