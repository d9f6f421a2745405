"""The contract of a session: what is awaited is durable, what is recorded becomes so, and each is done wholly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from orchestrator.errors import InputError, JournalError
from orchestrator.journal.base import Attempt, Intent, Run, Session, Start, Verdict
from orchestrator.outcome import Kind, State
from orchestrator.plan.steps import Draft
from orchestrator.status import Ending, Status
from tests.journal.journals import Journal, counts, ended, failed, lost, states, write
from tests.strategies import steps

pytestmark = pytest.mark.anyio
LATER = steps("hosts: d1, command: directorStatus, register: s", "hosts: '{{ s.failed }}', command: who")
ROLES = steps("hosts: b1, command: reload, undo: {command: reload}", "hosts: b2, command: who", "pause: 1s")


class Recorded:
    """Counts what a session says is durable."""

    def __init__(self, session: Session) -> None:
        self.count = 0
        self._more = anyio.Event()
        session.recorded = self._hear

    def _hear(self, count: int) -> None:
        self.count += count
        self._more.set()

    async def until(self, count: int) -> None:
        """Until so many are."""
        with anyio.fail_after(30):
            while self.count < count:
                self._more = anyio.Event()
                await self._more.wait()


# attempts


async def test_records_are_told_when_they_are_durable(run: Run) -> None:
    """Whoever records is told how many became durable, and then they are there for everybody."""
    async with run.work(Start({})) as session:
        recorded = Recorded(session)
        for seq in (1, 2, 3):
            session.record(ended(seq))
        await recorded.until(3)
        assert counts(run) == {State.PENDING: 3, State.DONE: 3}
        session.record(ended(4))
        session.flush()
        await recorded.until(4)
        assert counts(run) == {State.PENDING: 2, State.DONE: 4}


async def test_what_is_flushed_waits_for_no_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot go on before its records are durable need not wait for the moment in which others may join them."""
    monkeypatch.setattr("orchestrator.journal.sqlite.session.GATHER", 3600.0)
    async with run.work(Start({})) as session:
        recorded = Recorded(session)
        session.record(ended(1))
        session.flush()
        await recorded.until(1)


async def test_what_was_recorded_before_the_end_is_durable_after_it(run: Run) -> None:
    """A session that ends, however it does, leaves nothing of what was recorded behind."""

    async def broken() -> None:
        async with run.work(Start({})) as session:
            for seq in range(1, 7):
                session.record(ended(seq))
            raise KeyError

    with pytest.raises(KeyError):
        await broken()
    assert counts(run) == {State.DONE: 6}


async def test_attempts_of_one_operation_may_be_written_together(run: Run) -> None:
    """An operation that was retried before its first attempt was written has both attempts, and stands as after the last."""
    async with run.work(Start({})) as session:
        recorded = Recorded(session)
        session.record(ended(1, Kind.TEMPORARY, State.PENDING, exit_code=75, error="busy"))
        session.record(ended(1, Kind.TEMPORARY, State.PENDING, attempt=2, exit_code=75, error="busy"))
        session.record(ended(1, attempt=3))
        session.record(ended(2, Kind.TEMPORARY, State.PENDING, exit_code=75, error="busy"))
        session.record(failed(2, attempt=2))
        await recorded.until(5)
        assert session.failure is None
    with run.read() as reader:
        assert [(a.number, a.kind) for a in reader.attempts(1)] == [(1, "temporary"), (2, "temporary"), (3, "done")]
        assert [(a.number, a.kind) for a in reader.attempts(2)] == [(1, "temporary"), (2, "failed")]
        assert states(reader)[:2] == [State.DONE, State.FAILED]


async def test_an_intent_is_durable_before_anything_is_sent(run: Run) -> None:
    """An operation that is about to be sent is `running`, with its attempt, and stays open."""
    async with run.work(Start({})) as session:
        await session.intend([Intent(3, 1, 777), Intent(4, 2, 778)])
        assert counts(run) == {State.PENDING: 4, State.RUNNING: 2}
        with run.read() as reader:
            assert [(op.state, op.attempts, op.started_at) for op in reader.operations((State.RUNNING,))] == [
                (State.RUNNING, 1, 777),
                (State.RUNNING, 2, 778),
            ]
            assert reader.open_counts(0) == {"b1": 3, "b2": 3}


async def test_an_intent_that_was_withdrawn_never_was(run: Run) -> None:
    """An operation that was not sent after all is as it was before, and no attempt of it is counted."""
    async with run.work(Start({})) as session:
        intents = [Intent(3, 1, 777)]
        await session.intend(intents)
        await session.withdraw(intents)
    with run.read() as reader:
        assert (states(reader), reader.totals().attempts) == ([State.PENDING] * 6, 0)
        assert (reader.attempts(3), reader.operation("1.3")[1].started_at) == ([], None)  # type: ignore[index]


