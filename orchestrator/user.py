"""Who runs this program, and where that user's files are; also where there is no HOME and no passwd entry (containers)."""

from __future__ import annotations

import getpass
import os
import pwd
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import InputError


def login() -> str:
    """The user's name; "uid 12345" where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on Python's version
        return f"uid {os.getuid()}"


def logins() -> tuple[str, ...]:
    """All logins by which whoever runs this is known, the most personal first.

    The kernel keeps who logged in across sudo and su (proc(5), /proc/PID/loginuid), where the system sets it; what sudo says is
    believed as well. An account that several people share, such as root, comes last.
    """
    found = [_name_of(_logged_in()), os.environ.get("SUDO_USER", ""), _name_of(os.getuid())]
    return tuple(dict.fromkeys(filter(None, found)))


def _logged_in() -> int:
    """The user that the login session belongs to; -1 where nobody knows."""
    with suppress(OSError, ValueError):
        number = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
        return number if number < 2**32 - 1 else -1
    return -1


def _name_of(number: int) -> str:
    """The name of a user; "uid 12345" where the system knows none; empty for a negative number."""
    try:
        return pwd.getpwuid(number).pw_name if number >= 0 else ""
    except (KeyError, OSError):
        return f"uid {number}"


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
