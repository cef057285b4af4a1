from __future__ import annotations

import pytest

from taskfc_ext.ipython.hints import or_else
from taskfc_ext.ipython.parse import requests
from taskfc_ext.ipython.parse.grammar import near_verb, parse_cell_line, parse_line, split_verb, verb_help
from taskfc_ext.ipython.parse.requests import BadUsage, Run, Status, Submission
from taskfc_ext.ipython.parse.tables import VERBS

LINES = [
    ("", Status()),
    ("   ", Status()),
    ("status", Status()),
    ("status ;", Status()),
    ("status;  # all", Status()),
    ("status --all", Status(all=True)),
    ("status 1,fit,3-4", Status(tasks=(range(1, 2), "fit", range(3, 5)))),
    ("wait", requests.Wait()),
    ("wait 3-7 --timeout 2.5", requests.Wait(tasks=(range(3, 8),), timeout=2.5)),
    ("wait a, b", requests.Wait(tasks=("a", "b"))),
    ("wait my-task.v2", requests.Wait(tasks=("my-task.v2",))),
    ("result fit", requests.Result(tasks=("fit",))),
    ("pull fit -o x,y", requests.Pull(tasks=("fit",), out=("x", "y"))),
    ("abort 3", requests.Abort(tasks=(range(3, 4),))),
    ("clear --all", requests.Clear(all=True)),
    ("log 3", requests.Log(tasks=(range(3, 4),))),
    ("show 3", requests.Show(tasks=(range(3, 4),))),
    ("spin", requests.Spin()),
    ("history", requests.History()),
    ("history fit,3-4 --limit 5", requests.History(tasks=("fit", range(3, 5)), limit=5)),
    ("history --all", requests.History(all=True)),
    ("history[0]", Run("history[0]")),
    ("workers", requests.Workers()),
    ("start -n 4 --name x --fresh", requests.Start(n=4, name="x", fresh=True)),
    ("scale 0", requests.Scale(n=0)),
    ("stop", requests.Stop()),
    ("restart -n 2", requests.Restart(n=2)),
    ("list", requests.List()),
    ("use other", requests.Use(name="other")),
    ("widget", requests.Widget()),
    ("help", requests.Help()),
    ("help wait", requests.Help(verb="wait")),
    ("wait --help", requests.Help(verb="wait")),
    ("-h", requests.Help()),
    ("fit(3)", Run("fit(3)")),
    ("  fit ", Run("fit")),
    ("run fit(3)", Run("fit(3)")),
    ("map fit(x) for x in xs", requests.Map("fit(x) for x in xs")),
    ("map -x for x in xs", requests.Map("-x for x in xs")),
    ("map --help", requests.Help(verb="map")),
    ("map(fit, xs)", Run("map(fit, xs)")),
    ("run status", Run("status")),
    ("run -- -x", Run("-x")),
    # verbs that are expressions
    ("status(3)", Run("status(3)")),
    ("status (3)", Run("status (3)")),
    ("status.code", Run("status.code")),
    ("status .code", Run("status .code")),
    ("list[0]", Run("list[0]")),
    ("list [0]", Run("list [0]")),
    ("list = 3", Run("list = 3")),
    ("result == 3", Run("result == 3")),
    ("result + 1", Run("result + 1")),
    ("result - 1", Run("result - 1")),
    ("result -1", Run("result -1")),
    ("result * 2", Run("result * 2")),
    ("result < 2", Run("result < 2")),
    ("result % 2", Run("result % 2")),
    ("result != 2", Run("result != 2")),
    ("result if x else y", Run("result if x else y")),
    ("result in xs", Run("result in xs")),
    ("result is None", Run("result is None")),
    ("result not in xs", Run("result not in xs")),
    ("log and x", Run("log and x")),
    ("log, x", Run("log, x")),
    ("retry(3)", Run("retry(3)")),
    ("debug fit --no-debugger", requests.Debug(tasks=("fit",), no_debugger=True)),
    ("retry 3-4,fit", requests.Retry(tasks=(range(3, 5), "fit"))),
    ("statuses", Run("statuses")),
    ("'status'", Run("'status'")),
]


@pytest.mark.parametrize(("line", "request_"), LINES)
def test_lines(line: str, request_: requests.Request) -> None:
    assert parse_line(line) == request_


