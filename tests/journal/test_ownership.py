"""The contract of ownership: one process works on a run, and whoever was taken for dead, and was not, writes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from orchestrator.approval import Approval
from orchestrator.errors import JournalError, LockedError, RefusedError
from orchestrator.journal.base import Intent, Run, Session, Start, Verdict
from orchestrator.outcome import Kind, State
from orchestrator.plan.steps import Draft
from orchestrator.status import RESUMABLE, Ending, Status
from tests.journal.journals import Journal, counts, ended, failed, lost, write

pytestmark = pytest.mark.anyio


async def work(run: Run, **start: Any) -> None:
    """A session that does nothing."""
    async with run.work(Start(start.pop("limits", {}), **start)):
        pass


async def test_a_run_keeps_who_approved_it(run: Run) -> None:
    """The approvals are there as soon as the run has begun, each with its signature, and when it was verified."""
    bob, carol = (
        Approval((name, f"{name}@example.com"), f"SHA256:{name}", f"signature of {name}\n") for name in ("bob", "carol")
    )
    async with run.work(Start({}, approvals=(bob, carol))):
        with run.read() as reader:
            found = reader.approvals()
    assert [replace(one, at=0) for one in found] == [bob, carol]
    assert all(one.at > 1_700_000_000_000 for one in found)


# one owner


async def test_a_second_owner_is_refused_and_told_who(run: Run) -> None:
    """While a process works on a run nobody else can; the refusal names process, machine and time, and what to do."""
    async with run.work(Start({})):
        assert run.is_locked()
        assert run.holder().startswith("pid ")
        with pytest.raises(
            LockedError, match=rf"the run {run.id} is being worked on by pid \d+ on .+ since 2"
        ) as caught:
            await work(run)
        assert "Ctrl-C" in caught.value.hint
    assert (run.is_locked(), run.holder()) == (False, "")
    await work(run)


async def test_an_owner_is_not_stopped_by_who_is_refused(run: Run) -> None:
    """A refused session changes nothing, and the owner goes on."""
    async with run.work(Start({"rate": 5})) as session:
        with pytest.raises(LockedError):
            await work(run, limits={"rate": 9}, retry=True)
        session.record(ended(1))
        await session.end(Ending(Status.DONE))
    with run.read() as reader:
        assert (reader.limits(), len(reader.sessions()), reader.status()) == ({"rate": 5}, 1, (Status.DONE, ""))
    assert counts(run)[State.DONE] == 1


async def test_nothing_is_settled_while_somebody_works_on_it(run: Run) -> None:
    """A person's verdict would not be seen by the process that works on the run, so it is refused meanwhile."""
    await write(run, lost(1))
    async with run.work(Start({})):
        with pytest.raises(LockedError, match="is being worked on by"):
            run.settle([1], Verdict.DONE, "looked")
        assert counts(run)[State.IN_DOUBT] == 1
    assert run.settle([1], Verdict.DONE, "looked") == 1
    await work(run)


@pytest.mark.parametrize("ending", [Ending(Status.DONE), None])
async def test_a_run_is_given_back(journal: Journal, run: Run, ending: Ending | None) -> None:
    """A session that ends is the owner no more, whether it said how it ended or not."""
    async with run.work(Start({})) as session:
        assert journal.owner(run)
        if ending:
            await session.end(ending)
            assert not journal.owner(run)
    assert not journal.owner(run)
    await work(run)


async def test_a_run_is_given_back_after_an_exception(journal: Journal, run: Run) -> None:
    """A bug in whoever works on a run leaves it to the next session, as a crashed one."""
    with pytest.raises(ZeroDivisionError):
        async with run.work(Start({})):
            raise ZeroDivisionError
    assert (run.holder(), journal.owner(run)) == ("", "")
    with run.read() as reader:
        assert reader.status()[0] is Status.CRASHED
    await work(run, expected=RESUMABLE)


async def test_a_dead_owners_run_is_taken_over(journal: Journal, run: Run) -> None:
    """A run whose process is gone is nobody's: it can be worked on, and settled, at once."""
    await write(run, lost(1))
    await journal.vanish(run, Intent(3, 1, 777))
    assert run.holder() == ""
    assert run.settle([1], Verdict.DONE, "looked") == 1
    await journal.vanish(run)
    await work(run, expected=frozenset({Status.CRASHED}))


# taken over


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.intend([Intent(2, 1, 1)]),
        lambda s: s.withdraw([Intent(2, 1, 1)]),
        lambda s: s.mark_unreachable(0, "b1", "x"),
        lambda s: s.decide([2], Verdict.DONE, "x"),
        lambda s: s.expand(0, iter([Draft("b1", "{}", False)])),
        lambda s: s.mark(0, "done"),
        lambda s: s.reopen(0),
        lambda s: s.event("x", "y"),
        lambda s: s.undoing(Ending(Status.STOPPED)),
        lambda s: s.skip_rest("x"),
        lambda s: s.end(Ending(Status.DONE)),
    ],
    ids=[
        "intend",
        "withdraw",
        "mark_unreachable",
        "decide",
        "expand",
        "mark",
        "reopen",
        "event",
        "undoing",
        "skip_rest",
        "end",
    ],
)
async def test_who_was_taken_over_writes_nothing(
    journal: Journal, run: Run, act: Callable[[Session], Awaitable[object]]
) -> None:
    """Each way of writing finds out that the run is another process's, says so, and leaves everything as it is."""
    await write(run, ended(1), lost(2))
    async with run.work(Start({})) as session:
        journal.usurp(run, journal.elsewhere)
        with run.read() as reader:
            before = list(reader.operations()), reader.steps(), reader.status(), reader.undoing()
            with pytest.raises(JournalError, match=f"another process has taken over the run {run.id}"):
                await act(session)
            assert session.failure is not None
            assert (list(reader.operations()), reader.steps(), reader.status(), reader.undoing()) == before
    assert "elsewhere" in journal.owner(run)  # who was taken over does not give back what is another's


