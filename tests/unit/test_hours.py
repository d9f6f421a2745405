"""Whether there is time: what must not be cut, how long it takes at most, and when the hours are over."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from orchestrator.engine.estimate import Estimate, Known, Requests
from orchestrator.engine.hours import Closing, Hours, Need, Piece, need, no_room, pieces, took
from orchestrator.engine.past import Past, Timed
from orchestrator.journal.base import SessionRecord, StepRecord
from orchestrator.plan.steps import Plan
from orchestrator.status import Status
from orchestrator.windows import Opening
from tests.strategies import plan, steps

OPENING = Opening("nightly", 1000.0, 2000.0)
BATCHES = "batches: {hosts: 'b[1-3]', soak: 5s, steps: [{name: R, command: reload}, {name: P, pause: 7s}]}"


def only(made: Plan, key: str = "1") -> Piece:
    """A piece of a plan."""
    return next(piece for piece in pieces(made.of("step", "verify")) if piece.key == key)


@pytest.mark.parametrize(
    ("wall", "steady", "left"),
    [
        (1200.0, 50.0, 800.0),
        (1700.0, 550.0, 300.0),
        (1100.0, 550.0, 300.0),  # set back in mid-run: no longer than it was
        (1900.0, 60.0, 100.0),  # set forward: the window closes by the clock on the wall
        (1200.0, 850.0, 0.0),
        (2100.0, 60.0, -100.0),
    ],
)
def test_time_left(wall: float, steady: float, left: float) -> None:
    """Hours are over by whichever clock says so first: neither setting makes them longer."""
    assert Closing(OPENING, 1200.0, 50.0).left(wall, steady) == left


def test_pieces_of_a_plan() -> None:
    """A step belongs together with its check, a batch with all its steps; the wait between batches is by itself."""
    made = plan(steps("hosts: d1, command: reload, verify: {command: who, until: true}", BATCHES))
    assert [(piece.key, len(piece.steps)) for piece in pieces(made.of("step", "verify"))] == [
        ("1", 2), ("2[1]", 2), ("2[1].soak", 1), ("2[2]", 2), ("2[2].soak", 1), ("2[3]", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "key", "needs_room", "stops_at_once"),
    [
        ("hosts: b1, command: reload", "1", True, True),
        ("hosts: b1, command: who", "1", False, True),
        ("hosts: b1, command: kick, for_each: [a], parameters: {mask: ['{{ item }}']}", "1", False, True),
        ("pause: 5s", "1", False, True),
        ("hosts: b1, command: reload, overrun: finish", "1", False, False),
        ("hosts: b1, command: reload, overrun: stop", "1", False, True),
        ("hosts: b1, command: reload, overrun: undo, undo: {command: reload}", "1", False, True),
        (BATCHES, "1[2]", True, False),
        (BATCHES, "1[1].soak", False, True),
        ("batches: {hosts: 'b[1-3]', steps: [{name: W, command: who}]}", "1[2]", True, False),
        (f"{BATCHES}, overrun: finish", "1[2]", False, False),
        (f"{BATCHES}, overrun: stop", "1[2]", False, True),
    ],
)
def test_what_must_not_be_cut(line: str, key: str, needs_room: bool, stops_at_once: bool) -> None:
    """A batch, and a change without items, is begun only if it can be ended; a batch that has begun is ended."""
    piece = only(plan(steps(line)), key)
    assert (piece.needs_room, piece.stops_at_once) == (needs_room, stops_at_once)


@pytest.mark.parametrize(
    ("line", "hours", "in_this_run", "expected"),
    [
        ("hosts: b1, command: reload", Hours(OPENING), {}, Need(60.0, 0.0, "by its timeouts")),
        ("hosts: b1, command: reload, timeout: 5s", Hours(OPENING), {}, Need(5.0, 0.0, "by its timeouts")),
        ("hosts: b1, command: reload, verify: {command: who, until: true}", Hours(OPENING), {}, Need(120.0, 0.0, "by its timeouts")),
        ("hosts: b1, command: reload, verify: {command: who, until: true, within: 9s}", Hours(OPENING), {}, Need(69.0, 0.0, "by its timeouts")),
        ("hosts: b1, command: reload, timeout: '{{ run.started }}'", Hours(OPENING), {}, Need(None, 0.0, "by its timeouts")),
        ("hosts: b1, command: reload", Hours(OPENING, took={"1": 3.0}), {}, Need(3.0, 0.0, "as before")),
        ("hosts: b1, command: reload", Hours(OPENING, took={"1": 3.0}), {"1": 4.0}, Need(4.0, 0.0, "as before")),
        ("hosts: b1, command: reload, takes: 2m", Hours(OPENING, took={"1": 3.0}), {}, Need(120.0, 0.0, "as given")),
        ("pause: 7s", Hours(OPENING), {}, Need(7.0, 0.0, "by its timeouts")),
        ("require: {that: true, message: m}", Hours(OPENING), {}, Need(0.0, 0.0, "by its timeouts")),
        ("hosts: b1, command: who, until: true", Hours(OPENING), {}, Need(60.0, 0.0, "by its timeouts")),
        ("hosts: b1, command: kick, for_each: [a], parameters: {mask: ['{{ item }}']}", Hours(OPENING), {}, Need(None, 0.0, "by its timeouts")),
        ("hosts: b1, command: reload, takes: 2m", Hours(OPENING, 30.0), {}, Need(30.0, 0.0, "as given")),
        ("hosts: b1, command: reload, takes: 2m, on_failure: undo, undo: {command: reload}", Hours(OPENING), {}, Need(120.0, 120.0, "as given")),
        ("hosts: b1, command: reload, takes: 2m, on_failure: undo", Hours(OPENING), {}, Need(120.0, 0.0, "as given")),
        ("hosts: b1, command: reload, takes: 2m, undo: {command: reload}", Hours(OPENING), {}, Need(120.0, 0.0, "as given")),
    ],
)  # fmt: skip
def test_how_long_a_step_takes(line: str, hours: Hours, in_this_run: dict[str, float], expected: Need) -> None:
    """The command line overrides the playbook, that what was measured, that the timeouts; the time to take it back is kept."""
    made = plan(steps(line))
    assert need(only(made), made, hours, in_this_run) == expected


def test_how_long_a_batch_takes() -> None:
    """What one batch took, all batches of the step take; a question to a person takes nobody knows how long."""
    made = plan(steps(BATCHES))
    assert need(only(made, "1[3]"), made, Hours(OPENING), {}) == Need(67.0, 0.0, "by its timeouts")
    assert need(only(made, "1[3]"), made, Hours(OPENING), {"1[]": 12.0}).seconds == 12.0
    backs_out = (
        "takes: 2m, batches: {hosts: 'b[1-3]', steps: ["
        "{name: R, command: reload, on_failure: undo, undo: {command: reload}}, {name: W, command: who}]}"
    )
    made = plan(steps(backs_out))
    assert need(only(made, "1[2]"), made, Hours(OPENING), {}) == Need(120.0, 120.0, "as given")
    asks = plan(steps("batches: {hosts: 'b[1-3]', steps: [{name: P, pause: {confirm: Go on?}}]}"))
    needed = need(only(asks, "1[1]"), asks, Hours(OPENING), {})
    assert needed.seconds is None
    assert (
        no_room(only(asks, "1[1]"), needed, Hours(OPENING), 1e9) == "it is not known how long batch 1 of step 1 takes"
    )
    assert no_room(only(asks, "1[1]"), needed, Hours(OPENING, asked_for=False), 1e9) == ""


def a_minute(step: str, made: Plan) -> Estimate:
    """An estimate that rests on three runs in which a step took a minute."""
    past = [Timed(f"r{n}", "", made.terms.name, step, "reload", False, frozenset({"b1"}), 1, 1, 60.0, 60.0) for n in range(3)]  # fmt: skip
    return Estimate(made, Known(Past(past), requests=lambda _step: Requests({"b1": 1}, {})))


@pytest.mark.parametrize(
    ("line", "hours", "in_this_run", "seconds", "basis"),
    [
        ("hosts: b1, command: reload", {}, {}, None, "estimated from 3 earlier runs"),
        ("hosts: b1, command: reload", {"took": {"1": 3.0}}, {}, 3.0, "as before"),
        ("hosts: b1, command: reload", {}, {"1": 4.0}, 4.0, "as before"),
        ("hosts: b1, command: reload, takes: 2m", {}, {}, 120.0, "as given"),
        ("hosts: b1, command: reload", {"takes": 30.0}, {}, 30.0, "as given"),
        ("hosts: d1, command: directorFlush, parameters: {host: all}", {}, {}, 60.0, "by its timeouts"),
    ],
)
def test_what_is_expected_comes_before_timeouts(
    line: str, hours: dict[str, Any], in_this_run: dict[str, float], seconds: float | None, basis: str
) -> None:
    """A piece needs what was said, or took before; else the high end of the estimate, the same that the plan shows; else its timeouts."""
    made = plan(steps(line))
    estimate = a_minute("1", made)
    needed = need(only(made), made, Hours(OPENING, estimate=estimate, **hours), in_this_run)
    assert needed.basis == basis
    assert needed.seconds == (estimate.whole.high if seconds is None else seconds)


def test_nobody_estimates_how_long_a_person_takes() -> None:
    """A batch with a question takes nobody knows how long, however well its steps are known."""
    made = plan(steps("batches: {hosts: b1, steps: [{name: R, command: reload}, {name: P, pause: {confirm: Go on?}}]}"))
    estimate = a_minute("1[].1", made)
    assert estimate.over([step for step in made.steps if step.key == "1[1].1"]).known
    assert need(only(made, "1[1]"), made, Hours(OPENING, estimate=estimate), {}).seconds is None


def test_no_room_in_words() -> None:
    """Why a piece is not begun: how long it takes, how that is known, what is left; a piece that just fits is begun."""
    piece = only(plan(steps(BATCHES)), "1[2]")
    needed = Need(720.0, 180.0, "as before")
    assert no_room(piece, needed, Hours(OPENING), 480.0) == (
        "batch 2 of step 1 needs 12m (as before), and 3m to undo it; 8m left in the window nightly"
    )
    assert no_room(piece, needed, Hours(Opening("", 0, 1)), 899.0).endswith("; 14m left in the time that was given")
    assert no_room(piece, needed, Hours(OPENING), 900.0) == ""


def record(key: str, started: int | None, finished: int | None, state: str = "done", role: str = "step") -> StepRecord:
    """A step of a run, with times in milliseconds."""
    return StepRecord(0, key, role, "S", "who", "read", state, "", 0, 1, started, finished, {})


def session(began: int) -> SessionRecord:
    """A session of work."""
    return SessionRecord(began, None, Status.DONE, "", "me")


@pytest.mark.parametrize(
    ("records", "sessions", "expected"),
    [
        ([record("1", 1000, 3000), record("1.verify", 3000, 4500, role="verify")], [session(900)], {"1": 3.5}),
        ([record("1[1].1", 0, 2000), record("1[2].1", 2000, 7000), record("1[3].1", 7000, 8000)], [], {"1[]": 5.0}),
        ([record("1[1].1", 0, 2000), record("1[1].soak", 2000, 9000)], [], {"1[]": 2.0}),
        ([record("1", 1000, 9000)], [session(900), session(5000)], {}),  # a night lay in between
        ([record("1", 1000, 9000)], [session(1000), session(9001)], {"1": 8.0}),  # the first thing that a session did
        ([record("1", 1000, 9000)], [session(9000)], {}),
        ([record("1", 9000, 1000)], [], {}),  # the clock was set back
        ([record("1", 1000, None, "running")], [], {}),
        ([record("1", 1000, 2000, "failed")], [], {}),
        ([record("1", None, None, "skipped")], [], {}),
        ([record("1", 1000, 2000), record("1.verify", None, None, "pending", "verify")], [], {}),
        ([record("1.undo", 1000, 2000, role="undo"), record("finally.1", 1000, 2000, role="finally")], [], {}),
    ],
)
def test_how_long_things_took(
    records: list[StepRecord], sessions: list[SessionRecord], expected: dict[str, float]
) -> None:
    """The longest of each kind counts, of those that were done in one go."""
    assert took(records, sessions) == expected


def test_the_end_of_the_hours_in_words() -> None:
    """A freeze is told as a freeze: nobody gave a window."""
    frozen = Hours(Opening("", 0.0, 0.0, UTC), asked_for=False)
    assert (frozen.words, frozen.over) == ("before the next freeze", "a freeze began at 00:00 UTC")
    named = Hours(Opening("nightly", 0.0, 0.0, UTC))
    assert (named.words, named.over) == ("in the window nightly", "the window nightly closed at 00:00 UTC")
