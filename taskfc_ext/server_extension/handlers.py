"""HTTP handlers: authorization, validation and encoding of requests and answers.

Jupyter's own handlers check the token, or the cookie with its XSRF token, and the origin. Its authorizer decides about
the resource `taskfc`: lists and details need `read`, commands need `write`, and commands that run code need `execute`
as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from msgspec import Struct
from tornado import web
from tornado.websocket import WebSocketHandler

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.session.subscriber import News, Subscriber
from taskfc_ext.drivers.files import bytes_in
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.errors import ControllerLost, ResultExpired, TaskFCError
from taskfc_ext.protocol.client_messages import ListTasks
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.limits import MAX_ID
from taskfc_ext.protocol.states import State
from taskfc_ext.server_extension.browser import Browser
from taskfc_ext.server_extension.discovery import Discovery
from taskfc_ext.server_extension.hub import Hub
from taskfc_ext.server_extension.starting import start_farm
from taskfc_ext.text import as_sentence, one_line, plain_text, sentence
from taskfc_ext.version import __version__
from taskfc_ext.view.commands import Ask, carry_out, explain_mismatch
from taskfc_ext.view.details import task_details
from taskfc_ext.view.messages import (
    AnyCommand,
    CommandAnswer,
    FarmDetails,
    Retry,
    RetryFailed,
    Start,
    Tasks,
    ViewQuestion,
)

RESOURCE = "taskfc"
"""The resource for the authorizer."""

MAX_COMMAND = 2 * 2**20
"""Bytes of a command: as many ids as one request may have, and some more."""

MAX_LISTED = 1000
"""Tasks in one list."""

MAX_QUESTION = 4096
"""Bytes of a question on the WebSocket; one has under 200."""

_command = msgspec.json.Decoder(AnyCommand)
_question: msgspec.json.Decoder[ViewQuestion] = msgspec.json.Decoder(ViewQuestion)


def add_handlers(app: web.Application, *, root_dir: str) -> Hub:
    """Add the handlers to a Jupyter server. Workers of farms that it starts begin in `root_dir`."""
    hub = Hub(_subscribe, Discovery())
    parts: dict[str, Any] = {"hub": hub}
    routes: list[tuple[str, type[web.RequestHandler], dict[str, Any]]] = [
        ("farms", FarmsHandler, parts),
        ("farms/([^/]+)", FarmHandler, {**parts, "root_dir": root_dir}),
        ("farms/([^/]+)/tasks", TasksHandler, parts),
        ("farms/([^/]+)/tasks/([^/]+)", TaskHandler, parts),
        ("watch", WatchHandler, parts),
    ]
    base = app.settings["base_url"]
    rules: list[Any] = [(url_path_join(base, "taskfc/api", path), *rest) for path, *rest in routes]
    app.add_handlers(".*$", rules)
    return hub


def _bytes_of(name: str) -> int:
    """Return the bytes of a farm's store, on the disk and in memory."""
    paths = LocalFarm(name).current_paths()
    return bytes_in(paths.store) + (bytes_in(paths.memory) if paths.memory else 0)


def _subscribe(name: str, on_news: Callable[[News], None]) -> Subscriber:
    return Subscriber(asyncio.get_running_loop(), LocalFarm(name), on_news, version=__version__, label="Jupyter server")


class _Handler(APIHandler):
    """Base of the REST handlers."""

    auth_resource = RESOURCE
    _track_activity = False  # else a page that is left open would keep an idle server from being culled

    def initialize(self, hub: Hub) -> None:
        self.hub = hub

    def answer(self, value: Struct) -> None:
        self.finish(msgspec.json.encode(value))

    def refuse(self, status: int, message: str) -> None:
        self.set_status(status)
        self.finish(msgspec.json.encode({"message": message}))

    def check_name(self, name: str) -> str | None:
        """Return `name` if it is valid for a farm; else refuse the request and return `None`."""
        try:
            return farm_paths(name).name
        except ValueError as error:
            self.refuse(400, plain_text(str(error))[:500])
            return None

    def refuse_farm(self, name: str) -> None:
        self.refuse(404, f"There is no farm {name!r}; start it, or pick one that GET taskfc/api/farms lists.")


