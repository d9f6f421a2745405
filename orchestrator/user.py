"""Who runs this program, and where that user's files are; also where there is no HOME and no passwd entry (containers)."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from orchestrator.errors import InputError


def login() -> str:
    """The user's name; "uid 12345" where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on Python's version
        return f"uid {os.getuid()}"


def home() -> Path | None:
    """The user's home directory, or None where there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def expand(path: str | Path) -> Path:
    """A path with its `~` expanded.

    Raises:
        InputError: the user that it names, or this one, has no home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError.at("there is no home directory for its ~; write the whole path", str(path)) from None
