"""What the simulated servers saw: one record for each command, for tests that compare it with a client's story."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Record:
    """One command that a host was sent. Credentials are never part of it.

    Attributes:
        time: When it arrived, in seconds since the epoch.
        executed: Whether it took effect (for a read: whether it was run).
        answered: Whether a whole HTTP reply was handed to a client that was still connected.
        outcome: ``ok``, ``exit 75``, ``unknownMethod``, ``invalidRequest``, ``died``, or ``fault empty`` and the like.
    """

    time: float
    host: str
    command: str
    parameters: dict[str, Any]
    tag: str
    executed: bool = False
    answered: bool = False
    outcome: str = ""


class Recorder:
    """Keeps records in memory, and in a file with one JSON line each, written when the reply has left or failed."""

    def __init__(self, path: Path | None, keep: int | None) -> None:
        self.kept: deque[Record] = deque(maxlen=keep)
        self._file: TextIO | None = None if path is None else path.open("a", encoding="utf-8")

    def begin(self, record: Record) -> Record:
        """A command has arrived."""
        self.kept.append(record)
        return record

    def end(self, records: list[Record], *, answered: bool) -> None:
        """The reply that carries these commands has left, or never will."""
        for record in records:
            record.answered = answered
            if self._file is not None:
                self._file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """No more records."""
        if self._file is not None:
            self._file.close()
            self._file = None
