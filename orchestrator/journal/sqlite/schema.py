"""The run file's format. A file of another format version is refused, never guessed at.

An operation's last attempt stands in its own row; only the attempts before it, which are rare, have rows in `attempt`.
The indexes are made first: of a truncated file SQLite reads nothing when an index began in what is gone.
Times are milliseconds since the epoch.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import DamagedRunError, JournalError
from orchestrator.journal.sqlite.draft import sweep

FORMAT = 2
READABLE = (1, 2)  # format 1 can be read, and not worked on
OVER = 1 << 16  # in the header beside the format, while nothing is left to resume: to be seen without opening the file
APPLICATION_ID = 0x446F764F  # "DovO": `file` and we can tell a run file from any other SQLite file

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE host (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    groups TEXT NOT NULL,            -- JSON
    tags TEXT NOT NULL,              -- JSON
    protected INTEGER NOT NULL
);
CREATE TABLE step (
    number INTEGER PRIMARY KEY,      -- place in the plan
    key TEXT NOT NULL UNIQUE,        -- "3", "3.verify"
    role TEXT NOT NULL,              -- step, verify, undo, finally
    name TEXT NOT NULL,
    command TEXT NOT NULL,
    effect TEXT NOT NULL,            -- read, repeatable, unrepeatable
    state TEXT NOT NULL,             -- pending, running, done, failed, skipped
    reason TEXT NOT NULL DEFAULT '', -- why it was skipped or failed
    first INTEGER,                   -- its first operation; NULL until it is expanded
    operations INTEGER,              -- how many it has
    started INTEGER,
    finished INTEGER,
    layout TEXT NOT NULL             -- the step as it was planned, JSON (plan.kept)
);
CREATE TABLE operation (
    seq INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    host INTEGER NOT NULL,
    state INTEGER NOT NULL,          -- outcome.State
    attempts INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    changed INTEGER,
    started INTEGER,                 -- of the last attempt
    finished INTEGER,
    parameters TEXT NOT NULL
);
CREATE INDEX open_operation ON operation (step, host, seq) WHERE state < 2;
CREATE INDEX not_done_operation ON operation (state, step) WHERE state > 2;  -- questions that use it say state > 2
CREATE TABLE left_out (operation INTEGER PRIMARY KEY);  -- those whose `when` said no when the plan was made
CREATE TABLE attempt (
    operation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    kind TEXT NOT NULL,
    exit_code INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (operation, number)
) WITHOUT ROWID;
CREATE TABLE remark (
    operation INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,              -- outcome.Kind of the last attempt
    error TEXT NOT NULL,
    evidence TEXT NOT NULL DEFAULT ''  -- what the host logged about it
);
CREATE TABLE answer (operation INTEGER PRIMARY KEY, rows TEXT NOT NULL, left_out INTEGER NOT NULL DEFAULT 0);
CREATE TABLE list (path TEXT NOT NULL UNIQUE, content BLOB NOT NULL);  -- files of items, as the plan read them
CREATE TABLE session (
    number INTEGER PRIMARY KEY,
    began INTEGER NOT NULL,
    ended INTEGER,                   -- NULL while it lasts, and when its process died
    status TEXT,                     -- status.Status
    reason TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL
);
CREATE TABLE owner (                 -- who works on the run; every commit looks whether that is still so
    one INTEGER PRIMARY KEY CHECK (one = 1),
    token TEXT NOT NULL,             -- empty: nobody
    process TEXT NOT NULL            -- owner.Process, JSON
);
INSERT INTO owner VALUES (1, '', '{}');
CREATE TABLE event (at INTEGER NOT NULL, kind TEXT NOT NULL, status TEXT, text TEXT NOT NULL);
CREATE TABLE control (               -- orders to whoever works on the run
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, value TEXT NOT NULL, done INTEGER
);
CREATE TABLE condition (             -- what was seen of conditions
    name TEXT NOT NULL,
    moment TEXT NOT NULL,            -- "start", "batch 4[2]", "step 5", "always", "left by step 5"
    at INTEGER NOT NULL,
    holds INTEGER,                   -- NULL: there was no data
    value TEXT NOT NULL,             -- JSON
    why TEXT NOT NULL
);
"""


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open an existing run file.

    Raises:
        DamagedRunError: not a run file, or of another format.
        JournalError: it cannot be opened, or not be written under this name.
    """
    try:
        if write:
            _refuse_two_names(path)
        _roll_back(path)
        connection = _open(path, "mode=rw") if write else _open_to_read(path)
    except sqlite3.DatabaseError as error:
        raise _opening_error(path, error) from None
    _checked(connection, path, write=write)
    try:  # the first of them reads the tables' definitions
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL" if write else "PRAGMA query_only = ON")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _opening_error(path, error) from None
    return connection


def connect_still(path: Path) -> sqlite3.Connection:
    """Open a run file that nobody writes, without locks and without a log; what is read holds if it `is_still` afterwards.

    Raises:
        DamagedRunError, JournalError: see `connect`.
    """
    try:
        connection = _open(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError as error:
        raise _opening_error(path, error) from None
    return _checked(connection, path)


def _open_to_read(path: Path) -> sqlite3.Connection:
    if _leaves_nothing(path):
        with suppress(sqlite3.DatabaseError):
            return _open(path, "mode=rw")
    try:
        return _open(path, "mode=ro")
    except sqlite3.DatabaseError as error:
        no_room_for_a_log = "disk I/O error" in str(error) and is_still(path) is not None  # so nobody writes it either
        if not (no_room_for_a_log or _can_only_be_read(path)):
            raise
        return _read_only(path)


def _leaves_nothing(path: Path) -> bool:
    """Whether a reader should take its log away when it closes, which one that may only read cannot.

    A log that says something is left as it is: to write it into the file would make a run look as if it had just been worked on.
    """
    return not _size_of_log(path) and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _size_of_log(path: Path) -> int:
    try:
        return os.stat(f"{path}-wal").st_size  # noqa: PTH116 - of thousands of files
    except OSError:
        return 0


def format_of(connection: sqlite3.Connection) -> int:
    """The file's format version."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) % OVER


