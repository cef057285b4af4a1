"""Settings of the notebook are in force in its tasks, and in no other's."""

from __future__ import annotations

import calendar
import decimal
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import altair as alt
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.express as px
import plotly.io as pio
import pytest
import sklearn
from sklearn.exceptions import ConvergenceWarning

from taskfc_ext import settings, start
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE
from tests.system.conftest import settings_kept


@pytest.fixture(scope="module")
def client(lone_farm: Controller) -> Iterator[Any]:
    with lone_farm.client() as client:
        yield client


@pytest.fixture(autouse=True)
def settings_of_before() -> Iterator[Callable[[], None]]:
    """Put back what this process had set, at the latest when the test is over."""
    with settings_kept() as put_back:
        yield put_back


root = logging.getLogger()


def set_zone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def basic_logging() -> None:
    root.handlers.clear()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s-%(message)s")


def log_something() -> None:
    logging.getLogger("mine").info("words")
    logging.getLogger("quiet").info("more words")


def use_own_theme() -> None:
    alt.theme.register("mine", enable=True)(lambda: alt.theme.ThemeConfig({"width": 123}))


def use_own_template() -> None:
    pio.templates["mine"] = {"layout": {"width": 321}}
    pio.templates.default = "plotly+mine"


def filters() -> list[Any]:
    return [(action, category.__name__) for action, _, category, _, _ in warnings.filters[:2]]


SETTINGS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "recursion limit": (lambda: sys.setrecursionlimit(4321), sys.getrecursionlimit),
    "precision of decimals": (lambda: setattr(decimal.getcontext(), "prec", 9), lambda: str(1 / decimal.Decimal(7))),
    "rounding of decimals": (
        lambda: decimal.setcontext(decimal.Context(prec=4, rounding=decimal.ROUND_UP, traps=[])),
        lambda: (str(1 / decimal.Decimal(3)), sum(decimal.getcontext().traps.values())),
    ),
    "filters": (lambda: warnings.simplefilter("ignore"), filters),
    "a filter of a library": (lambda: warnings.simplefilter("error", ConvergenceWarning), filters),
    "filters with patterns": (
        lambda: warnings.filterwarnings("error", "some.*", UserWarning, "mod.*", 3),
        lambda: str(warnings.filters[0]),
    ),
    "errors of numpy": (lambda: np.seterr(all="raise"), np.geterr),
    "print options of numpy": (
        lambda: np.set_printoptions(precision=2, suppress=True, formatter={"int": lambda n: f"<{n}>"}),
        lambda: str(np.array([1.23456, 1e-9])) + str(np.array([3])),
    ),
    "time zone": (set_zone, lambda: (time.tzname, time.localtime(0).tm_hour, os.environ.get("TZ"))),
    "options of pandas": (
        lambda: pd.set_option("display.precision", 2, "display.max_rows", 4),
        lambda: str(pd.DataFrame({"a": [1.23456] * 9})),
    ),
    "a function as an option of pandas": (
        lambda: pd.set_option("display.float_format", lambda number: f"~{number:.1f}"),
        lambda: str(pd.Series([1.23456])),
    ),
    "configuration of scikit-learn": (
        lambda: sklearn.set_config(transform_output="pandas", display="text"),
        lambda: (sklearn.get_config()["transform_output"], sklearn.get_config()["display"]),
    ),
    "a logger's propagation": (
        lambda: setattr(logging.getLogger("mine"), "propagate", False),
        lambda: logging.getLogger("mine").propagate,
    ),
    "rcParams": (lambda: plt.rc("font", size=21), lambda: matplotlib.rcParams["font.size"]),
    "a style": (
        lambda: plt.style.use("dark_background"),
        lambda: (matplotlib.rcParams["axes.facecolor"], str(matplotlib.rcParams["axes.prop_cycle"])),
    ),
    "a theme of altair": (lambda: alt.theme.enable("dark"), lambda: alt.theme.active),
    "one's own theme of altair": (use_own_theme, lambda: (alt.theme.active, dict(alt.theme.get()()))),
    "a transformer of altair": (
        lambda: alt.data_transformers.disable_max_rows(),
        lambda: str(alt.data_transformers.options),
    ),
    "a template of plotly": (lambda: setattr(pio.templates, "default", "plotly_dark"), lambda: pio.templates.default),
    "one's own template": (
        use_own_template,
        lambda: (pio.templates.default, "mine" in pio.templates.default and pio.templates["mine"].layout.width),
    ),
    "defaults of plotly express": (lambda: setattr(px.defaults, "width", 300), lambda: px.defaults.width),
}


def look(name: str) -> object:
    return SETTINGS[name][1]()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", ["function", "cell"])
def test_a_task_finds_what_is_set_here_and_later_ones_what_is_set_then(
    client: Any, settings_of_before: Callable[[], None], kind: str, name: str
) -> None:
    def ask() -> object:
        if kind == "function":
            return client.submit(look, name).result(DEADLINE)
        return client.submit_cell("look(name)", {"look": look, "name": name}).result(DEADLINE)

    before = ask()
    SETTINGS[name][0]()
    assert ask() == look(name) != before
    settings_of_before()
    assert ask() == before


