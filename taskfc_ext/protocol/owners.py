"""Owners of tasks: the notebook or script that submitted them, and how people name one."""

from __future__ import annotations

import posixpath


def is_called(owner: str, name: str) -> bool:
    """Return whether people mean `owner` by `name`: the owner itself, or its file's name with or without the suffix.

    So `/home/ada/fits/train.ipynb` is called `train`, `train.ipynb`, and by its path.
    """
    if owner == name:
        return True
    file = posixpath.basename(owner)
    return bool(name) and name in (file, posixpath.splitext(file)[0])


def short_name(owner: str, here: str = "") -> str:
    """Return what an owner is called, such that `is_called` finds it: `train` for `/home/ada/fits/train.ipynb`.

    Args:
        owner: the owner.
        here: the one that asks. If the short name means itself, that of another one is its path.
    """
    name = posixpath.splitext(posixpath.basename(owner))[0] or owner
    return owner if is_called(here, name) else name


def split_name(text: str, here: str = "") -> tuple[str | None, str]:
    """Return the owner's name and the task's in `NOTEBOOK:NAME`; `None` where no notebook is named.

    Args:
        text: the name.
        here: the one that asks. What it is called means itself: another folder may have a notebook of the same name.
    """
    owner, colon, name = text.rpartition(":")
    if not colon:
        return None, name
    return here if is_called(here, owner) else owner, name
