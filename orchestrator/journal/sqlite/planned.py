"""What was planned, as a run file has it: its manifest, and whether a plan is still as it was made."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping

from orchestrator.errors import RefusedError
from orchestrator.journal.header import Header
from orchestrator.outcome import State
from orchestrator.plan import manifest
from orchestrator.plan.manifest import StepText, digest, short

_BLOCK = 1 << 20  # bytes of a list that are hashed at a time


def header_of(texts: Mapping[str, str]) -> Header:
    """What a run says of itself, also one of format 1.

    Args:
        texts: by name, as they stand in the file.
    """
    return Header(
        created=int(texts["created"]),
        given=json.loads(texts["given"]),
        config_path=texts["config_path"],
        limit=texts["limit"],
        ticket=texts.get("ticket", ""),
        reason=texts.get("reason", ""),
        authors=tuple(json.loads(texts.get("authors", "[]"))),
        policy=texts.get("policy", "null"),
        settings=texts.get("settings", "{}"),
        version=texts.get("version", ""),
    )


def manifest_in(connection: sqlite3.Connection) -> Iterator[bytes]:
    """The manifest of a run's plan, as it was before anything was sent, whatever has become of the run since.

    Raises:
        RefusedError: what is there was never written by this program.
    """
    try:
        yield from _manifest(connection)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _tampered(connection, "what is there cannot be read as a plan") from None


def verify(connection: sqlite3.Connection) -> None:
    """Look whether what was planned is still what is there.

    Raises:
        RefusedError: something was changed since.
    """
    found, said = digest(manifest_in(connection)), _meta(connection, "digest")
    if found != said:
        raise _tampered(connection, f"what is there has the digest {short(found)}, not {short(said)}")
    begun = connection.execute("SELECT EXISTS (SELECT 1 FROM session)").fetchone()[0]
    if not begun and _is_touched(connection):
        raise _tampered(connection, "some of it is marked as done, or left out, and nobody has begun it")


def _tampered(connection: sqlite3.Connection, why: str) -> RefusedError:
    return RefusedError(
        f"the plan {_meta(connection, 'run_id')} was changed after it was made: {why}",
        hint="somebody wrote into its file, or it was damaged: make a new plan",
    )


def _manifest(connection: sqlite3.Connection) -> Iterator[bytes]:
    texts = dict(connection.execute("SELECT key, value FROM meta"))
    yield from manifest.head(texts)
    for name, url, groups, tags, protected in connection.execute(
        "SELECT name, url, groups, tags, protected FROM host ORDER BY number"
    ):
        about = {"url": url, "groups": json.loads(groups), "tags": json.loads(tags), "protected": bool(protected)}
        yield manifest.line({"host": name, **about})
    for path, row, size in connection.execute("SELECT path, rowid, length(content) FROM list ORDER BY path"):
        yield manifest.line({"list": path, "bytes": size, "sha256": _sha256(connection, row)})
    steps = connection.execute("SELECT key, role, name, command, effect, layout FROM step ORDER BY number")
    for key, role, name, command, effect, layout in steps:
        about = {"role": role, "name": name, "command": command, "effect": effect, "layout": json.loads(layout)}
        yield manifest.line({"step": key, **about})
    yield from _operations(connection, sum(json.loads(texts["known"]).values()))


def _sha256(connection: sqlite3.Connection, row: int) -> str:
    found = hashlib.sha256()
    with connection.blobopen("list", "content", row, readonly=True) as content:
        while block := content.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _operations(connection: sqlite3.Connection, known: int) -> Iterator[bytes]:
    """The operations that were known when the plan was made; those of later steps were written behind them."""
    found = connection.execute("SELECT number, key, command, first FROM step WHERE first IS NOT NULL")
    steps = {number: StepText(*about) for number, *about in found}
    hosts = dict(connection.execute("SELECT number, name FROM host"))
    rows = connection.execute(
        "SELECT o.seq, o.step, o.host, o.parameters, l.operation IS NOT NULL FROM operation o"
        " LEFT JOIN left_out l ON l.operation = o.seq WHERE o.seq <= ? ORDER BY o.seq",
        (known,),
    )
    yield from manifest.operations(steps, hosts, rows)


_TOUCHED = """
SELECT EXISTS (SELECT 1 FROM operation o LEFT JOIN left_out l ON l.operation = o.seq
               WHERE o.seq > :known OR o.attempts OR o.state != CASE WHEN l.operation IS NULL THEN 0 ELSE :left_out END)
    OR EXISTS (SELECT 1 FROM step WHERE started OR finished OR operations IS NOT json_extract(:counts, '$."' || key || '"')
               OR state != CASE WHEN key IN (SELECT value FROM json_each(:skipped)) THEN 'skipped' ELSE 'pending' END)
    OR EXISTS (SELECT 1 FROM attempt) OR EXISTS (SELECT 1 FROM remark) OR EXISTS (SELECT 1 FROM answer)
    OR EXISTS (SELECT 1 FROM condition)
"""


def _is_touched(connection: sqlite3.Connection) -> bool:
    """Whether a run that nobody has begun has more, or less, than its plan: results, or operations that would not be sent."""
    counts, skipped = (_meta(connection, name) for name in ("known", "skipped"))
    values = {
        "known": sum(json.loads(counts).values()),
        "counts": counts,
        "skipped": skipped,
        "left_out": int(State.SKIPPED),
    }
    return bool(connection.execute(_TOUCHED, values).fetchone()[0])


def note_planned(connection: sqlite3.Connection, skipped: list[str]) -> dict[str, str]:
    """Note which operations are known, and which of these and of the steps are left out, to be told from what happens later.

    Args:
        connection: to a file with all that is planned, in the caller's transaction.
        skipped: the keys of the steps that are left out.

    Returns:
        texts for the run as a whole.
    """
    connection.execute("INSERT INTO left_out SELECT seq FROM operation WHERE state > 2 AND state = ?", (State.SKIPPED,))
    known = dict(connection.execute("SELECT key, operations FROM step WHERE operations IS NOT NULL"))
    return {"known": json.dumps(known), "skipped": json.dumps(skipped)}


def _meta(connection: sqlite3.Connection, key: str) -> str:
    return str(connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])
