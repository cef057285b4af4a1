"""The three classes of `IPython.kernel.taskfc` under their names; every request goes through them.

`IFCTaskController` lists the requests of the protocol, `FCTaskControllerFromTaskController` is the controller's end of
it, `FCTaskClient` the client's end.
"""

from __future__ import annotations

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.controller.endpoint import FCTaskControllerFromTaskController
from taskfc_ext.controller.interface import IFCTaskController

__all__ = ["FCTaskClient", "FCTaskControllerFromTaskController", "IFCTaskController"]
