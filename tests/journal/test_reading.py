"""The contract of a reader: what was planned and what happened is there, as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import ExpressionError
from orchestrator.found import Found
from orchestrator.journal.base import Attempt, Cause, Intent, PlannedHost, Reader, Run, Start, Verdict
from orchestrator.outcome import Kind, State
from orchestrator.plan.kept import keep
from orchestrator.status import Ending, Status
from tests.journal.journals import HEADER, Journal, counts, ended, failed, lost, states, write
from tests.strategies import plan, steps

pytestmark = pytest.mark.anyio
ROLES = steps("hosts: b1, command: reload, undo: {command: reload}", "hosts: 'b[2-3]', command: who") + (
    "finally: [{name: F, hosts: d1, command: who}]"
)


# what was planned


def test_a_plan_is_read_back(reader: Reader) -> None:
    """All that was planned is there: header, steps, hosts and pending operations in order."""
    [step] = reader.steps()
    assert (step.key, step.role, step.name, step.command) == ("1", "step", "S1", "kick")
    assert (step.effect, step.state, step.reason, step.started, step.finished) == (
        "repeatable",
        "pending",
        "",
        None,
        None,
    )
    assert (step.first, step.operations, step.counts) == (1, 6, {State.PENDING: 6})
    found = [(op.id, op.host, op.parameters["mask"], op.state, op.attempts) for op in reader.operations()]
    assert found == [
        (f"1.{2 * item + number}", f"b{number}", [f"u{item + 1}"], State.PENDING, 0)
        for item in range(3)
        for number in (1, 2)
    ]
    assert (reader.playbook, reader.header, reader.resumable) == ("P", HEADER, True)
    assert reader.changes() == {"b1", "b2"}
    assert reader.open_counts(0) == {"b1": 3, "b2": 3}
    assert (reader.status(), reader.sessions(), reader.limits()) == ((Status.PLANNED, ""), [], {})
    assert (reader.applied(), reader.undoing(), reader.retryable()) == ("", None, 0)


def test_the_fleet_is_kept_as_it_was(reader: Reader) -> None:
    """Hosts stand there in their order, each with what a plan may rest on, and groups with their members."""
    assert [host.name for host in reader.hosts()] == ["d1", "d2", "b1", "b2", "b3", "b9"]
    assert reader.hosts()[-1] == PlannedHost(
        "b9", "http://10.0.1.9:8080/doveadm/v1", groups=("backends",), tags=("new",), protected=True
    )
    assert reader.groups() == {"directors": ["d1", "d2"], "backends": ["b1", "b2", "b3", "b9"]}


def test_steps_that_are_known_later_have_no_operations_yet(journal: Journal) -> None:
    """What depends on answers, and what a condition rules out now, stands there as such."""
    text = steps(
        "hosts: d1, command: directorStatus, register: s",
        "hosts: '{{ s.failed }}', command: who",
        "hosts: b1, command: who, when: false",
    )
    with journal.run(text).read() as reader:
        assert [(step.state, step.operations, reader.step(step.number)) for step in reader.steps()] == [
            ("pending", 1, ("pending", 1, 1)),
            ("pending", None, ("pending", None, None)),
            ("skipped", None, ("skipped", None, None)),
        ]
        assert reader.steps()[2].reason == "its condition is false"
        assert (reader.open_counts(1), reader.ended(1), list(reader.operations(step=1))) == ({}, {}, [])
        assert (reader.doubtful(1), reader.last_doubt_ms(1), reader.answer(1).hosts) == ([], 0, {})


def test_operations_that_their_condition_rules_out_are_skipped(journal: Journal) -> None:
    """A `when` for each operation marks the ones that are never sent."""
    run = journal.run(steps("hosts: b1, for_each: [u1, u2], when: \"{{ item == 'u2' }}\", command: who"))
    with run.read() as reader:
        assert states(reader) == [State.SKIPPED, State.PENDING]
        assert (reader.open_counts(0), reader.ended(0)) == ({"b1": 1}, {State.SKIPPED: 1})


def test_pending_operations_come_in_windows(reader: Reader) -> None:
    """A host's open operations are read in order, after the last one that was read."""
    assert [op.seq for op in reader.pending(0, "b2", 0, 2)] == [2, 4]
    assert [op.seq for op in reader.pending(0, "b2", 4, 2)] == [6]
    assert reader.pending(0, "b2", 6, 2) == reader.pending(0, "d1", 0, 2) == []


