"""A report for people: what was done, what was not, why, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.journal.base import StepRecord
from orchestrator.outcome import BAD_STATES
from orchestrator.report import Report
from orchestrator.text.units import format_duration
from orchestrator.views.words import clock, count, moment, retries, safe, states


def report_lines(report: Report, program: str) -> Iterator[str]:
    """The whole report.

    Args:
        report: of a run.
        program: how this program was called, with its global options.
    """
    yield f"Run {report.run_id}: {report.playbook}"
    yield f"  {report.status.word}{': ' + safe(report.reason) if report.reason else ''}"
    yield from _emergencies(report)
    if report.given:
        yield "  " + "  ".join(f"{name}={safe(value, 100)}" for name, value in report.given.items())
    if report.ticket or report.purpose:
        yield f"  change {safe(': '.join(filter(None, [report.ticket, report.purpose])))}"
    yield f"  {_times(report)}"
    yield from _sessions(report)
    yield ""
    for step in report.steps:
        if step.state == "pending" and step.role == "undo":
            continue
        about = ", ".join(filter(None, [states(dict(step.counts)), _when(step)])) if step.counts else ""
        shown = f"  ({about})" if about else ""
        reason = f": {safe(step.reason)}" if step.reason else ""
        yield f"  {step.key:<9} {step.state:<8} {safe(step.name, 80)}{shown}{reason}"
    yield ""
    yield from _causes(report)
    yield from _found(report)
    yield f"  {report.conservation}"
    if report.unexpanded:
        depend = "its requests depend" if report.unexpanded == 1 else "their requests depend"
        yield f"  {count(report.unexpanded, 'step')} not started; {depend} on earlier answers"
    if report.retries:
        yield f"  {count(report.attempts, 'attempt')} ({retries(report.retries)})"
    yield from _next_lines(report, program)


def summary_lines(report: Report, program: str) -> Iterator[str]:
    """The end of a run in a few lines."""
    yield f"{report.status.word}{': ' + safe(report.reason) if report.reason else ''}"
    yield from _emergencies(report)
    yield from _causes(report)
    yield from _found(report)
    again = f"; {retries(report.retries)}" if report.retries else ""
    yield f"{report.conservation}{again}; {_duration(report)}"
    yield f"run {report.run_id}; `{program} report {report.run_id}` shows all of it"
    yield from _next_lines(report, program)


def _emergencies(report: Report) -> Iterator[str]:
    for at, why in report.emergencies:
        yield f"  windows and freezes ignored ({moment(at)}): {safe(why)}"


def _next_lines(report: Report, program: str) -> Iterator[str]:
    if command := report.next_command(program):
        yield f"next: {command}"
    if command := report.past_command(program):
        yield "or, to go on past failures such as these:"
        yield f"next: {command}"


def _causes(report: Report) -> Iterator[str]:
    for cause in report.causes:
        where = f"on {cause.host}" if cause.count == 1 else f"first on {cause.host}"
        yield f"  {cause.count} {cause.state.word.replace('_', ' ')} in step {cause.step} ({where}): {safe(cause.error)}"
        if cause.evidence:
            yield f"    {cause.host} logged: {safe(cause.evidence)}"
    shown = sum(cause.count for cause in report.causes)
    more = sum(report.counts.get(state, 0) for state in BAD_STATES) - shown
    if more > 0:
        yield f"  and {more} more, for other reasons"


def _found(report: Report) -> Iterator[str]:
    for step, sentence in report.found:
        yield f"  step {step}: {sentence}"


def _times(report: Report) -> str:
    if report.started is None:
        return f"planned; digest {report.digest}; nothing was sent"
    return f"started {moment(report.started, zone=True)}, {_duration(report)}; digest {report.digest}"


def _when(step: StepRecord) -> str:
    """When a step began, and how long it took once it has ended; unless the clock was set back."""
    if not step.started:
        return ""
    since = f"from {clock(step.started)[:8]}"
    if not step.finished or step.finished < step.started:
        return since
    return f"{format_duration((step.finished - step.started) / 1000)} {since}"


def _sessions(report: Report) -> Iterator[str]:
    """Who worked on it; where it was interrupted, when each session began and how it ended."""
    if len(report.sessions) == 1:
        yield f"  by {safe(report.sessions[0].who)}"
        return
    for number, session in enumerate(report.sessions, 1):
        ended = clock(session.ended)[:8] if session.ended else "?"
        how = session.status.word + (f": {safe(session.reason)}" if session.reason else "")
        yield f"  session {number} from {moment(session.began)} to {ended}, by {safe(session.who)}: {how}"


def _duration(report: Report) -> str:
    if report.started is None or report.finished is None:
        return "not started"
    return f"took {format_duration(max(0, report.finished - report.started) / 1000)}"
