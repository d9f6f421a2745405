"""What came of all rounds, as figures and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.crash.killpoints import POINTS

AT_ANY_TIME = "random time"
SESSIONS = ("run", "plan", "apply", "decide", "first resume", "second resume", "later resume")


@dataclass
class Tally:
    """What came of all rounds.

    Attributes:
        kills: by point.
        within: kills by the command that was killed, and the how manieth session of its run it was.
        signalled: pairs of signals by point.
        pairs: pairs of signals by their names.
        slowest: seconds that the slowest process took to end after two signals.
        seconds: second processes by the point at which the first one stood.
        ways: second processes by how they reached the run.
        changed: configurations that were not any more those of the plan, by what was changed; each was refused.
        outputs: sessions whose output was closed.
        lost: operations recorded as done that no server executed, or that are not done in the end.
        doubled: unrepeatable operations that were executed more than once.
        repeated: operations that were sent again though they were recorded as done.
        unreadable: run files that could not be read after a kill.
        drafts: files that a kill while planning left behind.
        problems: whatever else is wrong, in words.
    """

    rounds: int = 0
    sessions: int = 0
    operations: int = 0
    decided: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    within: Counter[str] = field(default_factory=Counter)
    signalled: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    seconds: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    outputs: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    unreadable: int = 0
    drafts: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def true(self) -> bool:
        """Whether every run file says what the servers did."""
        return not (self.lost or self.doubled or self.repeated or self.problems)

    @property
    def good(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.true and not self.unreadable

    def table(self) -> Iterator[str]:
        """For people."""
        yield f"{'at':<16} {'kills':>6} {'two signals':>12} {'second process':>15}"
        for point in (*POINTS, AT_ANY_TIME):
            counts = (self.kills[point], self.signalled[point], self.seconds[point])
            if any(counts):
                yield "{:<16} {:>6} {:>12} {:>15}".format(point, *counts)
        yield "{:<16} {:>6} {:>12} {:>15}".format(
            "all", *(c.total() for c in (self.kills, self.signalled, self.seconds))
        )
        yield f"killed in: {_counted(self.within, SESSIONS)}"
        yield f"signals: {_counted(self.pairs)}; the slowest end took {self.slowest:.1f} s"
        yield f"second processes, by: {_counted(self.ways)}"
        yield f"changed configurations, all refused: {_counted(self.changed)}"
        yield f"{self.outputs} sessions lost their output; {self.drafts} drafts of plans were left behind"
        yield f"{self.rounds} runs, {self.sessions} sessions, {self.operations} operations, {self.decided} decided"
        yield f"lost: {self.lost}   doubled: {self.doubled}   done and sent again: {self.repeated}   unreadable: {self.unreadable}"
        yield from self.problems[:20]


def _counted(counts: Counter[str], order: tuple[str, ...] = ()) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in order or sorted(counts) if counts[name]) or "none"
