"""A run file that is being planned: a hidden name beside its own, and a lock that ends with its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".planning"


@contextlib.contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A new file, mode 0600, for a plan that is not complete; removed when the context ends, also by a signal while it is made.

    Args:
        target: the name that the file is to have when it is complete.

    Raises:
        OSError: it cannot be made.
    """
    path, descriptor = target.with_name(f".{target.name}.{os.getpid()}{_SUFFIX}"), -1
    try:
        descriptor = _locked(path)
        yield path
    finally:
        path.unlink(missing_ok=True)
        if descriptor >= 0:
            os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_still_there(path, descriptor):
            return descriptor
        os.close(descriptor)  # another process took it for abandoned before it was locked


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
