"""Writing a plan into a new run file: all operations pending, or nothing at all."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import JournalError
from orchestrator.expression import names_in
from orchestrator.journal.draft import Draft, sweep
from orchestrator.journal.schema import APPLICATION_ID, FORMAT, SCHEMA, connect, explain
from orchestrator.outcome import Repeatability, State
from orchestrator.plan import Digest, Plan, PlannedStep, expand, hosts_of, known_now, skipped_now

OFTEN = 250_000  # operations; some seconds of planning

Planned = Callable[[int], object]


@dataclass(frozen=True)
class Header:
    """What a run file says of the run as a whole.

    Attributes:
        created: milliseconds since the epoch.
        given: the texts of the playbook's parameters.
        config_path: the configuration that it was planned with.
        limit: the selection of --limit, or empty.
    """

    created: int
    given: Mapping[str, str]
    config_path: str
    limit: str = ""


def create(
    names: Iterable[tuple[str, Path]], plan: Plan, header: Header, planned: Planned = lambda _count: None
) -> Path:
    """Write a plan into a new run file, mode 0600; returns its path.

    The file appears under its name when it is complete and on the disk, and only where no file was.

    Args:
        names: run ids with their files, in order of preference; the first that is free is taken.
        plan: what is written.
        header: the run as a whole.
        planned: called every few seconds of a long planning, with the number of operations so far.

    Raises:
        InputError, ExpressionError, RefusedError: the plan cannot be made; nothing is left behind.
        JournalError: the file cannot be written.
        FileExistsError: no name is free.
    """
    left = iter(names)
    run_id, path = next(left)
    with _new_file(path) as draft:
        _fill(draft, plan, header, run_id, planned)
        while True:
            try:
                return publish(draft, path)
            except FileExistsError:  # another process took the name in this very moment
                following = next(left, None)
                if following is None:
                    raise
                run_id, path = following
                _rename(draft, run_id)


def adopt(source: Path, path: Path) -> Path:
    """Copy a saved plan to its run file, which must not be there yet.

    Raises:
        FileExistsError: it is there.
        JournalError: it cannot be written, or the plan cannot be read; nothing is left behind.
    """
    with _new_file(path) as draft:
        original, copy = connect(source), sqlite3.connect(draft)
        try:
            original.backup(copy)
        finally:
            copy.close()
            original.close()
        return publish(draft, path)


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A draft beside the file to be; what goes wrong with the disk becomes one of our errors."""
    sweep(path.parent)
    try:
        with Draft(path) as draft:
            yield draft.path
    except sqlite3.Error as error:
        raise explain(error, path) from None
    except FileExistsError:
        raise
    except OSError as error:
        raise _not_written(error, path) from None


def _not_written(error: OSError, path: Path) -> JournalError:
    if error.errno == errno.ENOSPC:
        return JournalError(f"the disk with {path} is full", hint="make room, and give the command again")
    if not path.parent.is_dir():
        return JournalError(f"there is no directory {path.parent}", hint="make it first, or give another")
    return JournalError(f"{path} cannot be written: {error.strerror}", hint="give another directory")


def publish(draft: Path, path: Path) -> Path:
    """Have a complete file appear under its name, where no file is yet; returns the name.

    Raises:
        FileExistsError: there is one.
        OSError: it cannot be written.
    """
    _sync(draft)
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # the name is ours now
        draft.replace(path)
    _sync(path.parent)
    return path


_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}  # file systems without hard links


def _rename(draft: Path, run_id: str) -> None:
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'run_id'", (run_id,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _fill(path: Path, plan: Plan, header: Header, run_id: str, planned: Planned) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;" + SCHEMA
        )
        digest = Digest(plan)
        hosts = _hosts(connection, plan)
        _steps(connection, plan)
        skipped: set[str] = set()
        for step in plan.of("step", "verify", "finally"):
            if step.key.removesuffix(".verify") in skipped or skipped_now(step, plan.scope(step)):
                skipped.add(step.key)
                _skip(connection, step)
            elif step.action is not None and known_now(step, plan.scope(step)):
                insert_operations(connection, step, plan, plan.scope(step), hosts, digest, planned)
        _meta(connection, plan, header, run_id, str(digest))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")  # from the start: a run never has to switch
    finally:
        connection.close()


def _hosts(connection: sqlite3.Connection, plan: Plan) -> dict[str, int]:
    names = {name: number for number, name in enumerate(plan.inventory.hosts, 1)}
    connection.executemany(
        "INSERT INTO host VALUES (?, ?, ?)",
        [(number, name, plan.inventory.hosts[name].endpoint.url) for name, number in names.items()],
    )
    return names


def _steps(connection: sqlite3.Connection, plan: Plan) -> None:
    connection.executemany(
        "INSERT INTO step (number, key, role, name, command, effect, state) VALUES (?, ?, ?, ?, ?, ?, 'pending')",
        [(s.index, s.key, s.role, s.name, s.command, s.effect.value) for s in plan.steps],
    )


def _skip(connection: sqlite3.Connection, step: PlannedStep) -> None:
    connection.execute(
        "UPDATE step SET state = 'skipped', reason = 'its condition does not hold' WHERE number = ?", (step.index,)
    )


def insert_operations(
    connection: sqlite3.Connection,
    step: PlannedStep,
    plan: Plan,
    scope: dict[str, Any],
    hosts: Mapping[str, int],
    digest: Digest | None = None,
    planned: Planned = lambda _count: None,
) -> int:
    """Expand a step into the run file, inside the caller's transaction; returns how many operations it has."""
    first = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM operation").fetchone()[0]

    def rows() -> Iterator[tuple[int, int, int, str]]:
        pending, skipped = int(State.PENDING), int(State.SKIPPED)
        for number, draft in enumerate(expand(step, plan, scope), first):
            if number % OFTEN == 0:
                planned(number)
            if digest is not None:
                digest.add(step, draft)
            yield step.index, hosts[draft.host], skipped if draft.skipped else pending, draft.parameters

    connection.executemany("INSERT INTO operation (step, host, state, parameters) VALUES (?, ?, ?, ?)", rows())
    last = connection.execute("SELECT coalesce(max(seq), 0) FROM operation").fetchone()[0]
    connection.execute(
        "UPDATE step SET first = ?, operations = ? WHERE number = ?", (first, last - first + 1, step.index)
    )
    return int(last - first + 1)


def _meta(connection: sqlite3.Connection, plan: Plan, header: Header, run_id: str, digest: str) -> None:
    document = plan.source.document
    meta = {
        "run_id": run_id,
        "created": str(header.created),
        "given": json.dumps(dict(header.given), ensure_ascii=False),
        "config_path": header.config_path,
        "limit": header.limit,
        "playbook": plan.source.playbook.name,
        "playbook_source": document.source,
        "playbook_folder": str(document.folder),
        "playbook_text": document.text,
        "groups": json.dumps(plan.inventory.groups, ensure_ascii=False),
        "changes": json.dumps(sorted(_changed_hosts(plan)), ensure_ascii=False),
        "digest": digest,
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.executemany("INSERT INTO list VALUES (?, ?)", plan.lists.contents.items())


def _changed_hosts(plan: Plan) -> set[str]:
    """The hosts that a plan may change; all of them where only the run will know."""
    found: set[str] = set()
    for step in plan.steps:
        if step.action is None or step.effect is Repeatability.READ:
            continue
        if names_in(step.action.hosts) - set(plan.scope(step)):
            return set(plan.inventory.hosts)
        found |= {host.name for host in hosts_of(step, plan, plan.scope(step))}
    return found


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