@pytest.mark.parametrize(
    ("line", "submission"),
    [
        ("", Submission()),
        ("fit", Submission(name="fit")),
        ("fit -i a,b -o c", Submission(name="fit", ship=("a", "b"), out=("c",))),
        ("-i ''", Submission(ship=())),
        ("-o a, b , c fit", Submission(name="fit", out=("a", "b", "c"))),
        ("--retries=3 --timeout 60", Submission(retries=3, timeout=60.0)),
        (
            "--retries 1 --retry-on OSError,requests.HTTPError",
            Submission(retries=1, retry_on=("OSError", "requests.HTTPError")),
        ),
        ("--after 3,4-5,fit --priority -1", Submission(after=(range(3, 4), range(4, 6), "fit"), priority=-1)),
        ("--keep --clear-before --clear-after", Submission(keep=True, clear_before=True, clear_after=True)),
        ("--on-lost fail --wait --dry-run", Submission(on_lost="fail", wait=True, dry_run=True)),
        ("--retries 2 --backoff 0.5 --recover f", Submission(retries=2, backoff=0.5, recover="f")),
        ("--depend \"properties.get('gpu', 0) > 1\"", Submission(depend="properties.get('gpu', 0) > 1")),
        ("--cores 4 --memory 1.5GiB --gpus 1", Submission(cores=4, memory=3 * 2**29, gpus=1)),
        ("--resources licence=1, tape=2 fit", Submission(name="fit", resources={"licence": 1, "tape": 2})),
        ("--help", requests.Help()),
    ],
)
def test_cell_lines(line: str, submission: Submission) -> None:
    assert parse_cell_line(line) == submission


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("abort", "%task abort: needs TASKS; see `%task help abort`"),
        ("scale", "%task scale: needs N; see `%task help scale`"),
        (
            "stop now",
            "%task stop: unexpected 'now'; it applies to the farm of this notebook, which `%task use` changes",
        ),
        ("start fb", "%task start: unexpected 'fb'; the farm's name is given as --name fb"),
        ("start 4", "%task start: unexpected '4'; the number of workers is given as -n 4"),
        ("restart 4", "%task restart: unexpected '4'; the number of workers is given as -n 4"),
        ("abort 3 4", "%task abort: unexpected '4'; lists are separated by commas"),
        ("abort 7-3", "%task abort: TASKS: the range 7-3 runs backwards"),
        ("wait --al", "%task wait: unknown option --al; did you mean --all?"),
        ("wait --timeout 0", "%task wait: --timeout: must be a number of seconds above 0, not '0'"),
        ("wait --timeout nan", "%task wait: --timeout: must be a number of seconds above 0, not 'nan'"),
        ("history --limit 0", "%task history: --limit: must be a whole number from 1 to 100000, not '0'"),
        ("scale many", "%task scale: N: must be a whole number from 0 to 10000, not 'many'"),
        ("log 'a b", "%task log: no closing quotation"),
        ("log a/b", "%task log: TASKS: 'a/b' is not a task id, a range or a name"),
        ("run", "%task run: needs an expression"),
        ("run -x", "%task run takes no options; write `%task run -- -x` for the expression, or use %%task"),
        ("widget 3", "%task widget: unexpected '3'; it takes no arguments"),
        ("debug", "%task debug: needs TASKS; see `%task help debug`"),
        ("retry", "%task retry: needs TASKS; see `%task help retry`"),
        ("retry 3 4", "%task retry: unexpected '4'; lists are separated by commas"),
        ("hold", "%task hold: needs TASKS; see `%task help hold`"),
        ("release 3 4", "%task release: unexpected '4'; lists are separated by commas"),
        ("move", "%task move: needs TASKS, --priority; see `%task help move`"),
        ("move 3", "%task move: needs --priority; see `%task help move`"),
        (
            "move 3 --priority high",
            "%task move: --priority: must be a whole number from -1000000 to 1000000, not 'high'",
        ),
        (
            "move 3 --priority 1000001",
            "%task move: --priority: must be a whole number from -1000000 to 1000000, not '1000001'",
        ),
        (
            "hold 3 --priority 1",
            "%task hold: unknown option --priority; --priority is an option of a task: `%%task --priority ...`",
        ),
        ("start --workers 2", "%task start: unknown option --workers; did you mean -n?"),
        ("start workers=2", "%task start: unexpected 'workers=2'; the number of workers is given as -n 2"),
        ("restart -w 2", "%task restart: unknown option -w; did you mean -n?"),
        ("stop --workers 2", "%task stop: unknown option --workers; it takes no options"),
        ("start --resources a", "%task start: --resources: takes NAME=N, such as GPU=1, not 'a'"),
    ],
)
def test_bad_lines(line: str, message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        parse_line(line)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--retires 3", "%%task: unknown option --retires; did you mean --retries?"),
        ("--retries -1", "%%task: --retries: must be a whole number from 0 to 1000000, not '-1'"),
        ("fit --everywhere", "%%task: --everywhere makes no task, so it takes no name: 'fit'"),
        *(
            (
                f"--everywhere {option} {value}",
                f"%%task: --everywhere takes only -i and --dry-run, not {option}",
            )
            for option, value in [
                ("-o", "x"),
                ("--retries", "2"),
                ("--retry-on", "E"),
                ("--backoff", "2"),
                ("--recover", "f"),
                ("--after", "3"),
                ("--depend", "True"),
                ("--timeout", "3"),
                ("--priority", "1"),
                ("--on-lost", "fail"),
                ("--keep", ""),
                ("--clear-before", ""),
                ("--clear-after", ""),
                ("--wait", ""),
            ]
        ),
        ("--recover 3f", "%%task: --recover: '3f' is not a variable name"),
        ("--recover f,g", "%%task: --recover: takes one name, not 'f,g'"),
        ("--retry-on OSError", "%%task: --retry-on needs --retries; without it nothing is run again"),
        ("--backoff 2", "%%task: --backoff needs --retries; without it nothing is run again"),
        ("--depend 'x = 3'", "%%task: --depend: 'x = 3' is not a Python expression: invalid syntax"),
        ("--depend 'f('", "%%task: --depend: 'f(' is not a Python expression: '(' was never closed"),
        ("--depend '1) or (2'", "%%task: --depend: '1) or (2' is not a Python expression: unmatched ')'"),
        ("--clear-before", "%%task: --clear-before needs --keep; without it every cell has a fresh namespace"),
        ("3a", "%%task: NAME: '3a' is not a task name; use a letter or _, then letters, digits, . _ - (at most 100)"),
        ("a b", "%%task: unexpected 'b'; a task has one name, and lists are separated by commas"),
        ("-o a-b", "%%task: -o: 'a-b' is not a variable name"),
        ("-o class", "%%task: -o: 'class' is not a variable name"),
        ("-o", "%%task: -o: needs a value"),
        ("'\n'", None),
    ],
)
def test_bad_cell_lines(line: str, message: str | None) -> None:
    with pytest.raises(BadUsage) as caught:
        parse_cell_line(line)
    assert "\n" not in str(caught.value)
    assert message is None or str(caught.value) == message


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    assert VERBS[verb].summary in verb_help(verb).replace("\n", " ")


