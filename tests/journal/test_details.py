"""The contract of a reader: what happened in a run, and what operations add up to."""

from __future__ import annotations

from math import inf

import pytest

from orchestrator.journal.base import Reader, Run, Start, Verdict
from orchestrator.journal.details import Happening, Retried, Shown
from orchestrator.outcome import Kind, State
from orchestrator.status import Ending, Status
from tests.journal.journals import ended, failed, lost, write

pytestmark = pytest.mark.anyio

RESULT, COUNT = {"result": "u1"}, {"count": "3"}


async def again(run: Run) -> None:
    """Two operations of b1 and one of b2 that were retried, for two reasons."""
    await write(
        run,
        ended(1, Kind.TEMPORARY, State.PENDING, error="busy"),
        ended(1, Kind.TEMPORARY, State.PENDING, error="busy", attempt=2),
        ended(2, Kind.UNREACHABLE, State.PENDING, error="refused"),
        ended(3, Kind.TEMPORARY, State.PENDING, error="busy"),
        ended(4, Kind.TEMPORARY, State.PENDING, error="busy"),
        ended(1, attempt=3),
        ended(2, attempt=2),
        ended(5),
    )


async def test_retries_are_gathered_by_reason(run: Run) -> None:
    """Each reason is told once for a step, with how often it was one and on which hosts; the most frequent first."""
    await again(run)
    with run.read() as reader:
        assert reader.retried(9) == [Retried("1", "busy", 4, ("b1", "b2")), Retried("1", "refused", 1, ("b2",))]
        assert [retried.error for retried in reader.retried(1)] == ["busy"]


async def test_retries_are_counted_by_step(run: Run) -> None:
    """Attempts beyond the first of an operation are retries; a step without any is not there."""
    with run.read() as reader:
        assert reader.retries() == {}
    await again(run)
    with run.read() as reader:
        assert reader.retries() == {0: 3}


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([RESULT, RESULT], (2, 0)),
        ([COUNT], (0, 3)),
        ([{"count": 4}, {"count": "no number"}, {"count": -7}, {"count": "9" * 40}, {"count": None}], (0, 4)),
        ([{"other": "1"}], (0, 0)),
        ([{"result": None, "count": "2"}, {"result": ""}], (2, 2)),
    ],
)
async def test_what_answers_show_is_added_up(run: Run, rows: list[dict[str, object]], shown: tuple[int, int]) -> None:
    """Rows with the column are counted, and the numbers of the other column added, whatever else hosts answer there."""
    await write(run, ended(1, rows=rows), ended(2, rows=[COUNT]), ended(3, rows=[RESULT]))
    with run.read() as reader:
        b1, b2 = reader.shown(0, "result", "count")
        assert (b1.host, b1.rows, b1.counted, b1.at_least) == ("b1", shown[0] + 1, shown[1], False)
        assert b2 == Shown("b2", 0, 3, at_least=False)
        assert reader.shown(0, "", "") == [Shown("b1", 0, 0, at_least=False), Shown("b2", 0, 0, at_least=False)]
        assert reader.shown(1, "result", "count") == []


async def test_an_answer_that_was_not_kept_wholly_shows_at_least_so_much(run: Run) -> None:
    """Where rows were left out nobody can say how many there were."""
    await write(run, ended(1, rows=[RESULT] * 50, limit=100))
    with run.read() as reader:
        [found] = reader.shown(0, "result", "count")
        assert found.at_least
        assert 0 < found.rows < 50


async def test_happenings_are_told_in_order(run: Run) -> None:
    """Decisions, answers and the like stand there with the time at which they were recorded."""
    await write(run, lost(1))
    run.settle([1], Verdict.DONE, "by op on mx1")
    async with run.work(Start({})) as session:
        await session.event("confirmed", "2")
        await session.undoing(Ending(Status.FAILED, "step 1"))
    with run.read() as reader:
        found = reader.happenings()
        assert [happening[1:] for happening in found] == [
            ("decided", "done of 1 in doubt: by op on mx1"),
            ("confirmed", "2"),
            ("undoing", "step 1"),
        ]
        assert all(isinstance(happening, Happening) and happening.at > 0 for happening in found)


async def test_the_last_attempt_before_a_moment_is_known(run: Run, reader: Reader) -> None:
    """Of attempts that were followed by others too."""
    assert reader.last_before(inf) is None
    await write(run, ended(1), ended(2, Kind.TEMPORARY, State.PENDING, attempt=2), failed(3)._replace(finished=9000))
    assert [reader.last_before(moment) for moment in (inf, 9000, 2005, 1005)] == [9000, 2005, 1005, None]
