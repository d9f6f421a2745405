"""A report as a document, for people who were not there: what was planned, what was done, what users noticed, what is left."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from itertools import pairwise

from orchestrator.fleet.inventory import fold
from orchestrator.full_report import MOST_DOUBTFUL, Felt, FullReport, TakesBack
from orchestrator.journal.base import Cause, SessionRecord, StepRecord
from orchestrator.outcome import BAD_STATES, OPEN_STATES, State
from orchestrator.status import Status
from orchestrator.text.units import format_duration
from orchestrator.views.document import (
    Callout,
    Code,
    Document,
    Facts,
    Figure,
    Folded,
    Listing,
    Mono,
    Paragraph,
    Part,
    Section,
    Strong,
    Table,
    Tone,
    Words,
)
from orchestrator.views.timeline import Bar, Mark, timeline
from orchestrator.views.words import count, moment, paragraphs, retries, safe, states

LONG = 600  # characters of what hosts said, in a document
MOST_BARS = 40
MOST_HOSTS = 12  # of which it is said one by one what users noticed

_TONES = {
    Status.DONE: Tone.OK,
    Status.PLANNED: Tone.NOTE,
    Status.APPLIED: Tone.NOTE,
    Status.RUNNING: Tone.NOTE,
    Status.INTERRUPTED: Tone.WARNING,
    Status.UNDONE: Tone.WARNING,
}  # all others are problems
_STEP_TONES = {"done": Tone.OK, "failed": Tone.PROBLEM, "running": Tone.WARNING}


def report_document(full: FullReport, program: str) -> Document:
    """The document; a section is there only where there is something to say.

    Args:
        full: of a run.
        program: how this program was called, with its global options.
    """
    report = full.report
    return Document(  # each of these yields nothing where there is nothing to say
        f"Report: {report.playbook}",
        (
            *_emergencies(full),
            *_status(full),
            *_header(full),
            *_next(full, program),
            *_steps(full),
            *_time(full),
            *_conditions(full),
            *_users(full),
            *_failures(full, program),
            *_doubt(full, program),
            *_retries(full),
            *_left(full),
            *_decisions(full),
            *_back(full),
        ),
    )


def _section(title: str, *parts: Part) -> Iterator[Part]:
    """A section, unless it is empty."""
    if parts:
        yield Section(title, parts)


def _emergencies(full: FullReport) -> Iterator[Part]:
    for at, why in full.report.emergencies:
        yield Callout(
            Tone.WARNING, (Strong("windows, freezes and approvals ignored"), f" ({_moment(at)}): {safe(why, LONG)}")
        )


def _status(full: FullReport) -> Iterator[Part]:
    report = full.report
    why = f": {safe(report.reason, LONG)}" if report.reason else ""
    by = f" by {report.holder}" if report.holder else ""
    tone = _TONES.get(report.status, Tone.PROBLEM)
    yield Callout(tone, (Strong(report.status.word), f"{by}{why}"), (Paragraph(f"{report.conservation}."),))


def _header(full: FullReport) -> Iterator[Part]:
    report = full.report
    pairs: list[tuple[str, Words]] = [("Playbook", report.playbook)]
    pairs += [(name, Mono(safe(value, 200))) for name, value in report.given.items()]
    pairs += [
        ("Ticket", report.ticket),
        ("Reason", report.purpose),
        ("Approved by", ", ".join(safe(str(approval), LONG) for approval in report.approvals)),
        ("Window", full.window),
        ("Only on", full.limit),
        ("Planned", _moment(full.planned)),
        ("Started", _moment(report.started) if report.started else "not started"),
        ("Ended", _ended(full)),
        ("Started by", report.sessions[0].who if report.sessions else ""),
        ("Run", Mono(report.run_id)),
        ("Plan digest", Mono(report.digest)),
        ("Configuration", Mono(report.config_path)),
    ]
    yield Facts([(label, words) for label, words in pairs if words and words != Mono("")])
    if full.description:
        yield Folded("What this playbook is for", [Paragraph(part) for part in paragraphs(full.description)])


def _ended(full: FullReport) -> str:
    report = full.report
    if report.started is None or report.finished is None:
        return ""
    took = format_duration(max(0, report.finished - report.started) / 1000)
    worked = sum(end - began for began, end in full.sessions)
    at_work = f", at work for {format_duration(worked / 1000)} of it" if len(report.sessions) > 1 else ""
    last = "is still running; last result" if report.holder else ""
    return f"{last} {_moment(report.finished)}, {took} after the start{at_work}".strip()


def _next(full: FullReport, program: str) -> Iterator[Part]:
    parts: list[Part] = []
    if command := full.report.next_command(program):
        parts.append(Code(command, "sh"))
    if command := full.report.past_command(program):
        parts += [Paragraph("Or, to go on past failures such as these:"), Code(command, "sh")]
    yield from _section("What to do next", *parts)


def _steps(full: FullReport) -> Iterator[Part]:
    shown = [step for step in full.report.steps if step.role != "undo"]
    head = (
        "Step",
        "What",
        "State",
        "Planned",
        "Done",
        "Failed",
        "In doubt",
        "Skipped",
        "Not started",
        "Retries",
        "Took",
    )
    used = {8, 9} if full.report.retries else {8}
    rows = [_step(full, step) for step in shown]
    kept = [column for column in range(len(head)) if column < 5 or column in used or any(row[column] for row in rows)]
    table = Table(
        [head[column] for column in kept],
        [[row[column] or ("0" if 3 <= column < 10 else "") for column in kept] for row in rows],
        [number for number, column in enumerate(kept) if column >= 3],
    )
    reasons = [
        (Strong(f"Step {step.key}"), f" {_state(full, step)}: {safe(step.reason, LONG)}")
        for step in shown
        if step.reason
    ]
    found = [(Strong(f"Step {key}"), f": {sentence}") for key, sentence in full.report.found]
    listing = [Listing([*reasons, *found])] if reasons or found else []
    yield from _section("Planned and done", table, *listing)


def _step(full: FullReport, step: StepRecord) -> list[str]:
    """A row; numbers that are 0 are empty, so that a column of these can be left out."""
    counts = [
        step.counts.get(State.DONE, 0),
        step.counts.get(State.FAILED, 0) + step.counts.get(State.UNREACHABLE, 0),
        step.counts.get(State.IN_DOUBT, 0),
        step.counts.get(State.SKIPPED, 0),
        sum(step.counts.get(state, 0) for state in OPEN_STATES),
        full.retries.get(step.number, 0),
    ]
    planned = "not known yet" if step.operations is None and step.state == "pending" else str(step.operations or "")
    return [
        step.key,
        step.name,
        _state(full, step),
        planned,
        *(str(number or "") for number in counts),
        _took(full, step),
    ]


def _took(full: FullReport, step: StepRecord) -> str:
    """How long it was worked on; empty where it was not."""
    worked = full.at_work(step)
    return "" if worked is None else format_duration(worked / 1000)


def _state(full: FullReport, step: StepRecord) -> str:
    """Where it stands, in a word; one that is being done while nobody works on the run was stopped."""
    return "stopped" if step.state == "running" and not full.report.holder else step.state


def _time(full: FullReport) -> Iterator[Part]:
    if not full.report.sessions:
        return
    yield from _section("Time line", _figure(full), _sessions(full))


def _figure(full: FullReport) -> Figure:
    sessions = full.sessions
    bars = [
        Bar(f"session {number}: {session.status.word}", session.began, end, _TONES.get(session.status, Tone.PROBLEM))
        for number, (session, end) in enumerate(zip(full.report.sessions, full.ends, strict=True), 1)
    ]
    begun = [step for step in full.report.steps if step.started is not None]
    last = full.ends[-1]
    longest = sorted(begun, key=lambda step: (step.finished or last) - (step.started or 0), reverse=True)[:MOST_BARS]
    bars += [
        Bar(
            f"{step.key}  {safe(step.name, 28)}  {_took(full, step)}",
            step.started or 0,
            step.finished or last,
            _STEP_TONES.get(step.state),
        )
        for step in begun
        if step in longest
    ]
    marks = [
        mark
        for (_, end), (begin, _) in pairwise(sessions)
        for mark in (Mark(end, Tone.WARNING), Mark(begin, Tone.NOTE))
    ]
    ends = (_moment(sessions[0][0]), _moment(last))
    words = f"When sessions and steps began and ended, from {ends[0]} to {ends[1]}"
    return Figure(timeline(sessions, bars, marks, ends), words, ())


def _sessions(full: FullReport) -> Table:
    """Who worked on it; each session after the first resumed what the one before had left."""
    rows = []
    for number, (session, end) in enumerate(zip(full.report.sessions, full.ends, strict=True), 1):
        how = session.status.word + (f": {safe(session.reason, LONG)}" if session.reason else "")
        rows.append((str(number), _moment(session.began), _session_end(session, end, full), session.who, how))
    return Table(("Session", "Began", "Ended", "By", "How it ended"), rows)


def _session_end(session: SessionRecord, end: int, full: FullReport) -> str:
    if session.ended is not None:
        return _moment(session.ended)
    if session is full.report.sessions[-1] and full.report.holder:
        return "still running"
    return f"crashed or was killed; last result {_moment(end)}"


def _users(full: FullReport) -> Iterator[Part]:
    items: list[Words | Listing] = []
    for felt in full.felt:
        sent = f"{count(felt.step.counts.get(State.DONE, 0), 'request')} done in {_took(full, felt.step)}"
        items.append((Strong(f"Step {felt.step.key}"), f" {felt.step.name} ({sent}): {felt.impact}"))
        if felt.row or felt.counted:
            items.append(Listing(list(_shown(felt))))
    yield from _section("What users noticed", *([Listing(items)] if items else []))


def _shown(felt: Felt) -> Iterator[Words]:
    """What hosts answered that they cut, in all and on each."""
    rows = sum(shown.rows for shown in felt.shown)
    counted = sum(shown.counted for shown in felt.shown)
    least = any(shown.at_least for shown in felt.shown)
    yield f"{_cut(felt, rows, counted, least=least)} cut off, as the hosts answered"
    if 1 < len(felt.shown) <= MOST_HOSTS:
        yield from (f"{s.host}: {_cut(felt, s.rows, s.counted, least=s.at_least)}" for s in felt.shown)
    elif felt.shown[1:]:
        most = max(felt.shown, key=lambda shown: shown.rows + shown.counted)
        yield f"most on {most.host}: {_cut(felt, most.rows, most.counted, least=most.at_least)}"


def _cut(felt: Felt, rows: int, counted: int, *, least: bool) -> str:
    parts = [count(number, word) for number, word in ((rows, felt.row), (counted, felt.counted)) if word and number]
    usual = f"no {felt.counted or felt.row}"
    return ("at least " if least else "") + (" and ".join(parts) or usual)


def _failures(full: FullReport, program: str) -> Iterator[Part]:
    report = full.report
    parts: list[Part] = [part for cause in report.causes for part in _cause(cause)]
    shown = sum(cause.count for cause in report.causes)
    more = sum(report.counts.get(state, 0) for state in BAD_STATES) - shown
    if more > 0:
        parts.append(Paragraph(f"And {more} more, for other reasons."))
    if parts:
        parts += [
            Paragraph("Each that failed or was unreachable, one a line:"),
            Code(f"{program} export {shlex.quote(full.name)} --failed", "sh"),
        ]
    yield from _section("Failures by cause", *parts)


def _cause(cause: Cause) -> Iterator[Part]:
    number = f"{cause.count} {cause.state.word.replace('_', ' ')}"
    yield Paragraph(
        (Strong(f"{number} in step {cause.step}"), ": ", Mono(safe(cause.error, LONG) or "no reason was given"))
    )
    hosts = Mono(fold(cause.hosts or (cause.host,)))
    if len(cause.hosts) > MOST_HOSTS:
        yield Folded(f"on {count(len(cause.hosts), 'host')}", (Paragraph(hosts),))
    else:
        yield Listing([("on ", hosts)])
    if cause.evidence:
        yield Folded("What a host logged about it", (Code(safe(cause.evidence, 4 * LONG)),))


def _doubt(full: FullReport, program: str) -> Iterator[Part]:
    number = full.report.counts.get(State.IN_DOUBT, 0)
    if not number:
        return
    rows = [
        (Mono(record.id), record.host, Mono(_request(record.command, record.parameters)), safe(record.error, LONG))
        for record in full.doubtful
    ]
    parts: list[Part] = [
        Paragraph(f"{count(number, 'operation')} may or may not have been executed, and must not be sent twice."),
        Table(("Operation", "Host", "Request", "Why"), rows),
    ]
    if number > MOST_DOUBTFUL:
        parts.append(Paragraph(f"And {number - len(rows)} more."))
    parts += [
        Paragraph("Look on the hosts what became of them; this shows all of them, and how to settle each:"),
        Code(f"{program} show {shlex.quote(full.name)} --in-doubt", "sh"),
    ]
    yield from _section("In doubt", *parts)


def _request(command: str, parameters: object) -> str:
    return safe(f"{command} {json.dumps(parameters, ensure_ascii=False)}", 200)


def _retries(full: FullReport) -> Iterator[Part]:
    if not full.report.retries:
        return
    rows = [
        (retried.step, str(retried.times), Mono(fold(retried.hosts)), safe(retried.error, LONG))
        for retried in full.retried
    ]
    shown = sum(retried.times for retried in full.retried)
    more = full.report.retries - shown
    words = f"{count(full.report.attempts, 'attempt')} ({retries(full.report.retries)})."
    parts: list[Part] = [Paragraph(words)]
    parts += [Table(("Step", "Retries", "Hosts", "Because of"), rows, {1})] if rows else []
    parts += [Paragraph(f"And {more} more, for other reasons.")] if more > 0 and rows else []
    yield from _section("Retries", *parts)


def _left(full: FullReport) -> Iterator[Part]:
    report = full.report
    items: list[Words] = []
    for step in report.steps:
        left = sum(step.counts.get(state, 0) for state in OPEN_STATES)
        if left and step.role != "undo":
            items.append((Strong(f"Step {step.key}"), f" {step.name}: {count(left, 'request')} not sent"))
        elif step.operations is None and step.state == "pending" and step.role != "undo":
            items.append((Strong(f"Step {step.key}"), f" {step.name}: not started"))
    if report.status in {Status.PLANNED, Status.APPLIED, Status.DONE}:
        items = []
    yield from _section("What is left", *([Listing(items)] if items else []))


_HOLDS = {True: "held", False: "did not hold", None: "no data"}


def _conditions(full: FullReport) -> Iterator[Part]:
    """What was seen of conditions, and of what the run set and others must not change."""
    rows = [
        (
            seen.name,
            seen.moment,
            _moment(seen.at),
            _HOLDS[seen.holds],
            "" if seen.value is None else safe(json.dumps(seen.value, ensure_ascii=False), LONG),
            safe(seen.why, LONG),
        )
        for seen in full.sightings
    ]
    head = ("Condition", "Looked at", "When", "Result", "Value", "Why")
    yield from _section("Conditions", *([Table(head, rows)] if rows else []))


def _decisions(full: FullReport) -> Iterator[Part]:
    rows = [(_moment(at), words) for at, kind, text in full.happenings if (words := _happened(kind, text))]
    yield from _section("Decisions", *([Table(("When", "What"), rows)] if rows else []))


def _happened(kind: str, text: str) -> str:
    text = safe(text, LONG)
    known = {
        "decided": f"operations in doubt decided: {text}",
        "confirmed": f"the question of step {text} was answered with yes",
        "undoing": f"undoing what was done: {text}",
        "break glass": f"windows, freezes and approvals ignored: {text}",
    }
    return known.get(kind, "")


def _back(full: FullReport) -> Iterator[Part]:
    rows = [(back.step.key, back.step.name, *_taken_back(back)) for back in full.takes_back]
    yield from _section(
        "What takes it back", *([Table(("Step", "What it changed", "Taken back by", "Undone"), rows)] if rows else [])
    )


def _taken_back(back: TakesBack) -> tuple[Words, str]:
    """By what, and whether that was done."""
    if back.by is not None:
        about = states(dict(back.by.counts))
        undone = {"pending": "no", "skipped": "no"}.get(back.by.state, back.by.state + (f" ({about})" if about else ""))
        return f"{back.by.name} ({back.by.command})", undone
    return (f"no undo in the playbook; see {back.inverse}" if back.inverse else "nothing"), ""


def _moment(milliseconds: int | None) -> str:
    return moment(milliseconds, zone=True)
