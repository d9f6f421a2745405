"""What follows from each kind of outcome."""

from __future__ import annotations

import pytest

from orchestrator.outcome import BAD_STATES, OPEN_STATES, Effect, Follow, Kind, Outcome, State, follow

READ, REPEATABLE, UNREPEATABLE = Effect


@pytest.mark.parametrize(
    ("kind", "harmless", "unrepeatable"),
    [
        (Kind.DONE, Follow(State.DONE), Follow(State.DONE)),
        (Kind.UNCHANGED, Follow(State.DONE), Follow(State.DONE)),
        (Kind.NOT_YET, Follow(State.FAILED, again=True), Follow(State.FAILED, again=True)),
        (Kind.TEMPORARY, Follow(State.FAILED, again=True), Follow(State.IN_DOUBT)),
        (Kind.FAILED, Follow(State.FAILED), Follow(State.FAILED)),
        (Kind.UNREACHABLE, Follow(State.UNREACHABLE, again=True), Follow(State.UNREACHABLE, again=True)),
        (Kind.NOT_EXECUTED, Follow(State.FAILED, again=True), Follow(State.FAILED, again=True)),
        (Kind.UNKNOWN, Follow(State.FAILED, again=True), Follow(State.IN_DOUBT)),
        (Kind.LATE, Follow(State.FAILED, again=True), Follow(State.IN_DOUBT)),
        (Kind.CANCELLED, Follow(State.PENDING), Follow(State.IN_DOUBT)),
    ],
)
def test_what_follows(kind: Kind, harmless: Follow, unrepeatable: Follow) -> None:
    """An unrepeatable command of unknown effect is in doubt and never sent again; all else may be retried."""
    assert [follow(kind, effect) for effect in (READ, REPEATABLE, UNREPEATABLE)] == [harmless, harmless, unrepeatable]


def test_every_kind_has_a_consequence() -> None:
    """No kind is forgotten, and each leads to a final state; but for what is left to the next session."""
    for kind in Kind:
        for effect in Effect:
            left = kind is Kind.CANCELLED and effect is not UNREPEATABLE
            assert (follow(kind, effect).state in OPEN_STATES) is left


def test_the_states_numbers_are_a_format() -> None:
    """The numbers of states stand in run files and never change."""
    assert {state.word: int(state) for state in State} == {
        "pending": 0, "running": 1, "done": 2, "failed": 3, "unreachable": 4, "in_doubt": 5, "skipped": 6,
    }  # fmt: skip
    assert not set(OPEN_STATES) & set(BAD_STATES)


def test_what_counts_as_failed_and_what_is_left() -> None:
    """Limits of failures, exit codes and `resume` go by these: what is in doubt is as bad as what failed."""
    assert set(BAD_STATES) == {State.FAILED, State.UNREACHABLE, State.IN_DOUBT}
    assert set(OPEN_STATES) == {State.PENDING, State.RUNNING}


def test_what_is_retried() -> None:
    """What may come out otherwise the next time, and is certainly not done; nothing that a host refused for good."""
    again = {kind for kind in Kind if follow(kind, REPEATABLE).again}
    assert again == {Kind.NOT_YET, Kind.TEMPORARY, Kind.UNREACHABLE, Kind.NOT_EXECUTED, Kind.UNKNOWN, Kind.LATE}
    assert {kind for kind in Kind if follow(kind, UNREPEATABLE).again} == {
        Kind.NOT_YET,
        Kind.UNREACHABLE,
        Kind.NOT_EXECUTED,
    }


def test_an_outcome_claims_nothing_that_was_not_said() -> None:
    """No rows, no exit code, no change, no error, no wait."""
    found = Outcome(Kind.DONE)
    assert (found.rows, found.exit_code, found.changed, found.error, found.evidence) == ((), None, None, "", "")
    assert found.wait == 0.0
