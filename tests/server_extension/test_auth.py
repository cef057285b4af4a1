"""Authorization: every endpoint and verb, with a token, with a page's cookies, from another site, with fewer rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websocket

from tests.conftest import farm_home
from tests.server_extension.conftest import READ_ONLY, Server

GETS = ["farms", "farms/default", "farms/default/tasks", "farms/default/tasks/0"]
POST = "farms/default"
COMMAND = {"do": "scale", "n": 1}
FOREIGN = "http://evil.example"

pytestmark = pytest.mark.usefixtures("farm")


@pytest.fixture(scope="module")
def cookies(server: Server) -> dict[str, str]:
    cookies = server.cookies()
    assert "_xsrf" in cookies
    assert len(cookies) == 2
    return cookies


def status(answer: httpx.Response) -> int:
    """Return the status; an answer that lets somebody in is one that the farm gave."""
    if answer.status_code == 404:
        return 200 if "no task 0" in answer.text else 404
    return answer.status_code


@pytest.mark.parametrize("path", GETS)
def test_reading_takes_a_token_or_a_page_of_the_same_site(server, cookies, path):
    origin = {"Origin": server.origin}
    with server.http(token=False) as nobody, server.http() as known, server.http(token=False, cookies=cookies) as page:
        assert status(nobody.get(path)) == 403
        assert status(nobody.get(path, headers={"Authorization": "token wrong"})) == 403
        assert status(known.get(path)) == 200
        assert status(known.get(path, headers={"Origin": FOREIGN})) == 200, "as in all of Jupyter: a token is enough"
        assert status(page.get(path, headers=origin)) == 200
        assert status(page.get(path, headers={"Origin": FOREIGN})) == 404


def test_commands_take_a_token_or_a_page_that_knows_its_own_cookie(server, cookies):
    origin, xsrf = {"Origin": server.origin}, {"X-XSRFToken": cookies["_xsrf"]}
    with server.http(token=False) as nobody, server.http() as known, server.http(token=False, cookies=cookies) as page:
        assert nobody.post(POST, json=COMMAND).status_code == 403
        assert nobody.post(POST, json=COMMAND, headers=xsrf).status_code == 403
        assert known.post(POST, json=COMMAND).status_code == 200
        assert page.post(POST, json=COMMAND, headers=origin).status_code == 403
        assert page.post(POST, json=COMMAND, headers={**origin, "X-XSRFToken": "wrong"}).status_code == 403
        assert page.post(POST, json=COMMAND, headers={**xsrf, "Origin": FOREIGN}).status_code in (403, 404)
        assert page.post(POST, json=COMMAND, headers={**origin, **xsrf}).status_code == 200


@pytest.mark.parametrize("path", [*GETS, POST, "watch"])
@pytest.mark.parametrize("verb", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_no_verb_of_any_address_answers_without_a_login(server, cookies, path, verb):
    with server.http(token=False) as nobody, server.http(token=False, cookies=cookies) as page:
        assert nobody.request(verb, path).status_code in (403, 405)
        if verb not in ("GET", "HEAD"):
            assert page.request(verb, path, headers={"Origin": server.origin}).status_code == 403


@pytest.mark.parametrize("path", [*GETS, POST])
def test_a_preflight_from_elsewhere_allows_nothing(server, cookies, path):
    asked = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    with server.http(token=False, cookies=cookies) as page:
        assert "Access-Control-Allow-Origin" not in page.options(path, headers=asked).headers


def upgrade(server: Server, **options) -> int:
    try:
        with server.page(**options) as page:
            assert page.next()["type"] == "farms"
    except websocket.WebSocketBadStatusException as refused:
        return refused.status_code
    return 101


def test_watching_takes_a_token_or_a_page_of_the_same_site(server, cookies):
    assert upgrade(server, token=False) == 403
    assert upgrade(server) == 101
    assert upgrade(server, token=False, cookies=cookies, origin=server.origin) == 101
    assert upgrade(server, token=False, cookies=cookies, origin=FOREIGN) == 403
    assert upgrade(server, origin=FOREIGN) == 101, "as in all of Jupyter: a token is enough"
    assert upgrade(server, token=False, origin=server.origin) == 403


@pytest.fixture(scope="module")
def reader(module_home: Path) -> Iterator[Server]:
    server = Server(module_home / "reader", READ_ONLY.format(actions=["read"]))
    yield server
    server.stop()


def test_a_user_who_may_only_read_can_watch_and_not_command(reader):
    assert reader.ask("farms").status_code == 200
    with reader.page("default") as page:
        assert page.until(lambda _: True, "snapshot")["farm"] == "default"
    answer = reader.ask(POST, **COMMAND)
    assert (answer.status_code, "not authorized to write" in answer.json()["message"]) == (403, True)


def test_a_user_who_may_not_execute_can_command_but_not_run_code():
    with farm_home() as home:
        server = Server(home, READ_ONLY.format(actions=["read", "write"]))
        try:
            for run in ({"do": "start"}, {"do": "retry", "taskids": [0]}, {"do": "retry-failed"}):
                answer = server.ask("farms/other", **run)
                assert (answer.status_code, "not authorized to execute" in answer.json()["message"]) == (403, True)
            assert server.ask("farms/other", do="clear").status_code == 404, "it got as far as to look for it"
        finally:
            server.stop()


def test_a_user_without_rights_gets_nothing():
    with farm_home() as home:
        server = Server(home, READ_ONLY.format(actions=["execute"]))
        try:
            assert [server.ask(path).status_code for path in GETS] == [403] * len(GETS)
            assert upgrade(server) == 403
        finally:
            server.stop()