def test_ids_lead_to_operations(journal: Journal) -> None:
    """An operation's id, the tag that Dovecot echoes, finds it; another finds nothing."""
    with journal.run(steps("hosts: 'b[1-2]', command: who", "hosts: 'b[1-3]', command: reload")).read() as reader:
        for seq, operation in enumerate(reader.operations(), 1):
            assert reader.operation(operation.id) == (seq, operation)
        assert [op.id for op in reader.operations(step=1)] == ["2.1", "2.2", "2.3"]
        assert [reader.operation(name) for name in ("2.0", "2.4", "3.1", "2", "", "2.x", "2.1.1")] == [None] * 7


def test_ids_of_batches_lead_to_operations(journal: Journal) -> None:
    """An id of which the step's part has points of its own is taken apart at the last one."""
    with journal.run(steps("batches: {hosts: 'b[1-2]', size: 1, steps: [{name: R, command: who}]}")).read() as reader:
        assert [operation.id for operation in reader.operations()] == ["1[1].1.1", "1[2].1.1"]
        for seq, operation in enumerate(reader.operations(), 1):
            assert reader.operation(operation.id) == (seq, operation)


def test_the_plan_is_kept(journal: Journal, tmp_path: Path) -> None:
    """All that a plan is recalled from stands in the run, with the files of its lists."""
    (tmp_path / "users.txt").write_text("u1\n*\n")
    text = steps("hosts: b1, for_each: {file: users.txt}, command: kick, parameters: {mask: '{{ item }}'}")
    made = plan(text, folder=tmp_path, limit="b*")
    with journal.store.create(made, HEADER).read() as reader:
        assert reader.kept() == keep(made)
        assert reader.kept().lists == {str(tmp_path / "users.txt"): b"u1\n*\n"}


# what happened


async def test_what_ended_is_there_for_everybody(run: Run) -> None:
    """An end that was recorded is read by whoever opens the run."""
    await write(run, ended(1, rows=[{"result": "u1"}], changed=True), failed(2, exit_code=64))
    with run.read() as reader:
        first, second, *_ = reader.operations()
        assert (first.state, first.changed, first.started_at, first.finished_at) == (State.DONE, True, 1000, 1005)
        assert (second.state, second.exit_code, second.error, second.changed) == (State.FAILED, 64, "bad", None)
        assert (reader.answer_rows(1), reader.answer_rows(2)) == (([{"result": "u1"}], 0), ([], 0))
        assert sorted(op.seq for op in reader.pending(0, "b1", 0, 9)) == [3, 5]
        assert reader.ended(0) == {State.DONE: 1, State.FAILED: 1}
        assert [op.id for op in reader.operations((State.FAILED, State.IN_DOUBT))] == ["1.2"]


async def test_attempts_are_kept(run: Run) -> None:
    """Each attempt of an operation is there: the earlier ones with their trouble, and the last."""
    await write(run, ended(1, Kind.TEMPORARY, State.PENDING, exit_code=75, error="busy"))
    await write(run, ended(1, Kind.UNREACHABLE, State.PENDING, attempt=2, error="refused"))
    await write(run, ended(1, attempt=3))
    with run.read() as reader:
        assert reader.attempts(1) == [
            Attempt(1, 1000, 1005, "temporary", 75, "busy"),
            Attempt(2, 2000, 2005, "unreachable", None, "refused"),
            Attempt(3, 3000, 3005, "done", None, ""),
        ]
        assert (reader.totals(), reader.attempts(2)) == ((3, 2, 3005), [])


async def test_answers_are_what_expressions_see(run: Run) -> None:
    """A step's answer has the rows of what is done in order, knows who failed, and what is not there yet."""
    await write(run, ended(1, rows=[{"n": "1"}]), failed(2, exit_code=64), ended(3, rows=[{"n": "3"}]))
    with run.read() as reader:
        answer = reader.answer(0)
    assert ([row["n"] for row in answer.answered.rows], answer.ok) == (["1", "3"], False)
    with pytest.raises(ExpressionError, match="b1: pending; b2: bad"):
        assert answer.rows
    assert answer.hosts["b2"].error == "bad"
    assert (answer.hosts["b2"].exit_code, answer.hosts["b2"].ok) == (64, False)


