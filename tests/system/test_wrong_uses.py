"""Wrong uses, as a newcomer makes them, on a real farm: each is answered in one line that says what to do.

What is printed is compared as a whole: whoever changes an answer reads it here beside the others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from IPython.core.error import UsageError

from taskfc_ext import MapTask, StringTask, TaskClient, start
from taskfc_ext.cli import main
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.start import Controller
from tests.system.conftest import Session


@pytest.fixture(scope="module")
def session(shared_farm: Controller) -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JPY_SESSION_NAME", "wrong.ipynb")
        made = Session()
        made.ip.user_ns.update(numbers=[1, 2], lock=threading.Lock())
        yield made
        made.close()


@pytest.fixture
def client(shared_farm: Controller) -> Iterator[BlockingTaskClient]:
    with TaskClient() as client:
        yield client


MAGICS = [
    ("%task staus", "unknown name 'staus'; did you mean `%task status`?"),
    ("%task abrt 3", "this is not Python (line 1): invalid syntax: abrt 3; did you mean `%task abort`?"),
    ("%task abort", "%task abort: needs TASKS; see `%task help abort`"),
    ("%task abort 7-3", "%task abort: TASKS: the range 7-3 runs backwards"),
    ("%task move 3", "%task move: needs --priority; see `%task help move`"),
    ("%task move 3 --priority up", "%task move: --priority: must be a whole number from -1000000 to 1000000, not 'up'"),
    ("%task hold", "%task hold: needs TASKS; see `%task help hold`"),
    ("%task hold no_such", "no task and no future named 'no_such'; `%task status --all` lists the newest"),
    ("%task log 1 2", "%task log: unexpected '2'; lists are separated by commas"),
    (
        "%task stop now",
        "%task stop: unexpected 'now'; it applies to the farm of this notebook, which `%task use` changes",
    ),
    ("%task scale many", "%task scale: N: must be a whole number from 0 to 10000, not 'many'"),
    ("%task history --limit none", "%task history: --limit: must be a whole number from 1 to 100000, not 'none'"),
    ("%task history nosuch", "no task and no future named 'nosuch'; `%task status --all` lists the newest"),
    ("%task result 999", "there is no task 999; `%task status --all` lists the newest"),
    ("%task result nosuch", "no task and no future named 'nosuch'; `%task status --all` lists the newest"),
    (
        "%task clear 999",
        "unknown task ids: 999; nothing was cleared; `%task status --all` lists the newest",
    ),
    ("%task help bogus", "%task help: unknown verb 'bogus'; `%task help` lists them"),
    ("%task widget 3", "%task widget: unexpected '3'; it takes no arguments"),
    ("%task 1 +", "this is not Python (line 1): invalid syntax: 1 +"),
    ("%task x = 3", "'x' would be bound on the worker only; write `x = %task 3`"),
    ("%task lock.acquire()", "lock (a _thread.lock) cannot be pickled: cannot pickle '_thread.lock' object"),
    ("%%task\nnumbrs + 1", "unknown name 'numbrs'; did you mean numbers?"),
    ("%%task -i opem\n1", "unknown name 'opem'"),
    ("%%task -o total\ntotl = sum(numbers)", "-o: the cell never assigns 'total'; did you mean totl?"),
    ("%%task -o y\n1", "-o: the cell never assigns 'y'"),
    ("%%task\nreturn 3", "this is not Python (line 1): 'return' outside function"),
    ("%%task\n\n", "%%task: the cell is empty"),
    ("%%task my task\n1", "%%task: unexpected 'task'; a task has one name, and lists are separated by commas"),
    ("%%task numbers\n1", "'numbers' holds a list here, not a task's future; take another name, or `del numbers`"),
    ("%%task list\n1", "'list' is a builtin, which the task's future would hide; take another name"),
    ("%%task --retires 2\n1", "%%task: unknown option --retires; did you mean --retries?"),
    ("%%task --timeout -1\n1", "%%task: --timeout: must be a number of seconds above 0, not '-1'"),
    ("%%task --after nosuch\n1", "no task and no future named 'nosuch'; `%task status --all` lists the newest"),
    (
        "%%task --retries 2 --retry-on OsError\n1",
        "--retry-on: 'OsError' is not an exception type; did you mean OSError?",
    ),
    ("%%task --depend 'gpu =='\n1", "%%task: --depend: 'gpu ==' is not a Python expression: invalid syntax"),
    ("%%task --depend propertys\n1", "--depend: unknown name 'propertys'; did you mean properties?"),
    ("%%task --recover nosuch\n1", "--recover: unknown name 'nosuch'"),
    ("%%task --recover numbers\n1", "--recover: 'numbers' holds a list, not a function that takes no arguments"),
    ("%%task --backoff 2\n1", "%%task: --backoff needs --retries; without it nothing is run again"),
    ("%task retry nosuch", "no task and no future named 'nosuch'; `%task status --all` lists the newest"),
    ("%task debug 1-2", "%task debug: one task at a time"),
    ("%task debug 999", "there is no task 999; `%task status --all` lists the newest"),
    ("%task retry", "%task retry: needs TASKS; see `%task help retry`"),
    (
        "%%task --everywhere --retries 2\n1",
        "%%task: --everywhere takes only -i and --dry-run, not --retries",
    ),
    (
        "%%task --replace --beside\n1",
        "%%task: --replace aborts this cell's unfinished task and --beside leaves it; give one of them",
    ),
    (
        "%%task --reuse --keep\n1",
        "%%task: --reuse cannot know what --keep finds in the worker's namespace; give one of them",
    ),
    ("%%task --clear-before\n1", "%%task: --clear-before needs --keep; without it every cell has a fresh namespace"),
    ("%%task 'open\n1", "%%task: no closing quotation"),
]


@pytest.mark.parametrize(("cell", "answer"), MAGICS)
def test_in_a_notebook(session: Session, capsys: pytest.CaptureFixture[str], cell: str, answer: str) -> None:
    before = session.ip.user_ns.copy()
    capsys.readouterr()
    error = session.error(cell)
    assert (type(error), str(error)) == (UsageError, answer)
    assert capsys.readouterr().err == f"UsageError: {answer}\n"  # that and nothing else, no traceback
    assert {name for name in session.ip.user_ns if not name.startswith("_")} <= before.keys()


TERMINAL = [
    ("log 999", 1, "taskfc: there is no task 999 (list them with: taskfc tasks)"),
    ("log nosuch", 1, "taskfc: there is no task named 'nosuch' (list them with: taskfc tasks)"),
    ("abort 998-999", 1, "taskfc: there are no tasks 998, 999 (list them with: taskfc tasks)"),
    ("retry 999", 1, "taskfc: there is no task 999 (list them with: taskfc tasks)"),
    ("abort 7-3", 1, "taskfc: the range 7-3 runs backwards"),
    ("tasks 1-9999999", 1, "taskfc: 1-9999999 are too many tasks: 100,000 at once"),
    ("status --name nosuch", 1, "taskfc: no farm 'nosuch' runs here (start it with: taskfc start --name nosuch)"),
    ("restart --name nosuch", 1, "taskfc: there is no farm 'nosuch' (list the farms with: taskfc list)"),
    ("abort", 2, "taskfc abort: error: the following arguments are required: TASK"),
    ("scale two", 2, "taskfc scale: error: argument N: 'two' is not a number from 0 to 10000"),
    (
        "status extra",
        2,
        "taskfc status: error: unrecognized arguments: extra (the farm's name is given as --name extra)",
    ),
    ("stop fb", 2, "taskfc stop: error: unrecognized arguments: fb (the farm's name is given as --name fb)"),
    ("start 4", 2, "taskfc start: error: unrecognized arguments: 4 (the number of workers is given as -n 4)"),
    ("status --all", 2, "taskfc status: error: unrecognized arguments: --all"),
    ("scale 2 3", 2, "taskfc scale: error: unrecognized arguments: 3"),
]


@pytest.mark.parametrize(("words", "code", "answer"), TERMINAL)
def test_in_a_terminal(
    shared_farm: Controller, capsys: pytest.CaptureFixture[str], words: str, code: int, answer: str
) -> None:
    capsys.readouterr()
    try:
        ended = main(words.split())
    except SystemExit as end:
        ended = int(str(end.code))
    out, err = capsys.readouterr()
    usage, last = err.rstrip("\n").rpartition("\n")[::2]
    assert (ended, out, last) == (code, "", answer)
    assert usage.startswith(f"usage: taskfc {words.split()[0]} ") if code == 2 else not usage


CLIENT = (
    "(a taskfc_ext.client.blocking.BlockingTaskClient) cannot be pickled: "
    "a client belongs to the process that connected it; connect with TaskClient() in the task"
)

PYTHON = [
    ("tc.run(3)", TypeError, "run takes a MapTask or a StringTask, not 3"),
    ("tc.submit(3)", TypeError, "3 cannot be called"),
    ("tc.submit(len, lock)", TypeError, "argument 1 of len (a _thread.lock) cannot be pickled"),
    ("tc.submit(len, [tc])", TypeError, f"argument 1 of len: [0] {CLIENT}"),
    ("tc.submit(lambda: tc)", TypeError, f"<lambda>: its global `tc` {CLIENT}"),
    ("tc.submit(tc.submit, len, [1])", TypeError, f"BlockingTaskClient.submit: its `__self__` {CLIENT}"),
    ("tc.submit(len, [tc.with_options(retries=1)])", TypeError, f"argument 1 of len: [0] {CLIENT}"),
    (
        "tc.submit(len, [tc.submit(abs, -1)])",
        TypeError,
        "argument 1 of len: [0] (a taskfc_ext.client.future.future.TaskFuture)",
    ),
    ("tc.map(len)", TypeError, "map takes a function and at least one sequence"),
    ("tc.map(pow, [1, 2], [1])", ValueError, "the sequences are of different lengths: 2, 1"),
    ("tc.with_options(retires=3)", TypeError, "there is no option 'retires'; did you mean 'retries'?"),
    ("tc.with_options(timeout=-1)", ValueError, "timeout is a number of seconds, "),
    ("tc.with_options(after='fit')", TypeError, "after takes futures and task ids, not 'fit'"),
    ("tc.abort('fit')", TypeError, "a taskid is an int, not 'fit'"),
    ("tc.hold('fit')", TypeError, "tasks are given as an id, a future or a sequence of these, not 'fit'"),
    ("tc.release(None)", TypeError, "tasks are given as an id, a future or a sequence of these, not None"),
    ("tc.hold(999)", KeyError, "not among the unfinished tasks: 999; nothing was held"),
    ("tc.move(0, 'high')", TypeError, "priority is an int, not 'high'"),
    ("tc.move(0, 10**7)", ValueError, "priority is from -1,000,000 to 1,000,000, not 10,000,000"),
    ("tc.get_task_result(999)", IndexError, "there is no task 999"),
    ("tc.scale(-1)", ValueError, "n is from 0 to 10,000, not -1"),
    ("MapTask(len, 5)", TypeError, "args is a list or a tuple, not 5"),
    ("StringTask(3)", TypeError, "expression is a str, not 3"),
    (
        "tc.barrier(1.0)",
        TypeError,
        "tasks are given as an id, a future or a sequence of these, not 1.0; seconds are for timeout=",
    ),
    ("tc.parallel()(5)", TypeError, "parallel() decorates a function, not 5: write @client.parallel() above a def"),
    ("TaskClient(3)", TypeError, "a farm's name is a str, such as 'default', not 3; start(workers=...) takes their "),
    ("start('2')", TypeError, "start: workers is an int, or None for one a core, not '2'; a farm's name is given as "),
    ("start(True)", TypeError, "start: workers is an int, or None for one a core, not True"),
    ("start(-1)", ValueError, "start: workers is from 0 to 10,000, or None for one a core, not -1"),
    ("TaskClient('../x')", ValueError, "'../x' is not a farm name: "),
]


@pytest.mark.parametrize(("expression", "kind", "answer"), PYTHON)
def test_in_python(client: BlockingTaskClient, expression: str, kind: type[Exception], answer: str) -> None:
    names = {"tc": client, "lock": threading.Lock(), "MapTask": MapTask, "StringTask": StringTask}
    with pytest.raises(kind) as caught:
        eval(expression, names | {"TaskClient": TaskClient, "start": start})
    assert str(caught.value).startswith(answer)
    assert client.map(abs, [-1]) == [1]  # and nothing is the worse for it


def test_a_result_that_cannot_travel_says_what_to_do(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    session.error("%%task --wait\nimport threading\nthreading.Lock()")
    shown = capsys.readouterr().out
    assert "(a _thread.lock) cannot be pickled" in shown
    assert "return what can be pickled instead" in shown


def test_a_failed_result_has_a_readable_traceback(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.run("broken = %task 1 / 0")
    capsys.readouterr()
    assert isinstance(session.error("broken.result()"), ZeroDivisionError)
    assert "failed resolving arguments" not in capsys.readouterr().out
