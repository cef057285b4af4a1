"""The live queue: what its views show, and what looking on costs.

What a page shows is measured in JupyterLab in Chromium, as in `benchmarks.measures.page`; what looking on costs, in a
kernel and in a Jupyter server, without a browser, which would take the cores that the others are measured on.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import psutil

from benchmarks.answer import Answer, answer
from benchmarks.measures.notebook import Kernel, fresh_kernel
from benchmarks.measures.page import BLOCK, ENDLESS, START, STOP, TASK, wait_for
from tests.browser.lab import Lab, lab_and_page

N_QUEUED = 100_000

QUEUED = """
from taskfc_ext import TaskClient
client = TaskClient()
import time
queued = [client.submit(time.sleep, {seconds}) for _ in range({n})]
client.flush()
"""

WATCH = """root => {
    // when the view first had each of these numbers in each state, in the milliseconds of the host's clock
    window.said = {};
    const look = () => {
        const now = Date.now();
        for (const count of document.querySelectorAll(`${root} .taskfc-header-line .taskfc-count`)) {
            const state = count.closest('[data-state]').dataset.state;
            window.said[`${state} ${count.textContent}`] ??= now;
        }
    };
    look();
    const whole = {subtree: true, childList: true, characterData: true};
    new MutationObserver(look).observe(document.querySelector(root), whole);
}"""

ABORT = """([root, row]) => {
    // what a user does with three clicks; the time is that of the last
    const view = document.querySelector(root);
    const running = view.querySelector('.taskfc-row[data-state=running]');
    if (!running) return null;
    running.click();
    const press = name => {
        const buttons = [...view.querySelectorAll('.taskfc-inside > .taskfc-actions button')];
        buttons.find(button => button.textContent === name && button.offsetParent)?.click();
    };
    press('Abort');
    const now = Date.now();
    press('Yes, abort');
    return now;
}"""

SCROLL = """async root => {
    // as fast as a hand can: a step a frame, all over the queue, then letters into the filter
    const view = document.querySelector(root);
    const scroller = view.querySelector('.taskfc-table');
    const filter = view.querySelector('input[type=search]');
    const frame = () => new Promise(requestAnimationFrame);
    const tasks = [];
    let rows = 0;
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(each => each.duration))).observe(
        {type: 'longtask'});
    const look = async () => {
        await frame();
        rows = Math.max(rows, view.querySelectorAll('.taskfc-row').length);
    };
    for (let step = 0; step < 120; step++) {
        const share = step % 40 < 20 ? step / 120 : (step * 37 % 120) / 120;
        scroller.scrollTop = share * scroller.scrollHeight;
        await look();
    }
    for (const text of ['s', 'sl', 'sle', 'sleep', '9', '99', '999', '9999', '']) {
        filter.value = text;
        filter.dispatchEvent(new Event('input', {bubbles: true}));
        for (let wait = 0; wait < 30; wait++) await look();
    }
    for (const header of view.querySelectorAll('.taskfc-header')) {
        header.click();
        for (let wait = 0; wait < 30; wait++) await look();
    }
    return {longest: Math.max(0, ...tasks), rows};
}"""

LOOK = """
import asyncio, json, sys
from tornado.websocket import websocket_connect

async def look(url):
    page = await websocket_connect(url)
    await page.write_message(json.dumps({"ask": "watch", "farm": "default"}))
    while (message := await page.read_message()) is not None:
        if json.loads(message)["type"] == "snapshot":
            print("snapshot", flush=True)

asyncio.run(look(sys.argv[1]))
"""
"""A page that follows a queue, as far as its server can tell."""

CPU = """
import threading, time
_thread = next(thread for thread in threading.enumerate() if thread.name == "taskfc-queue")
_clock = time.pthread_getcpuclockid(_thread.ident)
"""


N_ENDED = "sum(future.done() for future in queued)"


def widget(system: str, n: int) -> Answer:
    """From a task's end until the widget says so; and from the click on Abort, kernel blocked. Medians of `n`."""
    del system
    ends, aborts = _time_changes(n, "%task widget", ".taskfc-queue[data-host=widget]")
    return {"widget_dom_ms": median(ends), "widget_abort_ms": median(aborts)}


def sidebar(system: str, n: int) -> Answer:
    """The same of JupyterLab's sidebar."""
    del system
    ends, aborts = _time_changes(n, "pass", ".taskfc-queue[data-host=sidebar]")
    return {"sidebar_dom_ms": median(ends), "sidebar_abort_ms": median(aborts)}


