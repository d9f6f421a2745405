"""What a report asks of a run file besides how it stands; each is one statement, however many operations there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.journal.details import Happening, Retried, Shown

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
