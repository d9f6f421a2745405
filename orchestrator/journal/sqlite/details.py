"""What a report asks of a run file besides how it stands; each is one statement, however many operations there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.approval import Approval
from orchestrator.found import Found
from orchestrator.journal.base import Cause, SessionRecord, Totals
from orchestrator.journal.details import Happening, Retried, Shown
from orchestrator.outcome import BAD_STATES, State
from orchestrator.sighting import Sighting

_SHOWN = """
SELECT o.host,
    sum(json_type(r.value, ?2) IS NOT NULL),
    sum(CASE WHEN length(json_extract(r.value, ?3)) < 12 THEN max(0, CAST(json_extract(r.value, ?3) AS INTEGER)) ELSE 0 END),
    max(a.left_out)
FROM operation o JOIN answer a ON a.operation = o.seq, json_each(a.rows) r
WHERE o.step = ?1 AND r.type = 'object' GROUP BY o.host ORDER BY o.host
"""  # a number of more digits is no number of sessions, and sums of such could not be made
_LAST = """
SELECT max(at) FROM (
    SELECT max(finished) AS at FROM operation WHERE finished < ?1 UNION ALL SELECT max(finished) FROM attempt WHERE finished < ?1
)
"""


class FileDetails:
    """The part of a reader that answers them."""

    _hosts: dict[int, str]

    def _rows(self, statement: str, *values: Any) -> Iterator[Any]:
        raise NotImplementedError

    def sessions(self) -> list[SessionRecord]:
        """All sessions, in order."""
        raise NotImplementedError

    def causes(self, limit: int = 10) -> list[Cause]:
        """Failures by cause, the most frequent first."""
        rows = self._rows(
            "SELECT s.key, o.state, coalesce(r.error, ''), count(*), json_group_array(DISTINCT o.host),"
            " coalesce(max(r.evidence), '')"
            " FROM operation o JOIN step s ON s.number = o.step LEFT JOIN remark r ON r.operation = o.seq"
            " WHERE o.state > 2 AND o.state IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT ?",
            *(json.dumps([int(state) for state in BAD_STATES]), limit),
        )
        return [
            Cause(key, State(state), error, count, named[0], logged, named)
            for key, state, error, count, hosts, logged in rows
            for named in [self._named(hosts)]
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

    def approvals(self) -> list[Approval]:
        """Who had approved the plan when it was started."""
        rows = self._rows("SELECT text, at FROM event WHERE kind = 'approved' ORDER BY rowid")
        return [Approval.from_json(text, at) for text, at in rows]

    def emergencies(self) -> list[tuple[int, str]]:
        """When, in milliseconds since the epoch, and why windows, freezes and approvals did not hold."""
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

    def happenings(self) -> list[Happening]:
        """What happened to the run as a whole, in order."""
        return [Happening(*row) for row in self._rows("SELECT at, kind, text FROM event ORDER BY at, rowid")]

    def retried(self, limit: int) -> list[Retried]:
        """Attempts that were followed by another one, by reason, the most frequent first."""
        rows = self._rows(
            "SELECT s.key, a.error, count(*), json_group_array(DISTINCT o.host) FROM attempt a"
            " JOIN operation o ON o.seq = a.operation JOIN step s ON s.number = o.step"
            " GROUP BY o.step, a.error ORDER BY 3 DESC, o.step, a.error LIMIT ?",
            limit,
        )
        return [Retried(step, error, count, self._named(hosts)) for step, error, count, hosts in rows]

    def retries(self) -> dict[int, int]:
        """Step -> attempts beyond each operation's first."""
        return dict(self._rows("SELECT step, sum(attempts - 1) FROM operation WHERE attempts > 1 GROUP BY step"))

    def shown(self, step: int, column: str, count: str) -> list[Shown]:
        """What a step's answers show, by host in the order of the fleet."""
        rows = self._rows(_SHOWN, step, f'$."{column}"', f'$."{count}"')
        return [Shown(self._hosts[host], said, counted, bool(left)) for host, said, counted, left in rows]

    def last_before(self, moment: float) -> int | None:
        """When the last attempt before a moment ended, in milliseconds since the epoch; None without one."""
        found: int | None = next(self._rows(_LAST, moment))[0]
        return found

    def _named(self, numbers: str) -> tuple[str, ...]:
        """The names of hosts whose numbers a statement gathered, in the order of the fleet."""
        return tuple(self._hosts[number] for number in sorted(json.loads(numbers)))