async def test_a_cancellation_waits_until_it_is_durable(run: Run) -> None:
    """Whoever is cancelled while an intent is written hears of it: else a command might be sent, or not, that is noted."""
    heard: list[dict[State, int]] = []
    async with run.work(Start({})) as session:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.intend([Intent(3, 1, 777)])
            heard.append(counts(run))
        assert heard == [{State.PENDING: 5, State.RUNNING: 1}]


async def test_a_silent_host_is_marked_unreachable_at_once(run: Run) -> None:
    """All that is pending on a host is unreachable with one reason; what it answered, and other hosts, stay."""
    async with run.work(Start({})) as session:
        recorded = Recorded(session)
        session.record(ended(2))
        await recorded.until(1)
        assert await session.mark_unreachable(0, "b2", "silent") == 2
    with run.read() as reader:
        assert [(op.state, op.error) for op in reader.operations() if op.host == "b2"] == [
            (State.DONE, ""),
            (State.UNREACHABLE, "silent"),
            (State.UNREACHABLE, "silent"),
        ]
        assert reader.open_counts(0) == {"b1": 3}


# doubt


async def settle(run: Run, verdict: Verdict, why: str) -> int:
    """From outside of a session."""
    return run.settle([1, 2, 3], verdict, why)


async def decide(run: Run, verdict: Verdict, why: str) -> int:
    """Within a session."""
    async with run.work(Start({})) as session:
        return await session.decide([1, 2, 3], verdict, why)


@pytest.mark.parametrize("how", [settle, decide])
@pytest.mark.parametrize(
    ("verdict", "state"), [(Verdict.DONE, State.DONE), (Verdict.FAILED, State.FAILED), (Verdict.RETRY, State.PENDING)]
)
async def test_doubt_is_settled_by_a_decision(
    run: Run, how: Callable[[Run, Verdict, str], object], verdict: Verdict, state: State
) -> None:
    """What was in doubt becomes what was decided, with the reason; what was not in doubt stays."""
    await write(run, lost(1), ended(2))
    assert await how(run, verdict, "looked at it") == 1  # type: ignore[misc]
    with run.read() as reader:
        first, second, third, *_ = reader.operations()
        assert [op.state for op in (first, second, third)] == [state, State.DONE, State.PENDING]
        said = f"closed; decided {verdict.value}: looked at it"
        assert (reader.attempts(1)[0].error, first.error) == (said, "" if verdict is Verdict.RETRY else said)
        assert (reader.doubtful(), reader.step(0)[0]) == ([], "running")


async def test_what_was_sent_when_the_process_died_is_in_doubt(journal: Journal, run: Run) -> None:
    """The next session finds out what its predecessor had under way: nobody knows whether it was executed."""
    await journal.vanish(run, Intent(3, 1, 777), Intent(4, 2, 778))
    assert counts(run) == {State.PENDING: 4, State.RUNNING: 2}
    async with run.work(Start({})) as session:
        assert session.doubtful == 2
        with run.read() as reader:
            assert [(seq, host) for seq, host, _ in reader.doubtful()] == [(3, "b1"), (4, "b2")]
            assert reader.last_doubt_ms(0) == 778
            assert "being sent" in reader.attempts(3)[0].error
            found = reader.operation("1.3")
            assert found is not None
            assert (found[1].started_at, found[1].finished_at) == (777, 777)  # its end nobody saw
    async with run.work(Start({})) as session:
        assert session.doubtful == 0  # they are in doubt, and were not under way


# steps


async def test_a_step_is_expanded_wholly(journal: Journal) -> None:
    """A step's operations come behind all others, with what their conditions say."""
    run = journal.run(LATER)
    async with run.work(Start({})) as session:
        assert await session.expand(1, iter([Draft("b1", "{}", False), Draft("d2", '{"a":1}', True)])) == 2
    with run.read() as reader:
        assert reader.step(1) == ("pending", 2, 2)
        found = [(op.id, op.host, op.parameters, op.state) for op in reader.operations(step=1)]
        assert found == [("2.1", "b1", {}, State.PENDING), ("2.2", "d2", {"a": 1}, State.SKIPPED)]


async def test_a_step_without_operations_is_expanded_too(journal: Journal) -> None:
    """Nothing to do is known from then on, and is not asked for again."""
    run = journal.run(LATER)
    async with run.work(Start({})) as session:
        assert await session.expand(1, iter(())) == 0
    with run.read() as reader:
        assert (reader.step(1)[2], list(reader.operations(step=1))) == (0, [])


