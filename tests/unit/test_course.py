"""What follows from how a step ended: every line of the tables."""

from __future__ import annotations

import pytest

from orchestrator.engine.course import Sent, Stop, after, after_finally, after_undo, failed_before, to_undo
from orchestrator.plan.steps import CommandStep, PlannedStep
from orchestrator.status import Ending, Status
from tests.strategies import plan, steps

UNDOES = steps("hosts: b1, command: reload, on_failure: undo, undo: {command: reload}", "hosts: b2, command: who") + (
    "finally: [{name: F, hosts: d1, command: who, on_failure: undo}]"
)
STOPPED, INTERRUPTED, DOUBT = Status.STOPPED, Status.INTERRUPTED, Status.IN_DOUBT


def step(line: str = "hosts: b1, command: reload") -> CommandStep:
    """A step with a command."""
    found = plan(steps(line)).steps[0]
    assert isinstance(found, CommandStep)
    return found


def sent(**changes: object) -> Sent:
    """How sending ended: all done, but for what is said."""
    usual = {"left": 0, "failed": 0, "allowed": 0, "doubtful": 0, "stopped": "", "halted": None}
    return Sent(**{**usual, **changes})  # type: ignore[arg-type]


TOO_MANY = "1 operation failed, 0 allowed (max_failed)"
BY_HAND = {"stopped": "Ctrl-C", "halted": Ending(INTERRUPTED, "Ctrl-C")}
CLOSED = {"stopped": "the window closed", "halted": Ending(STOPPED, "the window closed")}


@pytest.mark.parametrize(
    ("ended", "state", "reason", "follows"),
    [
        (sent(), "done", "", None),
        (sent(failed=2, allowed=2), "done", "", None),
        (sent(stopped="retry budget exhausted"), "done", "", None),  # with the last answer
        (sent(failed=1, stopped=TOO_MANY), "failed", TOO_MANY, Ending(STOPPED, f"step 1 (S1): {TOO_MANY}")),
        (sent(failed=1, left=5, stopped=TOO_MANY), "failed", TOO_MANY, Ending(STOPPED, f"step 1 (S1): {TOO_MANY}")),
        (sent(left=5, stopped="retry budget exhausted"), "running", "retry budget exhausted", Ending(STOPPED, "retry budget exhausted")),
        (sent(left=5, failed=2, allowed=3, **BY_HAND), "running", "Ctrl-C", Ending(INTERRUPTED, "Ctrl-C")),
        (sent(left=5, failed=4, allowed=3, **BY_HAND), "running", "Ctrl-C", Ending(INTERRUPTED, "Ctrl-C")),
        (sent(failed=4, allowed=3, **BY_HAND), "running", "Ctrl-C", Ending(INTERRUPTED, "Ctrl-C")),
        (sent(left=5, failed=2, allowed=3, **CLOSED), "running", "the window closed", Ending(STOPPED, "the window closed")),
        (sent(failed=1, doubtful=1, stopped=TOO_MANY), "failed", TOO_MANY, Ending(DOUBT, "step 1 (S1): 1 in doubt")),
        (sent(failed=2, allowed=9, doubtful=2), "running", "", Ending(DOUBT, "step 1 (S1): 2 in doubt")),
        (sent(left=3, failed=1, doubtful=1, **BY_HAND), "running", "Ctrl-C", Ending(DOUBT, "step 1 (S1): 1 in doubt")),
    ],
)  # fmt: skip
def test_a_step_ends_so_and_that_follows(ended: Sent, state: str, reason: str, follows: Ending | None) -> None:
    """Doubt is settled before anything else; then too many failures stop, then what is left; an interruption is no failure."""
    stop = after(step(), ended)
    assert (ended.state, ended.reason) == (state, reason)
    assert (stop and stop.ending) == follows


@pytest.mark.parametrize(
    ("line", "ended", "takes_back"),
    [
        ("on_failure: undo", sent(failed=1, stopped=TOO_MANY), True),
        ("on_failure: stop", sent(failed=1, stopped=TOO_MANY), False),
        ("on_failure: undo", sent(left=1, stopped="retry budget exhausted"), False),
        ("on_failure: undo", sent(failed=1, left=1, **BY_HAND), False),
        ("on_failure: undo", sent(failed=1, doubtful=1, stopped=TOO_MANY), False),
    ],
)
def test_only_a_failure_is_undone(line: str, ended: Sent, takes_back: bool) -> None:
    """What was done is taken back where the step says so, when it failed: not when work is left or something is in doubt."""
    stop = after(step(f"hosts: b1, command: reload, {line}, undo: {{command: reload}}"), ended)
    assert stop is not None
    assert stop.takes_back is takes_back


def test_undo_and_final_steps_undo_nothing() -> None:
    """`on_failure: undo` is for the steps of the main run, and for their checks."""
    made = plan(UNDOES)
    failed = {found.key: Stop(STOPPED, "x", found).takes_back for found in made.steps}
    assert failed == {"1": True, "2": False, "1.undo": False, "finally.1": False}
    assert not Stop(STOPPED, "x").takes_back