def scroll(system: str, n: int) -> Answer:
    """The longest task of a page, and its rows, while somebody scrolls, filters and sorts `n` queued tasks."""
    del system
    root = ".taskfc-queue[data-host=widget]"
    with lab_and_page() as (lab, page):
        load = "%load_ext taskfc_ext\n%task start -n 0" + QUEUED.format(n=n, seconds=1)
        notebook = lab.open(page, "scroll", load, "%task widget", STOP)
        try:
            notebook.run(0, 1)
            page.locator(f"{root} .taskfc-row").first.wait_for()
            page.wait_for_timeout(2000)  # until JupyterLab itself has settled
            found = page.evaluate(SCROLL, root)
        finally:
            notebook.run(2)
    return {"long_task_ms": found["longest"], "dom_rows": found["rows"]}


def cost(system: str, n: int) -> Answer:
    """What following a queue of a hundred thousand costs a kernel and a Jupyter server, in % of a core, at 10 ends/s.

    And when nothing happens. Each is measured for `n` seconds.
    """
    del system
    found: Answer = {}
    with ExitStack() as stack:
        kernel = stack.enter_context(fresh_kernel())
        lab = Lab(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(lab.stop)
        server = psutil.Process(lab.pid)
        kernel.run("%load_ext taskfc_ext\n%task start -n 0" + QUEUED.format(n=N_QUEUED, seconds=0.1))
        stack.callback(kernel.run, STOP)
        kernel.run("%task widget" + CPU)
        nobody = _share(server, n)
        with _looking(lab):
            found["thread_idle"] = _share_of_thread(kernel, n)
            found["server_idle"] = _share(server, n) - nobody
            kernel.run("%task scale 1")
            kernel.run("queued[0].result()")
            before, begun = kernel.value(N_ENDED), time.perf_counter()
            found["thread_busy"] = _share_of_thread(kernel, n)
            found["server_busy"] = _share(server, n) - nobody
            found["ends_per_s"] = (kernel.value(N_ENDED) - before) / (time.perf_counter() - begun)
        kernel.run("client.close()")
    return found


def _time_changes(n: int, show: str, root: str) -> tuple[list[float], list[float]]:
    """Return from `n` ends and `n` aborts until the view at `root` says so, in ms; `show`: the cell that makes it."""
    chance = random.Random(n)
    ends, aborts = [], []
    with lab_and_page() as (lab, page):
        gates = [lab.folder / f"gate-{number}" for number in range(n)]
        unblocked = lab.folder / "unblocked"
        tasks = [TASK.format(gate=gate) for gate in gates]
        tasks += [ENDLESS.format(stopped=lab.folder / "stopped") for _ in range(n)]
        notebook = lab.open(page, "seen", START, *tasks, show, BLOCK.format(gate=unblocked), STOP)
        try:
            notebook.run(0)
            if "sidebar" in root:
                page.evaluate("() => void window.jupyterapp.commands.execute('taskfc:show-queue')")
            notebook.run(*range(1, 2 * n + 2))
            page.locator(f"{root} .taskfc-row").first.wait_for()
            page.evaluate(WATCH, root)
            notebook.start(2 * n + 2)
            for number, gate in enumerate(gates, 1):
                time.sleep(0.3 + chance.random())
                opened_ms = time.time() * 1e3
                gate.touch()
                ends.append(wait_for(page, f"succeeded {number}") - opened_ms)
            for number in range(1, n + 1):
                time.sleep(0.5 + chance.random())
                clicked_ms = float(page.wait_for_function(ABORT, arg=[root, number]).json_value())
                aborts.append(wait_for(page, f"aborted {number}") - clicked_ms)
        finally:
            unblocked.touch()
            notebook.wait_for_end(2 * n + 2)
            notebook.run(2 * n + 3)
    return ends, aborts


def _share_of_thread(kernel: Kernel, seconds: int) -> float:
    """Return the CPU of the widget's thread, in % of a core, while the kernel's main thread sleeps."""
    before = kernel.value("time.clock_gettime(_clock)")
    begun = time.perf_counter()
    kernel.run(f"time.sleep({seconds})")
    return (kernel.value("time.clock_gettime(_clock)") - before) / (time.perf_counter() - begun) * 100


def _share(process: psutil.Process, seconds: int) -> float:
    """Return the CPU of a process, in % of a core."""
    before, begun = process.cpu_times(), time.perf_counter()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.perf_counter() - begun) * 100


@contextmanager
def _looking(lab: Lab) -> Iterator[None]:
    """Watch the queue through the Jupyter server, as a page does, in a process of its own."""
    url = f"{lab.url.replace('http', 'ws')}/taskfc/api/watch?token={lab.token}"
    with subprocess.Popen([sys.executable, "-c", LOOK, url], stdout=subprocess.PIPE, text=True) as page:
        try:
            assert page.stdout is not None
            assert page.stdout.readline() == "snapshot\n"
            yield
        finally:
            page.terminate()


if __name__ == "__main__":
    answer(widget, sidebar, scroll, cost)
