"""A run becomes a report: values that every view of a run is made from."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.dovecot import catalog
from orchestrator.errors import DamagedRunError
from orchestrator.found import found_sentence
from orchestrator.journal.base import Cause, Reader, SessionRecord, StepRecord
from orchestrator.outcome import BAD_STATES, OPEN_STATES, Effect, State
from orchestrator.status import RESUMABLE, Status


@dataclass(frozen=True)
class Report:
    """How a run stands.

    Attributes:
        status, reason: how it stands, and why when it is not done.
        counts: operations by state; their sum is `planned`.
        planned: all operations that the run file has.
        unexpanded: steps whose operations were not known when the run ended.
        attempts, retries: in all.
        found: step and sentence, where a step tells how many of a list's names it found.
        emergencies: when (milliseconds since the epoch) and why windows and freezes did not hold.
        started, finished: milliseconds since the epoch, or None.
        resumable: of this version; what an older one wrote can only be read.
        undoing: what was done is being undone; such a run is resumed, and not retried.
        sessions: who worked on it, when, and how each time ended.
        next_words: what to type next, without the program's name; empty when there is nothing to do.
        past_words: what to type to go on past failures such as those that stopped it; empty where that is no way.
        ticket, purpose: the change that it belongs to, in the operator's words.
    """

    run_id: str
    playbook: str
    given: Mapping[str, str]
    digest: str
    config_path: str
    status: Status
    reason: str
    steps: list[StepRecord]
    counts: Mapping[State, int]
    planned: int
    unexpanded: int
    attempts: int
    retries: int
    emergencies: list[tuple[int, str]]
    started: int | None
    finished: int | None
    causes: list[Cause]
    found: list[tuple[str, str]]
    holder: str
    resumable: bool
    undoing: bool
    sessions: Sequence[SessionRecord]
    next_words: tuple[str, ...]
    past_words: tuple[str, ...]
    ticket: str = ""
    purpose: str = ""

    def next_command(self, program: str) -> str:
        """What to type next, or empty.

        Args:
            program: how this program was called, with its global options.
        """
        return _typed(program, self.next_words)

    def past_command(self, program: str) -> str:
        """What to type to go on past failures, or empty; see `next_command`."""
        return _typed(program, self.past_words)

    @property
    def left(self) -> int:
        """Operations that are to be sent, as far as they are known."""
        return sum(self.counts.get(state, 0) for state in OPEN_STATES)

    @property
    def changes_left(self) -> int:
        """Operations that are to be sent and may change something; those of steps that are not known yet are not counted."""
        return sum(
            step.counts.get(state, 0)
            for step in self.steps
            if step.effect != Effect.READ.value
            for state in OPEN_STATES
        )

    @property
    def conservation(self) -> str:
        """Planned = the sum of all states, written out; a run file that breaks it is damaged."""
        shown = [(state, self.counts.get(state, 0)) for state in State]
        parts = [f"{count} {state.word.replace('_', ' ')}" for state, count in shown if count or state is State.DONE]
        return f"{self.planned} planned = {' + '.join(parts)}"


def _typed(program: str, words: Sequence[str]) -> str:
    return " ".join([program, *map(shlex.quote, words)]) if words else ""


def make_report(reader: Reader, holder: str = "", *, name: str = "", brief: bool = False) -> Report:
    """Read a report out of a run; all of it is of one moment.

    Args:
        reader: of the run.
        holder: who works on it now, or empty.
        name: what one types for the run; its id, when nothing is said.
        brief: leave out what takes a look at every operation.

    Raises:
        DamagedRunError: the operations do not add up.
    """
    with reader.moment():
        report = _read(reader, holder, brief=brief)
    words = _next(report, name or report.run_id)
    return replace(report, next_words=words, past_words=_past(report, words))


def _read(reader: Reader, holder: str, *, brief: bool) -> Report:
    steps = reader.steps()
    counts: dict[State, int] = {}
    for step in steps:
        for state, count in step.counts.items():
            counts[state] = counts.get(state, 0) + count
    planned = sum(step.operations or 0 for step in steps)
    if planned != sum(counts.values()):
        raise DamagedRunError(
            f"run {reader.run_id}: {planned} operations were planned, and {sum(counts.values())} are there"
        )
    status, reason = status_of(reader, holder)
    totals, sessions = reader.totals(), reader.sessions()
    return Report(
        run_id=reader.run_id,
        playbook=reader.playbook,
        given=reader.header.given,
        digest=reader.digest,
        config_path=reader.header.config_path,
        status=status,
        reason=reason,
        steps=steps,
        counts=counts,
        planned=planned,
        unexpanded=sum(1 for s in steps if s.operations is None and s.command != "require" and s.state == "pending"),
        attempts=totals.attempts,
        retries=totals.retries,
        emergencies=reader.emergencies(),
        started=sessions[0].began if sessions else None,
        finished=_finished(sessions, totals.finished),
        causes=reader.causes(),
        found=[] if brief else list(_found(reader, steps)),
        holder=holder,
        resumable=reader.resumable,
        undoing=reader.undoing() is not None,
        sessions=sessions,
        next_words=(),
        past_words=(),
        ticket=reader.header.ticket,
        purpose=reader.header.reason,
    )


def _finished(sessions: Sequence[SessionRecord], last_attempt: int | None) -> int | None:
    """When a run ended; of one that is going on, or whose process is gone, when the last thing in it ended."""
    if sessions and sessions[-1].ended is not None:
        return sessions[-1].ended  # and not a later attempt: the clock may have been set back since
    return max([last_attempt or 0, *(session.began for session in sessions)]) or None


def status_of(reader: Reader, holder: str = "") -> tuple[Status, str]:
    """How a run stands, and why; without looking at its operations, however many there are."""
    return (Status.RUNNING, "") if holder else reader.status()


def _found(reader: Reader, steps: Iterable[StepRecord]) -> Iterator[tuple[str, str]]:
    """How many of a list's names were found, by the steps whose commands tell."""
    for step in steps:
        entry = catalog.find(step.command)
        if entry and entry.found and step.state != "pending" and (step.operations or 0) > 1:
            counted = reader.found(step.number)
            if counted.total > 1:  # one is a pattern, or can be seen without counting
                yield step.key, found_sentence(counted, entry.found)


