"""Long waits: when a bar is drawn, what it counts, where it stands, and that nothing of it stays."""

from __future__ import annotations

import concurrent.futures
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from rich import get_console
from rich.progress import Progress
from tqdm import tqdm

from taskfc_ext.client.progress import switch
from taskfc_ext.client.progress.bar import Bar, CellOutput, Terminal, find_screen, open_bar
from taskfc_ext.client.progress.counts import Counts, FutureCounts
from taskfc_ext.client.progress.formats import Format, RichFormat, Style, TqdmFormat, Unit, find_format
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.client.progress.upload import long_upload, submitting
from taskfc_ext.text import plain_text
from tests.terminals import rows_of

# when


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Later(concurrent.futures.Future[str]):
    """A future that has a result, or an error, at a time; a wait moves the clock."""

    def __init__(self, clock: Clock, seconds: float, outcome: BaseException | str = "value") -> None:
        super().__init__()
        self._clock, self._end, self._outcome = clock, clock.now + seconds, outcome
        self.waits: list[float | None] = []

    def done(self) -> bool:
        return self._clock.now >= self._end

    def result(self, timeout: float | None = None) -> str:
        self.waits.append(timeout)
        assert timeout is None or timeout >= 0
        if timeout is not None and self._clock.now + timeout < self._end:
            self._clock.now += timeout
            raise TimeoutError
        self._clock.now = max(self._clock.now, self._end)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


