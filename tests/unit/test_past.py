"""What is learned from the steps of an earlier run, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.engine.past import Timed, kind_of, piece_of, timed
from orchestrator.journal.base import SessionRecord
from orchestrator.journal.timing import StepTiming
from orchestrator.status import Status


def step(key: str, started: int | None, finished: int | None, **more: Any) -> StepTiming:
    """A step of a run, with times in milliseconds."""
    role = "undo" if key.endswith("undo") else "step"
    usual = {"role": role, "command": "who", "state": "done", "reason": "", "operations": 2, "polled": False}
    return StepTiming(key=key, started=started, finished=finished, **{**usual, "hosts": ("b1", "b2"), **more})


def sessions(*began: int) -> list[SessionRecord]:
    """Sessions of work."""
    return [SessionRecord(moment, None, Status.DONE, "", "me") for moment in began]


def seconds(*steps: StepTiming, began: tuple[int, ...] = (0,), rate: float | None = None) -> dict[str, float]:
    """What steps took, by kind and batch."""
    return {found.kind + found.batch: found.seconds for found in timed("r", "P", steps, sessions(*began), rate)}


@pytest.mark.parametrize(
    ("steps", "began", "expected"),
    [
        ([step("1", 5000, 7000), step("2", 7300, 8000)], (900,), {"1": 2.0, "2": 1.0}),  # with what lies between them
        ([step("1", 1000, 2000), step("2", 9000, 9500)], (900, 8500), {"1": 1.0, "2": 0.5}),  # a night between them
        ([step("1", 1000, 9000)], (900, 5000), {}),  # a night within
        ([step("1", 9000, 1000)], (900,), {}),  # the clock was set back
        ([step("1", 1000, 1000)], (900,), {"1": 0.0}),
        ([step("1", 1000, None, state="running")], (900,), {}),
        ([step("1", 1000, 2000, state="failed"), step("2", 2000, 3000)], (900,), {"2": 1.0}),
        ([step("1", None, None, state="pending")], (), {}),
        ([step("1", None, 1500, state="skipped", reason="its condition is false")], (900,), {"1": 0.0}),
        ([step("1", None, None, state="skipped", reason="the run ended before it")], (900,), {}),
        ([step("1.undo", 1000, 2000)], (900,), {}),
        ([step("1[2].1", 0, 1000), step("1[3].1", 1000, 4000)], (0,), {"1[].1[2]": 1.0, "1[].1[3]": 3.0}),
    ],
)
def test_what_a_step_took(steps: list[StepTiming], began: tuple[int, ...], expected: dict[str, float]) -> None:
    """A step counts from the end of the one before it, when it was done in one go; one that was not wanted took no time."""
    assert seconds(*steps, began=began) == expected


@pytest.mark.parametrize(
    ("operations", "rate", "learned"),
    [(1000, 100.0, False), (1000, 500.0, True), (1000, None, True), (8, 0.1, True), (9, 0.1, False), (None, 0.1, True)],
)
def test_what_a_rate_held_back_says_nothing(operations: int | None, rate: float | None, learned: bool) -> None:
    """A step that was as fast as its rate allowed tells nothing of how fast its hosts are."""
    assert bool(seconds(step("1", 0, 10_000, operations=operations), rate=rate)) is learned


def test_a_step_that_was_not_wanted_is_kept() -> None:
    """What a condition ruled out took no time and sent nothing; what comes after it does not count from its end."""
    made = [step("1", None, 1500, state="skipped", reason="its condition is false"), step("2", 3000, 4000)]
    [found, after] = timed("r", "P", made, sessions(900), None)
    assert found == Timed("r", "", "P", "1", "who", False, frozenset(), 0, 0, 0.0, 0.0)
    assert after.seconds == 1.0


def test_an_undo_is_no_part_of_what_is_planned() -> None:
    """How long undoing took is not learned; what comes last does not count from its end."""
    made = [step("1", 1000, 2000), step("1.undo", 2000, 8000), step("finally.1", 8500, 9000)]
    assert seconds(*made, began=(900, 8200)) == {"1": 1.0, "finally.1": 0.5}


def test_a_step_keeps_what_tells_it_apart() -> None:
    """Whose step it was, its hosts and operations, and how long one attempt took, go with it."""
    made = step("4[2].1.verify", 0, 3000, command="kick", operations=9, busiest=5, attempt=0.2, polled=True)
    [found] = timed("r7", "Drain", [made], sessions(0), None)
    assert found == Timed(
        "r7", "[2]", "Drain", "4[].1.verify", "kick", True, frozenset({"b1", "b2"}), 9, 5, 3.0, 0.2
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "kind", "piece"),
    [
        ("3", "3", "3"),
        ("3.verify", "3.verify", "3"),
        ("4[12].1.verify", "4[].1.verify", "4[12]"),
        ("4[12].soak", "4[].soak", "4[12].soak"),
        ("finally.1", "finally.1", "finally"),
    ],
)
def test_what_belongs_together(key: str, kind: str, piece: str) -> None:
    """All batches of a step are of one kind; a step and its check, or a batch, are one piece."""
    assert (kind_of(key), piece_of(key)) == (kind, piece)
