"""A lock file beside a run file: it keeps two processes from asking at the same moment who owns the run, and tells at a glance.

Who owns a run stands in the run file itself (`owner`). The lock is the kernel's (flock), so a killed process leaves none.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.errors import JournalError, LockedError
from orchestrator.journal.sqlite.owner import owner_of
from orchestrator.journal.sqlite.schema import connect

ATTEMPTS = 5  # somebody who asks whether it is held holds it for an instant


def lock_path(run_file: Path) -> Path:
    """Where a run file's lock is, whatever link the run file is reached by."""
    real = run_file.resolve() if run_file.is_symlink() else run_file
    return real.with_name(real.name + ".lock")


class RunLock:
    """Holds a run's lock while the context is open.

    Raises (on entry):
        LockedError: another process holds it.
        JournalError: it cannot be made.
    """

    def __init__(self, run_file: Path) -> None:
        self._run_file = run_file
        self._path = lock_path(run_file)
        self._descriptor = -1

    def __enter__(self) -> Self:
        for _ in range(ATTEMPTS):
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise JournalError(f"cannot write the lock {self._path}: {error.strerror}") from None
            if _lock(self._descriptor, fcntl.LOCK_EX) and self._is_still_there():
                return self
            os.close(self._descriptor)
            time.sleep(0.02)
        raise LockedError(
            f"the run {self._run_file.stem} is being worked on by {holder(self._run_file) or 'another process'}",
            hint="wait for it, or stop it with Ctrl-C or SIGTERM there; it can be resumed then",
        )

    def _is_still_there(self) -> bool:
        """Whether what was locked is what the next process will find under the name."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def holder(run_file: Path) -> str:
    """Who works on a run now ("pid 4711 on mx1 since ..."), or empty."""
    try:
        connection = connect(run_file)
    except JournalError:
        return "another process" if is_locked(run_file) else ""
    try:
        return holder_in(connection, run_file)
    finally:
        connection.close()


def holder_in(connection: sqlite3.Connection, run_file: Path) -> str:
    """The same, of a run that is open. The run itself says so; its lock may be gone."""
    locked = is_locked(run_file)
    try:
        found = owner_of(connection)
    except sqlite3.Error:
        found = None
    if found is None or (found.lives is None and not locked):
        return "another process" if locked else ""
    return str(found)


def is_locked(run_file: Path) -> bool:
    """Whether a process holds a run's lock now; cheap, without opening the run."""
    try:
        descriptor = os.open(lock_path(run_file), os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