class Drawn:
    """A bar that notes what is drawn on it, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: list[Any] = []
        self.error: Exception | None = None
        self.n_opened = 0

    def open(self) -> Drawn:
        self.n_opened += 1
        return self

    def show(self, what: str, unit: Unit, counts: Counts, seconds: float) -> None:
        if self.error is not None:
            raise self.error
        self.events.append((round(self._clock.now - 100, 3), what, unit, counts, round(seconds, 3)))

    def pause(self) -> None:
        self.events.append("pause")

    def resume(self) -> None:
        self.events.append("resume")

    def close(self) -> None:
        self.events.append("close")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drawn(clock: Clock) -> Drawn:
    return Drawn(clock)


def make_wait(clock: Clock, drawn: Drawn, *, count: Callable[[], Counts | None] | None = None, **more: Any) -> LongWait:
    return LongWait(count or (lambda: Counts(1, 4)), "fit", clock=clock, open_bar=drawn.open, **more)


def refuse_to_count(*_: object) -> Any:
    raise AssertionError("counted")


def test_a_short_wait_draws_nothing_and_counts_nothing(clock: Clock, drawn: Drawn) -> None:
    with make_wait(clock, drawn, count=refuse_to_count) as wait:
        for _ in range(3):
            future = Later(clock, 0.6)
            assert wait.result(future) == "value"
            assert len(future.waits) == 1, "one wait, without looks at it meanwhile"
    assert drawn.n_opened == 0


def test_a_long_wait_shows_a_bar_after_two_seconds_ten_times_a_second(clock: Clock, drawn: Drawn) -> None:
    n_done = iter(range(100))
    with make_wait(clock, drawn, count=lambda: Counts(next(n_done), 4)) as wait:
        assert wait.result(Later(clock, 2.25)) == "value"
        assert drawn.events == [(2 + i / 10, "fit", "tasks", Counts(i, 4), 2 + i / 10) for i in range(3)]
    assert drawn.events[3:] == ["close"]
    assert drawn.n_opened == 1


def test_many_short_waits_are_one_long_wait(clock: Clock, drawn: Drawn) -> None:
    with make_wait(clock, drawn) as wait:
        for _ in range(30):
            wait.result(Later(clock, 0.08))
    assert [event[0] for event in drawn.events[:-1]] == [2.0, 2.1, 2.2, 2.3]


def test_drawing_takes_a_small_part_of_the_time(clock: Clock, drawn: Drawn) -> None:
    def count_slowly() -> Counts:
        clock.now += 0.05
        return Counts(0, 10**6)

    with make_wait(clock, drawn, count=count_slowly) as wait:
        wait.result(Later(clock, 12.0))
    times = [event[0] for event in drawn.events[:-1]]
    assert [round(after - before, 3) for before, after in pairwise(times)] == [1.05] * 9


def test_the_import_of_a_library_is_not_part_of_drawing(clock: Clock, drawn: Drawn) -> None:
    def open_slowly() -> Drawn:
        clock.now += 0.5
        return drawn.open()

    with LongWait(lambda: Counts(1, 4), "fit", clock=clock, open_bar=open_slowly) as wait:
        wait.result(Later(clock, 2.65))
    assert [event[0] for event in drawn.events[:-1]] == [2.5, 2.6]


def test_counts_that_are_unknown_are_not_drawn(clock: Clock, drawn: Drawn) -> None:
    counts = iter([None, None, Counts(3, 4), None])
    with make_wait(clock, drawn, count=lambda: next(counts)) as wait:
        wait.result(Later(clock, 2.35))
    assert [event[0] for event in drawn.events[:-1]] == [2.2]


def test_where_no_bar_can_be_shown_the_wait_is_one(clock: Clock) -> None:
    n_opened = []
    wait = LongWait(refuse_to_count, "fit", clock=clock, open_bar=lambda: n_opened.append(1))
    future = Later(clock, 1000)
    assert wait.result(future) == "value"
    assert future.waits == [2.0, None]
    assert len(n_opened) == 1


@pytest.mark.parametrize("seconds", [1.0, 30.0])
@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("its own"), KeyboardInterrupt()])
def test_the_error_of_a_task_is_raised_and_the_bar_is_gone(
    clock: Clock, drawn: Drawn, seconds: float, error: BaseException
) -> None:
    future = Later(clock, seconds, error)
    with pytest.raises(type(error)) as raised, make_wait(clock, drawn) as wait:
        wait.result(future)
    assert raised.value is error
    assert drawn.events[-1:] == (["close"] if seconds > 2 else [])


@pytest.mark.parametrize("timeout", [0.0, 1.5, 2.0, 2.05, 7.0])
def test_a_timeout_ends_the_wait_at_its_time(clock: Clock, drawn: Drawn, timeout: float) -> None:
    with make_wait(clock, drawn) as wait, pytest.raises(TimeoutError):
        wait.result(Later(clock, 100), timeout)
    assert clock.now == pytest.approx(100 + timeout)


@pytest.mark.parametrize("error", [OSError("the terminal is gone"), UnicodeEncodeError("ascii", "█", 0, 1, "no")])
def test_a_bar_that_cannot_be_drawn_does_not_disturb_the_wait(clock: Clock, drawn: Drawn, error: Exception) -> None:
    drawn.error = error
    with make_wait(clock, drawn) as wait:
        assert wait.result(Later(clock, 30)) == "value"
    assert drawn.events == ["close"]
    assert drawn.n_opened == 1


def test_work_in_the_thread_draws_by_ticks(clock: Clock, drawn: Drawn) -> None:
    with make_wait(clock, drawn, unit="bytes") as wait:
        for _ in range(10):
            clock.now += 0.25
            wait.tick()
    assert [event[:3] for event in drawn.events[:2]] == [(2.0, "fit", "bytes"), (2.25, "fit", "bytes")]
    assert drawn.events[-1] == "close"


def test_a_bar_makes_room_for_the_users_code_and_comes_back(clock: Clock, drawn: Drawn) -> None:
    wait = make_wait(clock, drawn, makes_room=True)
    wait.result(Later(clock, 2.05))
    wait.result(Later(clock, 0.01))
    assert drawn.events[1:] == ["pause", "resume", "pause"]
    clock.now += 5  # the user's code
    wait.result(Later(clock, 0.02))
    assert drawn.events[4:] == ["pause"], "it would be seen for a moment only"
    clock.now += 5
    wait.result(Later(clock, 0.15))
    assert [event[0] for event in drawn.events[5:-1]] == [12.18]
    wait.close()
    assert drawn.events[-2:] == ["pause", "close"]


def test_the_time_of_the_users_code_is_not_waited(clock: Clock, drawn: Drawn) -> None:
    wait = make_wait(clock, drawn, makes_room=True)
    for _ in range(19):
        wait.result(Later(clock, 0.1))
        clock.now += 10
    assert drawn.n_opened == 0
    wait.result(Later(clock, 0.15))
    assert drawn.n_opened == 1


# what


class Ended:
    """An end that is counted."""

    def __init__(self) -> None:
        self.is_done = self.has_failed = False
        self.n_looks = 0

    def done(self) -> bool:
        self.n_looks += 1
        return self.is_done


def test_futures_are_counted_and_those_that_have_ended_only_once() -> None:
    ends = [Ended() for _ in range(4)]
    counts = FutureCounts(ends)
    assert counts.read() == Counts(0, 4, 0)
    ends[0].is_done = ends[2].is_done = ends[2].has_failed = True
    assert counts.read() == counts.read() == Counts(2, 4, 1)
    assert [end.n_looks for end in ends] == [2, 3, 2, 3]
    for end in ends:
        end.is_done = True
    assert counts.read() == Counts(4, 4, 1)


def test_a_payload_shows_its_bytes(clock: Clock, drawn: Drawn) -> None:
    with long_upload("the arguments", make_wait=partial(LongWait, clock=clock, open_bar=drawn.open)) as report:
        for n in range(1, 5):
            clock.now += 1
            report(n * 2**24, 2**26)
    shown = [(what, unit, counts) for _, what, unit, counts, _ in drawn.events[:-1]]
    assert shown == [("the arguments", "bytes", Counts(n * 2**24, 2**26)) for n in (2, 3, 4)]
    assert drawn.events[-1] == "close"


def test_the_payloads_of_one_submission_show_its_tasks(clock: Clock, drawn: Drawn) -> None:
    n_sent = 0
    with submitting(make_wait(clock, drawn, count=lambda: Counts(n_sent, 3))):
        for _ in range(3):
            with long_upload("the arguments", make_wait=refuse_to_count) as report:
                clock.now += 1
                report(2**24, 2**24)
            n_sent += 1
    assert [counts for _, _, _, counts, _ in drawn.events[:-1]] == [Counts(1, 3), Counts(2, 3)]
    assert drawn.events[-1] == "close"
    with long_upload("the arguments", make_wait=partial(LongWait, clock=clock, open_bar=drawn.open)) as report:
        clock.now += 3
        report(1, 2)
    assert drawn.events[-2][3] == Counts(1, 2), "behind the submission a payload is alone again"


# how


@pytest.fixture(params=[TqdmFormat, RichFormat])
def make_format(request: pytest.FixtureRequest) -> Callable[[Style], Format]:
    made: Callable[[Style], Format] = request.param
    return made


def test_a_line_shows_the_counts_the_failed_ones_and_the_rest(make_format: Callable[[Style], Format]) -> None:
    line = make_format(Style())("fit", "tasks", Counts(42, 100, 3), 5.0, 79)
    assert line.startswith("fit, 3 failed")
    assert "42" in line
    assert "100" in line
    assert any(rest in line for rest in ("<00:06", "6.90 s left"))
    assert "failed" not in make_format(Style())("fit", "tasks", Counts(42, 100), 5.0, 79)


def test_a_line_without_a_total_shows_what_is_done(make_format: Callable[[Style], Format]) -> None:
    line = make_format(Style())("fit", "tasks", Counts(42), 5.0, 79)
    assert line.startswith("fit")
    assert "42" in line
    assert "%" not in line


def test_bytes_have_readable_units(make_format: Callable[[Style], Format]) -> None:
    line = make_format(Style())("the arguments of fit", "bytes", Counts(10**9, 3 * 10**9), 5.0, 79)
    assert any(amounts in line for amounts in ("1.00G/3.00G", "1.0 GB of 3.0 GB"))


@pytest.mark.parametrize("columns", [1, 7, 20, 40, 79, 200])
@pytest.mark.parametrize("counts", [Counts(0, 10**6), Counts(10**6, 10**6, 10**6), Counts(5), Counts(0, 0)])
@pytest.mark.parametrize("style", [Style(), Style(has_unicode=False), Style(has_colors=True)])
def test_a_line_fits_whatever_the_name(
    make_format: Callable[[Style], Format], columns: int, counts: Counts, style: Style
) -> None:
    line = make_format(style)("a\nlong \x1b[31mname " * 9, "tasks", counts, 5000.0, columns)
    assert "\n" not in line
    assert len(plain_text(line)) <= columns
    assert style.has_unicode or line.isascii()
    assert style.has_colors or "\x1b" not in line


def test_tqdm_is_taken_first_then_rich_then_none() -> None:
    assert isinstance(find_format(Style()), TqdmFormat)
    assert isinstance(find_format(Style(), lambda name: None if name == "tqdm" else name), RichFormat)
    assert find_format(Style(), lambda name: None) is None


# where


class FakeTerminal(io.StringIO):
    """A stream that is, or is not, a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return self._is_terminal


