"""Where playbooks are: files, and those that come with the product."""

from __future__ import annotations

import os.path
from pathlib import Path

from orchestrator.errors import InputError, nearest

_PACKAGE = Path(__file__).parent.parent
SHIPPED = (_PACKAGE / "playbooks", _PACKAGE.parent / "playbooks")  # installed, and in a checkout


def shipped() -> dict[str, Path]:
    """The shipped playbooks' files by name, in alphabetical order."""
    return dict(sorted((file.stem, file) for folder in SHIPPED for file in folder.glob("*.yaml")))


def find_playbook(name: str) -> Path:
    """A playbook's file: a path, or the name of a shipped one.

    Raises:
        InputError: neither.
    """
    path = Path(name)
    there = os.path.exists(name)  # noqa: PTH110 - a folder that may not be looked into is no error here
    if there or "/" in name or name.endswith((".yaml", ".yml")):
        return path
    known = shipped()
    if name in known:
        return known[name]
    raise InputError.at(
        f"there is no file {name!r}, and no shipped playbook of that name",
        "playbook",
        suggestion=nearest(name, known),
        hint="`orchestrator playbooks` lists the shipped ones",
    )
