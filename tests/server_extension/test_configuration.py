"""The settings of the Jupyter server's part, and what pages get to know of them."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets.config import Config, Configurable

from taskfc_ext.server_extension.configuration import TaskFarms, add_settings_of_pages


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {"theme": "dark"}),
        ({"let_idle": True}, {"theme": "dark"}),
        ({"let_idle": False}, {"theme": "dark", "taskfcStaysConnected": "true"}),
    ],
)
def test_pages_keep_their_connection_only_where_the_server_is_set_to_that(
    config: dict[str, bool], expected: dict[str, str]
) -> None:
    settings: dict[str, Any] = {"page_config_data": {"theme": "dark"}}
    add_settings_of_pages(settings, TaskFarms(parent=Configurable(config=Config(TaskFarms=config))))
    assert settings["page_config_data"] == expected


def test_the_setting_is_there_before_the_pages_have_others() -> None:
    settings: dict[str, Any] = {}
    add_settings_of_pages(settings, TaskFarms(let_idle=False))
    assert settings == {"page_config_data": {"taskfcStaysConnected": "true"}}
