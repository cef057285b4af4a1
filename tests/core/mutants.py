"""Mistakes that somebody might make in the core, each of which the tests of the core must notice.

A mutant is a text of one file and what stands there instead. `test_mutants` keeps them in step with the code.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake: in `file`, `old` becomes `new`; `breaks` says what goes wrong."""

    file: str
    old: str
    new: str
    breaks: str


MUTANTS = (
    Mutant(
        "farm.py",
        "answers: OrderedDict[int, Answer] = field(default_factory=OrderedDict)",
        "answers: OrderedDict[int, Answer] = OrderedDict()",
        "all sessions share one table of answers",
    ),
    Mutant(
        "attempts.py",
        "            taskid = worker.leases.get(lease)\n            if taskid is None:\n"
        "                farm.stale += 1\n                continue\n",
        "            taskid = farm.leases.get(lease, (None, 0))[0]\n            if taskid is None:\n"
        "                continue\n",
        "a report counts under a lease of another worker",
    ),
    Mutant(
        "attempts.py",
        "    if message.seq > worker.finished_seq:\n",
        "    if message.seq >= worker.finished_seq:\n",
        "a report that comes twice is read twice",
    ),
    Mutant(
        "attempts.py",
        "        if lease not in held:\n            _give_back",
        "        if lease not in held and False:\n            _give_back",
        "what a worker does not hold after a reconnect is never given out again",
    ),
    Mutant(
        "attempts.py",
        "    if not rejoined:\n        ask_all_again(farm)\n",
        "",
        "a worker that joins is no reason to ask again",
    ),
    Mutant(
        "attempts.py",
        "        if parked:\n            farm.offer(task)\n    farm.choosy.clear()\n",
        "        farm.offer(task)\n    farm.choosy.clear()\n",
        "a task that a worker looks at is queued a second time",
    ),
    Mutant(
        "attempts.py",
        "        past.refusals += 1\n",
        "",
        "the back-off of `not now` does not grow",
    ),
    Mutant(
        "attempts.py",
        "    if not live or not live <= past.refused.keys():\n",
        "    if not live <= past.refused.keys():\n",
        "a task is unreachable although there is no worker",
    ),
    Mutant(
        "attempts.py",
        "    if not keep_clock:\n        past.unreachable_since = None\n",
        "",
        "the clock of unreachable goes on after the properties changed",
    ),
    Mutant(
        "attempts.py",
        "    elif task.spec.on_lost is OnLost.FAIL:\n",
        "    elif False:\n",
        "what may run only once runs again after a stray interrupt",
    ),
    Mutant(
        "attempts.py",
        "retryable=task.spec.retry_timeouts)",
        "retryable=True)",
        "timeouts are retried although `retry_on` does not name them",
    ),
    Mutant(
        "attempts.py",
        "        if timeout is not None:\n            farm.set_timer(now.mono + timeout - message.elapsed",
        "        if timeout is not None:\n            farm.set_timer(now.mono + timeout",
        "a timeout begins anew with every controller",
    ),
    Mutant(
        "dispatch.py",
        "    if farm.stop_asked:\n        return\n",
        "",
        "work is given out after the stop",
    ),
    Mutant(
        "dispatch.py",
        "if w.ready and not w.retiring and not w.busy",
        "if w.ready and not w.retiring",
        "a busy worker gets more",
    ),
    Mutant(
        "dispatch.py",
        "if w.ready and not w.retiring and not w.busy",
        "if not w.retiring and not w.busy",
        "work is sent to a worker that is not there yet",
    ),
    Mutant(
        "dispatch.py",
        "    _give_parked(farm, step, free)  # what stood behind a queue of a higher priority\n",
        "",
        "a worker idles while a refused task of a lower priority waits",
    ),
    Mutant(
        "dispatch.py",
        "        if worker.worker not in refused:\n            return",
        "        if True:\n            return",
        "a worker is asked again for what it refused",
    ),
    Mutant(
        "dispatch.py",
        "        spec.timeout is not None  # the attempt's time must not begin behind others\n        or spec.depend",
        "        spec.depend",
        "tasks with a timeout are held ahead",
    ),
    Mutant(
        "dispatch.py",
        "        or spec.on_lost is OnLost.FAIL  # whatever it holds and has finished would be lost with it\n",
        "",
        "tasks that may run only once are held ahead",
    ),
    Mutant(
        "dispatch.py",
        "    past = task.history\n    if past is None or past.avoid != worker.worker:\n        return None\n",
        "    return None\n",
        "a retry goes to the worker that just failed",
    ),
    Mutant(
        "dispatch.py",
        "and not (other.retiring or other.leases or other.owes)",
        "and not (other.retiring or other.owes)",
        "a retry goes to a worker that has something to do",
    ),
    Mutant(
        "dispatch.py",
        "        and task.batch.inputs == first.batch.inputs\n",
        "",
        "a task runs with the inputs of another one",
    ),
    Mutant(
        "endings.py",
        "        while self._farm.doomed:  # level by level: a chain of dependants may be longer than the stack\n",
        "        if self._farm.doomed:\n",
        "the dependants of dependants are forgotten",
    ),
    Mutant(
        "endings.py",
        "            if not barrier.remaining:\n                del",
        "            if len(barrier.remaining) <= 1:\n                del",
        "a barrier falls one task too early",
    ),
    Mutant(
        "endings.py",
        "        farm.enqueue(now_ready, front=True)\n",
        "        farm.enqueue(now_ready)\n",
        "what comes back goes behind everything else",
    ),
    Mutant(
        "endings.py",
        "self._farm.watchers.pop(taskid, set()) | {sessions.get(taskid, owner)}",
        "self._farm.watchers.pop(taskid, set()) or {sessions.get(taskid, owner)}",
        "whoever submitted a task is not told when somebody else watches",
    ),
    Mutant(
        "queue.py",
        "            clients[client] = clients.pop(client)\n",
        "",
        "one client is served until it has nothing left",
    ),
    Mutant(
        "queue.py",
        "            self._order.sort(reverse=True)\n",
        "            self._order.sort()\n",
        "the lowest priority goes first",
    ),
    Mutant(
        "replay.py",
        "                task.attempts -= 1  # it has not been tried\n",
        "                pass\n",
        "what was given back counts as an attempt",
    ),
    Mutant(
        "replay.py",
        "                past.retries = past.deaths = 0\n",
        "",
        "the recovery has the retries of the task that it recovers",
    ),
    Mutant(
        "replay.py",
        "            if reason and (not child.batch.after_any or taskid in child.batch.inputs):\n",
        "            if reason and not child.batch.after_any:\n",
        "a task runs without its input",
    ),
    Mutant(
        "replay.py",
        "            if not unmet:\n                ready.append(child)\n",
        "            ready.append(child)\n",
        "a dependant starts after the first of its dependencies",
    ),
    Mutant(
        "replay.py",
        "    farm.session(record.session).remember(answer)\n",
        "    farm.session(record.session).remember(Reply(record.seq, n_cleared))\n",
        "clear does not name the unknown ids",
    ),
    Mutant(
        "replay.py",
        "            farm.session(record.session).remember(Reply(record.seq, True))\n",
        "",
        "a repeated abort is refused after a restart",
    ),
    Mutant(
        "requests.py",
        "    if message.seq in client.answers:\n",
        "    if message.seq in client.answers and not isinstance(message, Submit):\n",
        "a repeated submit makes new tasks",
    ),
    Mutant(
        "requests.py",
        " and taskid not in needed)\n",
        ")\n",
        "results that tasks still need are cleared",
    ),
    Mutant(
        "requests.py",
        "    if message.queued_only and task.lease:\n",
        "    if message.queued_only and task.state is State.RUNNING:\n",
        "`cancel` stops what a worker already holds",
    ),
    Mutant(
        "endings.py",
        "    required = record.inputs if record.after_any else",
        "    required = () if record.after_any else",
        "a task waits for ever for the input that there will never be",
    ),
    Mutant(
        "retry.py",
        " and not past.recovering and ",
        " and ",
        "the recovery runs again and again",
    ),
    Mutant(
        "retry.py",
        "past.retries < spec.retries:",
        "past.retries <= spec.retries:",
        "one retry too many",
    ),
    Mutant(
        "retry.py",
        "frozenset({Reason.DEPENDENCY, Reason.UNREACHABLE, Reason.ABORTED})",
        "frozenset({Reason.DEPENDENCY, Reason.UNREACHABLE})",
        "an aborted task is recovered",
    ),
    Mutant(
        "scheduler.py",
        "                    farm.offer(task)\n",
        "                    farm.enqueue((task,), front=True)\n",
        "after its back-off a task is given to those that refused it",
    ),
    Mutant(
        "scheduler.py",
        "            if task is not None and not task.lease:\n",
        "            if task is not None:\n",
        "a task is unreachable while a worker looks at it",
    ),
    Mutant(
        "stopping.py",
        "    farm.set_timer(now.mono + GRACE[stopping.step], TimerKind.LADDER, lease)\n",
        "",
        "the ladder ends before the kill",
    ),
    Mutant(
        "attempts.py",
        "    if cause is Cause.ABORT or (task.history is not None and task.history.aborting):\n",
        "    if False:\n",
        "an aborted task that ends is taken for one that ran too long",
    ),
    Mutant(
        "attempts.py",
        "sorted(set(message.leases))",
        "message.leases",
        "a lease that is given back twice is given back twice",
    ),
    Mutant(
        "dispatch.py",
        "        share = max(1, -(-n_queued // len(waiting)))\n",
        "        share = MAX_CREDIT\n",
        "the first worker takes all of a short queue",
    ),
    Mutant(
        "queue.py",
        "        line.extendleft(sorted(back, reverse=True))\n",
        "        line.extendleft(reversed(back))\n",
        "what several workers give back is out of order",
    ),
    Mutant(
        "attempts.py",
        "    if worker.leases:\n        worker.busy = True\n",
        "",
        "a worker that gave work back gets it again at once",
    ),
    Mutant(
        "stopping.py",
        "    if lease in farm.leases and lease not in farm.stopping_leases:\n",
        "    if lease in farm.leases:\n",
        "a timeout interrupts what an abort has interrupted",
    ),
    Mutant(
        "workers.py",
        "    elif lease > message.started:\n",
        "    elif lease >= message.started:\n",
        "the attempt that killed its worker is not counted",
    ),
    Mutant(
        "dispatch.py",
        "    return 1 if task.history is not None and task.history.deaths else credit(farm, task.spec)\n",
        "    return credit(farm, task.spec)\n",
        "a task that a worker died of drags others along",
    ),
    Mutant(
        "workers.py",
        "    elif message.planned or lease != message.started:\n",
        "    elif lease != message.started:\n",
        "a planned end counts as a death",
    ),
    Mutant(
        "workers.py",
        "    elif task.past().deaths + 1 >= farm.max_deaths:\n",
        "    elif task.past().deaths >= farm.max_deaths:\n",
        "one death too many",
    ),
    Mutant(
        "workers.py",
        "    elif task.spec.on_lost is OnLost.FAIL:\n",
        "    elif task.batch.spec.on_lost is OnLost.FAIL:\n",
        "the recovery runs twice though it may run only once",
    ),
    Mutant(
        "workers.py",
        "started=_NO_PAGE,",
        "started=0,",
        "what may run only once runs again when everything died",
    ),
    Mutant(
        "workers.py",
        "        if past is not None and past.aborting:",
        "        if False:",
        "an abort is forgotten by the next controller",
    ),
    Mutant(
        "farm.py",
        "            if held and task.taskid in held:\n                continue\n",
        "",
        "a held task stands in the queue",
    ),
    Mutant(
        "farm.py",
        "        if task.taskid in self.held:\n            return  # its release offers it\n",
        "",
        "a held task that was refused or backs off is offered",
    ),
    Mutant("farm.py", "                self.held.discard(taskid)\n", "", "a task that has ended is held"),
    Mutant(
        "farm.py",
        "                self.to_check.add(task.taskid)\n",
        "",
        "a released task that all refuse waits for ever",
    ),
    Mutant(
        "farm.py",
        "            priority = self.priority_of(task) if moved else task.batch.spec.priority\n",
        "            priority = task.batch.spec.priority\n",
        "a task that was moved is queued where it was",
    ),
    Mutant(
        "farm.py",
        'have not refused it."""\n        key = (-self.priority_of(task),',
        'have not refused it."""\n        key = (-task.batch.spec.priority,',
        "a refused task that was moved is parked where it was",
    ),
    Mutant(
        "queue.py",
        "            while line and line[0] < taskid:\n                older",
        "            while False:\n                older",
        "what is released goes before all others",
    ),
    Mutant(
        "attempts.py",
        "    if task.taskid in farm.held:\n        return  # nobody is to take it\n",
        "",
        "a held task becomes unreachable",
    ),
    Mutant(
        "requests.py",
        "            task.history.unreachable_since = None  # the time in which nobody may take it does not count\n",
        "            pass\n",
        "the time in which a task is held counts as refused",
    ),
    Mutant(
        "requests.py",
        "    farm.withdraw(queued)\n    commit(farm, step, record)\n",
        "    commit(farm, step, record)\n    farm.withdraw(queued)\n",
        "what is held or moved is looked for where it should be",
    ),
    Mutant(
        "replay.py",
        "    free = [taskid for taskid in live if not farm.tasks[taskid].lease]\n",
        "    free = live\n",
        "a task is held that a worker has",
    ),
    Mutant(
        "replay.py",
        "remember(answer or Reply(record.seq, given))",
        "remember(answer or Reply(record.seq, []))",
        "the answer to a hold does not say what was not held",
    ),
    Mutant(
        "replay.py",
        "            farm.moved.pop(taskid, None)\n",
        "            pass\n",
        "a task cannot be moved back",
    ),
    Mutant(
        "resubmit.py",
        "        dependants = tuple(taskid for taskid in candidates if taskid not in farm.retried)\n",
        "        dependants = candidates\n",
        "a dependant that has run again does so twice",
    ),
    Mutant(
        "resubmit.py",
        "        roots = message.taskid, *_retries(farm, message.taskid)\n",
        "        roots = (message.taskid,)\n",
        "what failed with the retry of a task stays behind when that runs again",
    ),
    Mutant(
        "resubmit.py",
        "            fallen.add(taskid)\n            found",
        "            found",
        "only the direct dependants run again",
    ),
    Mutant(
        "resubmit.py",
        "    answer = client.answers.get(seq)  # there when a repeat was recalled as well\n",
        "    answer = None\n",
        "a repeat that was recalled as well submits a second time",
    ),
    Mutant(
        "resubmit.py",
        "or farm.stop_asked or seq < client.done_below",
        "or farm.stop_asked",
        "a copy that was overtaken submits a second time",
    ),
    Mutant(
        "resubmit.py",
        "or farm.stop_asked or seq",
        "or seq",
        "a retry takes effect after the stop",
    ),
    Mutant(
        "resubmit.py",
        "            instead |= dict.fromkeys(_retries(farm, asked), new[asked])\n",
        "            pass\n",
        "a dependant comes after the failed retry instead of the new one",
    ),
    Mutant(
        "resubmit.py",
        "    if parent not in instead and not succeeded:\n",
        "    if parent not in instead:\n",
        "an input that has succeeded is replaced by its retry",
    ),
    Mutant(
        "resubmit.py",
        "    if parent not in instead and not succeeded:\n",
        "    if False:\n",
        "another failed dependency is not found by its newest retry",
    ),
    Mutant(
        "resubmit.py",
        "after=tuple(parent for parent in after if farm.knows(parent)),",
        "after=tuple(after),",
        "a task comes after one that was cleared",
    ),
    Mutant(
        "resubmit.py",
        "farm.knows(taskid) and not lacking)",
        "farm.knows(taskid))",
        "a dependant runs without the input that was cleared",
    ),
    Mutant(
        "endings.py",
        "        if task is not None:  # else it has fallen with what was submitted together with it\n",
        "        if True:\n",
        "what falls together is ended twice",
    ),
    Mutant(
        "farm.py",
        "            self.retried.pop(taskid, None)\n",
        "            pass\n",
        "what was cleared is remembered as retried",
    ),
    Mutant(
        "replay.py",
        "            farm.retried.update(record.pairs)\n",
        "",
        "nobody knows what has run again",
    ),
    Mutant(
        "broadcasts.py",
        "        if number not in told:\n            _send",
        "        if number not in told or told[number] is None:\n            _send",
        "a worker that has a broadcast before it when the controller comes back runs it twice",
    ),
    Mutant(
        "broadcasts.py",
        "    for number in farm.broadcasts:\n        if number not in told:\n",
        "    for number in farm.broadcasts:\n        if False:\n",
        "a worker that joins runs no broadcast",
    ),
    Mutant(
        "broadcasts.py",
        "and not message.running and not message.planned",
        "and not message.planned",
        "a broadcast is blamed for a death in a task",
    ),
    Mutant(
        "dispatch.py",
        " and not w.busy and not w.owes)",
        " and not w.busy)",
        "a task overtakes a broadcast",
    ),
    Mutant(
        "attempts.py",
        "    if message.kept > len(past.displays):\n        return",
        "    if message.kept > len(past.displays):\n        pass",
        "a task shows what follows on something that was never heard",
    ),
    Mutant(
        "replay.py",
        "            task.history.displays = ()\n",
        "",
        "an attempt shows what the one before has shown",
    ),
    Mutant(
        "requests.py",
        '"outputs": None if version == known else displays}',
        '"outputs": displays}',
        "what a client has already is sent again",
    ),
    Mutant(
        "workers.py",
        "    endings.fell_silent(task)\n",
        "",
        "the last words of a lost attempt are lost with it",
    ),
)