@pytest.mark.parametrize(
    ("doubtful", "ending"),
    [(2, Ending(DOUBT, "step 1 (S1): 2 in doubt")), (0, Ending(STOPPED, "step 1 (S1) failed earlier"))],
)
def test_a_step_that_failed_before_stays_so(doubtful: int, ending: Ending) -> None:
    """Going on with a run does not go over what failed in it; what is in doubt is told first."""
    stop = failed_before(step("hosts: b1, command: reload, on_failure: undo, undo: {command: reload}"), doubtful)
    assert (stop.ending, stop.takes_back) == (ending, not doubtful)


@pytest.mark.parametrize(("begun", "wanted"), [(set(), []), ({"1"}, ["1.undo"]), ({"1", "2"}, ["1.undo"])])
def test_what_was_not_begun_is_not_undone(begun: set[str], wanted: list[str]) -> None:
    """An undo step is run when its step was begun, whether that ended well or not."""
    found: list[PlannedStep] = plan(UNDOES).of("undo")
    run, not_needed = to_undo(found, begun)
    assert [step.key for step in run] == wanted
    assert run + not_needed == found


FAILED = Ending(STOPPED, "step 3 failed")


@pytest.mark.parametrize(
    ("failed", "stops", "bad", "ending"),
    [
        (FAILED, [], False, Ending(Status.UNDONE, "step 3 failed")),
        (FAILED, [], True, Ending(Status.UNDONE, "step 3 failed; and some of the undo failed")),
        (Ending(Status.REFUSED, "no"), [], False, Ending(Status.REFUSED, "no")),
        (Ending(Status.REFUSED, "no"), [], True, Ending(Status.REFUSED, "no; and some of the undo failed")),
        (FAILED, [Ending(STOPPED, "u1"), Ending(STOPPED, "u2")], True, Ending(STOPPED, "step 3 failed; and not all could be undone: u1")),
        (FAILED, [Ending(Status.REFUSED, "u1")], False, Ending(STOPPED, "step 3 failed; and not all could be undone: u1")),
        (FAILED, [Ending(STOPPED, "u1"), Ending(INTERRUPTED, "u2")], True, Ending(INTERRUPTED, "step 3 failed; and the undo stopped: u2")),
        (FAILED, [Ending(STOPPED, "u1"), Ending(DOUBT, "u2")], True, Ending(DOUBT, "step 3 failed; and the undo stopped: u2")),
        (FAILED, [Ending(DOUBT, "u1"), Ending(INTERRUPTED, "u2")], True, Ending(DOUBT, "step 3 failed; and the undo stopped: u1")),
    ],
)  # fmt: skip
def test_an_undo_ends_so(failed: Ending, stops: list[Ending], bad: bool, ending: Ending) -> None:
    """What was wholly taken back is undone, or refused; an undo that stopped can be resumed; the first reason stays."""
    assert after_undo(failed, stops, bad=bad) == ending


DONE, OVER = Ending(Status.DONE), Ending(Status.FAILED, "x")
F_STOP, F_REFUSED = Ending(STOPPED, "f: stopped"), Ending(Status.REFUSED, "f: refused")
F_INT, F_DOUBT = Ending(INTERRUPTED, "f: interrupted"), Ending(DOUBT, "f: in doubt")


@pytest.mark.parametrize(
    ("main", "stops", "bad", "ending"),
    [
        (DONE, [], False, DONE),
        (DONE, [], True, Ending(Status.FAILED, "an operation of `finally` failed")),
        (DONE, [F_STOP], True, F_STOP),
        (DONE, [F_REFUSED, F_STOP], False, F_REFUSED),
        (DONE, [F_STOP, F_INT], False, F_INT),
        (DONE, [F_STOP, F_DOUBT], False, F_DOUBT),
        (DONE, [F_DOUBT, F_INT], False, F_INT),
        (OVER, [], False, OVER),
        (OVER, [], True, OVER),
        (OVER, [F_STOP], True, OVER),
        (OVER, [F_INT], False, F_INT),
        (OVER, [F_DOUBT], False, F_DOUBT),
        (FAILED, [], True, FAILED),
        (FAILED, [F_STOP], True, FAILED),
        (FAILED, [F_INT], False, FAILED),
        (FAILED, [F_DOUBT], False, F_DOUBT),
        (Ending(INTERRUPTED, "x"), [F_INT], False, Ending(INTERRUPTED, "x")),
        (Ending(INTERRUPTED, "x"), [F_DOUBT], False, F_DOUBT),
        (Ending(Status.UNDONE, "x"), [F_INT], False, F_INT),
        (Ending(Status.REFUSED, "x"), [F_STOP], True, Ending(Status.REFUSED, "x")),
    ],
)  # fmt: skip
def test_a_run_ends_so(main: Ending, stops: list[Ending], bad: bool, ending: Ending) -> None:
    """A run that was over and whose end was cut short can be resumed; what is in doubt is never hidden; else the first reason stays."""
    assert after_finally(main, stops, bad=bad) == ending
