"""Files that are no run files, and run files that were damaged: recognised, never believed, and read as far as they can be."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import DamagedRunError, JournalError
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.salvage import mended_copy
from orchestrator.journal.sqlite.schema import APPLICATION_ID, FORMAT
from orchestrator.journal.sqlite.store import open_file
from orchestrator.journal.sqlite.writer import Writer
from orchestrator.outcome import State
from tests.journal.journals import HEADER, with_log
from tests.strategies import plan, steps

MANY = steps(f"hosts: 'b[1-3]', for_each: [{', '.join(f'u{n}' for n in range(500))}], command: who")


def foreign(path: Path, application: int, version: int) -> None:
    """An SQLite file that is not, or not quite, a run file."""
    connection = sqlite3.connect(path)
    connection.executescript(
        f"CREATE TABLE meta (x); PRAGMA application_id = {application}; PRAGMA user_version = {version}"
    )
    connection.close()


def names_in(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.name for path in folder.iterdir())


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
@pytest.mark.parametrize("how", [FileReader, lambda path: Writer(path, list, list)])  # type: ignore[arg-type]
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


@pytest.mark.parametrize("left", [[], ["a.run-wal"]])
def test_a_missing_file_is_not_made(tmp_path: Path, left: list[str]) -> None:
    """Opening a run file that is not there is an error, and makes none, also where its log is left."""
    for name in left:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(JournalError, match="there is no run file"):
        FileReader(tmp_path / "a.run")
    assert names_in(tmp_path) == left


@pytest.mark.parametrize("damage", ["half", "middle", "index"])
def test_damage_is_recognised(tmp_path: Path, damage: str) -> None:
    """A run file that was truncated or overwritten is recognised by its check, as a DamagedRunError and nothing else."""
    path = create(
        [("a", tmp_path / "a.run")],
        plan(steps("hosts: backends, for_each: '{{ groups.backends }}', command: who")),
        HEADER,
    )
    content = path.read_bytes()
    if damage == "half":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "middle":
        path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 8192) + content[-4096:])
    else:
        path.write_bytes(content[:4096] + content[-4096:] * (len(content) // 4096 - 1))
    with pytest.raises(DamagedRunError), FileReader(path) as reader:
        reader.check()


def test_what_is_left_of_a_cut_file_is_read(tmp_path: Path) -> None:
    """Of a file whose end is gone the operations before it are read, in order, and nothing is invented."""
    path = create([("a", tmp_path / "a.run")], plan(MANY), HEADER)
    with FileReader(path) as reader:
        whole = list(reader.operations())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 2 * 4096])
    found = open_file(str(path)).salvage(list)
    assert 0 < len(found) < len(whole)
    assert all(operation in whole for operation in found)
    assert found == sorted(found, key=lambda operation: int(operation.id.partition(".")[2]))


@pytest.mark.parametrize("count", [1, 1000, 1001])
def test_all_that_is_there_is_read(tmp_path: Path, count: int) -> None:
    """However many operations there are, the first and the last are among what is read, each once."""
    items = ", ".join(f"u{number}" for number in range(count))
    text = steps(f"hosts: b1, for_each: [{items}], command: who")
    path = create([("a", tmp_path / "a.run")], plan(text), HEADER)
    with FileReader(path) as reader:
        assert open_file(str(path)).salvage(list) == list(reader.operations())


def test_around_a_page_that_is_damaged_all_is_read(tmp_path: Path) -> None:
    """Of a file with other bytes in its midst only the operations in that page are lost."""
    kicks = MANY.replace("who", "kick, parameters: {mask: ['{{ item }}']}")
    path = create([("a", tmp_path / "a.run")], plan(kicks), HEADER)
    with FileReader(path) as reader:
        whole = list(reader.operations())
    content = path.read_bytes()
    page = content.index(b'"u233"') // 4096 * 4096
    path.write_bytes(content[:page] + b"\xaa" * 4096 + content[page + 4096 :])
    found = open_file(str(path)).salvage(list)
    lost = [number for number, operation in enumerate(whole) if operation not in found]
    assert {"mask": ["u233"]} in [whole[number].parameters for number in lost]
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert len(lost) < 200
    assert found == [operation for number, operation in enumerate(whole) if number not in lost]


def test_operations_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    """A state, a host or parameters that there cannot be cost the operation that has it, and no other."""
    path = create([("a", tmp_path / "a.run")], plan(MANY), HEADER)
    with FileReader(path) as reader:
        whole = list(reader.operations())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE operation SET state = 99 WHERE seq = 1")
        connection.execute("UPDATE operation SET host = 99 WHERE seq = 1002")
        connection.execute("""UPDATE operation SET parameters = '{"mask' WHERE seq = 1003""")
    connection.close()
    found = open_file(str(path)).salvage(list)
    assert found == [operation for number, operation in enumerate(whole, 1) if number not in {1, 1002, 1003}]


def test_what_is_in_the_log_is_read_too(tmp_path: Path) -> None:
    """The last that a killed process recorded is in the log beside the file, which is left as it is."""
    path = create([("a", tmp_path / "a.run")], plan(MANY), HEADER)
    with_log(path)
    log = path.with_name("a.run-wal").read_bytes()
    assert [operation.state for operation in open_file(str(path)).salvage(list)[:2]] == [State.DONE, State.PENDING]
    assert path.with_name("a.run-wal").read_bytes() == log


@pytest.mark.parametrize("size", [6, 99])
def test_of_what_is_no_run_file_nothing_is_read(tmp_path: Path, size: int) -> None:
    """Where not even the beginning is there, that is said."""
    path = create([("a", tmp_path / "a.run")], plan(steps("hosts: b1, command: who")), HEADER)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedRunError, match="nothing of it can be read"):
        open_file(str(tmp_path / "a.run")).salvage(list)
    path.write_bytes(bytes(4096))
    with pytest.raises(DamagedRunError, match="nothing of it can be read"):
        open_file(str(tmp_path / "a.run")).salvage(list)


def test_a_mended_copy_says_how_many_pages_it_has(tmp_path: Path) -> None:
    """The first page of a file that ends too early is corrected, in a copy, and nothing else of it is changed."""
    path = create([("a", tmp_path / "a.run")], plan(MANY), HEADER)
    cut = path.read_bytes()[: 4096 * 5 + 77]
    path.write_bytes(cut)
    folder = tmp_path / "copies"
    folder.mkdir()
    mended = mended_copy(path, folder).read_bytes()
    assert mended == cut[:28] + (5).to_bytes(4, "big") + cut[32:]
    assert path.read_bytes() == cut