def mark_over(connection: sqlite3.Connection, *, over: bool) -> None:
    """Note in the header whether nothing is left to resume, in the caller's transaction."""
    connection.execute(f"PRAGMA user_version = {FORMAT + over * OVER}")


def is_over(path: Path) -> bool:
    """Whether nothing is left to resume, as a glance at the header tells; False where it takes a closer look.

    This process must not be writing the file: to close it here would give up the locks that SQLite holds.
    """
    if is_still(path) is None:
        return False
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            header = file.read(_HEADER.size)
    except OSError:
        return False
    if len(header) < _HEADER.size:
        return False
    magic, version, application = _HEADER.unpack(header)
    return (magic, application) == (_MAGIC, APPLICATION_ID) and (version == 1 or version >= OVER)


def is_still(path: Path) -> tuple[int, int, int] | None:
    """What a run file without a log looks like, to see whether it was written meanwhile; None for one that is being written."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    if _size_of_log(path) or os.path.exists(f"{path}-journal"):  # noqa: PTH110
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


_HEADER = struct.Struct(">16s44xI4xI")  # see "The Database Header" in SQLite's File Format
_MAGIC = b"SQLite format 3\0"


def _checked(connection: sqlite3.Connection, path: Path, *, write: bool = False) -> sqlite3.Connection:
    """The connection, if it is to a run file of a format that can be read, or written; closed otherwise."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = format_of(connection)
    if application != APPLICATION_ID or version not in (READABLE if not write else (FORMAT,)):
        connection.close()
        raise _other_format(path, application, version, write=write)
    return connection


def _refuse_two_names(path: Path) -> None:
    """SQLite keeps a log beside the name that a file is opened by: under two names a run may have two owners."""
    real = path.resolve()
    if not real.exists() or real.stat().st_nlink == 1:
        return
    sweep(real.parent)  # a process that was killed as its plan was complete leaves a second name
    if real.stat().st_nlink > 1:
        raise JournalError(
            f"the run file {path} has a second name (a hard link), and can be used only under one",
            hint="remove the other name, or work on a copy",
        )


def _other_format(path: Path, application: int, version: int, *, write: bool) -> JournalError:
    if application != APPLICATION_ID:
        return DamagedRunError(f"{path} is not a run file")
    if version in READABLE and write:
        words = f"{path} has the run file format {version} of an older version, which can be read but not resumed"
        return JournalError(words, hint="`orchestrator report` shows it; plan again what is left")
    return DamagedRunError(f"{path} has the run file format {version}; this version reads format {FORMAT}")


def _open(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?{options}", uri=True, isolation_level=None, check_same_thread=False, timeout=10
    )
    try:
        connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _can_only_be_read(path: Path) -> bool:
    """Whether this user may read the file, and not write beside it, as SQLite does even when it only reads."""
    return os.access(path, os.R_OK) and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _read_only(path: Path) -> sqlite3.Connection:
    """A file in a place where this user cannot write; nobody may be writing it meanwhile."""
    log = path.with_name(path.name + "-wal")
    if _size_of_log(path):
        raise JournalError(
            f"{path} cannot be read in a directory that you cannot write to: part of it is in {log.name}",
            hint="copy both to a directory of your own and read it there, or read it as its owner",
        )
    try:
        return _open(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError as error:
        raise _opening_error(path, error) from None


def _roll_back(path: Path) -> None:
    """Undo what a killed process left half-done in a rollback journal, which a read-only connection could not."""
    if path.with_name(path.name + "-journal").exists():
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True, timeout=10)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()


def _opening_error(path: Path, error: sqlite3.DatabaseError) -> JournalError:
    if not path.exists():
        return JournalError(f"there is no run file {path}")
    if not os.access(path, os.R_OK):
        return JournalError(f"the run file {path} cannot be read: permission denied", hint="read it as its owner")
    if "disk I/O error" in str(error):
        return JournalError(f"the run file {path} cannot be read: {error}", hint="look at the disk: it may be full")
    if "unable to open" in str(error) or "readonly" in str(error):
        return JournalError(f"the run file {path} cannot be opened: {error}", hint="check its owner and permissions")
    return DamagedRunError(
        f"{path} is not a run file, or is damaged: {error}",
        hint="`sqlite3 FILE .recover` may recover part of it; do not resume it: plan again",
    )


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def explain(error: sqlite3.Error, path: Path) -> JournalError:
    """A database error as one of ours, with the remedy."""
    words = str(error)
    if "full" in words:
        return JournalError(f"the disk with the run file {path} is full", hint="make room, then resume the run")
    if "malformed" in words or "not a database" in words:
        return DamagedRunError(f"the run file {path} is damaged: {words}")
    if "locked" in words:
        return JournalError(
            f"the run file {path} is being written by another process", hint="wait for it, then try again"
        )
    if "readonly" in words:
        return JournalError(f"the run file {path} cannot be written: {words}", hint="check its owner and permissions")
    return JournalError(f"the run file {path} cannot be used: {words}", hint="look at the disk, then resume the run")
