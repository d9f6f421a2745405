"""How long the steps of a run took: from the steps' own rows, and of their operations from a sample."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.journal.sqlite.schema import format_of
from orchestrator.journal.timing import StepTiming
from orchestrator.outcome import State

SLICES, SLICE = 16, 64  # of a step with more operations than that these are looked at, spread evenly

_Row = tuple[int, int, int, int, int]  # step, host, operations, those that are done, their milliseconds

_FEW = """
SELECT s.number, o.host, count(*), sum(o.state = :done),
    sum(CASE WHEN o.state = :done THEN max(o.finished - o.started, 0) ELSE 0 END)
FROM step s JOIN operation o ON o.seq BETWEEN s.first AND s.first + s.operations - 1
WHERE s.operations BETWEEN 1 AND :few AND o.state != :skipped GROUP BY s.number, o.host
"""
_SLICES = """
SELECT :step, o.host, count(*), sum(o.state = :done),
    sum(CASE WHEN o.state = :done THEN max(o.finished - o.started, 0) ELSE 0 END)
FROM json_each(:starts) v JOIN operation o ON o.seq BETWEEN v.value AND v.value + :further
WHERE o.state != :skipped GROUP BY o.host
"""
_STATES = {"done": int(State.DONE), "skipped": int(State.SKIPPED)}


def timings_of(connection: sqlite3.Connection, hosts: Mapping[int, str]) -> list[StepTiming]:
    """All steps in order; nothing of a run of format 1.

    Args:
        connection: to the run file.
        hosts: their names, by number.
    """
    if format_of(connection) == 1:
        return []
    found: dict[int, list[_Row]] = {}
    for row in (*_of_few(connection), *_of_many(connection)):
        found.setdefault(row[0], []).append(row)
    steps = connection.execute(
        "SELECT number, key, role, command, state, reason, operations, started, finished,"
        " json_extract(layout, '$.until') IS NOT NULL FROM step ORDER BY number"
    )
    return [_timing(step, found.get(step[0], []), hosts) for step in steps]


def _timing(step: Sequence[Any], rows: Sequence[_Row], hosts: Mapping[int, str]) -> StepTiming:
    _, key, role, command, state, reason, operations, started, finished, polled = step
    looked_at, done = sum(row[2] for row in rows), sum(row[3] for row in rows)
    most = max((row[2] for row in rows), default=0)
    return StepTiming(
        *(key, role, command, state, reason, operations, started, finished, bool(polled)),
        hosts=tuple(hosts[row[1]] for row in rows),
        busiest=round(most * operations / looked_at) if looked_at else 0,
        attempt=sum(row[4] for row in rows) / done / 1000 if done else 0.0,
    )


def _of_few(connection: sqlite3.Connection) -> Iterable[_Row]:
    """Of the steps that have few operations."""
    return connection.execute(_FEW, {"few": SLICES * SLICE, **_STATES})


def _of_many(connection: sqlite3.Connection) -> Iterable[_Row]:
    """Of the others, slices."""
    many = connection.execute("SELECT number, first, operations FROM step WHERE operations > ?", (SLICES * SLICE,))
    for number, first, operations in many.fetchall():
        starts = [first + (operations - SLICE) * part // (SLICES - 1) for part in range(SLICES)]
        looked_at = {"step": number, "starts": json.dumps(starts), "further": SLICE - 1}
        yield from connection.execute(_SLICES, {**looked_at, **_STATES})