async def test_an_expansion_that_fails_leaves_nothing(journal: Journal) -> None:
    """What the drafts raise reaches whoever expands, nothing of the step is written, and the session goes on."""

    def drafts() -> Iterator[Draft]:
        yield Draft("b1", "{}", False)
        raise InputError.at("item 2 is none", "users.txt")

    run = journal.run(LATER)
    async with run.work(Start({})) as session:
        with pytest.raises(InputError, match="item 2 is none"):
            await session.expand(1, drafts())
        assert (session.failure, counts(run, 1)) == (None, {})
        with run.read() as reader:
            assert reader.step(1) == ("pending", None, None)
        assert await session.expand(1, iter([Draft("b1", "{}", False)])) == 1


async def test_reopening_keeps_earlier_attempts(run: Run) -> None:
    """A retried step starts afresh: no old answer, no old error; yet what was attempted is not forgotten."""
    await write(run, ended(1, rows=[{"n": "1"}]), failed(2, evidence="Panic"), ended(3, Kind.TEMPORARY, State.PENDING))
    async with run.work(Start({})) as session:
        await session.reopen(0)
        with run.read() as reader:
            assert states(reader) == [State.PENDING] * 6
            assert (reader.answer_rows(1), reader.evidence(2), reader.causes()) == (([], 0), "", [])
            assert [op.error for op in reader.operations()] == [""] * 6
            assert reader.attempts(1) == [Attempt(1, 1000, 1005, "done", None, "")]
            assert reader.attempts(2) == [Attempt(1, 1000, 1005, "failed", None, "bad; logged: Panic")]
        session.record(ended(2, attempt=2))
    with run.read() as reader:
        assert [(a.number, a.kind, a.error) for a in reader.attempts(2)] == [
            (1, "failed", "bad; logged: Panic"),
            (2, "done", ""),
        ]
        assert reader.operation("1.2")[1].error == ""  # type: ignore[index]


async def test_reopening_sends_nothing_that_a_condition_ruled_out(journal: Journal) -> None:
    """What was skipped stays skipped."""
    run = journal.run(steps("hosts: b1, for_each: [u1, u2], when: \"{{ item == 'u2' }}\", command: who"))
    await write(run, ended(2))
    async with run.work(Start({})) as session:
        await session.reopen(0)
        assert counts(run) == {State.SKIPPED: 1, State.PENDING: 1}


async def test_a_run_that_is_over_leaves_nothing_pending(journal: Journal) -> None:
    """What was not sent is skipped, with the reason; an undo step that nobody needed says so; what ended stays."""
    run = journal.run(ROLES)
    await write(run, ended(1))
    async with run.work(Start({})) as session:
        await session.mark(0, "done")
        await session.skip_rest("the run ended before it")
        await session.end(Ending(Status.REFUSED, "no"))
    with run.read() as reader:
        assert [(s.key, s.state, s.reason) for s in reader.steps()] == [
            ("1", "done", ""),
            ("2", "skipped", "the run ended before it"),
            ("3", "skipped", "the run ended before it"),
            ("1.undo", "skipped", "not needed"),
        ]
        assert states(reader) == [State.DONE, State.SKIPPED]


async def test_a_step_keeps_when_it_was_begun(run: Run) -> None:
    """A step that is taken up by another session was begun by the first, and ends once."""
    async with run.work(Start({})) as session:
        await session.mark(0, "running", ended=False)
        with run.read() as reader:
            began = reader.steps()[0].started
    async with run.work(Start({})) as session:
        await session.mark(0, "done")
    with run.read() as reader:
        [step] = reader.steps()
        assert (step.state, step.started) == ("done", began)
        assert began is not None
        assert step.finished is not None
        assert step.finished >= began


# failure


async def test_after_a_failure_nothing_is_written(journal: Journal, run: Run) -> None:
    """Once something could not be written, all that comes later is refused, so that no later thing is believed."""
    async with run.work(Start({})) as session:
        failures: list[str] = []
        session.failed = lambda: failures.append("failed")
        journal.usurp(run, journal.elsewhere)
        with pytest.raises(JournalError):
            await session.event("x", "y")
        await anyio.lowlevel.checkpoint()  # it is told in the loop's next turn
        session.record(ended(1))
        session.flush()
        for again in (session.intend([Intent(2, 1, 1)]), session.mark(0, "done"), session.end(Ending(Status.DONE))):
            with pytest.raises(JournalError):
                await again
        assert (failures, isinstance(session.failure, JournalError)) == (["failed"], True)
    assert counts(run) == {State.PENDING: 6}
