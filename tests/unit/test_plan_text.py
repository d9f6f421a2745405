"""A plan for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dovecot.ask import Asker
from orchestrator.engine.estimate import Estimate
from orchestrator.engine.live_plan import look
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.plan.steps import PlannedStep
from orchestrator.ranges import Range
from orchestrator.views.objects import live_objects, plan_objects
from orchestrator.views.plan_text import plan_lines
from tests.engine.hosts import Hosts, rows
from tests.journal.journals import HEADER, Sqlite
from tests.strategies import fleet, plan, steps

PLAN = steps(
    "hosts: 'b[1-2]', command: who, register: seen",
    "hosts: b1, for_each: [u1, u2, u3, u4, u5], command: kick, parameters: {mask: ['{{ item }}']}, undo: {command: reload}",
    "hosts: '{{ seen.failed }}', command: kick, parameters: {mask: x}, when: '{{ seen.rows }}'",
    "hosts: b1, command: who, when: false",
    "require: [{that: '{{ seen.ok }}', message: m}]",
    "pause: 90s",
    "pause: {confirm: 'sure?'}",
    "hosts: directors, run_once: true, command: reload",
) + "finally: [{name: F, hosts: d1, command: who, until: '{{ rows }}', within: 1m}]"  # fmt: skip


def planned(folder: Path, text: str = PLAN, **options: Any) -> list[str]:
    """A plan as text."""
    made = plan(text)
    with Sqlite(folder).run(text).read() as reader:
        return list(plan_lines(made, reader, **{"verbose": False, **options}))


def test_a_plan_shows_every_step(tmp_path: Path) -> None:
    """Hosts, requests, user impact, what is known only later, and what is skipped, asked or waited for, stand at their steps."""
    found = "\n".join(planned(tmp_path))
    for part in (
        "who on b[1-2], 2 requests   reads", "kick on b1, 5 requests   CHANGES; repeatable", "! user impact: ", '[["kick",{"mask":["u1"]},"2.1"]]',
        "… and 2 more requests (-v shows all)", "only when {{ seen.rows }}   (known at run time; depends on `seen` of step 1)",
        "kick on {{ seen.failed }}   CHANGES; repeatable", "requests known at run time; they depend on `seen` of step 1",
        "skipped: its `when` is false", "stops unless {{ seen.ok }}", "waits 1m30s", "asks: sure?",
        "reload on d1 (sent once, for all directors), 1 request", "If a step with on_failure: undo fails, last first:",
        "At the end, in any case:", "polled until {{ rows }}", "1 step known at run time",
    ):  # fmt: skip
        assert part in found


def test_a_verbose_plan_shows_every_request(tmp_path: Path) -> None:
    """With -v no request is left out."""
    found = "\n".join(planned(tmp_path, verbose=True))
    assert all(f'"u{number}"' in found for number in range(1, 6))
    assert "more request" not in found


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (steps("hosts: b1, command: who"), "1 request known; 0 steps change something; no user impact."),
        (steps("hosts: 'b[1-2]', command: kick, parameters: {mask: x}"), "2 requests known; 1 step changes something; user impact in step 1."),
    ],
)  # fmt: skip
def test_a_plan_ends_with_its_sum(tmp_path: Path, text: str, summary: str) -> None:
    """How many requests, how many changes, and their user impact, is the last line."""
    assert planned(tmp_path, text)[-1] == summary


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["hosts: 'b[1-2],d1', command: who", "hosts: 'd1,b1', command: who"], ["Requests by host: d1 2, b1 2, b2 1."]),
        (["hosts: b1, command: who"], []),
        (
            ["hosts: 'h[1-20]', command: who", "hosts: h7, command: who"],
            ["Requests by host: from 1 to 2 on each of 20 hosts."],
        ),
    ],
)
def test_a_plan_counts_the_requests_of_each_host(tmp_path: Path, lines: list[str], told: list[str]) -> None:
    """Of a few hosts each, of many the least and the most; of one alone nothing is to be said."""
    assert [line for line in planned_of(tmp_path, steps(*lines)) if line.startswith("Requests by host")] == told


def planned_of(folder: Path, text: str) -> list[str]:
    """A plan as text, for a fleet with many hosts more."""
    many = fleet("""
        defaults: {auth: {api_key: {env: KEY}}}
        groups:
          d: {hosts: {d1: 10.0.0.1}}
          b: {hosts: {"b[1-2]": "10.0.1.[1-2]"}}
          h: {hosts: {"h[1-20]": "10.0.2.[1-20]"}}
    """)
    made = plan(text, inventory=many)
    path = create([("r1", folder / "r1.run")], made, HEADER)
    with FileReader(path) as reader:
        return list(plan_lines(made, reader, verbose=False))


def test_warnings_stand_at_the_end_of_a_plan(tmp_path: Path) -> None:
    """What is odd about a list is seen right above the question."""
    (tmp_path / "users.txt").write_text("u1\nu1\n")
    made = plan(
        steps("hosts: b1, for_each: {file: users.txt}, command: kick, parameters: {mask: '{{ item }}'}"),
        folder=tmp_path,
    )
    journal = Sqlite(tmp_path / "state")
    run = journal.store.create(made, HEADER)
    with run.read() as reader:
        found = list(plan_lines(made, reader, verbose=False))
        objects = list(plan_objects(made, reader))
    assert found[-2].startswith("WARNING: ")
    assert objects[0]["warnings"] == list(made.warnings)


@pytest.mark.anyio
async def test_what_a_look_saw_stands_at_its_steps(tmp_path: Path) -> None:
    """Answers and requests as of now are marked as such, in text and in JSON."""
    text = steps(
        "hosts: b1, command: who, register: seen",
        "hosts: b1, for_each: \"{{ seen.rows | column('username') }}\", command: kick, parameters: {mask: '{{ item }}'}",
    )
    made = plan(text)
    users = [{"username": f"u{number}"} for number in range(5)]
    seen = await look(made, Asker(Hosts(who=rows(*users))))
    found = "\n".join(planned(tmp_path, text, seen=seen))
    assert "» answers 5 rows now" in found
    assert '» as of now: b1: {"mask":["u0"]}' in found
    assert "» … and 2 more requests (-v shows all)" in found
    objects = list(live_objects(made, seen))
    assert objects[0] == {"event": "seen", "step": "1", "text": "answers 5 rows now"}
    assert len([value for value in objects if value["event"] == "request_as_of_now"]) == 5


def test_a_plan_is_objects(tmp_path: Path) -> None:
    """The plan, each step with what it depends on, and every request are an object each."""
    made = plan(PLAN)
    with Sqlite(tmp_path).run(PLAN).read() as reader:
        head, *rest = plan_objects(made, reader)
    assert (head["event"], head["requests"]) == ("plan", 2 + 5 + 1 + 1)
    by_step = {value["step"]: value for value in rest if value["event"] == "step"}
    assert by_step["3"]["known_from"] == by_step["3"]["when_known_from"] == {"seen": "1"}
    assert (by_step["3"]["requests"], by_step["4"]["state"], by_step["5"]["require"]) == (
        None,
        "skipped",
        ["{{ seen.ok }}"],
    )
    requests = [value for value in rest if value["event"] == "request"]
    assert requests[2]["parameters"] == {"mask": ["u1"]}
    assert requests[2]["doveadm"] == "doveadm kick u1"
    json.dumps([head, *rest])


def lasting(**steps: Range) -> Estimate:
    """An estimate that says so of these steps, and no time of the others."""
    made = plan(PLAN)

    class Said(Estimate):
        @property
        def whole(self) -> Range:  # type: ignore[override]
            return steps["whole"]

        def step(self, step: PlannedStep) -> Range:
            return steps.get(f"s{step.key}", Range())

    return Said(made)


@pytest.mark.parametrize(
    ("step", "whole", "at_step", "at_end"),
    [
        (
            Range(180, 420, "5 earlier runs"),
            Range(181, 421, "5 earlier runs, its pauses"),
            ["takes 3 to 7 min (from 5 earlier runs)"],
            "Takes 3 to 7.1 min (from 5 earlier runs, its pauses), if nothing fails.",
        ),
        (Range(0.1, 0.9, "B"), Range(0.1, 0.9, "B"), [], "Takes less than 1 s (from B), if nothing fails."),
        (
            Range(10, 90, "B"),
            Range(10, 90, "B", answers=2),
            ["takes 10 to 90 s, a rough guess (from B)"],
            "Takes 10 to 90 s, a rough guess (from B), and the time for 2 answers, if nothing fails.",
        ),
        (
            Range(0, None, missing="kick"),
            Range(90, None, "its pauses", "kick"),
            ["takes: unknown"],
            "Takes: unknown; no earlier run tells of kick. --live may tell; `takes: 15m` in the playbook says it.",
        ),
        (
            Range(0, None, missing="kick"),
            Range(0, None, "", "kick"),
            [],
            "Takes: unknown; no earlier run tells of kick. --live may tell; `takes: 15m` in the playbook says it.",
        ),
    ],
)
def test_how_long_a_plan_takes(tmp_path: Path, step: Range, whole: Range, at_step: list[str], at_end: str) -> None:
    """Each step that is worth waiting for says how long it takes and how that is known; the sum stands at the end."""
    found = planned(tmp_path, estimate=lasting(s2=step, whole=whole))
    assert [line.strip() for line in found if line.strip().startswith("takes")] == at_step
    assert found[-2] == at_end
    made = plan(PLAN)
    with Sqlite(tmp_path).run(PLAN).read() as reader:
        head, *rest = plan_objects(made, reader, lasting(s2=step, whole=whole))
    assert (head["takes"]["low"], head["takes"]["high"], head["takes"]["known"]) == (whole.low, whole.high, whole.known)
    [second] = [value for value in rest if value.get("step") == "2" and value["event"] == "step"]
    assert second["takes"] == {"low": step.low, "high": step.high, "known": step.known, "basis": step.basis, "missing": step.missing, "answers": 0}  # fmt: skip
