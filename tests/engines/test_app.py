"""The names of bridges."""

from __future__ import annotations

import re

from taskfc_ext.engines.app import name_bridge
from taskfc_ext.protocol.slot_messages import Slot

TAG = "5057b752"


def test_bridges_of_one_farm_have_a_beginning_in_common_and_those_of_other_hosts_have_another() -> None:
    (first, one), (second, two), (other, _) = (name_bridge(TAG, host).split("x") for host in ("a", "a", "b"))
    assert first == second != other
    assert one != two


def test_the_tokens_of_a_bridge_fit_into_the_id_of_a_slot() -> None:
    (meta,) = Slot.__metadata__
    assert re.search(meta.pattern, f"{name_bridge(TAG, 'head')}n{2**32:x}.00ff")
