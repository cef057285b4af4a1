"""The supervisor: the parent process that starts, watches, reaps and stops controller and workers.

No ZMQ, no user code, no threads.
"""