@pytest.mark.parametrize(
    ("word", "verb"), [("stat", "status"), ("hist", "history"), ("worker", "workers"), ("strat", "start")]
)
def test_the_beginning_of_a_verb_suggests_it(word: str, verb: str) -> None:
    with pytest.raises(BadUsage, match=f"did you mean {verb}\\?$"):
        verb_help(word)
    assert near_verb(f"{word} 3") == f"; did you mean `%task {verb}`?"


def test_two_suggestions_are_one_question() -> None:
    also = near_verb("stat")
    assert or_else("unknown name 'stat'; did you mean state?", also) == (
        "unknown name 'stat'; did you mean state, or `%task status`?"
    )
    assert or_else("unknown name 'stat'", also) == "unknown name 'stat'; did you mean `%task status`?"
    assert or_else("unknown name 'stat'; did you mean state?", "") == "unknown name 'stat'; did you mean state?"


def test_a_task_name_is_never_split_off_as_a_verb() -> None:
    assert split_verb("waiting") == (None, "waiting")
    assert split_verb("wait3") == (None, "wait3")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--memory 8X", "--memory: must be a size such as 500M, 8G or 1.5GiB, not '8X'"),
        ("--memory 8", "--memory: must be from 1 MB to 1,000 TB, not 8; 8G means 8 GB"),
        ("--memory -8G", "--memory: needs a value"),
        ("--cores 0", "--cores: must be a whole number from 1 to 1000000, not '0'"),
        ("--gpus 1.5", "--gpus: must be a whole number from 1 to 1000000, not '1.5'"),
        ("--gpus -1", "--gpus: must be a whole number from 1 to 1000000, not '-1'"),
        ("--resources licence", "--resources: takes NAME=N, separated by commas, not 'licence'"),
        ("--resources licence=0", "--resources: licence is at least 1, not 0"),
        ("--resources gpus=1", "--resources: gpus is an option of its own, not an own resource of a farm"),
        ("--everywhere --gpus 1", "--everywhere takes only -i and --dry-run, not --gpus"),
    ],
)
def test_bad_resources(line: str, message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        parse_cell_line(line)
    assert str(caught.value) == f"%%task: {message}"
