"""Writing a plan into a new run file: all operations pending, or nothing at all."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from orchestrator.errors import InputError, JournalError
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite import statements
from orchestrator.journal.sqlite.draft import drafted, sweep
from orchestrator.journal.sqlite.planned import manifest_in, note_planned
from orchestrator.journal.sqlite.schema import APPLICATION_ID, FORMAT, SCHEMA, connect, explain
from orchestrator.plan.expand import changed_hosts, contents
from orchestrator.plan.kept import Kept, keep
from orchestrator.plan.manifest import digest
from orchestrator.plan.steps import Draft, Plan, Planning

OFTEN = 250_000  # operations; some seconds of planning


def _nobody(_count: int) -> None:
    """Nobody waits."""


def create(names: Iterable[tuple[str, Path]], plan: Plan, header: Header, planned: Planning = _nobody) -> Path:
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
            with copy:
                statements.unclaim(copy)  # the plan is about to be applied; the run is not
        finally:
            copy.close()
            original.close()
        return publish(draft, path)


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A draft beside the file to be; what goes wrong with the disk, or cannot be kept, becomes one of our errors."""
    sweep(path.parent)
    try:
        with drafted(path) as draft:
            yield draft
    except sqlite3.Error as error:
        raise explain(error, path) from None
    except FileExistsError:
        raise
    except OSError as error:
        raise _not_written(error, path) from None
    except UnicodeEncodeError as error:
        place = error.object[max(0, error.start - 40) : error.end]
        raise InputError.at(
            f"{place!r} is not text in UTF-8, and cannot be kept",
            path.name,
            hint="rename the file or the directory, or write the value in UTF-8",
        ) from None


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
        try:
            draft.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
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


def _fill(path: Path, plan: Plan, header: Header, run_id: str, planned: Planning) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;" + SCHEMA
        )
        kept, skipped, counted = keep(plan), [], count(1)
        hosts = _hosts(connection, plan)
        _steps(connection, plan, kept)
        for step, drafts in contents(plan):
            if drafts is None:
                skipped.append(step.key)
                statements.mark(
                    connection, step.index, "skipped", "its condition is false", header.created, ended=False
                )
            else:
                statements.expand(connection, step.index, _told(drafts, counted, planned), hosts)
        _meta(connection, plan, header, run_id, kept, note_planned(connection, skipped))
        found = digest(manifest_in(connection))  # of the file itself: whoever reads it finds the same
        connection.execute("INSERT INTO meta VALUES ('digest', ?)", (found,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")  # from the start: a run never has to switch
    finally:
        connection.close()


def _told(drafts: Iterator[Draft], counted: Iterator[int], planned: Planning) -> Iterator[Draft]:
    """A step's operations, counted for whoever waits."""
    for draft in drafts:
        if (number := next(counted)) % OFTEN == 0:
            planned(number)
        yield draft


def _hosts(connection: sqlite3.Connection, plan: Plan) -> dict[str, int]:
    numbers = {name: number for number, name in enumerate(plan.inventory.hosts, 1)}
    connection.executemany(
        "INSERT INTO host VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                numbers[host.name],
                host.name,
                host.endpoint.url,
                json.dumps(host.groups),
                json.dumps(host.tags),
                host.protected,
            )
            for host in plan.inventory.hosts.values()
        ],
    )
    return numbers


def _steps(connection: sqlite3.Connection, plan: Plan, kept: Kept) -> None:
    connection.executemany(
        "INSERT INTO step (number, key, role, name, command, effect, state, layout)"
        " VALUES (?, ?, ?, ?, ?, ?, 'pending', ?)",
        [
            (s.index, s.key, s.role, s.name, s.command, s.effect.value, layout)
            for s, layout in zip(plan.steps, kept.steps, strict=True)
        ],
    )


def _meta(
    connection: sqlite3.Connection, plan: Plan, header: Header, run_id: str, kept: Kept, noted: Mapping[str, str]
) -> None:
    meta = {
        **noted,
        "run_id": run_id,
        "created": str(header.created),
        "given": json.dumps(dict(header.given), ensure_ascii=False),
        "config_path": header.config_path,
        "limit": header.limit,
        "ticket": header.ticket,
        "reason": header.reason,
        "authors": json.dumps(header.authors, ensure_ascii=False),
        "policy": header.policy,
        "settings": header.settings,
        "version": header.version,
        "playbook": plan.terms.name,
        "terms": kept.terms,
        "origin": kept.origin,
        "values": kept.values,
        "limited": kept.limited,
        "warnings": kept.warnings,
        "conditions": kept.conditions,
        "seen": kept.seen,
        "groups": json.dumps(plan.inventory.groups, ensure_ascii=False),
        "changes": json.dumps(sorted(changed_hosts(plan)), ensure_ascii=False),
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.executemany("INSERT INTO list VALUES (?, ?)", kept.lists.items())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
