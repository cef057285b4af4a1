"""Wrong uses, as a newcomer makes them, on a real farm: each is answered in one line that says what to do.

What is printed is compared as a whole: whoever changes an answer reads it here beside the others.
"""

# ruff: noqa: E501 - a message stands on one line, as users read it
from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator

import pytest
from IPython.core.error import UsageError

import taskfc_ext
from taskfc_ext import TaskAborted, TaskClient
from taskfc_ext.cli import main
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, until
from tests.system.conftest import Session


@pytest.fixture(scope="module")
def session(shared_farm: Controller) -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JPY_SESSION_NAME", "wrong.ipynb")
        made = Session()
        with TaskClient() as client:
            nothing = client.map_async(scaled, [])
        made.ip.user_ns.update(numbers=[1, 2], lock=threading.Lock(), f=scaled, nothing=nothing)
        yield made
        made.close()


@pytest.fixture
def client(shared_farm: Controller) -> Iterator[BlockingTaskClient]:
    with TaskClient() as client:
        yield client


def scaled(x: float) -> float:
    return x


MAGICS = [
    ("%task staus", "unknown name 'staus'; did you mean `%task status`?"),
    ("%task abrt 3", "there is no verb 'abrt'; did you mean `%task abort`?"),
    ("%task abort", "%task abort: needs TASKS; see `%task help abort`"),
    ("%task abort 7-3", "%task abort: TASKS: the range 7-3 runs backwards"),
    ("%task move 3", "%task move: needs --priority; see `%task help move`"),
    ("%task move 3 --priority up", "%task move: --priority: must be a whole number from -1000000 to 1000000, not 'up'"),
    ("%task hold", "%task hold: needs TASKS; see `%task help hold`"),
    ("%task hold no_such", "no task and no future named 'no_such'; `%task status --all` lists the newest"),
    ("%task wait nothing", "'nothing' has no tasks: it is the group of a map without items"),
    (
        "%task map --name fit f(x) for x in numbers",
        "%task map: it takes no options; write `%task map fit(x) for x in xs`",
    ),
    ("%task log 1 2", "%task log: unexpected '2'; lists are separated by commas"),
    (
        "%task stop now",
        "%task stop: unexpected 'now'; it applies to the farm of this notebook, which `%task use` changes",
    ),
    ("%task scale -1", "%task scale: N: must be a whole number from 0 to 10000, not '-1'"),
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
    ("%task start --workers 4", "%task start: unknown option --workers; did you mean -n?"),
    ("%task start n=4", "%task start: unexpected 'n=4'; the number of workers is given as -n 4"),
    ("%task start -j 4", "%task start: unknown option -j; did you mean -n?"),
    (
        "%task start --cores 4",
        "%task start: unknown option --cores; --cores is an option of a task: `%%task --cores ...`",
    ),
    (
        "%task start --shop x",
        "%task start: unknown option --shop; it is `%task start [-n N] [--name NAME] [--fresh] [--store disk|memory] [--keep-days N] [--keep-bytes SIZE] [--idle-stop H] [--durability process|disk] [--on ENGINE] [--resources NAME=N,...] [--idle S]`",
    ),
    (
        "%task start --store memory --durability disk",
        "%task start: --store memory writes nothing to the disk, so it cannot have --durability disk",
    ),
    ("%task start -n 99999", "%task start: -n: must be a whole number from 0 to 10000, not '99999'"),
    ("%task start --engine tcp://x", "%task start: unknown option --engine; did you mean --on?"),
    (
        "%task start --on nonsense",
        "--on nonsense: there is no variable nonsense; give an address, a scheduler file, or a variable that holds a distributed.Client or a cluster",
    ),
    ("%task start --resources GPU", "%task start: --resources: takes NAME=N, such as GPU=1, not 'GPU'"),
    ("%task scale", "%task scale: needs N; see `%task help scale`"),
    ("%task scale +2", "a number has no sign here: `%task scale 2`"),
    ("%task scale -n 2", "%task scale: unknown option -n; it is `%task scale N`"),
    (
        "%task scale 2 3",
        "%task scale: unexpected '3'; it applies to the farm of this notebook, which `%task use` changes",
    ),
    ("%task restart 3", "%task restart: unexpected '3'; the number of workers is given as -n 3"),
    ("%task restart --workers 3", "%task restart: unknown option --workers; did you mean -n?"),
    (
        "%task restart --fresh",
        "%task restart: unknown option --fresh; it is `%task restart [-n N] [--on ENGINE] [--resources NAME=N,...] [--idle S]`",
    ),
    ("%task use", "%task use: needs NAME; see `%task help use`"),
    ("%task use a b", "%task use: unexpected 'b'; it is `%task use NAME`"),
    ("%task use a/b", "'a/b' is not a farm name: use 1 to 64 of A-Z a-z 0-9 . _ - and do not begin with a dot"),
    ("%task list --all", "%task list: unknown option --all; it takes no options"),
    ("%task spin 3", "%task spin: unexpected '3'; it takes no arguments"),
    ("%task status --failed", "%task status: unknown option --failed; it is `%task status [TASKS] [--all]`"),
    ("%task status failed", "no task is named 'failed'; tasks are given as ids (12), ranges (3-7) and names"),
    ("%task result", "%task result: needs TASKS; see `%task help result`"),
    (
        "%task result 3 --wait",
        "%task result: unknown option --wait; --wait is an option of a task: `%%task --wait ...`",
    ),
    (
        "%task result numbers",
        "'numbers' holds a list, not a task's future, and no task has this name; `%task status --all` lists the newest",
    ),
    ("%task pull 3 -o 'a b'", "%task pull: -o: 'a b' is not a variable name"),
    ("%task wait 5s", "%task wait: TASKS: '5s' is not a task id, a range or a name"),
    ("%task wait --timeout", "%task wait: --timeout: needs a value"),
    ("%task wait --timeout 0", "%task wait: --timeout: must be a number of seconds above 0, not '0'"),
    ("%task wait -t 3", "%task wait: unknown option -t; did you mean --timeout?"),
    ("%task abort all", "no task is named 'all'; tasks are given as ids (12), ranges (3-7) and names"),
    ("%task abort --all", "%task abort: unknown option --all; it is `%task abort TASKS`"),
    ("%task kill 3", "there is no verb 'kill'; did you mean `%task abort`?"),
    ("%task delete 3", "there is no verb 'delete'; did you mean `%task clear`?"),
    ("%task tail 3", "there is no verb 'tail'; `%task help` lists them"),
    ("%task log -f 3", "%task log: unknown option -f; it is `%task log TASKS [--all]`"),
    ("%task move 3 5", "%task move: needs --priority; see `%task help move`"),
    ("%task move 3 -p 5", "%task move: unknown option -p; did you mean --priority?"),
    ("%task clear 5-", "%task clear: TASKS: '5-' is not a task id, a range or a name"),
    ("%task retry all", "no task is named 'all'; tasks are given as ids (12), ranges (3-7) and names"),
    ("%task debug 3 4", "%task debug: unexpected '4'; lists are separated by commas"),
    ("%task run", "%task run: needs an expression"),
    (
        "%task run --name x f(1)",
        "%task run takes no options; write `%task run -- --name x f(1)` for the expression, or use %%task",
    ),
    ("%task f(1) --wait", "unknown name 'wait'; a line takes no options: give --wait to a %%task cell"),
    ("%task f(1", "this is not Python (line 1): '(' was never closed: f(1"),
    (
        "%task print 'a'",
        "this is not Python (line 1): Missing parentheses in call to 'print'. Did you mean print(...)?: print 'a'",
    ),
    ("%%task --name fit\n1", "%%task: unknown option --name; its name comes first: `%%task NAME`"),
    ("%%task fit --out x\nx=1", "%%task: unknown option --out; did you mean -o?"),
    ("%%task fit -o\n1", "%%task: -o: needs a value"),
    ("%%task fit --in numbers\nnumbers", "%%task: unknown option --in; did you mean -i?"),
    ("%%task fit --retry 3\n1", "%%task: unknown option --retry; did you mean --retries?"),
    ("%%task --retries -1\n1", "%%task: --retries: must be a whole number from 0 to 1000000, not '-1'"),
    (
        "%%task --recover print\n1",
        "--recover: 'print' is a builtin; it takes a function of this notebook without arguments",
    ),
    ("%%task --recover f\n1", "--recover: 'f' is called without arguments, but: missing a required argument: 'x'"),
    ("%%task --priority high\n1", "%%task: --priority: must be a whole number from -1000000 to 1000000, not 'high'"),
    ("%%task --timeout 5s\n1", "%%task: --timeout: must be a number of seconds above 0, not '5s'"),
    ("%%task --memory 8\n1", "%%task: --memory: must be from 1 MB to 1,000 TB, not 8; 8G means 8 GB"),
    ("%%task --memory lots\n1", "%%task: --memory: must be a size such as 500M, 8G or 1.5GiB, not 'lots'"),
    ("%%task --cores 0\n1", "%%task: --cores: must be a whole number from 1 to 1000000, not '0'"),
    ("%%task --cpus 2\n1", "%%task: unknown option --cpus; did you mean --cores?"),
    ("%%task --seed x\n1", "%%task: --seed: must be a whole number from 0 to 4294967295, not 'x'"),
    ("%%task --async\n1", "%%task: unknown option --async; `%%task -h` lists the options"),
    ("%%task --block\n1", "%%task: unknown option --block; did you mean --wait?"),
    ("%%task --after 999\n1", "there is no task 999; `%task status --all` lists the newest"),
    ("%%task -i 3\nnumbers", "%%task: -i: '3' is not a variable name"),
    (
        "%%task 2nd\n1",
        "%%task: NAME: '2nd' is not a task name; use a letter or _, then letters, digits, . _ - (at most 100)",
    ),
    ("%%task fit model\n1", "%%task: unexpected 'model'; a task has one name, and lists are separated by commas"),
    (
        "%%task fit,model\n1",
        "%%task: NAME: 'fit,model' is not a task name; use a letter or _, then letters, digits, . _ - (at most 100)",
    ),
    ("%%task --everywhere -o x\nx=1", "%%task: --everywhere takes only -i and --dry-run, not -o"),
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
    ("abort", 2, "taskfc abort: needs TASK (see: taskfc abort --help)"),
    ("scale two", 2, "taskfc scale: argument N: 'two' is not a number from 0 to 10000 (see: taskfc scale --help)"),
    (
        "status extra",
        2,
        "taskfc status: unexpected 'extra'; the farm's name is given as --name extra (see: taskfc status --help)",
    ),
    ("stop fb", 2, "taskfc stop: unexpected 'fb'; the farm's name is given as --name fb (see: taskfc stop --help)"),
    ("start 4", 2, "taskfc start: unexpected '4'; the number of workers is given as -n 4 (see: taskfc start --help)"),
    ("status --all", 2, "taskfc status: unexpected '--all' (see: taskfc status --help)"),
    ("scale 2 3", 2, "taskfc scale: unexpected '3' (see: taskfc scale --help)"),
    ("start --jobs 4", 2, "taskfc start: unexpected '--jobs 4'; did you mean -n? (see: taskfc start --help)"),
    (
        "start --num-workers=4",
        2,
        "taskfc start: unexpected '--num-workers=4'; did you mean -n? (see: taskfc start --help)",
    ),
    (
        "start --cluster tcp://x",
        2,
        "taskfc start: unexpected '--cluster tcp://x'; did you mean --on? (see: taskfc start --help)",
    ),
    ("start --fersh", 2, "taskfc start: unexpected '--fersh'; did you mean --fresh? (see: taskfc start --help)"),
    ("tasks --head 3", 2, "taskfc tasks: unexpected '--head'; did you mean --limit? (see: taskfc tasks --help)"),
    (
        "scale -n 3",
        2,
        "taskfc scale: unexpected '-n'; the number of workers is given alone: taskfc scale 4 (see: taskfc scale --help)",
    ),
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
    assert (ended, out, err) == (code, "", f"{answer}\n")


CLIENT = (
    "(a taskfc_ext.client.blocking.BlockingTaskClient) cannot be pickled: "
    "a client belongs to the process that connected it; connect with TaskClient() in the task"
)


PYTHON = [
    ("tc.run(3)", TypeError, "run takes a MapTask or a StringTask, not 3"),
    ("tc.submit(3)", TypeError, "3 cannot be called; submit takes a function and its arguments apart: submit(f, x)"),
    (
        "tc.submit(len, lock)",
        taskfc_ext.UnpicklableArgument,
        "argument 1 of len (a _thread.lock) cannot be pickled: cannot pickle '_thread.lock' object",
    ),
    (
        "tc.submit(len, [tc])",
        taskfc_ext.UnpicklableArgument,
        "argument 1 of len: [0] (a taskfc_ext.client.blocking.BlockingTaskClient) cannot be pickled: a client belongs to the process that connected it; connect with TaskClient() in the task",
    ),
    (
        "tc.submit(lambda: tc)",
        taskfc_ext.UnpicklableArgument,
        "<lambda>: its global `tc` (a taskfc_ext.client.blocking.BlockingTaskClient) cannot be pickled: a client belongs to the process that connected it; connect with TaskClient() in the task",
    ),
    (
        "tc.submit(tc.submit, len, [1])",
        taskfc_ext.UnpicklableArgument,
        "BlockingTaskClient.submit: its `__self__` (a taskfc_ext.client.blocking.BlockingTaskClient) cannot be pickled: a client belongs to the process that connected it; connect with TaskClient() in the task",
    ),
    (
        "tc.submit(len, [tc.with_options(retries=1)])",
        taskfc_ext.UnpicklableArgument,
        "argument 1 of len: [0] (a taskfc_ext.client.blocking.BlockingTaskClient) cannot be pickled: a client belongs to the process that connected it; connect with TaskClient() in the task",
    ),
    (
        "tc.submit(len, [tc.submit(abs, -1)])",
        taskfc_ext.UnpicklableArgument,
        "argument 1 of len: [0] (a taskfc_ext.client.future.future.TaskFuture) cannot be pickled: a TaskFuture cannot be sent inside another object: pass it as an argument of its own, and the task gets its result, or pass its result()",
    ),
    ("tc.map(len)", TypeError, "map takes a function and a sequence for each of its arguments: map(f, [1, 2])"),
    ("tc.map(pow, [1, 2], [1])", ValueError, "the sequences are of different lengths: 2, 1"),
    ("tc.with_options(retires=3)", TypeError, "there is no option 'retires'; did you mean 'retries'?"),
    ("tc.with_options(timeout=-1)", ValueError, "timeout is a number of seconds, from 0 to 1e+09, not -1"),
    ("tc.with_options(after='fit')", TypeError, "after takes futures and task ids, not 'fit'"),
    (
        "tc.abort('fit')",
        TypeError,
        "a taskid is an int, not 'fit'; client.future(name) finds the newest task of a name",
    ),
    ("tc.hold('fit')", TypeError, "tasks are given as an id, a future or a sequence of these, not 'fit'"),
    ("tc.release(None)", TypeError, "tasks are given as an id, a future or a sequence of these, not None"),
    ("tc.hold(999)", taskfc_ext.UnknownTasks, "not among the unfinished tasks: 999; nothing was held"),
    ("tc.move(0, 'high')", TypeError, "priority is an int, not 'high'"),
    ("tc.move(0, 10**7)", ValueError, "priority is from -1,000,000 to 1,000,000, not 10,000,000"),
    (
        "tc.get_task_result(999)",
        taskfc_ext.UnknownTask,
        "there is no task 999; it was cleared or never existed; queue_status(verbose=True) lists the known ids",
    ),
    ("tc.scale(-1)", ValueError, "n is from 0 to 10,000, not -1"),
    ("MapTask(len, 5)", TypeError, "args is a list or a tuple, not 5"),
    ("StringTask(3)", TypeError, "expression is a str, not 3"),
    (
        "tc.barrier(1.0)",
        TypeError,
        "tasks are given as an id, a future or a sequence of these, not 1.0; seconds are for timeout=",
    ),
    ("tc.parallel()(5)", TypeError, "parallel() decorates a function, not 5: write @client.parallel() above a def"),
    (
        "TaskClient(3)",
        TypeError,
        "a farm's name is a str, such as 'default', not 3; the number of workers is given as workers= to start() or restart()",
    ),
    (
        "start('2')",
        TypeError,
        "start: workers is an int, or None for one a core, not '2'; a farm's name is given as name=",
    ),
    ("start(True)", TypeError, "start: workers is an int, or None for one a core, not True"),
    ("start(-1)", ValueError, "start: workers is from 0 to 10,000, or None for one a core, not -1"),
    (
        "TaskClient('../x')",
        ValueError,
        "'../x' is not a farm name: use 1 to 64 of A-Z a-z 0-9 . _ - and do not begin with a dot",
    ),
    (
        "tc.submit(abs, -1, retries=3)",
        TypeError,
        "abs() takes no retries=; options are given as with_options(retries=...).submit(...)",
    ),
    (
        "tc.submit(scaled, 1, retry=3)",
        TypeError,
        "scaled() takes no retry=; options are given as with_options(retries=...).submit(...)",
    ),
    (
        "tc.submit(None)",
        TypeError,
        "None cannot be called; submit takes a function and its arguments apart: submit(f, x)",
    ),
    ("tc.map()", TypeError, "map() needs func: map(func, *sequences, chunksize=1, block=True)"),
    ("tc.map([1, 2], abs)", TypeError, "map takes the function first: map(f, [1, 2]); [1, 2] cannot be called"),
    ("tc.map(abs, 5)", TypeError, "map takes sequences behind the function, not 5: map(f, [1, 2])"),
    ("tc.map(abs, [1], chunk=2)", TypeError, "map() has no argument chunk=; did you mean chunksize=?"),
    ("tc.map(abs, [1], chunksize=0)", ValueError, "chunksize is at least 1, not 0"),
    ("tc.map(abs, [1], block='no')", TypeError, "block is True or False, not 'no'"),
    ("tc.map_async(abs, [-1]).result('x')", TypeError, "timeout is a number of seconds, not 'x'"),
    ("tc.map_async(abs, [-1]).wait(-1)", ValueError, "timeout is a number of seconds, from 0 to 1e+09, not -1"),
    (
        "tc.map_async(abs, [])[0]",
        IndexError,
        "there is no task at 0: <TaskGroup abs: 0 of 0 done> has 0 tasks",
    ),
    (
        "tc.map_async(abs, [])['x']",
        TypeError,
        "tasks of a group are given by their place, such as group[0], not 'x'",
    ),
    ("tc.future('other:fit')", taskfc_ext.UnknownTask, "other has no task named 'fit'; list_tasks() has the names"),
    (
        "tc.map(abs, [1], retries=2)",
        TypeError,
        "map() has no argument retries=; options of tasks are given before: with_options(retries=...).map(...)",
    ),
    ("tc.imap(abs)", TypeError, "imap takes a function and a sequence for each of its arguments: imap(f, [1, 2])"),
    ("tc.imap([1], abs)", TypeError, "imap takes the function first: imap(f, [1, 2]); [1] cannot be called"),
    ("tc.imap(abs, 3)", TypeError, "imap takes sequences behind the function, not 3: imap(f, [1, 2])"),
    ("tc.imap(abs, [1], window=0)", ValueError, "window is at least 1, not 0"),
    ("tc.mapper(retry=2)", TypeError, "mapper() has no argument retry=; did you mean retries=?"),
    (
        "tc.parallel(scaled)",
        TypeError,
        "parallel takes options, not a function: write @client.parallel() with parentheses",
    ),
    ("tc.with_options(retry=3)", TypeError, "there is no option 'retry'; did you mean 'retries'?"),
    ("tc.with_options(prio=3)", TypeError, "there is no option 'prio'; did you mean 'priority'?"),
    ("tc.with_options(time_limit=3)", TypeError, "there is no option 'time_limit'; did you mean 'timeout'?"),
    ("tc.with_options(mem='8G')", TypeError, "there is no option 'mem'; did you mean 'memory'?"),
    ("tc.with_options(3)", TypeError, "with_options() takes its arguments by name, such as with_options(retries=2)"),
    ("tc.with_options(retries='3')", TypeError, "retries is an int, not '3'"),
    ("tc.with_options(retries=-1)", ValueError, "retries is at least 0, not -1"),
    ("tc.with_options(timeout='5s')", TypeError, "timeout is a number of seconds, not '5s'"),
    ("tc.with_options(memory=8)", ValueError, "memory is from 1 MB to 1,000 TB, not 8; 8G means 8 GB"),
    ("tc.with_options(memory='8X')", ValueError, "memory is a size such as 500M, 8G or 1.5GiB, not '8X'"),
    (
        "tc.with_options(name='my task')",
        ValueError,
        "name is a letter or _ and then letters, digits, _, . or -, at most 100, not 'my task'",
    ),
    ("tc.with_options(on_lost='ignore')", ValueError, "on_lost is 'retry' or 'fail', not 'ignore'"),
    ("tc.with_options(cores=0)", ValueError, "cores is at least 1, not 0"),
    ("tc.with_options(cores=2.5)", TypeError, "cores is an int, not 2.5"),
    (
        "tc.with_options(resources='licence=1')",
        TypeError,
        "resources is a dict of names and amounts, such as {'licence': 1}, not 'licence=1'",
    ),
    (
        "tc.with_options(retry_on='OSError')",
        TypeError,
        "retry_on is an exception type or a tuple of them, not 'OSError'",
    ),
    ("tc.with_options(depend='gpu')", TypeError, "depend is a function of a worker's properties, not 'gpu'"),
    ("tc.with_options(seed=-1)", ValueError, "seed is at least 0, not -1"),
    ("tc.with_options(backoff=-1)", ValueError, "backoff is a number of seconds, from 0 to 1e+09, not -1"),
    ("tc.with_options(after=[None])", TypeError, "after takes futures and task ids, not None"),
    ("tc.scale()", TypeError, "scale() needs n: scale(n)"),
    ("tc.scale('two')", TypeError, "n is an int, not 'two'"),
    ("tc.scale(workers=2)", TypeError, "scale() has no argument workers=; did you mean n=?"),
    ("tc.abort()", TypeError, "abort() needs taskid: abort(taskid)"),
    (
        "tc.abort(ended)",
        TypeError,
        "a taskid is an int, not ENDED; a future has one as .taskid, and methods of its own such as abort()",
    ),
    (
        "tc.retry(999)",
        taskfc_ext.UnknownTask,
        "there is no task 999; it was cleared or never existed; queue_status(verbose=True) lists the known ids",
    ),
    ("tc.move(0)", TypeError, "move() needs priority: move(taskids, priority)"),
    ("tc.move(0, priority=1.5)", TypeError, "priority is an int, not 1.5"),
    ("tc.log('fit')", TypeError, "a taskid is an int, not 'fit'; client.future(name) finds the newest task of a name"),
    ("tc.future('nosuch')", taskfc_ext.UnknownTask, "there is no task named 'nosuch'; list_tasks() has the names"),
    ("tc.barrier(timeout=-1)", ValueError, "timeout is a number of seconds, from 0 to 1e+09, not -1"),
    (
        "tc.barrier([1, 'a'])",
        TypeError,
        "a taskid is an int, not 'a'; client.future(name) finds the newest task of a name",
    ),
    ("tc.clear(999)", taskfc_ext.UnknownTasks, "unknown task ids: 999; nothing was cleared"),
    ("tc.clear('all')", TypeError, "tasks are given as an id, a future or a sequence of these, not 'all'"),
    (
        "tc.list_tasks(states=['done'])",
        ValueError,
        "'done' is not a state of a task; there are waiting, scheduled, running, succeeded, failed, aborted",
    ),
    ("tc.list_tasks(state='running')", TypeError, "list_tasks() has no argument state=; did you mean states=?"),
    ("tc.list_tasks(limit=0)", ValueError, "limit=0 is not possible: expected int >= 1"),
    ("tc.list_tasks(limit='x')", TypeError, "limit='x' is not possible: expected int, got str"),
    ("tc.broadcast(3)", TypeError, "broadcast takes source text or a function, not 3"),
    ("tc.submit_cell(3)", TypeError, "source is a str, not 3"),
    ("tc.submit_cell('1', names=[1])", TypeError, "names is a dict of names and values, not [1]"),
    ("tc.submit_cell('1', outs=3)", TypeError, "outs is a name or a sequence of names, not 3"),
    ("tc.submit_cell('1', retry=3)", TypeError, "there is no option 'retry'; did you mean 'retries'?"),
    ("ended.set_result(3)", RuntimeError, "only the farm can set the result of a TaskFuture"),
    ("ended.abort()", taskfc_ext.UnknownTask, "task N has ended already"),
    ("ended.abort(3)", TypeError, "abort() takes no arguments"),
    ("ended.ns.x", AttributeError, "the task has no name 'x'; it has: none"),
    ("start(n=4)", TypeError, "start() has no argument n=; did you mean workers=?"),
    ("start(num_workers=4)", TypeError, "start() has no argument num_workers=; did you mean workers=?"),
    (
        "start(4, 'x')",
        TypeError,
        "start() takes 1 argument by position, not 2; name=, store=, fresh=, properties=, unreachable_after=, max_deaths=, on=, resources=, idle=, keep_days=, keep_bytes=, idle_stop=, durability= are given by name",
    ),
    ("start(store='redis')", ValueError, "start: store is 'disk' or 'memory', not 'redis'"),
    (
        "start(store='memory', durability='disk')",
        ValueError,
        "start: store='memory' writes nothing to the disk, so it cannot have durability='disk'",
    ),
    ("start(max_deaths=0)", ValueError, "start: max_deaths=0 is not possible: expected int >= 1"),
    ("start(unreachable_after=-1)", ValueError, "start: unreachable_after=-1 is not possible: expected float >= 0.0"),
    (
        "start(on=5)",
        TypeError,
        "on= takes an engine, such as 'tcp://head:8786' (Dask), 'ray://head:10001' or 'ray' (Ray), a scheduler file, or a distributed.Client; not 5",
    ),
    ("start(resources={'cores': 2})", ValueError, "cores is an option of its own, not an own resource of a farm"),
    (
        "restart(4)",
        TypeError,
        "a farm's name is a str, such as 'default', not 4; the number of workers is given as workers= to start() or restart()",
    ),
    (
        "TaskClient(workers=2)",
        TypeError,
        "TaskClient() has no argument workers=; a farm is started with it before: start(workers=...)",
    ),
    ("MapTask('f')", TypeError, "function: 'f' cannot be called"),
    (
        "MapTask(abs, [1], prio=2)",
        TypeError,
        "MapTask() has no argument prio=; it takes function, args, kwargs, clear_before, clear_after, retries, recovery_task, depend, cores, memory, gpus, resources",
    ),
    ("TaskExecutor(n=2)", TypeError, "TaskExecutor() has no argument n=; did you mean max_workers=?"),
    ("TaskExecutor(0)", ValueError, "max_workers must be greater than 0, not 0"),
    ("TaskExecutor('2')", TypeError, "max_workers is an int or None, not '2'"),
    ("TaskExecutor(client=3)", TypeError, "client is what TaskClient() returns, not 3"),
]


@pytest.mark.parametrize(("expression", "kind", "answer"), PYTHON)
def test_in_python(client: BlockingTaskClient, expression: str, kind: type[Exception], answer: str) -> None:
    ended = client.submit(abs, -1)
    assert ended.result() == 1
    names = {name: getattr(taskfc_ext, name) for name in taskfc_ext.__all__}
    names |= {"tc": client, "lock": threading.Lock(), "scaled": scaled, "ended": ended}
    with pytest.raises(kind) as caught:
        eval(expression, names)
    text = "; ".join(str(caught.value).splitlines())
    assert text.replace(repr(ended), "ENDED").replace(f"task {ended.taskid} ", "task N ") == answer
    ours = [
        frame
        for frame, _ in traceback.walk_tb(caught.tb)
        if str(frame.f_globals.get("__name__")).startswith("taskfc_ext")
    ]
    assert len(ours) <= 1
    assert client.map(abs, [-1]) == [1]  # and nothing is the worse for it


def test_cancel_of_a_running_task_does_nothing_and_says_so(client: BlockingTaskClient) -> None:
    running = client.submit(time.sleep, 600)
    until(lambda: running.state == "running", "the task runs")
    names = {"__name__": "__main__", "running": running}
    with pytest.warns(
        UserWarning, match=f"^task {running.taskid} runs already, so cancel.. did nothing; abort.. stops it"
    ):
        assert not eval("running.cancel()", names)
    assert not running.cancel()  # a library asks, and reads the answer
    running.abort()
    with pytest.raises(TaskAborted):  # and is not cancelled
        running.result(DEADLINE)


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


def test_a_name_of_a_cell_is_found_from_its_future(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.run("%%task plain --wait\nmodel = 3")
    session.run("%%task kept --wait -o '*'\nmodel = 3\nbig = 'x' * 3_000_000\nlock = __import__('threading').Lock()")
    assert "kept · succeeded" not in (out := capsys.readouterr().out)
    assert "`lock` did not come back: a _thread.lock cannot be pickled\n" in out
    assert ": big (3 MB), model\n" in out
    answers = {
        "plain.model": "this task's cell has no -o model: add `-o model` to its %%task and run it again, then read .ns.model",
        "kept.model": "a name that comes back is read with .ns: write .ns.model",
        "kept.modl": "a TaskFuture has no attribute 'modl'",
    }
    for cell, answer in answers.items():
        session.error(cell)
        assert capsys.readouterr().out.endswith(f"AttributeError: {answer}\n")
    assert session.ip.user_ns["kept"].ns.model == 3
