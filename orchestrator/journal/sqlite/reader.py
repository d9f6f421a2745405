"""Reading a run file: what was planned, what is left, what happened. Never writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from orchestrator.answers import Answer, Recorded, collect
from orchestrator.errors import DamagedRunError
from orchestrator.found import Found
from orchestrator.journal.base import (
    Attempt,
    Cause,
    Header,
    OperationRecord,
    PlannedHost,
    SessionRecord,
    StepRecord,
    Totals,
)
from orchestrator.journal.sqlite.lock import holder_in
from orchestrator.journal.sqlite.reading import sessions_of, status_in, undoing_in
from orchestrator.journal.sqlite.schema import FORMAT, connect, explain, format_of
from orchestrator.journal.sqlite.statements import FAILED_STATES, RETRYABLE
from orchestrator.operation import Operation, operation_id
from orchestrator.outcome import BAD_STATES, State
from orchestrator.plan.kept import Kept
from orchestrator.sighting import Sighting
from orchestrator.status import Ending, Status

T = TypeVar("T")
_LARGE = ("terms", "origin", "values", "warnings", "conditions", "seen")  # texts of the plan, which few questions need


class FileReader:
    """An open run file.

    Raises (on opening):
        DamagedRunError, JournalError: see `schema.connect`.
    """

    def __init__(self, path: Path, opened: Callable[[Path], sqlite3.Connection] | None = None) -> None:
        self._path = path
        self._connection = (opened or connect)(path)
        self._meta: dict[str, str] = dict(
            self._rows(
                "SELECT key, value FROM meta WHERE key NOT IN (SELECT value FROM json_each(?))", json.dumps(_LARGE)
            )
        )
        self.run_id = self._meta["run_id"]
        self.playbook = self._meta["playbook"]
        self.digest = self._meta["digest"]
        self.header = Header(
            created=int(self._meta["created"]),
            given=json.loads(self._meta["given"]),
            config_path=self._meta["config_path"],
            limit=self._meta["limit"],
            ticket=self._meta.get("ticket", ""),
            reason=self._meta.get("reason", ""),
        )
        self.resumable = self._read(format_of) == FORMAT

    @cached_property
    def _hosts(self) -> dict[int, str]:
        return dict(self._rows("SELECT number, name FROM host"))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in self._hosts.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """All that is read within is of one moment, whoever writes meanwhile; a moment within a moment is the same."""
        if self._connection.in_transaction:
            yield
            return
        self._read(lambda connection: connection.execute("BEGIN"))
        try:
            yield
        finally:
            with suppress(sqlite3.Error):  # of a damaged file; what was read of it was told
                self._connection.execute("ROLLBACK")

    def limits(self) -> dict[str, Any]:
        """The limits that the command line gave last: in_flight, rate, max_failed, those that were given."""
        return dict(json.loads(self._meta.get("limits", "{}")))

    def hosts(self) -> list[PlannedHost]:
        """The fleet as planned, in order."""
        rows = self._rows("SELECT name, url, groups, tags, protected FROM host ORDER BY number")
        return [
            PlannedHost(name, url, tuple(json.loads(groups)), tuple(json.loads(tags)), bool(protected))
            for name, url, groups, tags, protected in rows
        ]

    def groups(self) -> dict[str, list[str]]:
        """Group -> its members, as planned."""
        return dict(json.loads(self._meta["groups"]))

    def kept(self) -> Kept:
        """The plan's texts."""
        meta = dict(self._rows("SELECT key, value FROM meta"))
        return Kept(
            terms=meta["terms"],
            origin=meta["origin"],
            values=meta["values"],
            limited=meta["limited"],
            warnings=meta["warnings"],
            conditions=meta["conditions"],
            seen=meta["seen"],
            steps=tuple(layout for (layout,) in self._rows("SELECT layout FROM step ORDER BY number")),
            lists=dict(self._rows("SELECT path, content FROM list")),
        )

    def changes(self) -> set[str]:
        """The hosts that the run may change."""
        return set(json.loads(self._meta["changes"]))

    def sessions(self) -> list[SessionRecord]:
        """All sessions, in order."""
        return self._read(sessions_of)

    def holder(self) -> str:
        """Who works on it now ("pid 4711 on mx1 since ..."), or empty."""
        return holder_in(self._connection, self._path)

    def counts(self) -> dict[State, int]:
        """Operations by state."""
        rows = self._rows("SELECT state, count(*) FROM operation GROUP BY state")
        return {State(state): count for state, count in rows}

    def undoing(self) -> Ending | None:
        """Why what was done is being undone; once that was begun a run goes no further forward."""
        return self._read(undoing_in)

    def status(self) -> tuple[Status, str]:
        """How the run stands, and why, when nobody works on it."""
        return self._read(lambda connection: status_in(connection, alive=False))

    def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return question(self._connection)
        except sqlite3.Error as error:
            raise explain(error, self._path) from None

    def check(self) -> None:
        """Look for damage.

        Raises:
            DamagedRunError: what is there cannot be trusted; `export` still shows what can be read.
        """
        found = next(self._rows("PRAGMA quick_check(1)"))[0]
        if found != "ok":
            raise DamagedRunError(
                f"the run file {self._path} is damaged: {found}",
                hint="`orchestrator export` shows what can be read; do not resume it: plan again",
            )

    def steps(self) -> list[StepRecord]:
        """All steps in order, with their counts."""
        counts: dict[int, dict[State, int]] = {}
        for step, state, count in self._rows("SELECT step, state, count(*) FROM operation GROUP BY step, state"):
            counts.setdefault(step, {})[State(state)] = count
        rows = self._rows(
            "SELECT number, key, role, name, command, effect, state, reason, first, operations, started, finished"
            " FROM step ORDER BY number"
        )
        return [StepRecord(*(*row, counts.get(row[0], {}))) for row in rows]

    def step(self, number: int) -> tuple[str, int | None, int | None]:
        """A step's state, first operation and number of operations."""
        state, first, operations = next(
            self._rows("SELECT state, first, operations FROM step WHERE number = ?", number)
        )
        return state, first, operations

    def open_counts(self, step: int) -> dict[str, int]:
        """Host -> how many of a step's operations are to be sent, without those that were sent and not heard of."""
        rows = self._rows("SELECT host, count(*) FROM operation WHERE step = ? AND state < 2 GROUP BY host", step)
        return {self._hosts[host]: count for host, count in rows}

    def begun(self) -> set[str]:
        """The keys of the steps that were begun."""
        return {key for (key,) in self._rows("SELECT key FROM step WHERE role = 'step' AND started IS NOT NULL")}

    def changed_nothing(self) -> bool:
        """Whether nothing was sent of any step that changes something."""
        sent = (
            "SELECT 1 FROM operation WHERE (state > 0 OR attempts > 0)"
            " AND step IN (SELECT number FROM step WHERE role = 'step' AND effect != 'read' AND started IS NOT NULL) LIMIT 1"
        )
        return next(self._rows(sent), None) is None

    def any_bad(self, *roles: str) -> bool:
        """Whether any operation of steps of these roles failed, was unreachable, or is in doubt."""
        states = json.dumps([int(state) for state in BAD_STATES])
        found = self._rows(
            "SELECT 1 FROM operation WHERE state > 2 AND state IN (SELECT value FROM json_each(?))"
            " AND step IN (SELECT number FROM step WHERE role IN (SELECT value FROM json_each(?))) LIMIT 1",
            *(states, json.dumps(roles)),
        )
        return next(found, None) is not None

    def started_ms(self) -> int:
        """When the run was first started; when it was planned, if it was not."""
        sessions = self.sessions()
        return sessions[0].began if sessions else self.header.created

    def ended(self, step: int) -> dict[State, int]:
        """A step's operations that have ended, by state; without reading those that are done."""
        counts = {
            State(state): count
            for state, count in self._rows(
                "SELECT state, count(*) FROM operation WHERE state > 2 AND step = ? GROUP BY state", step
            )
        }
        _, _, operations = self.step(step)
        counts[State.DONE] = (operations or 0) - sum(counts.values()) - sum(self.open_counts(step).values())
        return {state: count for state, count in counts.items() if count}

    def pending(self, step: int, host: str, after: int, limit: int) -> list[Operation]:
        """The next operations of a step on a host, in order, after an operation."""
        rows = self._rows(
            "SELECT seq, parameters, attempts FROM operation"
            " WHERE step = ? AND host = ? AND seq > ? AND state < 2 ORDER BY seq LIMIT ?",
            *(step, self._numbers[host], after, limit),
        )
        return [Operation(seq, host, parameters, attempts) for seq, parameters, attempts in rows]

    def doubtful(self, step: int | None = None) -> list[tuple[int, str, str]]:
        """What is in doubt, of a step or of all: number, host, parameters."""
        rows = self._rows(
            "SELECT seq, host, parameters FROM operation WHERE state > 2 AND state = ? AND seq BETWEEN ? AND ?"
            " ORDER BY seq",
            *(int(State.IN_DOUBT), *self._span(step)),
        )
        return [(seq, self._hosts[host], parameters) for seq, host, parameters in rows]

    def retryable(self) -> int:
        """How many operations `retry` would send again."""
        return int(next(self._rows(f"SELECT count(*) {RETRYABLE}", *FAILED_STATES))[0])

    def evidence(self, seq: int) -> str:
        """What the host logged about an operation, or empty."""
        return next((text for (text,) in self._rows("SELECT evidence FROM remark WHERE operation = ?", seq)), "")

    def answer(self, step: int) -> Answer:
        """What the hosts of a step answered."""
        rows = self._rows(
            "SELECT o.host, o.state, o.exit_code, coalesce(r.error, ''), coalesce(a.rows, '[]') FROM operation o"
            " LEFT JOIN remark r ON r.operation = o.seq LEFT JOIN answer a ON a.operation = o.seq"
            " WHERE o.step = ? AND o.state != ? ORDER BY o.seq",
            *(step, int(State.SKIPPED)),
        )
        return collect(
            Recorded(self._hosts[host], State(state), code, error, json.loads(answer))
            for host, state, code, error, answer in rows
        )

    def operations(
        self,
        states: tuple[State, ...] = tuple(State),
        *,
        step: int | None = None,
        between: tuple[int, int] | None = None,
    ) -> Iterator[OperationRecord]:
        """Operations in order, of some states, lazily; of a step, or from one number to another."""
        rows = self._rows(
            "SELECT o.seq, s.first, s.key, o.host, s.command, o.parameters, o.state, o.exit_code, coalesce(r.error, ''),"
            " o.attempts, o.changed, o.started, o.finished"
            " FROM operation o JOIN step s ON s.number = o.step LEFT JOIN remark r ON r.operation = o.seq"
            " WHERE o.state IN (SELECT value FROM json_each(?)) AND o.seq BETWEEN ? AND ? ORDER BY o.seq",
            *(json.dumps([int(state) for state in states]), *(between or self._span(step))),
        )
        return map(self._operation, rows)

    def _operation(self, row: Any) -> OperationRecord:
        seq, first, key, host, command, parameters, state, exit_code, error, attempts, changed, started, finished = row
        return OperationRecord(
            id=operation_id(key, seq, first),
            step=key,
            host=self._hosts[host],
            command=command,
            parameters=json.loads(parameters),
            state=State(state),
            exit_code=exit_code,
            error=error,
            attempts=attempts,
            changed=None if changed is None else bool(changed),
            started_at=started,
            finished_at=finished,
        )

    def _span(self, step: int | None) -> tuple[int, int]:
        """The first and last operation of a step (they are contiguous), or of all."""
        if step is None:
            return 0, 2**62
        _, first, operations = self.step(step)
        return first or 0, (first or 0) + (operations or 0) - 1

    def last_operation(self) -> int:
        """The number of the last operation; they are counted from 1."""
        return int(next(self._rows("SELECT coalesce(max(first + operations - 1), 0) FROM step"))[0])

    def last_doubt_ms(self, step: int) -> int:
        """When the last attempt of a step that is in doubt was made, milliseconds since the epoch; 0 without one."""
        found = self._rows(
            "SELECT coalesce(max(coalesce(finished, started)), 0) FROM operation"
            " WHERE state > 2 AND state = ? AND seq BETWEEN ? AND ?",
            *(int(State.IN_DOUBT), *self._span(step)),
        )
        return int(next(found)[0])

    def attempts(self, seq: int) -> list[Attempt]:
        """All attempts of an operation, in order."""
        earlier = [
            Attempt(*row)
            for row in self._rows(
                "SELECT number, started, finished, kind, exit_code, error FROM attempt WHERE operation = ? ORDER BY number",
                seq,
            )
        ]
        last = list(
            self._rows(
                "SELECT o.attempts, o.started, o.finished, coalesce(r.kind, ''), o.exit_code, coalesce(r.error, ''), o.state"
                " FROM operation o LEFT JOIN remark r ON r.operation = o.seq WHERE o.seq = ? AND o.state > 0 AND o.attempts > 0",
                seq,
            )
        )
        return earlier + [
            Attempt(number, started, finished, kind or State(state).word, code, error)
            for number, started, finished, kind, code, error, state in last
            if number > len(earlier)  # one that was to be retried, and then was not, is among the earlier ones
        ]

    def operation(self, operation: str) -> tuple[int, OperationRecord] | None:
        """An operation by its id, with its number."""
        seq = self.seq_of(operation)
        found = next(self.operations(between=(seq, seq)), None) if seq is not None else None
        return (seq, found) if seq is not None and found is not None else None

    def seq_of(self, operation: str) -> int | None:
        """The number of an operation from its id, or None."""
        key, _, number = operation.rpartition(".")
        if not number.isdigit():
            return None
        found = list(self._rows("SELECT first, operations FROM step WHERE key = ? AND first IS NOT NULL", key))
        if not found or not 1 <= int(number) <= found[0][1]:
            return None
        return int(found[0][0]) + int(number) - 1

    def answer_rows(self, seq: int) -> tuple[list[dict[str, Any]], int]:
        """The kept rows of an operation's answer, and how many more there were."""
        for rows, left_out in self._rows("SELECT rows, left_out FROM answer WHERE operation = ?", seq):
            return json.loads(rows), left_out
        return [], 0

    def causes(self, limit: int = 10) -> list[Cause]:
        """Failures by cause, the most frequent first."""
        rows = self._rows(
            "SELECT s.key, o.state, coalesce(r.error, ''), count(*), min(o.host), coalesce(max(r.evidence), '') FROM operation o"
            " JOIN step s ON s.number = o.step LEFT JOIN remark r ON r.operation = o.seq"
            " WHERE o.state > 2 AND o.state IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT ?",
            *(json.dumps([int(state) for state in BAD_STATES]), limit),
        )
        return [
            Cause(key, State(state), error, count, self._hosts[host], logged)
            for key, state, error, count, host, logged in rows
        ]

    def found(self, step: int) -> Found:
        """Of how many of a step's items anything was changed; an item's operations have their parameters in common."""
        rows = self._rows(
            "SELECT rank, count(*) FROM (SELECT max(CASE WHEN state != ? OR changed IS NULL THEN 1 ELSE 2 * changed END)"
            " AS rank FROM operation WHERE step = ? AND state != ? GROUP BY parameters) GROUP BY rank",
            *(int(State.DONE), step, int(State.SKIPPED)),
        )
        ranks = dict(rows)
        return Found(found=ranks.get(2, 0), absent=ranks.get(0, 0), unknown=ranks.get(1, 0))

    def totals(self) -> Totals:
        """Attempts in all."""
        row = next(
            self._rows(
                "SELECT coalesce(sum(attempts), 0), coalesce(sum(max(attempts - 1, 0)), 0), max(finished) FROM operation"
            )
        )
        return Totals(*row)

    def applied(self) -> str:
        """As which run, and in which directory, this saved plan was applied; empty when it was not."""
        return next((text for (text,) in self._rows("SELECT text FROM event WHERE kind = 'applied'")), "")

    def emergencies(self) -> list[tuple[int, str]]:
        """When, in milliseconds since the epoch, and why windows and freezes did not hold."""
        return list(self._rows("SELECT at, text FROM event WHERE kind = 'break glass' ORDER BY at"))

    def conditions(self) -> list[Sighting]:
        """What was seen of conditions, in order."""
        rows = self._rows("SELECT name, moment, at, holds, value, why FROM condition ORDER BY rowid")
        return [
            Sighting(name, moment, at, None if holds is None else bool(holds), json.loads(value), why)
            for name, moment, at, holds, value, why in rows
        ]

    def held(self) -> str:
        """Because of which condition nothing is sent, in a run that somebody works on; empty when it goes on."""
        after = "SELECT 1 FROM step WHERE role IN ('undo', 'finally') AND state = 'running'"  # which wait for none
        began = max((session.began for session in self.sessions()), default=0)  # what stopped an earlier one is past
        last = {seen.name: seen for seen in self.conditions() if seen.at >= began}
        waits = [seen for seen in last.values() if not seen.holds]
        if not waits or next(self._rows(after), None):
            return ""
        says = "does not hold" if waits[0].holds is False else "cannot be told"
        return f"held: condition {waits[0].name!r} {says}: {waits[0].why}"

    def _rows(self, statement: str, *values: Any) -> Iterator[Any]:
        try:
            for row in self._connection.execute(statement, values):  # noqa: UP028 - `yield from` would close the cursor too
                yield row
        except sqlite3.Error as error:
            raise explain(error, self._path) from None