async def test_nothing_is_ever_lost(run: Run) -> None:
    """Whatever is recorded, the operations of all states add up to those that were planned."""
    for record in (
        ended(1),
        failed(2),
        ended(3, Kind.UNREACHABLE, State.UNREACHABLE, error="y"),
        lost(4),
        ended(5, Kind.TEMPORARY, State.PENDING, error="w"),
    ):
        await write(run, record)
        with run.read() as reader:
            assert sum(counts(run).values()) == 6
            assert sum(reader.ended(0).values()) + sum(reader.open_counts(0).values()) == 6
            left = [op for host in ("b1", "b2") for op in reader.pending(0, host, 0, 99)]
            assert len(left) == counts(run)[State.PENDING]


async def test_causes_are_gathered(run: Run) -> None:
    """Operations that failed for the same reason are one cause, the most frequent first."""
    await write(run, *(failed(seq, "a" if seq < 5 else "b", evidence="Panic") for seq in range(1, 6)))
    with run.read() as reader:
        assert reader.causes() == [
            Cause("1", State.FAILED, "a", 4, "b1", "Panic", ("b1", "b2")),
            Cause("1", State.FAILED, "b", 1, "b1", "Panic", ("b1",)),
        ]
        assert len(reader.causes(limit=1)) == 1
        assert (reader.evidence(5), reader.evidence(6)) == ("Panic", "")


async def test_what_is_in_doubt_is_listed(run: Run) -> None:
    """Operations in doubt are told with host and parameters, and when the last of them was sent."""
    await write(run, lost(1), lost(4)._replace(started=7000, finished=7005), ended(2))
    with run.read() as reader:
        assert [(seq, host) for seq, host, _ in reader.doubtful()] == [(1, "b1"), (4, "b2")]
        assert reader.doubtful(0)[0][2] == '{"mask":["u1"]}'
        assert (reader.last_doubt_ms(0), reader.retryable()) == (7005, 0)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({1: True, 2: False, 3: False, 4: False}, (1, 1, 1)),
        ({1: False, 2: False, 3: False, 4: False, 5: True, 6: True}, (1, 2, 0)),
        ({}, (0, 0, 3)),
    ],
)
async def test_items_are_found_or_not(run: Run, changed: dict[int, bool], found: tuple[int, int, int]) -> None:
    """An item is found where any host changed something for it, and absent only where all answered."""
    await write(run, *(ended(seq, changed=flag) for seq, flag in changed.items()))
    with run.read() as reader:
        assert reader.found(0) == Found(*found)


async def test_it_is_known_which_steps_were_begun(journal: Journal) -> None:
    """A step was begun once something of it was sent; one that was skipped or refused before that was not."""
    run = journal.run(ROLES)
    async with run.work(Start({})) as session:
        await session.mark(0, "running", ended=False)
        await session.mark(1, "failed", "refused")
        with run.read() as reader:
            assert (reader.begun(), reader.step(0)) == ({"1"}, ("running", 1, 1))
            assert [(s.state, s.reason, s.finished is None) for s in reader.steps()[:2]] == [
                ("running", "", True),
                ("failed", "refused", False),
            ]


async def test_bad_operations_are_told_by_role(journal: Journal) -> None:
    """Whether anything failed is said of the steps of the roles that are asked about, and of no others."""
    run = journal.run(ROLES)
    with run.read() as reader:
        [last] = [step for step in reader.steps() if step.role == "finally"]
        assert last.first is not None
        await write(run, failed(last.first))
        found = {role: reader.any_bad(role) for role in ("step", "verify", "undo", "finally")}
        assert found == {"step": False, "verify": False, "undo": False, "finally": True}
        assert reader.any_bad("step", "finally")


async def test_a_moment_is_one_moment(run: Run) -> None:
    """What is read within a moment is of one moment, though others write meanwhile; after it the new is seen."""
    with run.read() as reader:
        with reader.moment():
            before = (states(reader), reader.totals(), reader.status())
            await write(run, ended(1), failed(2))
            assert (states(reader), reader.totals(), reader.status()) == before
        assert states(reader)[:2] == [State.DONE, State.FAILED]
        assert reader.totals().attempts == 2


