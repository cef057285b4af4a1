"""Threats, each with the tests that show the defence: from the failures of systems of this kind.

Out of scope: root, and code that runs as the same user.
"""

from __future__ import annotations

from typing import NamedTuple


class Threat(NamedTuple):
    """A way to do harm.

    Attributes:
        what: the threat.
        tests: `file::function` of each test of the defence, below `tests/`; a file alone stands for all of its tests.
        absent: why it does not apply; empty if it does.
    """

    what: str
    tests: tuple[str, ...] = ()
    absent: str = ""


_USER = "security/test_another_user.py"
_SOCKETS = "drivers/test_socket_folder.py"
_CODEC = "protocol/test_codec.py"
_ENDPOINT = "controller/test_endpoint.py"

THREATS = (
    Threat(
        "another user connects",
        (
            f"{_USER}::test_no_connection_is_made",
            f"{_SOCKETS}::test_messages_of_another_user_are_not_received",
            f"{_SOCKETS}::test_no_message_is_sent_to_another_user",
        ),
    ),
    Threat("an open port, an abstract socket", (f"{_USER}::test_nothing_listens_on_a_port_or_an_abstract_socket",)),
    Threat(
        "another user reads or changes a file",
        (
            f"{_USER}::test_no_file_can_be_opened_and_no_folder_listed",
            f"{_USER}::test_the_folders_are_private_under_any_umask",
        ),
    ),
    Threat(
        "a planted folder or link",
        (
            f"{_USER}::test_a_folder_that_another_user_plants_is_not_used",
            f"{_SOCKETS}::test_an_unsafe_folder_is_refused_at_each_use",
            "drivers/test_paths.py::test_a_link_in_place_of_a_folder_is_refused",
        ),
    ),
    Threat(
        "a folder that is swapped while the farm runs",
        (
            f"{_SOCKETS}::test_a_folder_that_another_user_has_made_again_is_not_used",
            f"{_SOCKETS}::test_a_connection_that_breaks_is_not_made_again_in_another_users_folder",
            "system/test_socket_folder.py::test_a_folder_that_another_user_has_made_is_a_clear_error",
        ),
    ),
    Threat(
        "a connection file of somebody else, or an old one",
        (
            "drivers/test_connection_file.py::test_a_file_that_others_can_read_is_refused",
            "drivers/test_connection_file.py::test_a_link_is_refused",
            "drivers/test_connection_file.py::test_a_reused_pid_makes_it_stale",
        ),
    ),
    Threat(
        "secrets in command lines and environments, or in the store",
        (
            f"{_USER}::test_no_secret_is_in_a_command_line_and_no_environment_can_be_read",
            f"{_USER}::test_no_secret_of_a_task_is_in_an_environment_of_ours",
            f"{_USER}::test_no_secret_of_the_environment_is_stored",
        ),
    ),
    Threat("one key for all roles", absent="a farm has no keys: it listens on Unix sockets of one user"),
    Threat("a spoofed identity", (f"{_ENDPOINT}::test_hello_comes_first",)),
    Threat("pickles in the controller", ("security/test_canary.py::test_only_workers_and_clients_unpickle",)),
    Threat(
        "replayed messages",
        (
            "security/test_replay.py::test_replayed_submissions_run_once",
            "core/test_requests.py::test_a_repeat_gets_the_first_answer_and_changes_nothing",
        ),
    ),
    Threat(
        "malformed frames, unknown types, bombs",
        (
            f"{_CODEC}::test_junk_is_refused_and_nothing_else_happens",
            f"{_CODEC}::test_depth_bombs_are_refused",
            f"{_CODEC}::test_a_count_that_promises_the_world_costs_nothing",
            f"{_CODEC}::test_a_frame_over_the_limit_is_refused_before_it_is_read",
            f"{_ENDPOINT}::test_a_connection_with_too_many_strikes_is_ignored",
        ),
    ),
    Threat("references to files of others", (f"{_ENDPOINT}::test_references_to_files_are_refused",)),
    Threat("paths in names", ("drivers/test_paths.py::test_a_bad_name_is_refused_with_the_rule",)),
    Threat(
        "a request that needs no login",
        (
            "server_extension/test_auth.py::test_no_verb_of_any_address_answers_without_a_login",
            f"{_ENDPOINT}::test_the_table_is_the_interface_and_every_message_has_its_place",
        ),
    ),
    Threat(
        "other sites",
        (
            "server_extension/test_auth.py::test_a_preflight_from_elsewhere_allows_nothing",
            "server_extension/test_auth.py::test_watching_takes_a_token_or_a_page_of_the_same_site",
        ),
    ),
    Threat("scripts in names and outputs", ("browser/test_hostile_text.py::test_400_hostile_tasks_are_text",)),
    Threat("escape sequences for terminals", ("test_text.py::test_plain_text_cannot_steer_a_terminal",)),
)
"""In the order of the attackers: another user, the network, a peer, a page, a name."""
