"""What hosts answered, as expressions see it: `before.rows`, `before.hosts[name].rows`, `before.ok`, `before.failed`.

Whoever reads `rows` is promised the rows of all that were asked. So reading them is an error where somebody was asked and
did not answer, and where nobody was asked at all: a condition must not hold because an answer is missing. `answered` is
for those who mean what is there, however little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from orchestrator.errors import ExpressionError
from orchestrator.outcome import BAD_STATES, State

Row = Mapping[str, Any]


class _NoTruth:
    """Neither true nor false: `not before` would be taken for "nothing was answered"."""

    readable: ClassVar = frozenset({"rows", "hosts", "ok", "failed", "answered", "exit_code", "error"})

    def __bool__(self) -> NoReturn:
        raise ExpressionError("an answer is neither true nor false; use its .rows, .ok or .failed")

    def __repr__(self) -> str:
        return "an answer"


@dataclass(frozen=True, repr=False)
class HostAnswer(_NoTruth):
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

    @property
    def answered(self) -> HostAnswer:
        """What it did answer: all."""
        return self


class _PartialAnswer(_NoTruth):
    """What a host answered of which not every operation is done."""

    ok = False

    def __init__(self, host: str, records: list[Recorded]) -> None:
        missing = [record for record in records if record.state is not State.DONE]
        worst = max(missing, key=lambda record: (record.state in BAD_STATES, bool(record.error)))
        self.reason = f"{host}: {worst.error or worst.state.word}"
        self.error = next((record.error for record in reversed(records) if record.error), "")
        self._code = _last_code(records)
        self.answered = _complete([record for record in records if record.state is State.DONE], self.error, ok=False)

    @property
    def rows(self) -> NoReturn:
        """Promised, and not there."""
        raise _missing(self.reason)

    @property
    def exit_code(self) -> int:
        """Of the last operation that had one; a host that did not answer has none, not even 0."""
        if self._code is None:
            raise ExpressionError(f"there is no exit code ({self.reason})")
        return self._code


@dataclass(frozen=True, repr=False)
class Answered(_NoTruth):
    """Of a step's answer what is there, whether or not all hosts answered, or any was asked."""

    hosts: Mapping[str, HostAnswer]

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of all operations that are done, in order."""
        return [row for answer in self.hosts.values() for row in answer.rows]


@dataclass(frozen=True, repr=False)
class Answer(_NoTruth):
    """What all hosts of a step answered, under its registered name."""

    hosts: Mapping[str, HostAnswer | _PartialAnswer]

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of all hosts, in order."""
        missing = [answer.reason for answer in self._asked().values() if isinstance(answer, _PartialAnswer)]
        if missing:
            raise _missing("; ".join([*missing[:_NAMED], *(["..."] if missing[_NAMED:] else [])]))
        return self.answered.rows

    @property
    def ok(self) -> bool:
        """Whether every host's operations are done."""
        return all(answer.ok for answer in self._asked().values())

    @property
    def failed(self) -> list[str]:
        """The hosts with an operation that is not done."""
        return [name for name, answer in self._asked().items() if not answer.ok]

    @cached_property
    def answered(self) -> Answered:
        """What is there."""
        return Answered({name: answer.answered for name, answer in self.hosts.items()})

    def _asked(self) -> Mapping[str, HostAnswer | _PartialAnswer]:
        if not self.hosts:
            raise ExpressionError(
                "no host was asked, because its step was skipped or had nothing to ask; where that is meant, write "
                "NAME.answered.rows, or NAME.hosts | length"
            )
        return self.hosts


_NAMED = 3  # hosts in a message


def _missing(reasons: str) -> ExpressionError:
    return ExpressionError(f"rows are missing ({reasons}); where those of the others are meant, write .answered.rows")


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
    return Answer({host: _of_host(host, found) for host, found in parts.items()})


def _of_host(host: str, records: list[Recorded]) -> HostAnswer | _PartialAnswer:
    if all(record.state is State.DONE for record in records):
        return _complete(records, next((record.error for record in reversed(records) if record.error), ""), ok=True)
    return _PartialAnswer(host, records)


def _complete(records: list[Recorded], error: str, *, ok: bool) -> HostAnswer:
    rows = [row for record in records for row in record.rows]
    return HostAnswer(ok=ok, rows=rows, exit_code=_last_code(records), error=error)


def _last_code(records: list[Recorded]) -> int | None:
    return next((record.exit_code for record in reversed(records) if record.exit_code is not None), None)
