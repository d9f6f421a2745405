"""The run file: what is written is there again, and nothing else is believed."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from orchestrator.journal.create import Header, create
from orchestrator.journal.decide import Verdict, decide, reopen
from orchestrator.journal.lock import RunLock, holder, lock_path
from orchestrator.journal.run_file import RunFile
from orchestrator.journal.schema import APPLICATION_ID, FORMAT
from orchestrator.journal.store import Store, state_dir
from orchestrator.journal.writer import Finished, Intent, Writer, as_kept, intend

from orchestrator.errors import (
    DamagedRunError,
    ExpressionError,
    InputError,
    JournalError,
    LockedError,
    RefusedError,
    RunNotFoundError,
)
from orchestrator.outcome import Kind, Outcome, State
from orchestrator.plan import Plan
from tests.strategies import plan, steps

KICKS = steps(
    "hosts: 'b[1-2]', for_each: [u1, u2, u3], command: kick, parameters: {mask: ['{{ item }}']}, register: kicked"
)
RUN_ID = "20261123-020000-p"
HEADER = Header(1_000, {"user": "ü"}, "/etc/o/config.yaml", "b*")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run file of six operations on two hosts."""
    create([(RUN_ID, tmp_path / "a.run")], plan(KICKS), HEADER)
    return tmp_path / "a.run"


@pytest.fixture
def opened(path: Path) -> Iterator[RunFile]:
    """The same, open for reading."""
    with RunFile(path) as file:
        yield file