def a_line(what: str, unit: Unit, counts: Counts, seconds: float, columns: int) -> str:
    return f"{what} {counts.done}"[:columns]


def test_a_terminal_keeps_nothing_of_a_bar() -> None:
    stream = FakeTerminal()
    bar = Bar(Terminal(stream), a_line)
    bar.close()
    assert stream.getvalue() == ""
    bar.show("fit", "tasks", Counts(10), 2.0)
    assert rows_of(stream.getvalue()) == ["fit 10"]
    bar.show("fit", "tasks", Counts(9), 2.1)
    assert rows_of(stream.getvalue()) == ["fit 9"]
    bar.close()
    assert rows_of(stream.getvalue()) == [""]
    bar.close()


def test_the_users_lines_stand_above_the_bar() -> None:
    stream = FakeTerminal()
    bar = Bar(Terminal(stream), a_line)
    bar.show("a long name", "tasks", Counts(1), 2.0)
    bar.pause()
    stream.write("1\n")
    bar.resume()
    bar.resume()
    assert rows_of(stream.getvalue()) == ["1", "a long name 1"]
    bar.pause()
    stream.write("2\n")
    bar.close()
    assert rows_of(stream.getvalue()) == ["1", "2", ""]


def test_the_line_of_a_terminal_is_no_wider_than_a_hundred_columns() -> None:
    assert Terminal(FakeTerminal()).columns == 79


