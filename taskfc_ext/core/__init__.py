"""The decisions of a farm: which task runs where and when, and how it ends. Pure: no clock, no I/O.

Theory of operation
===================

**One function.** `Scheduler.handle(event, now)` takes one event and returns one `Effects`. An event is a message of a
client, a worker or the supervisor, a lost connection, or a `Tick` of the clock. `now` is an argument, so that tests
need no real time. `Farm` holds the whole state; nothing else remembers anything.

**Order.** The controller carries out `Effects` in this order: it commits `records` in one transaction, sends `sends`
one after the other, and then waits for the next event or for `wake_at`. Two promises rest on this order:

- Whatever a client or a worker receives is in the store already. A controller that dies before the commit has sent
  nothing, and the sender repeats its message to the next controller. One that dies between commit and send has not
  answered either, so the message is repeated as well: the next controller finds the record and answers from it. A
  worker repeats its `Finished` until it receives `Committed`; the leases of committed ends are void, so no task ends
  twice. An `Ended` answers no request, and no controller sends it again unasked: over its next link, a client asks with
  `GetResults` for all its unfinished tasks (`SessionState.resume`), and receives the ends from the store.
- The state follows from the records alone. `apply` is the only meaning of a record: the running controller calls it
  for each record that it writes, and a restart calls it for each record in the store. What has no record (connections,
  progress, live output, timers) ends with the controller; clients and workers report it again.

`tests/controller/test_crash_points.py` kills the controller at each of these points.

**Requests.** A client numbers its requests and repeats those without an answer after a new connection. A request that
changes something is answered once; its answer is kept until the client acknowledges it, and a repeat gets that same
answer. A handler that commits returns nothing: the record holds the answer, and `on_request` sends it before all that
follows from the record. A request that waits is answered later, by `answer_request`. A request that only reads is
answered from the state at that moment.

**Leases.** Each attempt has a lease, a number that is never used twice. A report counts only under the task's valid
lease; any other is stale and has no effect. So an attempt that was given up (its worker was believed dead, the task was
aborted) may still end, and its report changes nothing. A lease is a record, committed before the worker receives the
task. So a restarted controller knows which worker may have started which task, and a task with `on_lost="fail"` never
runs twice. A lease that a worker has not started can be taken back: the worker returns it, or, if none of its threads
runs, the supervisor revokes it in the worker's page. Only then may the task get another lease.

**Who changes a state.** Only `Farm.transition`, and only along `TRANSITIONS`; `tests/test_architecture.py` checks that
nothing else does. It has three callers: `Farm.finish` for the ends; `apply` for a task that is ready or requeued; and
`on_started` for an attempt that runs, the one change without a record: after a restart, the worker reports it again.
Handlers end and requeue attempts through `Endings` only, which writes the record, frees the lease, fails the tasks that
depend on it, and schedules the ones that waited. A task ends exactly once, since its end removes it from `Farm.tasks`.
`validate` finds a state that does not agree with the counts, the leases or the queue.

**Refusals.** A worker that refuses a task has rejected it: `Refusals` keeps the task for other workers until it is
redelivered. If every live worker rejects it for `unreachable_after` seconds, it fails. No record holds a refusal: after
a restart every task is offered to all workers.

**Failures and their effects.**

- *The function* raises: its retries are used up first, then its recovery task runs, then the task fails, and with it
  all tasks that need its result.
- *A worker* dies: the supervisor reports the death, and the lease that the worker's page names as started. The death
  is counted for the task of that attempt, which runs again unless it was the third. Attempts that had not started go
  back free of charge.
- *The place* of a worker on an engine is lost: a node was preempted, killed or cut off. There is no page, so the last
  attempt whose start was reported counts as interrupted, else the first one that the worker held. The loss is counted
  for its task, which runs again unless it was the tenth; the other attempts go back free of charge. What may run only
  once is lost, also if no start was reported.
- *The controller* dies: see **Order**. Workers keep their reports until they are acknowledged with `Committed`.
- *A client* dies: its tasks go on. Its session is forgotten after ten minutes.
- *A message* is damaged or illegal: it is refused, or its connection ends; the state is as before. An illegal
  transition raises before anything is changed.
- *The store* cannot commit: the controller ends, and nothing was sent. Its supervisor starts the next one.

**Engines.** A farm whose workers run on an engine (`Farm.engine`) has at most `n_workers` of them. It sends the number
of tasks that can run, its demand, to the supervisor. Its workers hold more ahead, since they are farther away. Nothing
waits for a worker that may never come: a broadcast is answered when the present workers have run it. No task is
unreachable while workers are coming.

**Time.** Timers are never cancelled. The handler of each checks whether its reason still holds. `Effects.wake_at`
is the earliest of them.

**Checks.** `validate(farm)` states every invariant of the state; the tests call it after each step, and compare whole
`Effects`. A reference model of the queue runs beside the scheduler in a state machine with random events. The running
controller sends itself an `Audit` every few seconds: a cheap part of these invariants, in slices. What does not hold is
repaired, as a restart would do. The tests fail if anything ever is.
"""
