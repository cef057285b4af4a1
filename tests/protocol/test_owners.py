"""How people name the owner of a task."""

from __future__ import annotations

import pytest

from taskfc_ext.protocol.owners import is_called, short_name, split_name

TRAIN = "/home/ada/fits/train.v2.ipynb"


@pytest.mark.parametrize("name", [TRAIN, "train.v2.ipynb", "train.v2"])
def test_an_owner_is_called_by_its_path_and_by_its_file(name):
    assert is_called(TRAIN, name)


@pytest.mark.parametrize("name", ["", "train", "fits", "fits/train.v2.ipynb", "/home/bob/train.v2.ipynb", ".ipynb"])
def test_an_owner_is_called_nothing_else(name):
    assert not is_called(TRAIN, name)


@pytest.mark.parametrize("owner", [TRAIN, "session-7-abc", "/", "a.py", ".hidden"])
def test_the_short_name_is_one_that_the_owner_is_called(owner):
    assert is_called(owner, short_name(owner))


def test_a_name_may_have_its_notebook_before_it():
    assert split_name("fit") == (None, "fit")
    assert split_name("train:fit") == ("train", "fit")
    assert split_name("C:/train.ipynb:fit") == ("C:/train.ipynb", "fit")


@pytest.mark.parametrize("text", ["train.v2:fit", f"{TRAIN}:fit", "train.v2.ipynb:fit"])
def test_what_the_one_that_asks_is_called_means_itself(text):
    assert split_name(text, TRAIN) == (TRAIN, "fit")
    assert split_name("other:fit", TRAIN) == ("other", "fit")
    assert split_name("fit", TRAIN) == (None, "fit")
