"""A report for those who were not there: how a run stands, and all that happened in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import inf
from typing import NamedTuple

from orchestrator.dovecot import catalog
from orchestrator.journal.base import OperationRecord, Reader, SessionRecord, StepRecord
from orchestrator.journal.details import Happening, Retried, Shown
from orchestrator.outcome import State
from orchestrator.plan.kept import Outline, description, outlines
from orchestrator.report import Report, make_report
from orchestrator.status import Status

MOST_CAUSES = 25  # of failures, and of retries
MOST_DOUBTFUL = 25  # operations


class Felt(NamedTuple):
    """What users noticed of a step that was begun.

    Attributes:
        step: the step.
        impact: what the playbook or the catalogue says that they notice.
        shown: what the answers of hosts show of it; empty where they do not.
        row, counted: what is shown, each in a word for one.
    """

    step: StepRecord
    impact: str
    shown: Sequence[Shown]
    row: str
    counted: str


class TakesBack(NamedTuple):
    """What takes a step back that changed something.

    Attributes:
        by: its undo step; None where the playbook has none.
        inverse: the command that does so, as the catalogue has it, with a note; empty for none.
    """

    step: StepRecord
    by: StepRecord | None
    inverse: str


@dataclass(frozen=True)
class FullReport:
    """A report, and what happened.

    Attributes:
        report: how the run stands.
        name: what one types for it.
        planned: when it was planned, milliseconds since the epoch.
        description: what the playbook is for, in its author's words.
        limit: the selection of --limit, or empty.
        window: in which it was to be done, or empty.
        ends: when each session ended, milliseconds since the epoch; of one whose process died, when the last thing in it did.
        retries: step number -> attempts beyond each operation's first.
        retried: attempts that were followed by another one, by reason.
        felt: what users noticed.
        happenings: decisions, answers to questions, and the like.
        doubtful: the first operations that are in doubt.
        takes_back: of the steps that changed something, in order.
    """

    report: Report
    name: str
    planned: int
    description: str
    limit: str
    window: str
    ends: Sequence[int]
    retries: Mapping[int, int]
    retried: Sequence[Retried]
    felt: Sequence[Felt]
    happenings: Sequence[Happening]
    doubtful: Sequence[OperationRecord]
    takes_back: Sequence[TakesBack]

    @property
    def status(self) -> Status:
        """How the run stands."""
        return self.report.status

    @property
    def sessions(self) -> list[tuple[int, int]]:
        """Beginning and end of each session, milliseconds since the epoch."""
        return [(session.began, end) for session, end in zip(self.report.sessions, self.ends, strict=True)]

    def at_work(self, step: StepRecord) -> int | None:
        """How long a step was worked on, in milliseconds, without the time between sessions; None before it began."""
        if step.started is None or not self.ends:
            return None
        end = step.finished or self.ends[-1]
        return sum(max(0, min(end, ended) - max(step.started, began)) for began, ended in self.sessions)


def make_full_report(reader: Reader, holder: str = "", *, name: str = "") -> FullReport:
    """Read all of it out of a run, as of one moment; however many operations there are, what is read of them is bounded.

    Args:
        reader: of the run.
        holder: who works on it now, or empty.
        name: what one types for the run; its id, when nothing is said.

    Raises:
        DamagedRunError: the operations do not add up.
    """
    with reader.moment():
        report = replace(make_report(reader, holder, name=name), causes=reader.causes(MOST_CAUSES))
        kept = reader.kept() if reader.resumable else None  # an older version kept no layout
        layout = outlines(kept) if kept else {}
        limits, header = reader.limits(), reader.header
        doubtful = reader.operations((State.IN_DOUBT,)) if report.counts.get(State.IN_DOUBT) else iter(())
        return FullReport(
            report=report,
            name=name or reader.run_id,
            planned=header.created,
            description=description(kept) if kept else "",
            limit=header.limit,
            window=limits.get("window") or (f"until {limits['until']}" if "until" in limits else ""),
            ends=list(_ends(reader, report.sessions)),
            retries=reader.retries(),
            retried=reader.retried(MOST_CAUSES),
            felt=list(_felt(reader, report.steps, layout)),
            happenings=reader.happenings(),
            doubtful=list(islice(doubtful, MOST_DOUBTFUL)),
            takes_back=list(_takes_back(report.steps, layout)),
        )


def _ends(reader: Reader, sessions: Sequence[SessionRecord]) -> Iterator[int]:
    """When each session ended; no later than the next one began."""
    for session, following in pairwise([*sessions, None]):
        if session is None:
            return
        limit = following.began if following else inf
        ended = session.ended if session.ended is not None else reader.last_before(limit)
        yield int(max(session.began, min(ended or session.began, limit)))


def _felt(reader: Reader, steps: Sequence[StepRecord], layout: Mapping[str, Outline]) -> Iterator[Felt]:
    for step in steps:
        impact = layout[step.key].user_impact if step.key in layout else ""
        if not impact or step.started is None:
            continue
        entry = catalog.find(step.command)
        changed = entry.changed if entry else None
        if changed and (changed.row or changed.counted):
            column, count = (changed.column if changed.row else ""), (changed.count if changed.counted else "")
            yield Felt(step, impact, reader.shown(step.number, column, count), changed.row, changed.counted)
        else:
            yield Felt(step, impact, (), "", "")


def _takes_back(steps: Sequence[StepRecord], layout: Mapping[str, Outline]) -> Iterator[TakesBack]:
    undo = {layout[step.key].owner: step for step in steps if step.role == "undo" and step.key in layout}
    for step in steps:
        if step.role == "step" and step.effect != "read" and step.started is not None:
            entry = catalog.find(step.command)
            inverse = f"{entry.inverse.command} {entry.inverse.note}".strip() if entry and entry.inverse else ""
            yield TakesBack(step, undo.get(step.key), inverse)