class Cell:
    """A kernel's shell, as far as an output needs it."""

    def __init__(self) -> None:
        self.kernel: object = SimpleNamespace(_allow_stdin=True)
        self.events = self
        self.display_pub = self
        self.callbacks: list[Callable[[], None]] = []
        self.outputs: list[tuple[str, str]] = []
        self.n_messages = 0

    def register(self, event: str, callback: Callable[[], None]) -> None:
        assert event == "post_run_cell"
        self.callbacks.append(callback)

    def unregister(self, event: str, callback: Callable[[], None]) -> None:
        self.callbacks.remove(callback)

    def publish(self, data: dict[str, str], *, transient: dict[str, str], update: bool) -> None:
        self.n_messages += 1
        shown = transient["display_id"], data["text/plain"]
        if update:
            (place,) = (i for i, output in enumerate(self.outputs) if output[0] == shown[0])
            self.outputs[place] = shown
        else:
            self.outputs.append(shown)

    def texts(self) -> list[str]:
        return [text for _, text in self.outputs]

    def end(self) -> None:
        for callback in list(self.callbacks):
            callback()


def test_a_cell_has_one_output_for_a_bar_which_is_empty_at_its_end() -> None:
    cell = Cell()
    bar = Bar(CellOutput(cell), a_line)
    bar.close()
    assert cell.texts() == []
    bar.show("fit", "tasks", Counts(1), 2.0)
    bar.pause()
    bar.resume()
    bar.show("fit", "tasks", Counts(2), 2.1)
    assert cell.texts() == ["fit 2"]
    assert cell.n_messages == 2, "others write elsewhere, so nothing has to be drawn again"
    bar.close()
    assert cell.texts() == [""]
    assert cell.callbacks == []


def test_a_bar_that_is_open_when_its_cell_ends_goes_on_in_the_next_one() -> None:
    cell = Cell()
    bar = Bar(CellOutput(cell), a_line)
    bar.show("fit", "tasks", Counts(1), 2.0)
    cell.end()
    assert cell.texts() == [""]
    bar.show("fit", "tasks", Counts(2), 9.0)
    assert cell.texts() == ["", "fit 2"]
    cell.end()
    assert cell.texts() == ["", ""]
    assert cell.callbacks == []


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTerminal]:
    """A terminal, with no variables or switches that turn bars off."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv(switch.VARIABLE, raising=False)
    yield FakeTerminal()
    switch.turn(True)


def opens(terminal: FakeTerminal) -> bool:
    """Return whether there is a bar if stderr is this terminal."""
    with redirect_stderr(terminal):
        return open_bar() is not None


def test_a_kernel_comes_before_a_terminal(terminal: FakeTerminal) -> None:
    assert isinstance(find_screen(Cell(), terminal), CellOutput)
    assert isinstance(find_screen(SimpleNamespace(kernel=None), terminal), Terminal)
    assert isinstance(find_screen(None, terminal), Terminal)


def test_headless_there_is_no_screen(terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_screen(None, None) is None
    assert find_screen(None, FakeTerminal(is_terminal=False)) is None
    closed = FakeTerminal()
    closed.close()
    assert find_screen(None, closed) is None
    nbclient = Cell()
    nbclient.kernel = SimpleNamespace(_allow_stdin=False)
    assert find_screen(nbclient, terminal) is None
    monkeypatch.setenv("TERM", "dumb")
    assert find_screen(None, terminal) is None


@pytest.mark.parametrize(
    ("value", "is_shown"), [("0", False), ("off", False), (" FALSE", False), ("1", True), ("", True)]
)
def test_a_variable_turns_bars_off(
    terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch, value: str, is_shown: bool
) -> None:
    assert opens(terminal)
    monkeypatch.setenv(switch.VARIABLE, value)
    assert opens(terminal) == is_shown


def test_a_notebook_turns_bars_off(terminal: FakeTerminal) -> None:
    switch.turn(False)
    assert not opens(terminal)
    switch.turn(True)
    assert opens(terminal)


def test_other_threads_show_no_bars(terminal: FakeTerminal) -> None:
    opened: list[bool] = []
    thread = threading.Thread(target=lambda: opened.append(opens(terminal)))
    thread.start()
    thread.join()
    assert opened == [False]


def test_a_bar_of_the_users_own_is_enough(terminal: FakeTerminal) -> None:
    with tqdm(total=3, file=io.StringIO()):
        assert not opens(terminal)
    assert opens(terminal)
    with Progress(console=get_console()):
        assert not opens(terminal)
    assert opens(terminal)
