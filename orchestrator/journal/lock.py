"""One process at a time works on a run: a lock file beside the run file that says who holds it.

The lock is the kernel's (flock), so a killed process leaves none; what the file says is for people.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.errors import JournalError, LockedError


def lock_path(run_file: Path) -> Path:
    """Where a run file's lock is."""
    return run_file.with_name(run_file.name + ".lock")


class RunLock:
    """Holds a run while the context is open.

    Raises (on entry):
        LockedError: another process holds it; the message names it.
    """

    def __init__(self, run_file: Path) -> None:
        self._run_file = run_file
        self._path = lock_path(run_file)
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot write the lock {self._path}: {error.strerror}") from None
        if not self._take():
            os.close(self._descriptor)
            raise LockedError(
                f"the run {self._run_file.stem} is being worked on by {holder(self._run_file) or 'another process'}",
                hint="wait for it, or stop it with Ctrl-C or SIGTERM there; it can be resumed then",
            )
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(who).encode(), 0)
        return self

    def _take(self) -> bool:
        """Tries a few times: somebody who asks who the holder is holds the lock himself for an instant."""
        for _ in range(5):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def holder(run_file: Path) -> str:
    """Who works on a run now ("pid 4711 on mx1 since ..."), or empty."""
    try:
        descriptor = os.open(lock_path(run_file), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _words(os.pread(descriptor, 4096, 0))
    finally:
        os.close(descriptor)
    return ""


def _words(content: bytes) -> str:
    try:
        who = json.loads(content)
        return f"pid {who['pid']} on {who['host']} since {who['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
