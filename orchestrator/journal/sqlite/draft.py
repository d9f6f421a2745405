"""A run file that is being planned: a hidden name beside its own, and a lock that ends with its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

_SUFFIX = ".planning"


class Draft:
    """A new file, mode 0600, for a plan that is not complete; removed when the context ends.

    Args:
        target: the name that the file is to have when it is complete.

    Raises (on entry):
        OSError: it cannot be made.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.{os.getpid()}{_SUFFIX}")
        self._descriptor = -1

    def __enter__(self) -> Self:
        while True:
            descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still_there(self.path, descriptor):
                self._descriptor = descriptor
                return self
            os.close(descriptor)  # another process took it for abandoned before it was locked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def sweep(folder: Path) -> None:
    """Remove the drafts of processes that were killed while they planned."""
    for path in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
