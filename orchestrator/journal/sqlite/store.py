"""Where run files are kept, how they are named and found; and one run file, as those see it who work with runs."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, TypeVar, overload

from orchestrator.errors import (
    DamagedRunError,
    InputError,
    JournalError,
    LockedError,
    RefusedError,
    RunNotFoundError,
    nearest,
)
from orchestrator.journal.base import OperationRecord, Start, Verdict
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite import owner, statements
from orchestrator.journal.sqlite.create import adopt, create
from orchestrator.journal.sqlite.lock import RunLock, holder, is_locked, lock_path
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.salvage import mended_copy, readable
from orchestrator.journal.sqlite.schema import connect, connect_still, explain, is_over, is_still
from orchestrator.journal.sqlite.writer import Writer
from orchestrator.plan.steps import Plan, Planning
from orchestrator.user import expand, home, login

if TYPE_CHECKING:
    from orchestrator.journal.sqlite.session import FileSession

T = TypeVar("T")
SUFFIX = ".run"
ENVIRONMENT = "ORCHESTRATOR_STATE_DIR"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")


class FileRun:
    """A run file.

    Attributes:
        id: the file's name, without its ending.
        name: as one types it: the id, or the path of a file from elsewhere.
    """

    def __init__(self, path: Path, name: str, writer: type[Writer] = Writer) -> None:
        self._path = path
        self._writer = writer
        self.id = path.name.removesuffix(SUFFIX)
        self.name = name

    def read(self) -> FileReader:
        """Open it for reading.

        Raises:
            DamagedRunError, JournalError: see `schema.connect`.
        """
        return FileReader(self._path)

    def work(self, start: Start) -> FileSession:
        """Own it; see `FileSession`."""
        from orchestrator.journal.sqlite.session import FileSession

        return FileSession(self._path, start, self._writer)

    def holder(self) -> str:
        """Who works on it now ("pid 4711 on mx1 since ..."), or empty."""
        return holder(self._path)

    def is_locked(self) -> bool:
        """Whether somebody works on it; cheaper than to ask who."""
        return is_locked(self._path)

    def is_over(self) -> bool:
        """Whether nothing is left to resume, as far as a glance tells that does not open the run."""
        return not self.is_locked() and is_over(self._path)

    def glance(self, question: Callable[[FileReader], T]) -> T:
        """The answer to a short question; of a run that nobody works on without the cost of locks and a log.

        Raises:
            DamagedRunError, JournalError: see `schema.connect`.
        """
        before = None if self.is_locked() else is_still(self._path)
        if before is not None:
            try:
                with FileReader(self._path, connect_still) as reader:
                    found = question(reader)
            except JournalError:
                if before == is_still(self._path):
                    raise
            else:
                if before == is_still(self._path):
                    return found
        with self.read() as reader, reader.moment():
            return question(reader)

    def modified(self) -> int:
        """When it was changed last, for order; 0 for one that is gone."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def settle(self, seqs: Sequence[int], verdict: Verdict, why: str) -> int:
        """Settle operations that are in doubt; returns how many.

        Raises:
            LockedError: somebody works on the run.
            JournalError: it cannot be written.
        """

        def job(connection: sqlite3.Connection) -> int:
            owner.take(connection, self.id)
            settled = statements.decide(connection, seqs, verdict, why)
            owner.give_back(connection)
            return settled

        with RunLock(self._path):
            return self._change(job)

    def claim(self, run: FileRun) -> str:
        """Note in this saved plan as which run it is about to be applied; returns as which it was before, or empty.

        Raises:
            RefusedError: it cannot be noted.
        """
        try:
            return self._change(lambda connection: statements.claim(connection, run.place))
        except JournalError as error:
            raise RefusedError(
                f"cannot mark {self.name} as applied: {error.message}",
                hint="a plan is applied once, and its file must record that; copy it to a directory of your own, apply the copy",
            ) from None

    def mark_applied(self, run: FileRun) -> None:
        """Note in this saved plan that it is applied as a run, which is there now."""
        self._change(lambda connection: statements.mark_applied(connection, run.place))

    def unclaim(self) -> None:
        """Note in this saved plan that it could not be applied."""
        self._change(statements.unclaim)

    def discard(self) -> bool:
        """Remove it with all that stands beside it, if nobody has ever begun it; returns whether that is so."""
        try:
            with RunLock(self._path):
                with self.read() as reader:
                    begun = bool(reader.sessions())
                if not begun:
                    for suffix in ("", "-wal", "-shm"):
                        self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                    lock_path(self._path).unlink(missing_ok=True)
        except (LockedError, JournalError):
            return False
        return not begun

    @property
    def place(self) -> str:
        """What it is called, and where, for those who look from elsewhere."""
        return f"{self.id} in {self._path.parent.resolve()}"

    def is_same(self, other: FileRun) -> bool:
        """Whether both are one file."""
        return self._path.exists() and other._path.exists() and self._path.samefile(other._path)

    def is_there(self) -> bool:
        """Whether it exists."""
        return self._path.exists()

    def is_new(self) -> bool:
        """Whether it exists, and nobody has begun it."""
        if not self.is_there():
            return False
        with self.read() as reader:
            return not reader.sessions()

    def salvage(self, take: Callable[[Iterator[OperationRecord]], T]) -> T:
        """Have what can be read of a damaged file taken.

        Raises:
            DamagedRunError: nothing of it can be read.
        """
        with (
            tempfile.TemporaryDirectory(prefix="orchestrator-") as folder,
            FileReader(mended_copy(self._path, Path(folder))) as file,
        ):
            return take(readable(file))

    def adopted_by(self, target: FileRun) -> FileRun:
        """Copy it to another name, where nothing is yet.

        Raises:
            FileExistsError: it is there.
            JournalError: it cannot be written, or not be read.
        """
        adopt(self._path, target._path)
        return target

    def _change(self, job: Callable[[sqlite3.Connection], T]) -> T:
        connection = connect(self._path, write=True)
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = job(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise explain(error, self._path) from None
        finally:
            connection.close()
        return result


class FileStore:
    """The state directory: run files, mode 0600, in a directory of mode 0700.

    Args:
        folder: the directory; it is made when something is kept.
        writer: who writes run files.
    """

    def __init__(self, folder: Path, writer: type[Writer] = Writer) -> None:
        self.folder = folder
        self._writer = writer

    def prepare(self) -> None:
        """Create the directory.

        Raises:
            JournalError: it cannot be created or written.
        """
        hint = f"give another with --state-dir or {ENVIRONMENT}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            words = f"cannot create the state directory {self.folder}: {error.strerror}"
            raise JournalError(words, hint=hint) from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise JournalError(f"the state directory {self.folder} cannot be written", hint=hint)

    def create(self, plan: Plan, header: Header, planned: Planning = lambda _count: None) -> FileRun:
        """Write a plan as a new run, under a name made of the time and the playbook's.

        Raises:
            JournalError: it cannot be written.
            InputError, ExpressionError, RefusedError: the plan cannot be made; nothing is left behind.
        """
        self.prepare()
        return self._run(create(self._new_names(plan.terms.name), plan, header, planned))

    def save(self, target: str, plan: Plan, header: Header, planned: Planning = lambda _count: None) -> FileRun:
        """Write a plan to a file of its own, to be applied later.

        Raises:
            FileExistsError: there is one.
            JournalError: it cannot be written.
        """
        run_id, _ = next(self._new_names(plan.terms.name))
        names = [(f"{run_id}-{token_hex(2)}", Path(target))]  # two of the same second are two runs
        return FileRun(create(names, plan, header, planned), target, self._writer)

    def target_of(self, saved: FileRun) -> FileRun:
        """The run that a saved plan becomes here, which may be there already; the plan itself when it is here.

        Raises:
            DamagedRunError: the plan says that its run is called by something that is no name.
        """
        with saved.read() as reader:
            return self._run(self._path(reader.run_id))

    def adopt(self, saved: FileRun) -> FileRun:
        """Make a run of a saved plan, once, whatever state directory is used; the run itself, when it is there and never begun.

        The plan says first as which run it is about to be applied, then the run is made, then the plan says that it is: a process
        that is killed in between has sent nothing, and the next one goes on where it was.

        Raises:
            RefusedError: it was applied before, or it cannot be written in it that it is.
            JournalError: the run cannot be written; the plan is as it was.
        """
        self.prepare()
        target = self.target_of(saved)
        before = saved.claim(target)
        if before and (before != target.place or not target.is_new()):
            raise _applied(before)
        if not target.is_there():
            try:
                saved.adopted_by(target)
            except FileExistsError:
                pass  # another process was faster; one of the two will begin it, and the other be told so
            except BaseException:
                if not target.is_there():  # else a Ctrl-C came late
                    saved.unclaim()
                raise
        if not before:
            saved.mark_applied(target)
        return target

    def runs(self) -> Sequence[FileRun]:
        """All runs, oldest first.

        Raises:
            JournalError: the directory is there, and cannot be read.
        """
        return _Runs(self._ids(), self._named)

    def newest_first(self) -> Iterator[FileRun]:
        """All runs, the one that was worked on last first.

        Raises:
            JournalError: the directory is there, and cannot be read.
        """
        return map(self._named, sorted(self._ids(), key=lambda run_id: self._named(run_id).modified(), reverse=True))

    def _ids(self) -> list[str]:
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 - a path each for thousands is ten times the memory
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise JournalError(
                f"the state directory {self.folder} cannot be read: {error.strerror}",
                hint=f"look as its owner, or give another with --state-dir or {ENVIRONMENT}",
            ) from None
        return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX) and not name.startswith("."))

    def find(self, name: str | None) -> FileRun:
        """The run that a name means: an id, an unambiguous part of one, or the newest for "last" or None.

        Raises:
            RunNotFoundError: none, or several.
            JournalError: the directory cannot be read.
        """
        if name is None or name == "last":
            newest = next(self.newest_first(), None)
            if newest is None:
                raise RunNotFoundError(f"there are no runs in {self.folder}", hint="start one with `orchestrator run`")
            return newest
        ids = self._ids()
        found = [name] if name in ids else [run_id for run_id in ids if name in run_id]
        if len(found) == 1:
            return self._named(found[0])
        if found:
            raise RunNotFoundError(f"{name!r} could be any of {', '.join(found[-5:])}")
        near = nearest(name, ids)
        hint = f"did you mean {near}?" if near else "`orchestrator runs` lists them"
        raise RunNotFoundError(f"there is no run {name!r} in {self.folder}", hint=hint)

    def _new_names(self, name: str) -> Iterator[tuple[str, Path]]:
        """Run ids made of the time and the playbook's name, each with its file, none of which was taken just now.

        Whoever makes the file takes the first that is still free then (`create`).
        """
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "run"
        base = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
        for number in count(1):
            run_id = base if number == 1 else f"{base}-{number}"
            if not self._path(run_id).exists():
                yield run_id, self._path(run_id)

    def _named(self, run_id: str) -> FileRun:
        """A run that was found in the directory, whatever it is called."""
        return self._run(self.folder / f"{run_id}{SUFFIX}")

    def _run(self, path: Path) -> FileRun:
        return FileRun(path, path.name.removesuffix(SUFFIX), self._writer)

    def _path(self, run_id: str) -> Path:
        if not _RUN_ID.match(run_id):
            raise DamagedRunError(f"{run_id!r} is not a run's name: this is not a plan of this program")
        return self.folder / f"{run_id}{SUFFIX}"


