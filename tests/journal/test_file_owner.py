"""Who owns a run file: whatever path, link or copy it is reached by, and whatever became of the lock file beside it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import JournalError, LockedError
from orchestrator.journal.base import Intent, Start, Verdict
from orchestrator.journal.sqlite import owner, schema
from orchestrator.journal.sqlite.lock import RunLock, is_locked, lock_path
from orchestrator.journal.sqlite.owner import Process
from orchestrator.journal.sqlite.store import FileRun, open_file
from orchestrator.outcome import State
from orchestrator.user import login
from orchestrator.version import __version__
from tests.command_line import ROOT
from tests.journal.journals import DEAD, ELSEWHERE, Sqlite, counts

pytestmark = pytest.mark.anyio
THIS = Process.this()

WORKING = """
import sys, anyio
from orchestrator.journal.base import Intent, Start
from orchestrator.journal.sqlite.store import open_file

async def work():
    async with open_file(sys.argv[1]).work(Start({})) as session:
        await session.intend([Intent(3, 1, 777)])
        print("working", flush=True)
        sys.stdin.read()

anyio.run(work)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run file."""
    return Sqlite(tmp_path).run()._path


@pytest.fixture
async def owned(path: Path) -> AsyncIterator[Path]:
    """A run file that this process works on."""
    async with open_file(str(path)).work(Start({})):
        yield path


async def work(path: Path) -> None:
    """A session that does nothing."""
    async with open_file(str(path)).work(Start({})):
        pass


# links and copies


def symlink(path: Path) -> Path:
    """Another name for the file."""
    other = path.parent / "elsewhere" / "b.run"
    other.parent.mkdir()
    other.symlink_to(path)
    return other


def test_a_link_has_the_lock_of_its_file(tmp_path: Path) -> None:
    """Whoever holds a run by one of its names holds it under the other, with one file for the lock."""
    path = Sqlite(tmp_path).run()._path
    link = symlink(path)
    with RunLock(link):
        assert is_locked(path)
        assert lock_path(path).exists()
    assert [found.name for found in link.parent.iterdir()] == ["b.run"]


def without_lock(path: Path) -> Path:
    """Somebody tidied up."""
    lock_path(path).unlink()
    return path


def copy(path: Path) -> Path:
    """A copy of what is being worked on, with its log."""
    other = path.with_name("b.run")
    shutil.copyfile(path, other)
    shutil.copyfile(f"{path}-wal", f"{other}-wal")
    return other


def copy_alone(path: Path) -> Path:
    """A copy of the file without its log."""
    return Path(shutil.copyfile(path, path.with_name("b.run")))


@pytest.mark.parametrize("reach", [symlink, without_lock, copy, copy_alone])
async def test_a_run_has_one_owner_however_it_is_reached(owned: Path, reach: Callable[[Path], Path]) -> None:
    """A link, a missing lock file, or a copy made meanwhile opens no way around the owner, who is named."""
    other = reach(owned)
    with pytest.raises(LockedError, match=rf"is being worked on by pid {os.getpid()} on ") as caught:
        await work(other)
    assert "wait for it, or stop it" in caught.value.hint
    assert "take-over" not in caught.value.hint
    assert open_file(str(other)).holder().startswith(f"pid {os.getpid()} on ")
    assert counts(open_file(str(owned))) == {State.PENDING: 6}


async def test_a_hard_link_gives_no_second_owner(owned: Path) -> None:
    """A run file with two names is not worked on under either: SQLite would keep two logs, and neither would know the other."""
    other = owned.with_name("b.run")
    other.hardlink_to(owned)
    with pytest.raises(JournalError, match=r"has a second name \(a hard link\)") as caught:
        await work(other)
    assert "remove the other name" in caught.value.hint
    with pytest.raises(LockedError):
        await work(owned)


async def test_a_hard_link_is_found_before_there_is_an_owner(path: Path) -> None:
    """A second name is refused also when nobody works on the run; without it the run is as it was."""
    other = path.with_name("b.run")
    other.hardlink_to(path)
    for name in (other, path):
        with pytest.raises(JournalError, match="has a second name"):
            await work(name)
    other.unlink()
    await work(path)


async def test_a_name_that_a_killed_planning_left_is_in_nobodys_way(path: Path) -> None:
    """A process that was killed right after its run file appeared left the draft's name, which is taken away."""
    draft = path.with_name(f".{path.name}.4711.planning")
    draft.hardlink_to(path)
    await work(path)
    assert not draft.exists()


# processes


def test_a_process_is_recognised_whatever_it_is_called(tmp_path: Path) -> None:
    """A name with brackets and blanks, which the kernel does not quote, hides no process."""
    odd = tmp_path / "a) S (1 2"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as process:
        began = owner._started(process.pid)
        process.kill()
    assert int(began) >= int(THIS.started) > 0


async def test_a_session_says_who_began_it(path: Path) -> None:
    """The person, the machine and the process stand in the run."""
    await work(path)
    with open_file(str(path)).read() as reader:
        assert [session.who for session in reader.sessions()] == [
            f"{login()} on {socket.gethostname()}, pid {os.getpid()}, orchestrator {__version__}"
        ]


