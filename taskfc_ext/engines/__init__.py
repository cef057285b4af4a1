"""A farm's workers on an existing engine: a Dask or a Ray cluster.

    controller ──ZMQ── bridge ══ the engine's own connections ══ host ──socket pair── worker
         │                │
     supervisor ──────────┘

The engine places *slots*, which hold its threads (long Dask tasks, Ray actors), notices lost machines, and scales.
Queue, store, names and states stay with the controller, which knows no engine. The `bridge`, one process in the place
of local workers, has a connection to the controller for each worker, and passes frames; `slots` decides for it. The
`host` runs in the engine's process, and starts our worker as its child, a `hosted_process`. Large payloads go through
both in parts: `files` at the bridge, `file_exchange` at the host, where `kept_files` has those that another worker may
need. Only `dask`, `dask_slot`, `ray` and `ray_slot` import an engine's library.

What the engine does when it loses a slot is not relied on: a slot that it starts again elsewhere is a new worker, and
the controller decides what becomes of the attempts of the old one.
"""