class _Runs(Sequence[FileRun]):
    """Runs by their ids; of thousands nothing else is held in memory."""

    def __init__(self, ids: Sequence[str], named: Callable[[str], FileRun]) -> None:
        self._ids = ids
        self._named = named

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> FileRun: ...

    @overload
    def __getitem__(self, index: slice) -> _Runs: ...

    def __getitem__(self, index: int | slice) -> FileRun | _Runs:
        return _Runs(self._ids[index], self._named) if isinstance(index, slice) else self._named(self._ids[index])


def _applied(run: str) -> RefusedError:
    return RefusedError(
        f"this plan was already applied, as run {run}",
        hint="to do the same again, make a new plan",
    )


def open_file(name: str) -> FileRun:
    """A run file, or a saved plan, by its path."""
    return FileRun(Path(name), name)


def state_dir(explicit: str | None, configured: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """The state directory: --state-dir, ORCHESTRATOR_STATE_DIR, the configuration's, or the user's state directory.

    Raises:
        InputError: none is given, and the user has no home directory.
    """
    environ = os.environ if environ is None else environ
    chosen = explicit or environ.get(ENVIRONMENT) or configured
    if chosen:
        return expand(chosen)
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]) / "orchestrator"
    user = home()
    if user is None:
        raise InputError.at(
            f"{login()} has no home directory to keep runs in",
            "state directory",
            hint=f"give a directory with --state-dir or {ENVIRONMENT}",
        )
    return user / ".local" / "state" / "orchestrator"
