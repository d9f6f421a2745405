"""A report as a document: each section where there is something to say, and nothing of it markup."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from orchestrator.full_report import Felt, FullReport, TakesBack
from orchestrator.journal.base import Cause, OperationRecord, SessionRecord
from orchestrator.journal.details import Happening, Retried, Shown
from orchestrator.outcome import State
from orchestrator.status import Status
from orchestrator.views.document import Figure, Section, plain
from orchestrator.views.document_html import document_html
from orchestrator.views.document_markdown import document_markdown
from orchestrator.views.objects import full_report_object, report_object
from orchestrator.views.report_document import report_document
from orchestrator.views.timeline import Scale
from orchestrator.views.words import moment
from tests.unit.test_document_views import pieces, shape
from tests.unit.test_report_text import BAD, SESSION, report, step

HOSTILE = "</script><b>|`[x](javascript:alert(1)) @all\u202e"
USUAL = {
    "name": "r1", "planned": 500, "description": "", "limit": "", "window": "", "ends": [2500], "retries": {}, "retried": [], "felt": [],
    "happenings": [], "doubtful": [], "takes_back": [],
}  # fmt: skip


def full(of: dict[str, Any] | None = None, **changes: Any) -> FullReport:
    """A full report of a good run, but for what is said."""
    return FullReport(**{"report": report(**(of or {})), **USUAL, **changes})


def markdown(found: FullReport) -> str:
    """Its document, for a ticket."""
    return "\n".join(document_markdown(report_document(found, "orchestrator")))


def sections(found: FullReport) -> list[str]:
    """The titles of its sections."""
    parts = report_document(found, "orchestrator").parts
    return [plain(part.title) for part in parts if isinstance(part, Section)]


def test_a_good_run_has_few_sections() -> None:
    """Where nothing went wrong and users noticed nothing, nothing is said of that."""
    assert sections(full()) == ["Planned and done", "Time line"]
    assert "> **OK:** **done**\n>\n> 3 planned = 3 done." in markdown(full())


def test_the_head_says_what_it_was() -> None:
    """The change, the values, who and from where, with which version, when and in which zone; what is not known is left out."""
    words = markdown(full({"ticket": "CHG-1", "purpose": "kernel update"}, limit="b*", window="nightly"))
    for line in (
        "- **Playbook:** P", "- **user:** `ü`", "- **Ticket:** CHG-1", "- **Reason:** kernel update", "- **Window:** nightly",
        "- **Only on:** b\\*", f"- **Started:** {moment(1000, zone=True)}", f"- **Ended:** {moment(2500, zone=True)}, 1.5s after the start",
        "- **Started by:** jane on mx1, pid 7, orchestrator 1", "- **Run:** `r1`", "- **Plan digest:** `d1`",
    ):  # fmt: skip
        assert line in words.splitlines()
    assert "Ticket" not in markdown(full())
    assert moment(0, zone=True).split()[-1] in words


FELT = Felt(
    step(),
    "Sessions are cut.",
    [Shown("b1", 2, 0, at_least=False), Shown("b2", 1, 5, at_least=True)],
    "user",
    "connection",
)


@pytest.mark.parametrize(
    ("of", "changes", "section", "words"),
    [
        ({"emergencies": [(1000, "disk full")]}, {}, "", "> **Warning:** **windows and freezes ignored** ("),
        ({"next_words": ("resume", "r1")}, {}, "What to do next", "orchestrator resume r1"),
        ({"next_words": ("retry", "r1"), "past_words": ("retry", "r1", "--max-failed", "2")}, {}, "What to do next",
         "Or, to go on past failures such as these:\n\n```sh\norchestrator retry r1 --max-failed 2"),
        ({}, {"felt": [FELT]}, "What users noticed",
         "Sessions are cut.\n  - at least 3 users and 5 connections cut off, as the hosts answered\n  - b1: 2 users\n  - b2: at least 1 user and 5 connections"),
        ({}, {"felt": [FELT._replace(shown=[])]}, "What users noticed", "  - no connection cut off, as the hosts answered"),
        ({}, {"felt": [FELT._replace(shown=[], row="", counted="")]}, "What users noticed", "(3 requests done in 1.5s): Sessions are cut."),
        ({"causes": [Cause("1", State.FAILED, "code 64", 2, "b1", "Panic", ("b1", "b2", "b3"))], "counts": {State.FAILED: 3}}, {},
         "Failures by cause", "**2 failed in step 1**: `code 64`\n\n- on `b[1-3]`\n\n**What a host logged about it**\n\n```\nPanic\n```\n\nAnd 1 more"),
        ({"counts": {State.DONE: 2, State.IN_DOUBT: 1}, "causes": [Cause("1", State.IN_DOUBT, "closed", 1, "b1", "", ("b1",))]},
         {"doubtful": [OperationRecord("1.3", "1", "b1", "kick", {"mask": ["a|b"]}, State.IN_DOUBT, None, "closed", 1, None, 1, 2)]},
         "In doubt", '| `1.3` | b1 | `kick {"mask": ["a\\|b"]}` | closed |'),
        ({"retries": 3, "attempts": 6}, {"retries": {0: 3}, "retried": [Retried("1", "busy", 2, ("b1", "b2"))]}, "Retries",
         "6 attempts (3 retries).\n\n| Step | Retries | Hosts | Because of |\n| --- | ---: | --- | --- |\n| 1 | 2 | `b[1-2]` | busy |\n\nAnd 1 more"),
        ({"status": Status.INTERRUPTED, "steps": [step(state="running", counts={State.DONE: 1, State.PENDING: 2}), step(key="2", state="pending",
          operations=None, started=None, counts={})]}, {}, "What is left", "- **Step 1** Kick them: 2 requests not sent\n- **Step 2** Kick them: not started"),
        ({}, {"happenings": [Happening(1000, "decided", "done of 1 in doubt: by jane on mx1"), Happening(1001, "waited", "1")]}, "Decisions",
         "| operations in doubt decided: done of 1 in doubt: by jane on mx1 |"),
        ({}, {"happenings": [Happening(1000, "confirmed", "2")]}, "Decisions", "the question of step 2 was answered with yes"),
        ({}, {"takes_back": [TakesBack(step(), step(key="1.undo", role="undo", name="Put it back", counts={State.DONE: 1}), "x")]}, "What takes it back",
         "| 1 | Kick them | Put it back (kick) | done (1 done) |"),
        ({}, {"takes_back": [TakesBack(step(), step(role="undo", state="skipped", counts={}), "")]}, "What takes it back", "| Kick them (kick) | no |"),
        ({}, {"takes_back": [TakesBack(step(), None, "kick back")]}, "What takes it back", "| no undo in the playbook; see kick back |"),
        ({}, {"takes_back": [TakesBack(step(), None, "")]}, "What takes it back", "| nothing |"),
    ],
)  # fmt: skip
def test_what_there_is_to_say_has_its_section(
    of: dict[str, Any], changes: dict[str, Any], section: str, words: str
) -> None:
    """Each thing that happened is told under its title, in the words of the field."""
    found = full(of, **changes)
    assert words in markdown(found)
    assert (section in sections(found)) == bool(section)
    assert section not in sections(full())


def test_planned_and_done_are_beside_each_other() -> None:
    """A row a step, with a column for what there is, and no row for an undo; what was stopped is said to be."""
    counts = {State.DONE: 1, State.FAILED: 2, State.UNREACHABLE: 1, State.PENDING: 6}
    steps = [
        step(state="running", reason="3 failed", operations=10, counts=counts, finished=None),
        step(number=1, key="2", state="pending", operations=None, started=None, finished=None, counts={}),
        step(key="1.undo", role="undo", state="pending", counts={}),
    ]
    words = markdown(full({"steps": steps, "status": Status.STOPPED, "retries": 4}, retries={0: 4}))
    assert (
        "| Step | What | State | Planned | Done | Failed | Not started | Retries | Took |\n"
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| 1 | Kick them | stopped | 10 | 1 | 3 | 6 | 4 | 1.5s |\n"
        "| 2 | Kick them | pending | not known yet | 0 | 0 | 0 | 0 |  |\n\n"
        "- **Step 1** stopped: 3 failed\n"
    ) in words


def test_nothing_that_was_said_is_markup() -> None:
    """Hostile words in every place where words of others stand: a page and a ticket show them, and nothing else happens."""
    of = {
        **BAD, "playbook": HOSTILE, "given": {"user": HOSTILE}, "reason": HOSTILE, "ticket": HOSTILE, "purpose": HOSTILE,
        "steps": [step(name=HOSTILE, reason=HOSTILE)], "causes": [Cause("1", State.FAILED, HOSTILE, 1, "b1", HOSTILE, (HOSTILE,))],
        "sessions": [SessionRecord(1000, 2500, Status.STOPPED, HOSTILE, HOSTILE)], "emergencies": [(1, HOSTILE)], "found": [("1", HOSTILE)],
    }  # fmt: skip
    found = full(
        of,
        description=HOSTILE,
        felt=[FELT._replace(impact=HOSTILE, shown=[Shown(HOSTILE, 1, 1, at_least=False)] * 2)],
        happenings=[Happening(1, "decided", HOSTILE)],
        retried=[Retried("1", HOSTILE, 1, (HOSTILE,))],
        doubtful=[
            OperationRecord("1.1", "1", HOSTILE, HOSTILE, {"x": HOSTILE}, State.IN_DOUBT, None, HOSTILE, 1, None, 1, 2)
        ],
        takes_back=[TakesBack(step(name=HOSTILE), step(name=HOSTILE, command=HOSTILE), HOSTILE)],
    )
    page = "".join(document_html(report_document(found, "orchestrator")))
    assert "&lt;/script&gt;&lt;b&gt;|`[x](javascript:alert(1)) @all\\x202e" in page
    assert not re.search(r"<script|<b>|<a |\u202e", page)
    ticket = markdown(found)
    assert "html_block" not in shape(ticket)
    assert "\u202e" not in ticket
    assert any(
        "</script><b>|`[x](javascript:alert(1)) @all\\x202e" in piece for piece in pieces(ticket)
    )  # and nothing but text


def picture(found: FullReport) -> Element:
    """The time line of a report."""
    [section] = [
        part for part in report_document(found, "o").parts if isinstance(part, Section) and part.title == "Time line"
    ]
    [figure] = [part for part in section.parts if isinstance(part, Figure)]
    return figure.svg


def test_interruptions_are_seen_in_the_time_line() -> None:
    """A bar for each session and step, one that was interrupted in pieces, and lines where work stopped and went on."""
    sessions = [SESSION._replace(ended=2000, status=Status.INTERRUPTED), SESSION._replace(began=90_000, ended=91_000)]
    found = picture(full({"sessions": sessions, "steps": [step(started=1500, finished=90_500)]}, ends=[2000, 91_000]))
    bars = [(float(bar.get("x", "")[:-1]), float(bar.get("width", "")[:-1])) for bar in found.iter("rect")]
    assert bars == [(0, 47.0), (53.0, 47.0), (23.5, 23.5), (53.0, 23.5)]
    assert [line.get("x1") for line in found.iter("line") if "mark" in line.get("class", "")] == ["47.00%", "53.00%"]
    assert [text.text for text in found.iter("text")][:3] == [
        "session 1: interrupted",
        "session 2: done",
        "1  Kick them  1s",
    ]


def test_of_many_steps_the_longest_are_drawn() -> None:
    """A time line stays one page however many steps there are, and none of its labels is longer than a telephone is wide."""
    steps = [step(number=n, key=str(n), name="x" * 99, started=1000, finished=1000 + n) for n in range(200)]
    found = picture(full({"steps": steps}))
    labels = [text.text or "" for text in found.iter("text")]
    assert (len(labels), max(map(len, labels)) <= 44) == (43, True)
    assert labels[1].startswith("160 ")


@pytest.mark.parametrize(
    ("moment", "place"),
    [(0, 0), (1000, 0), (1500, 23.5), (2000, 47), (2500, 53), (5000, 53), (5500, 76.5), (6000, 100), (9000, 100)],
)
def test_the_time_between_sessions_is_drawn_short(moment: int, place: float) -> None:
    """Working time is drawn in proportion, a night between two sessions as a small gap."""
    assert Scale([(1000, 2000), (5000, 6000)]).of(moment) == pytest.approx(place)


def test_many_sessions_leave_room_for_work() -> None:
    """However often a run was interrupted, the gaps take no more than their share; sessions without length do no harm."""
    sessions = [(1000 * n, 1000 * n + 10) for n in range(50)]
    places = [Scale(sessions).of(end) for _, end in sessions]
    assert places == sorted(places)
    assert places[-1] == pytest.approx(100)
    assert Scale([(1000, 1000)]).of(1000) == 0


def test_programs_get_all_of_it() -> None:
    """The fields of the short report, and what happened."""
    found = full(
        BAD,
        felt=[FELT],
        happenings=[Happening(1, "decided", "x")],
        retries={0: 2},
        retried=[Retried("1", "busy", 2, ("b1",))],
    )
    usual, more = report_object(found.report, "o"), full_report_object(found, "o")
    assert {name: more[name] for name in usual if name not in {"steps", "causes"}} == {
        name: usual[name] for name in usual if name not in {"steps", "causes"}
    }
    assert more["steps"][0] == {
        **usual["steps"][0], "role": "step", "effect": "repeatable", "planned": 3, "retries": 2,
        "users_noticed": {"impact": "Sessions are cut.", "hosts": [
            {"host": "b1", "users": 2, "connections": 0, "at_least": False}, {"host": "b2", "users": 1, "connections": 5, "at_least": True}]},
    }  # fmt: skip
    assert more["happened"] == [{"at": 1, "kind": "decided", "text": "x"}]
    assert more["retried"] == [{"step": "1", "error": "busy", "times": 2, "hosts": ["b1"]}]