def test_the_owner_that_was_killed_owns_nothing(path: Path) -> None:
    """A run is its process's while that lives, named by its number, and free as soon as it was killed."""
    run = open_file(str(path))
    with subprocess.Popen(
        [sys.executable, "-c", WORKING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert run.holder().startswith(f"pid {process.pid} on ")
        with pytest.raises(LockedError, match=f"pid {process.pid} "):
            run.settle([], Verdict.DONE, "x")
        process.kill()
        process.wait()
    assert (run.holder(), run.is_locked()) == ("", False)
    assert counts(run) == {State.PENDING: 5, State.RUNNING: 1}


@pytest.mark.parametrize(
    ("process", "lives"),
    [
        (THIS, True),
        (DEAD, False),
        (replace(THIS, started="1"), False),  # the number belongs to another process now
        (replace(THIS, boot="of yesterday"), False),  # this machine was started again since
        (replace(THIS, boot="of another machine", host="mx2"), True),  # nobody can see that from here
        (replace(THIS, namespace="pid:[1]"), None),  # in a container beside this one, or around it
        (replace(DEAD, namespace="pid:[1]"), None),
    ],
)
def test_a_process_lives_or_not(process: Process, lives: bool | None) -> None:
    """A process is told from another of the same number by its start, its boot and its container; elsewhere it may live."""
    assert process.lives is lives


def test_a_process_is_read_back() -> None:
    """What stands in a run file is the process again, also with words of a later version."""
    assert Process.from_json(THIS.to_json()) == THIS
    assert Process.from_json('{"pid": 4, "cgroup": "x"}') == Process(pid=4)
    assert str(ELSEWHERE) == "pid 7 on elsewhere since 2026-11-23 02:00:00"
    assert (ELSEWHERE.elsewhere, THIS.elsewhere, replace(THIS, boot="of yesterday").elsewhere) == (True, False, False)


async def test_an_owner_in_another_container_is_believed_by_its_lock(tmp_path: Path) -> None:
    """Where a process cannot be seen but would hold the lock, a free lock says that it is gone."""
    journal = Sqlite(tmp_path)
    run = journal.run()
    journal.usurp(run, replace(THIS, namespace="pid:[1]"))
    assert run.holder() == ""
    with RunLock(run._path):
        assert run.holder() == str(THIS)
        with pytest.raises(LockedError, match=f"pid {THIS.pid} on "):
            await work(run._path)
    await work(run._path)


# the lock file


def test_a_look_takes_no_lock(path: Path) -> None:
    """Asking who works on a run, or asking before there was any lock, makes nothing."""
    run = open_file(str(path))
    assert (run.holder(), run.is_locked()) == ("", False)
    assert not lock_path(path).exists()


def test_a_lock_without_an_owner_is_somebodys(path: Path) -> None:
    """A process that is about to become the owner is told as one, whatever stands in its lock file."""
    with RunLock(path):
        lock_path(path).write_bytes(b"\xff{")
        assert open_file(str(path)).holder() == "another process"
        with pytest.raises(LockedError, match="is being worked on by another process"), RunLock(path):
            pass
    assert not is_locked(path)


def test_a_damaged_run_that_is_locked_is_somebodys(path: Path) -> None:
    """Who works on a file that cannot be read is not known; that somebody does, is."""
    with RunLock(path):
        path.write_bytes(b"\0" * 4096)
        assert open_file(str(path)).holder() == "another process"
    assert open_file(str(path)).holder() == ""


def test_who_works_on_a_file_without_an_owner_is_not_known(path: Path) -> None:
    """Also what SQLite says of a damaged file is no reason to fail where only a name is asked for."""
    connection = schema.connect(path, write=True)
    connection.execute("DROP TABLE owner")
    connection.close()
    assert open_file(str(path)).holder() == ""
    with RunLock(path):
        assert open_file(str(path)).holder() == "another process"


def test_a_lock_is_for_its_owner_alone(path: Path) -> None:
    """Nobody else can hold it, and keep the run from being worked on."""
    with RunLock(path):
        assert stat.S_IMODE(lock_path(path).stat().st_mode) == 0o600


def test_a_lock_that_was_tidied_up_is_taken_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that is removed just before it is locked locks nothing: the one that others will find is."""
    really, calls = fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            lock_path(path).unlink()
        really(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with RunLock(path), pytest.raises(LockedError), RunLock(path):
        pass


def test_asking_for_a_lock_leaves_no_file_open(path: Path) -> None:
    """However often somebody is refused, nothing stays open."""
    open_files = Path("/proc/self/fd")
    with RunLock(path):
        before = len(list(open_files.iterdir()))
        with pytest.raises(LockedError), RunLock(path):
            pass
        assert is_locked(path)
        assert len(list(open_files.iterdir())) == before


def test_a_lock_that_cannot_be_written_is_a_journal_error(tmp_path: Path) -> None:
    """Without a place for the lock there is no work."""
    with pytest.raises(JournalError, match="cannot write the lock"), RunLock(tmp_path / "nowhere" / "a.run"):
        pass


async def test_a_run_that_is_not_there_has_no_owner(tmp_path: Path) -> None:
    """Work on a run file that is gone is an error, and leaves no lock held."""
    run = FileRun(tmp_path / "a.run", "a")
    with pytest.raises(JournalError, match="there is no run file"):
        await work(tmp_path / "a.run")
    assert not run.is_locked()


async def test_an_intent_of_a_dead_owner_is_in_doubt_for_the_next(tmp_path: Path) -> None:
    """What a killed process was sending is told to whoever goes on with the run."""
    journal = Sqlite(tmp_path)
    run = journal.run()
    await journal.vanish(run, Intent(1, 1, 5))
    async with run.work(Start({})) as session:
        assert session.doubtful == 1
