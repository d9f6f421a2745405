"""What hosts answered, as expressions see it: `before.rows`, `before.hosts[name].rows`, `before.ok`, `before.failed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.outcome import State

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """What one host answered to all operations of a step.

    Attributes:
        ok: every operation is done.
        rows: of all its answers, in order.
        exit_code: of the last operation that had one.
        error: of the last operation that failed, or empty.
    """

    ok: bool
    rows: list[Row]
    exit_code: int | None
    error: str


@dataclass(frozen=True)
class Answer:
    """What all hosts of a step answered, under its registered name."""

    hosts: Mapping[str, HostAnswer]

    @property
    def rows(self) -> list[Row]:
        """The rows of all hosts, in order."""
        return [row for answer in self.hosts.values() for row in answer.rows]

    @property
    def ok(self) -> bool:
        """Whether every host's operations are done."""
        return all(answer.ok for answer in self.hosts.values())

    @property
    def failed(self) -> list[str]:
        """The hosts with an operation that is not done."""
        return [name for name, answer in self.hosts.items() if not answer.ok]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One operation's end, as the journal keeps it."""

    host: str
    state: State
    exit_code: int | None
    error: str
    rows: list[Row]


def collect(records: Iterable[Recorded]) -> Answer:
    """The answer that a step's recorded operations make together."""
    parts: dict[str, list[Recorded]] = {}
    for record in records:
        parts.setdefault(record.host, []).append(record)
    return Answer({host: _of_host(found) for host, found in parts.items()})


def _of_host(records: list[Recorded]) -> HostAnswer:
    codes = [record.exit_code for record in records if record.exit_code is not None]
    errors = [record.error for record in records if record.error]
    return HostAnswer(
        ok=all(record.state is State.DONE for record in records),
        rows=[row for record in records for row in record.rows],
        exit_code=codes[-1] if codes else None,
        error=errors[-1] if errors else "",
    )