class Writing:
    """A writer, and what it said."""

    def __init__(self, path: Path) -> None:
        self.durable: list[int] = []
        self.groups = 0
        self.failures: list[JournalError] = []
        self.writer = Writer(path, self._durable, self.failures.append)

    def _durable(self, records: Sequence[Finished]) -> None:
        self.groups += 1
        self.durable += [record.seq for record in records]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def write(self, *records: Finished) -> None:
        """Write records in one group, and wait for them."""
        self.writer.write(list(records))
        self.call(lambda _connection: None)

    def call(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run a job, and wait for it."""
        return self.writer.call(job).result(timeout=30)


def ended(
    seq: int, kind: Kind = Kind.DONE, state: State = State.DONE, *, attempt: int = 1, limit: int = 65536, **outcome: Any
) -> Finished:
    """An attempt's end."""
    rows = outcome.pop("rows", ())
    answer = as_kept(rows, limit) if rows else ("", 0)
    return Finished(seq, attempt, 1000 * attempt, 1000 * attempt + 5, Outcome(kind, **outcome), state, *answer)


def names_in(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def counts(file: RunFile) -> dict[State, int]:
    """The operations of the first step, by state."""
    return dict(file.steps()[0].counts)


# creating


def test_a_plan_is_read_back(opened: RunFile) -> None:
    """All that was planned stands in the run file: header, steps, hosts and pending operations in order."""
    [step] = opened.steps()
    assert (step.key, step.name, step.command, step.effect, step.state) == ("1", "S1", "kick", "repeatable", "pending")
    assert (step.first, step.operations, step.counts) == (1, 6, {State.PENDING: 6})
    found = [(op.id, op.host, op.parameters["mask"], op.state, op.attempts) for op in opened.operations()]
    assert found == [
        (f"1.{2 * item + number}", f"b{number}", [f"u{item + 1}"], State.PENDING, 0)
        for item in range(3)
        for number in (1, 2)
    ]
    assert (opened.run_id, opened.given, opened.meta["limit"]) == ("20261123-020000-p", {"user": "ü"}, "b*")
    assert opened.urls()["b1"] == "http://10.0.1.1:8080/doveadm/v1"
    assert opened.groups()["directors"] == ["d1", "d2"]
    assert opened.changes() == {"b1", "b2"}
    assert opened.open_counts(0) == {"b1": 3, "b2": 3}


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    """A run file has the mode 0600 whatever the umask, and no draft is left beside it."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_in(path.parent) == ["a.run"]


def test_a_run_file_is_not_overwritten(path: Path) -> None:
    """A name that is taken is refused, and the file stays as it was."""
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        create([(RUN_ID, path)], plan(KICKS), HEADER)
    assert path.read_bytes() == before


def bad_item() -> Plan:
    """A plan whose second item must not be sent."""
    return plan(steps('hosts: b1, for_each: [u1, "u\\a"], command: kick, parameters: {mask: ["{{ item }}"]}'))


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (bad_item, InputError),
        (lambda: plan(steps("hosts: b1, for_each: {file: /no/such/file}, command: who")), InputError),
        (lambda: plan(steps("hosts: '{{ item }}', for_each: [b1, b9], command: reload")), RefusedError),
        (lambda: plan(steps("hosts: b1, for_each: [1], when: '{{ item }}', command: who")), ExpressionError),
    ],
)
def test_a_plan_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, made: Callable[[], Plan], error: type[Exception]
) -> None:
    """All operations are written, or there is no file at all."""
    with pytest.raises(error):
        create([(RUN_ID, tmp_path / "a.run")], made(), HEADER)
    assert names_in(tmp_path) == []


def test_a_long_planning_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a long plan is told now and then how many operations it has so far, over all its steps."""
    monkeypatch.setattr("orchestrator.journal.create.OFTEN", 4)
    told: list[int] = []
    create(
        [(RUN_ID, tmp_path / "a.run")],
        plan(KICKS + KICKS.partition("steps:\n")[2].replace("kicked", "again")),
        HEADER,
        told.append,
    )
    assert told == [4, 8, 12]


def test_a_folder_that_is_not_there_is_a_journal_error(tmp_path: Path) -> None:
    """A run file that cannot be written is an error with its path."""
    with pytest.raises(JournalError, match="nowhere"):
        create([(RUN_ID, tmp_path / "nowhere" / "a.run")], plan(KICKS), HEADER)


def test_steps_that_are_known_later_have_no_operations_yet(tmp_path: Path) -> None:
    """What depends on answers, and what a condition rules out now, stands in the file as such."""
    text = steps(
        "hosts: d1, command: directorStatus, register: s",
        "hosts: '{{ s.failed }}', command: who",
        "hosts: b1, command: who, when: false",
    )
    create([(RUN_ID, tmp_path / "a.run")], plan(text), HEADER)
    with RunFile(tmp_path / "a.run") as file:
        assert [(step.state, step.operations) for step in file.steps()] == [
            ("pending", 1),
            ("pending", None),
            ("skipped", None),
        ]


def test_operations_that_their_condition_rules_out_are_skipped(tmp_path: Path) -> None:
    """A `when` for each operation marks the ones that are never sent."""
    create(
        [(RUN_ID, tmp_path / "a.run")],
        plan(steps("hosts: b1, for_each: [u1, u2], when: \"{{ item == 'u2' }}\", command: who")),
        HEADER,
    )
    with RunFile(tmp_path / "a.run") as file:
        assert [op.state for op in file.operations()] == [State.SKIPPED, State.PENDING]
        assert file.open_counts(0) == {"b1": 1}


def test_the_digest_is_that_of_the_plan(tmp_path: Path) -> None:
    """The same plan has the same digest in every file, and another plan another."""
    made = [
        create([(RUN_ID, tmp_path / f"{n}.run")], plan(text), HEADER)
        for n, text in enumerate([KICKS, KICKS, KICKS + "# x\n"])
    ]
    found = []
    for path in made:
        with RunFile(path) as file:
            found.append(file.meta["digest"])
    assert found[0] == found[1] != found[2]
    with RunFile(tmp_path / "0.run") as file:
        assert file.meta["digest"] == found[0]


# feeding


def test_pending_operations_come_in_windows(opened: RunFile) -> None:
    """A host's open operations are read in order, after the last one that was read."""
    assert [op.seq for op in opened.pending(0, "b2", 0, 2)] == [2, 4]
    assert [op.seq for op in opened.pending(0, "b2", 4, 2)] == [6]
    assert opened.pending(0, "b2", 6, 2) == opened.pending(0, "d1", 0, 2) == []


# writing


def test_what_is_durable_is_there_after_reopening(path: Path) -> None:
    """An end whose commit was reported is in the file, whoever opens it."""
    with Writing(path) as writing:
        writing.write(
            ended(1, rows=[{"result": "u1"}], changed=True),
            ended(2, Kind.FAILED, State.FAILED, exit_code=64, error="bad"),
        )
        assert (writing.durable, writing.groups) == ([1, 2], 1)
        with RunFile(path) as file:  # while it is being written to
            assert counts(file) == {State.PENDING: 4, State.DONE: 1, State.FAILED: 1}
    with RunFile(path) as file:
        first, second, *_ = file.operations()
        assert (first.state, first.changed, first.started_at, first.finished_at) == (State.DONE, True, 1000, 1005)
        assert (second.state, second.exit_code, second.error, second.changed) == (State.FAILED, 64, "bad", None)
        assert file.answer_rows(1) == ([{"result": "u1"}], 0)
        assert sorted(op.seq for op in file.pending(0, "b1", 0, 9)) == [3, 5]


def test_a_reader_sees_a_group_wholly_or_not(path: Path) -> None:
    """A group that cannot be written leaves nothing, ends all writing, and is told: nobody waits for it for ever."""
    with Writing(path) as writing:
        with pytest.raises(JournalError):
            writing.write(ended(1), ended(2, exit_code=2**70))
        assert (writing.durable, len(writing.failures)) == ([], 1)
    with RunFile(path) as file:
        assert counts(file) == {State.PENDING: 6}


def test_after_a_failure_nothing_is_written(path: Path) -> None:
    """Once a commit failed, later records and jobs are refused, so that no later one is believed."""
    with Writing(path) as writing:
        with pytest.raises(JournalError):
            writing.call(lambda connection: connection.execute("INSERT INTO nosuchtable VALUES (1)"))
        writing.writer.write([ended(1)])
        with pytest.raises(JournalError):
            writing.call(lambda _connection: None)
        assert (len(writing.failures), writing.durable) == (1, [])


def test_a_job_that_raises_is_undone(path: Path) -> None:
    """A job's own exception goes to whoever asked, leaves no trace, and writing goes on."""

    def job(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE operation SET state = 2")
        raise ValueError("mine")

    with Writing(path) as writing:
        with pytest.raises(ValueError, match="mine"):
            writing.call(job)
        writing.write(ended(1))
    with RunFile(path) as file:
        assert counts(file) == {State.PENDING: 5, State.DONE: 1}


def test_a_read_only_file_is_explained(path: Path) -> None:
    """A database error becomes an error of ours that names the file."""
    with Writing(path) as writing, pytest.raises(JournalError, match="a.run"):
        writing.call(
            lambda connection: connection.execute("PRAGMA query_only = ON; ") and connection.execute("DELETE FROM meta")
        )


def test_closing_writes_all_that_is_queued(path: Path) -> None:
    """What was handed over before the end is durable after it, and the thread is gone."""
    writing = Writing(path)
    for seq in range(1, 7):
        writing.writer.write([ended(seq)])
    writing.writer.close()
    assert writing.durable == [1, 2, 3, 4, 5, 6]
    assert not [thread for thread in threading.enumerate() if thread.name == "journal"]


def test_jobs_come_after_what_was_queued_before(path: Path) -> None:
    """A job sees all records that were queued before it."""
    with Writing(path) as writing:
        for seq in range(1, 7):
            writing.writer.write([ended(seq)])
        assert writing.call(lambda c: c.execute("SELECT count(*) FROM operation WHERE state = 2").fetchone()[0]) == 6


def test_an_intent_is_seen_before_the_end(path: Path) -> None:
    """An operation that is about to be sent is `running` in the file, with its attempt, and stays open."""
    with Writing(path) as writing:
        writing.call(lambda connection: intend(connection, [Intent(3, 1, 777), Intent(4, 2, 778)]))
    with RunFile(path) as file:
        assert counts(file) == {State.PENDING: 4, State.RUNNING: 2}
        assert [(op.state, op.attempts, op.started_at) for op in file.operations((State.RUNNING,))] == [
            (State.RUNNING, 1, 777),
            (State.RUNNING, 2, 778),
        ]


def test_attempts_are_kept(path: Path) -> None:
    """Each attempt of an operation is there: the earlier ones with their trouble, and the last."""
    with Writing(path) as writing:
        writing.write(ended(1, Kind.TEMPORARY, State.PENDING, exit_code=75, error="busy"))
        writing.write(ended(1, Kind.UNREACHABLE, State.PENDING, attempt=2, error="refused"))
        writing.write(ended(1, attempt=3))
    with RunFile(path) as file:
        found = [(attempt.number, attempt.kind, attempt.exit_code, attempt.error) for attempt in file.attempts(1)]
        assert found == [(1, "temporary", 75, "busy"), (2, "unreachable", None, "refused"), (3, "done", None, "")]
        assert file.totals()[:2] == (3, 2)
        assert file.attempts(2) == []


@pytest.mark.parametrize(("rows", "limit", "kept"), [(3, 65536, 3), (3, 60, 2), (3, 10, 0), (100_000, 65536, 3000)])
def test_answers_are_bounded(path: Path, rows: int, limit: int, kept: int) -> None:
    """Of a long answer as many rows are kept as fit, and how many were left out is told."""
    with Writing(path) as writing:
        writing.write(ended(1, rows=[{"user": f"u{n % 10}", "é": "x"} for n in range(rows)], limit=limit))
    with RunFile(path) as file:
        found, left_out = file.answer_rows(1)
        assert len(found) + left_out == rows
        assert len(json.dumps(found, ensure_ascii=False, separators=(",", ":"))) <= limit
        assert len(found) == pytest.approx(kept, rel=0.2)


def test_answers_are_what_expressions_see(path: Path) -> None:
    """A step's answer has the rows of what is done in order, knows who failed, and what is not there yet."""
    with Writing(path) as writing:
        writing.write(
            ended(1, rows=[{"n": "1"}]),
            ended(2, Kind.FAILED, State.FAILED, exit_code=64, error="bad"),
            ended(3, rows=[{"n": "3"}]),
        )
    with RunFile(path) as file:
        answer = file.answer(0)
    assert ([row["n"] for row in answer.answered.rows], answer.ok) == (["1", "3"], False)
    with pytest.raises(ExpressionError, match="b1: pending; b2: bad"):
        assert answer.rows
    assert answer.hosts["b2"].error == "bad"
    assert (answer.hosts["b2"].exit_code, answer.hosts["b2"].ok) == (64, False)


def test_nothing_is_ever_lost(path: Path) -> None:
    """Whatever is recorded, the operations of all states add up to those that were planned."""
    with Writing(path) as writing:
        for record in (
            ended(1),
            ended(2, Kind.FAILED, State.FAILED, error="x"),
            ended(3, Kind.UNREACHABLE, State.UNREACHABLE, error="y"),
            ended(4, Kind.UNKNOWN, State.IN_DOUBT, error="z"),
            ended(5, Kind.TEMPORARY, State.PENDING, error="w"),
        ):
            writing.write(record)
            with RunFile(path) as file:
                assert sum(counts(file).values()) == 6
                assert sum(counts(file).get(state, 0) for state in (State.PENDING, State.RUNNING)) == len(
                    [op for host in ("b1", "b2") for op in file.pending(0, host, 0, 99)]
                )


@pytest.mark.parametrize(
    ("verdict", "state"), [(Verdict.DONE, State.DONE), (Verdict.FAILED, State.FAILED), (Verdict.RETRY, State.PENDING)]
)
def test_doubt_is_settled_by_a_decision(path: Path, verdict: Verdict, state: State) -> None:
    """What was in doubt becomes what was decided, with the reason; what was not in doubt stays."""
    with Writing(path) as writing:
        writing.write(ended(1, Kind.UNKNOWN, State.IN_DOUBT, error="closed"), ended(2))
        assert writing.call(lambda connection: decide(connection, [1, 2, 3], verdict, "looked at it")) == 1
    with RunFile(path) as file:
        first, second, third, *_ = file.operations()
        assert [op.state for op in (first, second, third)] == [state, State.DONE, State.PENDING]
        said = f"closed; decided {verdict.value}: looked at it"
        assert (file.attempts(1)[0].error, first.error) == (said, "" if verdict is Verdict.RETRY else said)
        assert file.doubtful() == []
        assert file.events()[-1].text == f"{verdict.value} of 1 in doubt: looked at it"


def test_a_retry_spares_what_was_decided(path: Path) -> None:
    """`retry` sends failed and unreachable operations again, but not those that a person decided to be failed."""
    with Writing(path) as writing:
        writing.write(
            ended(1, Kind.FAILED, State.FAILED, error="x"),
            ended(2, Kind.UNREACHABLE, State.UNREACHABLE, error="y"),
            ended(3, Kind.UNKNOWN, State.IN_DOUBT, error="z"),
            ended(4),
        )
        writing.call(lambda connection: decide(connection, [3], Verdict.FAILED, "it was not"))
        assert writing.call(reopen) == 2
    with RunFile(path) as file:
        assert [(a.number, a.kind, a.error) for a in file.attempts(1)] == [(1, "failed", "x")]
        assert [op.seq for host in ("b1", "b2") for op in file.pending(0, host, 0, 9)] == [1, 5, 2, 6]
        assert counts(file) == {State.PENDING: 4, State.DONE: 1, State.FAILED: 1}


def test_ids_lead_to_operations(tmp_path: Path) -> None:
    """An operation's id, the tag that Dovecot echoes, finds it; another finds nothing."""
    create(
        [(RUN_ID, tmp_path / "a.run")],
        plan(steps("hosts: 'b[1-2]', command: who", "hosts: 'b[1-3]', command: reload")),
        HEADER,
    )
    with RunFile(tmp_path / "a.run") as file:
        assert [file.seq_of(op.id) for op in file.operations()] == [1, 2, 3, 4, 5]
        assert [op.id for op in file.operations(step=1)] == ["2.1", "2.2", "2.3"]
        assert [file.seq_of(name) for name in ("2.0", "2.4", "3.1", "2", "", "2.x", "2.1.1")] == [None] * 7


def test_causes_are_gathered(path: Path) -> None:
    """Operations that failed for the same reason are one cause, the most frequent first."""
    with Writing(path) as writing:
        writing.write(
            *(
                ended(seq, Kind.FAILED, State.FAILED, error="a" if seq < 5 else "b", evidence="Panic")
                for seq in range(1, 6)
            )
        )
    with RunFile(path) as file:
        assert file.causes() == [("1", State.FAILED, "a", 4, "b1", "Panic"), ("1", State.FAILED, "b", 1, "b1", "Panic")]
        assert len(file.causes(limit=1)) == 1


# damage


def foreign(path: Path, application: int, version: int) -> None:
    """An SQLite file that is not, or not quite, a run file."""
    connection = sqlite3.connect(path)
    connection.executescript(
        f"CREATE TABLE meta (x); PRAGMA application_id = {application}; PRAGMA user_version = {version}"
    )
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("name: a playbook\n" * 99), "not a run file"),
        (lambda path: path.write_bytes(b""), "is not a run file"),
        (lambda path: path.write_bytes(b"\0" * 4096), "not a run file"),
        (lambda path: foreign(path, 1, FORMAT), "is not a run file"),
        (
            lambda path: foreign(path, APPLICATION_ID, FORMAT + 1),
            f"format {FORMAT + 1}; this version reads format {FORMAT}",
        ),
    ],
)
@pytest.mark.parametrize("how", [RunFile, lambda path: Writer(path, list, list)])  # type: ignore[arg-type]
def test_a_foreign_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str, how: Callable[[Path], Any]
) -> None:
    """What is no run file, or one of another format, is refused by reader and writer and left as it is."""
    path = tmp_path / "a.run"
    make(path)
    before = path.read_bytes()
    with pytest.raises(DamagedRunError, match=message):
        how(path)
    assert (path.read_bytes(), names_in(tmp_path)) == (before, ["a.run"])


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    """Opening a run file that is not there is an error, and makes none."""
    with pytest.raises(JournalError, match="there is no run file"):
        RunFile(tmp_path / "a.run")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("damage", ["half", "middle", "index"])
