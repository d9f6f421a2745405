"""A run file becomes a report: values that every view of a run is made from."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.dovecot import catalog
from orchestrator.found import found_sentence
from orchestrator.journal.run_file import RunFile, StepRecord
from orchestrator.outcome import BAD_STATES, OPEN_STATES, State


@dataclass(frozen=True)
class Cause:
    """Operations that failed for the same reason."""

    step: str
    state: State
    error: str
    count: int
    host: str
    evidence: str


@dataclass(frozen=True)
class Report:
    """How a run stands.

    Attributes:
        status: planned, running, done, failed, stopped, in doubt, interrupted, refused, undone, or crashed.
        reason: why, when it is not done.
        counts: operations by state; their sum is `planned`.
        planned: all operations that the run file has.
        unexpanded: steps whose operations were not known when the run ended.
        attempts, retries: in all.
        found: step and sentence, where a step tells how many of a list's names it found.
        started, finished: milliseconds since the epoch, or None.
        next_words: what to type next, without the program's name; empty when there is nothing to do.
    """

    run_id: str
    playbook: str
    given: Mapping[str, str]
    digest: str
    config_path: str
    status: str
    reason: str
    steps: list[StepRecord]
    counts: Mapping[State, int]
    planned: int
    unexpanded: int
    attempts: int
    retries: int
    started: int | None
    finished: int | None
    causes: list[Cause]
    found: list[tuple[str, str]]
    holder: str
    next_words: tuple[str, ...]

    def next_command(self, program: str) -> str:
        """What to type next, or empty.

        Args:
            program: how this program was called, with its global options.
        """
        return " ".join([program, *map(shlex.quote, self.next_words)]) if self.next_words else ""

    @property
    def conservation(self) -> str:
        """Planned = the sum of all states, written out; a run file that breaks it is damaged."""
        shown = [(state, self.counts.get(state, 0)) for state in State]
        parts = [f"{count} {state.word.replace('_', ' ')}" for state, count in shown if count or state is State.DONE]
        return f"{self.planned} planned = {' + '.join(parts)}"


_STATUS = {
    "done": "done",
    "finished with failures": "failed",
    "failed, and undone": "undone",
    "stopped with work left": "stopped",
    "stopped with operations in doubt": "in doubt",
    "refused": "refused",
    "interrupted": "interrupted",
}


def make_report(file: RunFile, holder: str = "", *, brief: bool = False) -> Report:
    """Read a report out of a run file.

    Args:
        file: open.
        holder: who works on it now, or empty.
        brief: leave out what takes a look at every operation.

    Raises:
        AssertionError: the operations do not add up.
    """
    steps = file.steps()
    counts: dict[State, int] = {}
    for step in steps:
        for state, count in step.counts.items():
            counts[state] = counts.get(state, 0) + count
    planned = sum(step.operations or 0 for step in steps)
    if planned != sum(counts.values()):
        raise AssertionError(f"{planned} operations were planned, but {sum(counts.values())} are there")
    status, reason = status_of(file, holder)
    attempts, retries, _, finished = file.totals()
    events = file.events()
    report = Report(
        run_id=file.run_id,
        playbook=file.meta["playbook"],
        given=file.given,
        digest=file.meta["digest"],
        config_path=file.meta["config_path"],
        status=status,
        reason=reason,
        steps=steps,
        counts=counts,
        planned=planned,
        unexpanded=sum(1 for s in steps if s.operations is None and s.command != "require" and s.state == "pending"),
        attempts=attempts,
        retries=retries,
        started=next((event.at for event in events if event.kind == "started"), None),
        finished=max([finished or 0, *(event.at for event in events)]) or None,
        causes=[Cause(*cause) for cause in file.causes()],
        found=[] if brief else list(_found(file, steps)),
        holder=holder,
        next_words=(),
    )
    return replace(report, next_words=_next(report))


def _found(file: RunFile, steps: Iterable[StepRecord]) -> Iterator[tuple[str, str]]:
    """How many of a list's names were found, by the steps whose commands tell."""
    for step in steps:
        entry = catalog.find(step.command)
        if entry and entry.found and step.state != "pending" and (step.operations or 0) > 1:
            counted = file.found(step.number)
            if counted.total > 1:  # one is a pattern, or can be seen without counting
                yield step.key, found_sentence(counted, entry.found)


RESUMABLE = ("stopped", "interrupted", "crashed", "in doubt")  # where `resume` has something to do


def status_of(file: RunFile, holder: str = "") -> tuple[str, str]:
    """How a run stands, and why; without looking at its operations, however many there are."""
    if holder:
        return "running", ""
    events = [event for event in file.events() if event.kind != "decided"]  # a decision changes no session's end
    if not events:
        return "planned", ""
    if events[0].kind == "applied":
        return "applied", f"as run {events[0].text}"
    last = events[-1]
    if last.kind != "ended":
        return "crashed", "the program ended without a word; nothing that was recorded is lost"
    words, _, reason = last.text.partition(": ")
    return _STATUS.get(words, words), reason


def _next(report: Report) -> tuple[str, ...]:
    bad = sum(report.counts.get(state, 0) for state in BAD_STATES)
    left = sum(report.counts.get(state, 0) for state in OPEN_STATES)
    run_id = report.run_id
    if report.status == "running":
        return ()
    if report.status == "planned":
        return "apply", run_id
    if report.status == "in doubt" and report.counts.get(State.IN_DOUBT):
        return "show", run_id, "--in-doubt"
    if report.status in {"interrupted", "crashed", "in doubt"} or (report.status == "stopped" and not bad):
        return "resume", run_id
    if report.status in {"stopped", "failed"} and bad:
        return "retry", run_id
    return ("resume", run_id) if left else ()