class FarmsHandler(_Handler):
    """GET farms."""

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Answer with the `Farms`."""
        with self.hub.request():
            self.answer(await self.hub.farms())


class _FarmReader(_Handler):
    """Base of the handlers that ask a farm."""

    async def answer_from(self, name: str, find: Callable[[Ask], Awaitable[Struct]]) -> None:
        """Answer with what `find` finds by questions to the farm."""
        status = await self.hub.status(name)
        ask = self.hub.find_ask(name)
        if status is None:
            self.refuse_farm(name)
        elif ask is None:
            self.refuse(404, status.message)
        else:
            try:
                self.answer(await find(ask))
            except ControllerLost as error:
                self.refuse(503, sentence(error))
            except ResultExpired as error:
                self.refuse(410, as_sentence(one_line(error.message)))
            except TaskFCError as error:
                self.refuse(404, sentence(error))


class TasksHandler(_FarmReader):
    """GET farms/NAME/tasks."""

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self, name: str) -> None:
        """Answer with the `Tasks` in a state, or in all: the newest ones."""
        if self.check_name(name) is None:
            return
        state = self.get_query_argument("state", "")
        if state not in ("", *State):
            self.refuse(400, f"A task's state is one of {', '.join(State)}, not {plain_text(state)[:100]!r}.")
            return
        many = self.get_query_argument("n", str(MAX_LISTED))
        if not (many.isascii() and many.isdecimal() and len(many) < 9 and 0 < int(many) <= MAX_LISTED):
            self.refuse(400, f"A list has 1 to {MAX_LISTED} tasks, not {plain_text(many)[:100]!r}.")
            return

        async def find(ask: Ask) -> Tasks:
            found = await ask(ListTasks, states=(state,) if state else None, limit=int(many))
            return Tasks(tasks=tuple(msgspec.convert(found, list[TaskInfo])))

        with self.hub.request():
            await self.answer_from(name, find)


class TaskHandler(_FarmReader):
    """GET farms/NAME/tasks/ID."""

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self, name: str, taskid: str) -> None:
        """Answer with the `TaskDetails`; with HTTP 410 and the reason if the task has expired."""
        if self.check_name(name) is None:
            return
        if not (taskid.isascii() and taskid.isdecimal() and len(taskid) < 17 and int(taskid) <= MAX_ID):
            self.refuse(400, f"A task's id is a number such as 17, not {plain_text(taskid)[:100]!r}.")
            return
        known = self.get_query_argument("known", "")
        if len(known) > 100:
            self.refuse(400, f"The version of outputs that is known has at most 100 characters, not {len(known):,}.")
            return
        with_source = self.get_query_argument("source", "") == "1"
        with self.hub.request():
            await self.answer_from(name, lambda ask: task_details(int(taskid), known, ask, with_source=with_source))


class FarmHandler(_Handler):
    """GET and POST farms/NAME."""

    _track_activity = True

    def initialize(self, hub: Hub, root_dir: str = "") -> None:
        super().initialize(hub)
        self.root_dir = root_dir

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self, name: str) -> None:
        """Answer with the `FarmDetails`."""
        if self.check_name(name) is None:
            return
        with self.hub.request():
            if await self.hub.status(name) is None:
                self.refuse_farm(name)
            else:
                self.answer(FarmDetails(store_bytes=await asyncio.to_thread(_bytes_of, name)))

    @web.authenticated
    @authorized("write")  # type: ignore[untyped-decorator]
    async def post(self, name: str) -> None:
        """Carry out a command; answer with a `CommandAnswer`, also when it failed."""
        if self.check_name(name) is None:
            return
        if len(self.request.body) > MAX_COMMAND:
            self.refuse(413, f"A command has at most {MAX_COMMAND:,} bytes, not {len(self.request.body):,}.")
            return
        try:
            command: AnyCommand = _command.decode(self.request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.refuse(400, f"Not a command: {plain_text(str(error))[:300]}")
            return
        if isinstance(command, Start | Retry | RetryFailed):
            await self._check_may_execute()
        with self.hub.request():
            await self._answer_to(name, command)

    async def _answer_to(self, name: str, command: AnyCommand) -> None:
        status = await self.hub.status(name)
        if status is None and not isinstance(command, Start):
            self.refuse_farm(name)
        elif why_not := explain_mismatch(command, name, status.identity if status is not None else ""):
            self.refuse(409, why_not)
        elif isinstance(command, Start):
            self.answer(await self._start(name, command))
        else:
            assert status is not None
            ask = self.hub.find_ask(name)
            self.answer(CommandAnswer(ok=False, said=status.message) if ask is None else await carry_out(command, ask))

    async def _start(self, name: str, command: Start) -> CommandAnswer:
        answer = await asyncio.to_thread(start_farm, name, command.n, self.root_dir)
        await self.hub.discover()
        return answer

    async def _check_may_execute(self) -> None:
        if not await _is_authorized(self, "execute"):
            raise web.HTTPError(403, f"User is not authorized to execute on resource: {RESOURCE}.")


class WatchHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """WS watch. A page that lags is closed with code 1013, after an invalid message with 1008."""

    auth_resource = RESOURCE

    def initialize(self, hub: Hub) -> None:
        self.hub = hub
        self.browser = Browser(self)

    @property
    def max_message_size(self) -> int:
        """Bytes of a question."""
        return MAX_QUESTION

    def set_default_headers(self) -> None:
        """Set no headers: those of pages make no sense here."""

    def get_compression_options(self) -> Any:
        """Return the options of the server's other WebSockets."""
        return self.settings.get("websocket_compression_options", None)

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the WebSocket for users who may read."""
        if not await _is_authorized(self, "read"):
            raise web.HTTPError(403)
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        """Connect a page."""
        super().open(*args, **kwargs)
        self.hub.connect(self.browser)

    def on_message(self, message: str | bytes) -> None:
        """Handle a message of a page."""
        try:
            question = _question.decode(message)
            farm_paths(question.farm)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            reason = plain_text(f"not a question: {error}").encode()[:120].decode(errors="ignore")
            self.browser.close(1008, reason)  # a reason has at most 123 bytes
            return
        self.hub.receive(self.browser, question)

    def on_close(self) -> None:
        """Disconnect the page."""
        self.hub.disconnect(self.browser)


async def _is_authorized(handler: JupyterHandler, action: str) -> bool:
    return bool(await ensure_async(handler.authorizer.is_authorized(handler, handler.current_user, action, RESOURCE)))