@pytest.mark.parametrize(
    "record", [ended(1), failed(1), ended(1, Kind.TEMPORARY, State.PENDING, error="x"), ended(1, rows=[{"a": "b"}])]
)
async def test_who_was_taken_over_records_nothing(journal: Journal, run: Run, record: Any) -> None:
    """An end that comes after another process became the owner is not recorded; the session is told that it failed."""
    async with run.work(Start({})) as session:
        told = anyio.Event()
        session.failed, session.recorded = told.set, lambda count: pytest.fail(f"{count} recorded")
        journal.usurp(run, journal.elsewhere)
        session.record(record)
        with anyio.fail_after(30):
            await told.wait()
        assert session.failure is not None
        assert "another process has taken over" in session.failure.message
        assert session.failure.hint
    assert counts(run) == {State.PENDING: 6}


async def test_who_was_taken_over_without_noticing_gives_nothing_back(journal: Journal, run: Run) -> None:
    """A session that ends after it was taken over, without having written, leaves the new owner in peace."""
    async with run.work(Start({})):
        journal.usurp(run, journal.elsewhere)
    assert "elsewhere" in journal.owner(run)


# another machine


async def test_a_process_on_another_machine_may_be_alive(journal: Journal, run: Run) -> None:
    """What cannot be looked at from here is not taken for dead; the refusal says how to take the run over all the same."""
    journal.usurp(run, journal.elsewhere)
    with pytest.raises(LockedError, match="pid 7 on elsewhere since") as caught:
        await work(run)
    assert f"resume --take-over {run.id}" in caught.value.hint
    with pytest.raises(LockedError):
        run.settle([1], Verdict.DONE, "x")
    assert "elsewhere" in run.holder()


async def test_a_run_is_taken_over_from_another_machine_when_that_is_said(journal: Journal, run: Run) -> None:
    """An operator who knows that the other machine is gone can go on with its run."""
    journal.usurp(run, journal.elsewhere)
    await work(run, take_over=True)
    assert not journal.owner(run)


async def test_a_living_process_here_is_never_taken_over(run: Run) -> None:
    """Taking over is for other machines: a process that can be seen to live keeps its run."""
    async with run.work(Start({})):
        with pytest.raises(LockedError):
            await work(run, take_over=True)


# what is to hold, and is done first


async def test_a_run_is_begun_only_as_it_is_expected(run: Run) -> None:
    """A run that stands otherwise than whoever begins was told is refused, and nothing in it is changed."""
    await work(run, expected=frozenset({Status.PLANNED}))
    with pytest.raises(RefusedError, match=f"run {run.id} is crashed: another process has worked on it") as caught:
        await work(run, expected=frozenset({Status.PLANNED}), limits={"rate": 1})
    assert f"orchestrator show {run.id}" in caught.value.hint
    assert not isinstance(caught.value, LockedError)
    with run.read() as reader:
        assert (len(reader.sessions()), reader.limits()) == (1, {})
    await work(run, expected=frozenset({Status.CRASHED, Status.DONE}))


async def test_a_run_of_another_plan_is_refused(run: Run) -> None:
    """Whoever was shown a plan works on that plan, or on none."""
    with run.read() as reader:
        digest = reader.digest
    with pytest.raises(RefusedError, match="not the one that was shown"):
        await work(run, digest="0123456789abcdef")
    await work(run, digest=digest, expected=frozenset({Status.PLANNED}))


async def test_a_refused_begin_leaves_the_run_free(journal: Journal, run: Run) -> None:
    """Who is refused is not the owner."""
    with pytest.raises(RefusedError):
        await work(run, digest="x")
    assert (run.is_locked(), journal.owner(run)) == (False, "")


async def test_limits_are_kept_with_the_run(run: Run) -> None:
    """A session's limits stand in the run until another session brings others."""
    for limits in ({"in_flight": 5, "rate": 2.5, "max_failed": "5%"}, {"rate": 1}):
        await work(run, limits=limits)
        with run.read() as reader:
            assert reader.limits() == limits


async def test_a_retry_sends_what_failed_again(run: Run) -> None:
    """`retry` opens failed and unreachable operations with their step, but not what a person decided to be failed."""
    await write(run, failed(1), ended(2, Kind.UNREACHABLE, State.UNREACHABLE, error="y"), lost(3), ended(4))
    run.settle([3], Verdict.FAILED, "it was not")
    async with run.work(Start({}, retry=True)) as session:
        assert session.doubtful == 0
        with run.read() as reader:
            assert [(a.number, a.kind, a.error) for a in reader.attempts(1)] == [(1, "failed", "bad")]
            assert [op.seq for host in ("b1", "b2") for op in reader.pending(0, host, 0, 9)] == [1, 5, 2, 6]
            assert (reader.step(0)[0], reader.retryable()) == ("running", 0)
    assert counts(run) == {State.PENDING: 4, State.DONE: 1, State.FAILED: 1}


async def test_what_failed_stays_so_without_a_retry(run: Run) -> None:
    """Going on with a run does not send again what failed."""
    await write(run, failed(1))
    await work(run)
    assert counts(run)[State.FAILED] == 1
