"""What can still be read of a damaged run file: a copy that SQLite opens, and operations around pages that it cannot read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import DamagedRunError
from orchestrator.journal.base import OperationRecord
from orchestrator.journal.sqlite.reader import FileReader

_PAGE_SIZE, _PAGE_COUNT = slice(16, 18), 28  # where SQLite's header has them, big-endian
_AT_A_TIME = 1000


def mended_copy(path: Path, folder: Path) -> Path:
    """A copy of a file that ends too early, whose first page says how many pages there are.

    Raises:
        DamagedRunError: not even the first page is there.
    """
    copy = folder / path.name
    shutil.copyfile(path, copy)
    log = path.with_name(path.name + "-wal")
    if log.exists():
        shutil.copyfile(log, folder / log.name)
    with copy.open("r+b") as file:
        header = file.read(100)
        page = int.from_bytes(header[_PAGE_SIZE], "big")
        if len(header) < 100 or page < 512:
            raise DamagedRunError(f"{path} is not a run file, or is damaged: nothing of it can be read")
        file.seek(_PAGE_COUNT)
        file.write((path.stat().st_size // page).to_bytes(4, "big"))
    return copy


def readable(file: FileReader) -> Iterator[OperationRecord]:
    """All operations that can be read, in order; what stands in pages that cannot is left out."""
    last = file.last_operation()
    spans = [(first, min(first + _AT_A_TIME - 1, last)) for first in range(1, last + 1, _AT_A_TIME)][::-1]
    while spans:
        first, end = spans.pop()
        try:
            found = list(file.operations(between=(first, end)))
        except (DamagedRunError, ValueError, KeyError):  # or there is something, but not what was written
            if first < end:
                middle = (first + end) // 2
                spans += [(middle + 1, end), (first, middle)]
            continue
        yield from found
