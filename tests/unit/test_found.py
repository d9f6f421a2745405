"""How many items of a list were found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.found import Found, count_found, found_sentence
from orchestrator.outcome import State

DONE, FAILED, SKIPPED = State.DONE, State.FAILED, State.SKIPPED


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ([], (0, 0, 0)),
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
    operations: list[tuple[str, State, bool | None]], found: tuple[int, int, int]
) -> None:
    """An item counts once: found if any host changed something, absent if all answered and none did, else unknown."""
    assert count_found(operations) == Found(*found)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(State), st.sampled_from([True, False, None]))))
def test_every_item_is_counted_once(operations: list[tuple[int, State, bool | None]]) -> None:
    """The counts are those of the items that were not skipped, in whatever order the operations come."""
    counted = count_found(operations)
    assert counted.total == len({item for item, state, _ in operations if state is not SKIPPED})
    assert counted == count_found(reversed(operations))


@pytest.mark.parametrize(
    ("counted", "sentence"),
    [
        (Found(1200, 300, 0), "1200 of 1500 names had a session (300 had none)"),
        (Found(5, 0, 0), "5 of 5 names had a session"),
        (Found(5, 1, 2), "5 of 8 names had a session (1 had none); 2 not known"),
        (Found(0, 0, 2), "0 of 2 names had a session; 2 not known"),
        (Found(0, 1, 0), "none of 1 name had a session: is the list right, and written as Dovecot has the names (with the domain)?"),
        (Found(0, 0, 0), ""),
    ],
)  # fmt: skip
def test_the_end_says_how_many_were_found(counted: Found, sentence: str) -> None:
    """The sentence has all numbers, and asks about the list when nobody was found."""
    assert found_sentence(counted, "had a session") == sentence
