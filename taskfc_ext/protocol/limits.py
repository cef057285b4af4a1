"""The limits of the protocol. The codec enforces them; clients check user input against them first."""

from __future__ import annotations

MAX_FRAME = 256 * 2**20
"""Bytes in one frame."""

MAX_CLIENT_FRAME = 20 * 2**20
"""Bytes in one frame of a client. Large payloads stand in files, so the frames of our clients have at most 17 MiB. ZMQ
ends the connection of a client that announces more, before it takes any memory."""

MAX_SHARED_FRAME = 16 * 2**10
"""Bytes in a client's frame of several messages: less than a millisecond to decode. A larger message has a frame of its
own: the schema bounds the ids in one message, while a large frame of many could hold millions."""

MAX_BROADCAST = MAX_FRAME - 2**16
"""Bytes of a broadcast: a frame to a worker less the fields around them. The error has the figure."""

MAX_RECOVERY = 8 * 2**20
"""Bytes of a recovery task's arguments, which are a part of the spec. The error has the figure."""

MAX_VALUE = MAX_FRAME - 24 * 2**20
"""Bytes of one result. It must fit into one frame, with up to 4 MiB of output and 8 MiB of displays. The error has the
figure."""

MAX_MESSAGES = 1024
"""Messages in one frame."""

MAX_BATCH = 4096
"""Tasks in one message: bounds the longest turn of the controller (about 10 ms)."""

MAX_IDS = 100_000
"""Task ids in one request."""

MAX_STATES = 100
"""States in a filter of tasks; there are fewer."""

MAX_ID = 2**53
"""The largest task id in a request: the largest integer that a float holds exactly."""

MAX_WORKERS = 10_000
"""Workers of one farm."""

MAX_BROADCASTS = 1000
"""Broadcasts that a store keeps: the controller holds them in memory, and every new worker runs them all."""

MAX_PRIORITY = 1_000_000
"""The highest priority of a task; the lowest is its negative."""

MAX_RETRIES = 1_000_000
"""Retries of one task."""

MAX_SECONDS = 1e9
"""Seconds in any duration: 31 years."""

MAX_SEED = 2**32 - 1
"""The largest seed that numpy's hidden generator takes."""

MAX_PACKS = 32
"""Bodies that hold the modules of one spec."""

MAX_SOURCE = 100_000
"""Characters of a task's source in one answer: its begin."""

TASK_NAME = r"[A-Za-z_][\w.-]{0,99}"
"""Pattern of a task's name."""

FARM_NAME = "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"
"""Pattern of a farm's name, which is a part of file names."""

MAX_AMOUNT = 10**15
"""The largest amount of a resource: bytes of memory."""

MAX_UNITS = 1_000_000
"""The largest amount of a resource that is counted in units, such as cores."""

MIN_MEMORY = 10**6
"""The least memory of a task in bytes: less is a number of gigabytes without its unit."""

MAX_DAYS = 36_500.0
"""The longest time for which finished tasks are kept, in days; for ever is 0."""

MAX_VARIABLES = 10_000
"""Environment variables of a client, and of a task."""

MAX_RESOURCES = 32
"""Own resources of one farm, and of one task."""

RESOURCE_NAME = r"[A-Za-z_][\w.-]{0,99}"
"""Pattern of the name of a farm's own resource."""

MAX_UNHANDLED = 16 * MAX_MESSAGES
"""Messages of one connection that wait to be handled. A client of ours has at most `MAX_OPEN_CALLS` open, so one that
has more reads no answers: it is cut off."""

MAX_UNHANDLED_BYTES = 64 * 2**20
"""Bytes of these messages beyond which no frame is added: as many as a client of ours sends without an answer. One more
frame, of at most `MAX_CLIENT_FRAME`, may be there."""

MAX_OPEN_CALLS = 4096
"""Requests that a client of ours sends without their answers; others wait in the client."""

MAX_WAITS = 1000
"""Open barriers and waits for broadcasts of one client. Each of those for many tasks costs work with every end."""

MAX_AWAITED = 2_000_000
"""Tasks in all open barriers of one client: 64 bytes each, 400 in barriers for fewer than 100. One may have more."""

MAX_UNFINISHED = 1_000_000
"""Unfinished tasks of one client: some 400 bytes of the controller's memory each."""

MAX_UNFINISHED_BYTES = 2 * 2**30
"""Bytes of the arguments of one client's unfinished tasks that the controller keeps in memory: those not in files."""

MAX_SESSIONS = 10_000
"""Clients of one farm, with those that left in the last ten minutes: more than any class or cluster has."""

MAX_UNTAKEN = 32 * 2**20
"""Bytes sent to one client that it has not confirmed. Then it is sent nothing more until it has read some."""

CONFIRM_EVERY = 4 * 2**20
"""Bytes after which a client is asked to confirm that it has read them."""
