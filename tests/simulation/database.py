"""A run file without a file: one SQLite database in memory, which readers and writer of a schedule share.

The statements are the product's, and so are the transactions; they never overlap, since a schedule has one thread and
each is begun and ended within one turn of it. What several connections see of each other is for `tests/crash`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import orchestrator.journal.sqlite.reader
import orchestrator.journal.sqlite.schema
import orchestrator.journal.sqlite.store
import tests.simulation.writer

_USERS: tuple[Any, ...] = (
    orchestrator.journal.sqlite.schema,
    orchestrator.journal.sqlite.reader,
    orchestrator.journal.sqlite.store,
    tests.simulation.writer,
)


class _Lent:
    """The database, lent to somebody who may close it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.executemany = connection.executemany
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def close(self) -> None:
        """Give it back."""


@cache
def _image(template: Path) -> bytes:
    """The template's content, with a journal as a database in memory can have it."""
    content = bytearray(template.read_bytes())
    content[18:20] = b"\1\1"
    return bytes(content)


@contextmanager
def in_memory(template: Path) -> Iterator[None]:
    """Within the context, whoever opens a run file gets a copy of the template."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.deserialize(_image(template))
    opened: list[Callable[..., Any]] = [user.connect for user in _USERS]
    try:
        for user in _USERS:
            user.connect = lambda *_args, **_options: _Lent(connection)
        yield
    finally:
        for user, connect in zip(_USERS, opened, strict=True):
            user.connect = connect
        connection.close()
