"""Adaptive concurrency: how many requests at a time a host can take, found for each host. Pure.

Doubles while more at a time brings more answers a second, goes back when it does not, and gives way at once to exit
code 75 and to lost answers. Two higher limits in a row have to bring nothing before it goes back: answers differ much
in how long they take, and a host may gain nothing from 4 but much from 8. A stock Dovecot host gains nothing above 4
and locks its operators out at 100 (2.3.19.1), so it never goes above `CEILING`.
"""

from __future__ import annotations

from orchestrator.outcome import Kind

CEILING = 16
FIRST = 4  # what a host without `auto` gets: a short step is over before anything is found
GAIN = 1.05  # how much better a higher limit has to be to be kept
PATIENCE = 2  # higher limits that have to bring nothing
ROUND = 5  # answers for each request at a time, before a limit is judged
LEAST_ROUND = 16
SETTLED = 30  # rounds at a limit that was found best, before others are tested again

_BACK_OFF = {Kind.TEMPORARY, Kind.NOT_EXECUTED, Kind.UNKNOWN, Kind.LATE, Kind.UNREACHABLE}


class Tuner:
    """The limit of one host.

    Attributes:
        limit: requests at a time, now.
    """

    __slots__ = ("_answers", "_ceiling", "_rates", "_rest", "_since", "limit")

    def __init__(self, ceiling: int = CEILING) -> None:
        self._ceiling = min(ceiling, CEILING)
        self.limit = min(FIRST, self._ceiling)
        self._rates: dict[int, float] = {}  # limit -> answers a second, since trying began
        self._rest = 0
        self._answers = 0
        self._since = -1.0

    def heard(self, kind: Kind, now: float) -> None:
        """Take an attempt's end."""
        if kind in _BACK_OFF:
            self.limit = max(1, self.limit // 2)
            self._begin(now)
            self._rest = SETTLED  # after it, what was found before is forgotten
            return
        if self._since < 0:
            self._begin(now)
            return
        self._answers += 1
        if self._answers >= max(LEAST_ROUND, ROUND * self.limit) and now > self._since:
            self._judge(self._answers / (now - self._since))
            self._begin(now)

    def _begin(self, now: float) -> None:
        self._since, self._answers = now, 0

    def _judge(self, rate: float) -> None:
        """Climb while it pays; otherwise stay at the lowest limit that is nearly as good as the best."""
        if self._rest > 0:
            self._rest -= 1
            if not self._rest:  # tested again from below: what was found may have been chance, or have changed
                self._rates.clear()
                self.limit = max(1, self.limit // 2)
            return
        self._rates[self.limit] = rate
        best = max(self._rates.values())
        good = min(limit for limit, found in self._rates.items() if found * GAIN >= best)
        if self.limit >= self._ceiling or sum(limit > good for limit in self._rates) >= PATIENCE:
            self.limit, self._rest = good, SETTLED
        else:
            self.limit = min(self._ceiling, self.limit * 2)