def test_a_change_between_two_submissions_is_not_missed(client: Any) -> None:
    tasks = []
    for digits in range(3, 30):
        decimal.getcontext().prec = digits
        tasks.append(client.submit(look, "precision of decimals"))
    assert [len(task.result(DEADLINE)) for task in tasks] == [digits + 2 for digits in range(3, 30)]
    errors = []
    for how in ("raise", "ignore", "warn", "raise"):
        with np.errstate(divide=how):  # type: ignore[call-overload]
            errors.append((how, client.submit(np.geterr)))
    assert [task.result(DEADLINE)["divide"] for how, task in errors] == [how for how, _ in errors]


def test_what_is_logged_here_is_logged_there(client: Any) -> None:
    kept = list(root.handlers), root.level
    try:
        basic_logging()
        logging.getLogger("quiet").setLevel(logging.ERROR)
        task = client.submit(log_something)
        task.result(DEADLINE)
        assert task.stderr == "INFO-words\n"
    finally:
        root.handlers[:], root.level = kept
        logging.getLogger("quiet").setLevel(logging.NOTSET)
    task = client.submit(log_something)
    task.result(DEADLINE)
    assert task.stderr == ""


def test_a_handler_that_is_changed_logs_in_the_new_way(client: Any) -> None:
    def logged() -> str:
        task = client.submit(log_something)
        task.result(DEADLINE)
        return str(task.stderr)

    kept = list(root.handlers), root.level
    try:
        basic_logging()
        assert logged() == "INFO-words\nINFO-more words\n"
        root.handlers[0].setFormatter(logging.Formatter("%(name)s"))
        assert logged() == "mine\nquiet\n"
        root.handlers[0].setLevel(logging.ERROR)
        assert logged() == ""
    finally:
        root.handlers[:], root.level = kept
    assert logged() == ""


def test_a_library_that_the_task_imports_finds_them_too(home: Any) -> None:
    plt.rc("font", size=23)
    pd.set_option("display.precision", 1)
    cell = "import sys\nassert 'pandas' not in sys.modules\nimport pandas as pd, matplotlib as mpl\n"
    cell += "(pd.get_option('display.precision'), mpl.rcParams['font.size'])"
    with start(1) as farm, farm.client() as client:
        assert client.submit_cell(cell).result(DEADLINE) == (1, 23)


def test_a_filter_of_a_class_of_the_notebook_is_left_out(client: Any) -> None:
    class Mine(UserWarning):
        __module__ = "__main__"

    warnings.simplefilter("error", Mine)
    warnings.simplefilter("ignore", BytesWarning)
    assert client.submit(look, "filters").result(DEADLINE)[0] == ("ignore", "BytesWarning")


def test_values_that_cannot_travel_are_left_out_and_the_others_come(client: Any) -> None:
    pd.set_option("display.precision", 3, "display.float_format", threading.Lock().locked)
    assert client.submit(pd.get_option, "display.precision").result(DEADLINE) == 3


def first_day() -> int:
    return calendar.firstweekday()


def set_first_day(day: int) -> None:
    calendar.setfirstweekday(day)


def test_a_setting_that_is_registered_travels_and_ends(client: Any) -> None:
    settings.register("first day of the week", "calendar", first_day, set_first_day, default=0)
    try:
        calendar.setfirstweekday(6)
        assert client.submit(calendar.firstweekday).result(DEADLINE) == 6
        client.submit(calendar.setfirstweekday, 3).result(DEADLINE)
        assert client.submit(calendar.firstweekday).result(DEADLINE) == 6
        calendar.setfirstweekday(0)
        assert client.submit_cell("import calendar; calendar.firstweekday()").result(DEADLINE) == 0
    finally:
        calendar.setfirstweekday(0)
        settings.unregister("first day of the week")


def test_settings_that_are_kept_are_those_of_before_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    before = pio.renderers.default, [look(name) for name in SETTINGS]
    with settings_kept("plotly.io"):
        for change, _ in SETTINGS.values():
            change()
        monkeypatch.setenv("TZ", "America/Lima")
        pio.renderers.default = "plotly_mimetype"
    assert (pio.renderers.default, [look(name) for name in SETTINGS]) == before


def test_a_registered_setting_may_have_the_name_of_another_one(client: Any) -> None:
    settings.register("locale", "calendar", first_day, set_first_day)
    try:
        set_first_day(5)
        assert client.submit(first_day).result(DEADLINE) == 5
        settings.unregister("locale")
        assert client.submit(first_day).result(DEADLINE) == 0
    finally:
        set_first_day(0)
        settings.unregister("locale")


def test_functions_of_a_registered_setting_outlive_the_task_that_imports_its_module(client: Any) -> None:
    import tabnanny

    namespace: dict[str, Any] = {"__name__": "__main__", "tabnanny": tabnanny}
    exec("def read(): return tabnanny.verbose\ndef write(value): tabnanny.verbose = value", namespace)
    pid = client.submit(os.getpid).result(DEADLINE)
    settings.register("how much tabnanny prints", "tabnanny", namespace["read"], namespace["write"])
    tabnanny.verbose = 4
    try:
        cell = "import os, tabnanny; (tabnanny.verbose, os.getpid())"
        assert [client.submit_cell(cell).result(DEADLINE) for _ in range(2)] == [(4, pid), (4, pid)]
    finally:
        tabnanny.verbose = 0
        settings.unregister("how much tabnanny prints")


def test_the_zone_of_the_first_task_is_not_that_of_the_next(home: Any) -> None:
    with start(1) as farm, farm.client() as client:
        here = look("time zone")
        set_zone()
        assert client.submit(look, "time zone").result(DEADLINE) == look("time zone")
        os.environ.pop("TZ")
        time.tzset()
        assert client.submit(look, "time zone").result(DEADLINE) == here