async def test_a_run_says_how_it_stands(run: Run) -> None:
    """Each session has its begin, its end and its ending; the last one's is how the run stands."""
    with run.read() as reader:
        assert reader.started_ms() == HEADER.created
    for ending in (Ending(Status.INTERRUPTED, "stopped: by a: b"), Ending(Status.DONE)):
        async with run.work(Start({})) as session:
            await session.end(ending)
        with run.read() as reader:
            assert reader.status() == (ending.status, ending.reason)
    with run.read() as reader:
        first, second = reader.sessions()
        assert (first.status, first.reason, second.status, second.reason) == (
            Status.INTERRUPTED,
            "stopped: by a: b",
            Status.DONE,
            "",
        )
        assert first.ended is not None
        assert first.began <= first.ended <= second.began
        assert reader.started_ms() == first.began
        assert ", pid " in second.who


async def test_a_run_whose_process_is_gone_has_crashed(journal: Journal, run: Run) -> None:
    """A session without an end, whose process is gone, is told as a crash: nothing says that it is over."""
    await journal.vanish(run, Intent(3, 1, 777))
    with run.read() as reader:
        assert (reader.status()[0], reader.sessions()[0].ended) == (Status.CRASHED, None)


async def test_why_it_is_being_undone_is_kept(run: Run) -> None:
    """Once undoing was begun, whoever goes on with the run knows that, and the first reason."""
    async with run.work(Start({})) as session:
        await session.undoing(Ending(Status.REFUSED, "step 3: no"))
    with run.read() as reader:
        assert reader.undoing() == Ending(Status.REFUSED, "step 3: no")


async def test_a_decision_is_not_retried(run: Run) -> None:
    """What a person decided to be failed is not among what `retry` would send."""
    await write(run, failed(1), ended(2, Kind.UNREACHABLE, State.UNREACHABLE, error="y"), lost(3), ended(4))
    run.settle([3], Verdict.FAILED, "it was not")
    with run.read() as reader:
        assert reader.retryable() == 2


TWO = steps(*["hosts: 'b[1-2]', for_each: [u1, u2, u3], command: kick, parameters: {mask: '{{ item }}'}"] * 2)


async def test_one_step_is_not_another(journal: Journal) -> None:
    """What is asked of a step, or of a host, is told of that one alone, whatever became of the operations of others."""
    run = journal.run(TWO)
    busy = ended(5, Kind.TEMPORARY, State.PENDING, error="busy")
    silent = ended(11, Kind.UNREACHABLE, State.UNREACHABLE, error="refused")
    await write(run, ended(1, changed=True, rows=[{"n": "1"}]), failed(2, "one"), lost(3), busy)
    await write(run, ended(7, changed=False), failed(8, "two"), lost(9)._replace(finished=9999), lost(10), silent)
    with run.read() as reader:
        assert reader.open_counts(0) == {"b1": 1, "b2": 2}
        assert reader.open_counts(1) == {"b2": 1}
        assert reader.ended(0) == {State.DONE: 1, State.FAILED: 1, State.IN_DOUBT: 1}
        assert reader.ended(1) == {State.DONE: 1, State.FAILED: 1, State.IN_DOUBT: 2, State.UNREACHABLE: 1}
        assert [op.seq for op in reader.pending(0, "b2", 0, 9)] == [4, 6]
        assert [(op.seq, op.attempts) for op in reader.pending(0, "b1", 0, 9)] == [(5, 1)]
        assert [op.seq for op in reader.pending(1, "b2", 0, 9)] == [12]
        assert [seq for seq, _, _ in reader.doubtful(0)] == [3]
        assert [seq for seq, _, _ in reader.doubtful(1)] == [9, 10]
        assert (reader.last_doubt_ms(0), reader.last_doubt_ms(1)) == (1005, 9999)
        assert [op.id for op in reader.operations((State.FAILED,), step=1)] == ["2.2"]
        assert [op.id for op in reader.operations((State.IN_DOUBT,), between=(3, 9))] == ["1.3", "2.3"]
        assert (reader.found(0), reader.found(1)) == (Found(1, 0, 2), Found(0, 0, 3))
        assert [entry.error for entry in reader.answer(0).hosts.values()] == ["closed", "one"]
        assert [row["n"] for row in reader.answer(0).answered.rows] == ["1"]
        assert list(reader.answer(1).answered.rows) == []
        assert [(cause.step, cause.error, cause.count) for cause in reader.causes()][:1] == [("2", "closed", 2)]
        assert reader.retryable() == 3
        assert reader.last_operation() == 12
        assert reader.totals().attempts == 9
        assert reader.evidence(2) == ""


def test_a_good_run_passes_its_check(reader: Reader) -> None:
    """A run without damage has none."""
    reader.check()