def _next(report: Report, run_id: str) -> tuple[str, ...]:
    bad = sum(report.counts.get(state, 0) for state in BAD_STATES)
    status = report.status
    if status in {Status.RUNNING, Status.APPLIED} or not report.resumable:
        return ()
    if status is Status.PLANNED:
        return "apply", run_id
    if status is Status.IN_DOUBT and report.counts.get(State.IN_DOUBT):
        return "show", run_id, "--in-doubt"
    if status in {Status.STOPPED, Status.FAILED} and bad and not report.undoing:
        return "retry", run_id
    if status in RESUMABLE or report.left:
        return "resume", run_id
    return ()


def _past(report: Report, following: tuple[str, ...]) -> tuple[str, ...]:
    """The retry that does not stop at the same failures again: as many may fail as would, if it went on as it began."""
    if report.status is not Status.STOPPED or following[:1] != ("retry",):
        return ()
    stopped = next((step for step in report.steps if step.state == "failed" and step.role in {"step", "verify"}), None)
    if stopped is None or not stopped.counts.get(State.FAILED):
        return ()  # unreachable hosts are no reason to let more fail
    bad = sum(stopped.counts.get(state, 0) for state in BAD_STATES)
    total = sum(stopped.counts.values())
    ended = total - sum(stopped.counts.get(state, 0) for state in OPEN_STATES)
    return (*following, "--max-failed", str(math.ceil(total * bad / ended)))
