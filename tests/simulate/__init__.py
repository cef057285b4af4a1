"""Deterministic simulation: whole farms in virtual time, under faults, each from one seed.

`python -m tests.simulate --seeds N` runs seeds; `make simulate SEEDS=N` does so on two cores. A seed makes a plan
(`plan`): clients, workers, what the clients do, what each task does, and the faults. A world (`world`) carries it out
in one thread, on a virtual clock, without sockets and without sleeping, so a seed tells the same story each time:
`--seed S --trace` prints it. What breaks is shrunk to the fewest steps that still break it (`shrink`).

Real code
    The controller's loop with endpoint, outbox and answers; the scheduler with all its handlers; frames and records,
    encoded and decoded; the replay; a client's connection, bookkeeping and futures; a worker's link. With
    `--store sqlite` the store, too.

Models
    The network (`network`), the disk (`disk`), the supervisor and the pages of workers (`supervisor`), a worker's loop
    with its helper thread (`worker`), and the code of tasks.

Faults (`plan.FAULTS`, `steps`)
    The controller is killed before a commit, after it, or between two sends, also again while it recovers; hangs. A
    worker is killed now, at a start, after it has reported one, at an end; hangs, so that its reports come late; its
    frames wait. The supervisor is killed, with all its children. A client's connection breaks, its queue is full, it
    dies and another one follows its tasks. A peer's frames take up to a minute, or wait until a partition heals. The
    farm is stopped and started, the wall clock jumps, the machine is suspended; the disk is full for a while; the
    power fails, and the disk has lost the last transactions. Tasks fail, kill their worker, hang, ignore interrupts,
    let no other thread run, refuse, recover, and wait for tasks of their own.

Invariants (`ledger`)
    I1 to I13, decided by a ledger of records, executions and messages that never reads the farm's state; besides,
    `validate` checks that state after some turns. When the faults are over, everything has to end, and nothing may be
    left over (`World.left_over`).

Mistakes (`mistakes`)
    Hand-made mistakes in the real code, each found within some hundred seeds: what shows that the invariants bite.

Limits
    A transaction is atomic, as SQLite promises: torn pages are for the tests with real files. Frames are not damaged,
    and peers are not hostile. A Unix socket of living peers loses nothing, so a worker's connection is never cut,
    only delayed. There are no engines, payloads in files, outputs and displays, memory limits and signals. The ledger
    forgets what a power cut takes: the store promises it for the death of processes only.
"""
