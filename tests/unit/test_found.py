"""How many items of a list were found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from orchestrator.found import Found, found_sentence
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.outcome import State
from tests.strategies import plan, steps

DONE, FAILED, SKIPPED = State.DONE, State.FAILED, State.SKIPPED


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ([("u1", DONE, True), ("u2", DONE, False)], (1, 1, 0)),
        ([("u1", DONE, False), ("u1", DONE, True), ("u1", DONE, False)], (1, 0, 0)),
        ([("u1", DONE, False), ("u1", FAILED, None)], (0, 0, 1)),
        ([("u1", DONE, True), ("u1", State.UNREACHABLE, None)], (1, 0, 0)),
        ([("u1", State.PENDING, None), ("u2", State.IN_DOUBT, None)], (0, 0, 2)),
        ([("u1", DONE, None)], (0, 0, 1)),
        ([("u1", SKIPPED, None), ("u2", SKIPPED, None), ("u2", DONE, False)], (0, 1, 0)),
    ],
)
def test_an_item_is_found_where_any_host_has_it(
    tmp_path: Path, operations: list[tuple[str, State, bool | None]], found: tuple[int, int, int]
) -> None:
    """An item counts once: found if any host changed something, absent if all answered and none did, else unknown."""
    items = ", ".join(user for user, _, _ in operations)
    line = f"hosts: b1, for_each: [{items}], command: kick, parameters: {{mask: '{{{{ item }}}}'}}"
    path = create([("r", tmp_path / "r.run")], plan(steps(line)), Header(0, {}, "/c"))
    with sqlite3.connect(path) as connection:
        for seq, (_, state, changed) in enumerate(operations, 1):
            connection.execute("UPDATE operation SET state = ?, changed = ? WHERE seq = ?", (int(state), changed, seq))
    connection.close()
    with FileReader(path) as reader:
        assert reader.found(0) == Found(*found)


@pytest.mark.parametrize(
    ("counted", "sentence"),
    [
        (Found(1200, 300, 0), "1200 of 1500 names had a session (300 had none)"),
        (Found(5, 0, 0), "5 of 5 names had a session"),
        (Found(5, 1, 2), "5 of 8 names had a session (1 had none); 2 not known"),
        (Found(0, 0, 2), "0 of 2 names had a session; 2 not known"),
        (Found(0, 1, 0), "none of 1 name had a session: is the list right, and written as Dovecot has the names (with the domain)?"),
        (Found(0, 6, 294), "0 of 300 names had a session (6 had none); 294 not known"),
        (Found(0, 0, 0), ""),
    ],
)  # fmt: skip
def test_the_end_says_how_many_were_found(counted: Found, sentence: str) -> None:
    """The sentence has all numbers, and asks about the list when nobody was found."""
    assert found_sentence(counted, "had a session") == sentence
