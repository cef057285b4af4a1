"""`%task widget`: the live queues of one shell, one for each farm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskfc_ext.errors import TaskFCError
from taskfc_ext.ipython.cards.board import CardBoard
from taskfc_ext.ipython.cards.render import Bundle
from taskfc_ext.ipython.sessions import Session
from taskfc_ext.text import sentence
from taskfc_ext.view.wording import describe_start

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient
    from taskfc_ext.view.commands import Ask
    from taskfc_ext.view.messages import AnyCommand, CommandAnswer
    from taskfc_ext.widget.queue_widget import QueueWidget


class QueueWidgets:
    """Makes one widget for each farm, when its queue is first shown.

    Args:
        session: the farms of this notebook.
        board: the cards; it is given the retried tasks.
    """

    def __init__(self, session: Session, board: CardBoard) -> None:
        self._session = session
        self._board = board
        self._widgets: dict[str, QueueWidget] = {}

    def bundle(self, otherwise: Bundle) -> Bundle:
        """Return the bundle of the queue of the farm in use; front ends without widgets or kernel show `otherwise`."""
        from taskfc_ext.client.farm.launch import LocalFarm
        from taskfc_ext.widget.queue_widget import QueueWidget  # ipywidgets, which `%load_ext` does not wait for

        name = self._session.name
        widget = self._widgets.get(name)
        if widget is None or widget.is_closed:  # a notebook may close all its widgets

            async def carry_out(command: AnyCommand, ask: Ask) -> CommandAnswer:
                return await self._carry_out(name, command, ask)

            widget = self._widgets[name] = QueueWidget(LocalFarm(name), carry_out)
        return widget.bundle(otherwise)

    def close(self) -> None:
        """Close the widgets; their last state stays visible."""
        while self._widgets:
            self._widgets.popitem()[1].close()

    async def _carry_out(self, name: str, command: AnyCommand, ask: Ask) -> CommandAnswer:
        """Carry out a command as the magics do: a retry takes the modules as they are now, and names are rebound."""
        import asyncio

        from taskfc_ext.view.commands import carry_out
        from taskfc_ext.view.messages import CommandAnswer, Retry, RetryFailed, Start

        if isinstance(command, Start):
            try:
                await asyncio.to_thread(self._session.farms.start, name, command.n, fresh=False)
            except (TaskFCError, OSError) as error:
                return CommandAnswer(ok=False, said=sentence(error))
            return CommandAnswer(ok=True, said=describe_start(name))
        client = self._session.client_of(name)
        if client is None or not isinstance(command, Retry | RetryFailed):
            return await carry_out(command, ask)
        answer = await carry_out(command, _in_this_context(client, ask))
        if answer.retried:
            await asyncio.to_thread(self._note_retried, client, answer.retried)
        return answer

    def _note_retried(self, client: BlockingTaskClient, retried: tuple[tuple[int, int], ...]) -> None:
        """Have names of the notebook rebound to the new tasks; the main thread does it after the next cell."""
        for old, new in retried:
            self._board.renewed.append((old, client.future(new)))


def _in_this_context(client: BlockingTaskClient, ask: Ask) -> Ask:
    """Return an `ask` that retries through the notebook's own client, with its modules as they are now."""
    import asyncio

    from taskfc_ext.protocol import client_messages as requests

    async def ask_here(kind: type[requests.Request], **fields: Any) -> Any:
        if kind is not requests.Retry:
            return await ask(kind, **fields)
        return (await asyncio.to_thread(client.resubmit, fields["taskid"])).items()

    return ask_here