def test_damage_is_recognised(tmp_path: Path, damage: str) -> None:
    """A run file that was cut or overwritten is recognised by its check, as a DamagedRunError and nothing else."""
    path = tmp_path / "a.run"
    create([(RUN_ID, path)], plan(steps("hosts: backends, for_each: '{{ groups.backends }}', command: who")), HEADER)
    content = path.read_bytes()
    if damage == "half":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "middle":
        path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 8192) + content[-4096:])
    else:
        path.write_bytes(content[:4096] + content[-4096:] * (len(content) // 4096 - 1))
    with pytest.raises(DamagedRunError), RunFile(path) as file:
        file.check()


def test_a_good_file_passes_its_check(opened: RunFile) -> None:
    """A file without damage has none."""
    opened.check()


@pytest.mark.parametrize("name", ["a b.run", "a%41.run", "a?mode=memory.run", "a#b.run", "ä.run"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    """Characters that mean something in URLs are part of a name like others."""
    create([(RUN_ID, tmp_path / name)], plan(KICKS), HEADER)
    with Writing(tmp_path / name) as writing:
        writing.write(ended(1))
    with RunFile(tmp_path / name) as file:
        assert counts(file)[State.DONE] == 1


# the lock


def test_a_second_holder_is_refused_and_told_who(path: Path) -> None:
    """While a process works on a run nobody else can; the refusal names process, machine and time."""
    with RunLock(path):
        with (
            pytest.raises(LockedError, match=rf"the run a is being worked on by pid {os.getpid()} on .+ since 2"),
            RunLock(path),
        ):
            pass
        assert f"pid {os.getpid()}" in holder(path)
    assert holder(path) == ""
    with RunLock(path):
        pass


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    """A lock is held against other processes, and is free when its holder was killed."""
    program = (
        "import sys, time; from pathlib import Path; from orchestrator.journal.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"pid {process.pid} "), RunLock(path):
            pass
        process.kill()
        process.wait()
        assert holder(path) == ""
        with RunLock(path):
            pass


def test_a_look_at_the_holder_takes_no_lock(path: Path) -> None:
    """Asking who works on a run, or asking before there was any lock, makes nothing."""
    assert holder(path) == ""
    assert not lock_path(path).exists()


def test_a_garbled_lock_is_still_a_lock(path: Path) -> None:
    """What stands in the lock file is for people; the lock holds whatever it says."""
    with RunLock(path):
        lock_path(path).write_bytes(b"\xff{")
        assert holder(path) == "another process"


def test_a_lock_that_cannot_be_written_is_a_journal_error(tmp_path: Path) -> None:
    """Without a place for the lock there is no work."""
    with pytest.raises(JournalError, match="cannot write the lock"), RunLock(tmp_path / "nowhere" / "a.run"):
        pass


# the store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A state directory with three runs; the second was touched last."""
    found = Store(tmp_path / "state")
    found.prepare()
    for age, run_id in (
        (30, "20261121-020000-drain-b1"),
        (10, "20261122-020000-drain-b2"),
        (20, "20261123-020000-reload"),
    ):
        found.path(run_id).touch()
        os.utime(found.path(run_id), (10**9 - age, 10**9 - age))
    (tmp_path / "state" / ".draft.run").touch()
    (tmp_path / "state" / "20261123-020000-reload.run.lock").touch()
    return found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (None, "20261122-020000-drain-b2"),
        ("last", "20261122-020000-drain-b2"),
        ("20261121-020000-drain-b1", "20261121-020000-drain-b1"),
        ("b1", "20261121-020000-drain-b1"),
        ("reload", "20261123-020000-reload"),
        ("20261122", "20261122-020000-drain-b2"),
    ],
)
def test_runs_are_found(store: Store, name: str | None, found: str) -> None:
    """A run is found by its id, by a part that only it has, or as the last that was worked on."""
    assert store.find(name) == store.path(found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drain", "'drain' could be any of 20261121-020000-drain-b1, 20261122-020000-drain-b2"),
        ("nosuch", "no run is called 'nosuch'"),
        ("/no/such.run", "no run is called"),
        (".draft", "no run is called"),
    ],
)
def test_unknown_runs_are_told(store: Store, name: str, message: str) -> None:
    """A name of no run, or of several, is an error that helps on."""
    with pytest.raises(RunNotFoundError) as caught:
        store.find(name)
    assert message in caught.value.message


def test_a_misspelt_run_is_suggested(store: Store) -> None:
    """The nearest id is offered."""
    with pytest.raises(RunNotFoundError) as caught:
        store.find("20261123-020000-relaod")
    assert caught.value.hint == "did you mean 20261123-020000-reload?"


def test_an_empty_store_has_no_last_run(tmp_path: Path) -> None:
    """Where there are no runs, there is no last one."""
    with pytest.raises(RunNotFoundError, match="there are no runs"):
        Store(tmp_path).find(None)


def test_the_state_directory_is_private(store: Store) -> None:
    """The directory has the mode 0700, and lists runs oldest first."""
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert store.ids() == ["20261121-020000-drain-b1", "20261122-020000-drain-b2", "20261123-020000-reload"]


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is an error with the option that helps."""
    (tmp_path / "state").touch()
    with pytest.raises(JournalError, match="cannot create the state directory") as caught:
        Store(tmp_path / "state" / "deeper").prepare()
    assert "--state-dir" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "slug"), [("Drain a backend", "drain-a-backend"), ("ÄÖ!", "run"), ("x" * 99, "x" * 40), ("a/../b", "a-b")]
)
def test_new_ids_are_readable_and_unique(store: Store, name: str, slug: str) -> None:
    """An id is the time and the playbook's name in plain letters, and never one that is taken."""
    first, path = next(store.new_names(name))
    path.touch()
    second, _ = next(store.new_names(name))
    assert first.split("-", 2)[2] == slug
    assert second not in {first, ""}


@pytest.mark.parametrize(
    ("explicit", "configured", "environ", "expected"),
    [
        ("/a", "/c", {"ORCHESTRATOR_STATE_DIR": "/b"}, "/a"),
        (None, "/c", {"ORCHESTRATOR_STATE_DIR": "/b"}, "/b"),
        (None, "/c", {}, "/c"),
        (None, None, {"XDG_STATE_HOME": "/x"}, "/x/orchestrator"),
        (None, None, {}, str(Path.home() / ".local/state/orchestrator")),
        ("~/runs", None, {}, str(Path.home() / "runs")),
    ],
)
def test_the_state_directory_has_an_order(
    explicit: str | None, configured: str | None, environ: dict[str, str], expected: str
) -> None:
    """--state-dir goes before the environment, the configuration, and the user's state directory."""
    assert state_dir(explicit, configured, environ) == Path(expected)
