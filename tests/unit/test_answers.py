"""What hosts answered, as conditions see it: nothing holds because an answer is missing."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.answers import Answer, Recorded, collect
from orchestrator.errors import ExpressionError
from orchestrator.outcome import State
from orchestrator.text.expression import template, truth

NOT_DONE = [state for state in State if state not in {State.DONE, State.SKIPPED}]


def record(host: str, state: State = State.DONE, n: str = "", *, code: int | None = None, error: str = "") -> Recorded:
    """One operation's end."""
    return Recorded(host, state, code, error, [{"n": n}] if n else [])


def evaluated(text: str, *records: Recorded) -> Any:
    """An expression's value, with the answer as `a`."""
    return template("{{ " + text + " }}")({"a": collect(records)})


def test_of_hosts_that_all_answered_the_rows_are_in_order() -> None:
    """Rows, hosts and failures of an answer that is complete."""
    records = (record("d1", n="1"), record("d2"), record("d1", n="2", code=68))
    assert evaluated("a.rows | column('n')", *records) == ["1", "2"]
    assert evaluated("a.answered.rows == a.rows and a.ok", *records) is True
    assert evaluated("a.failed", *records) == []
    assert evaluated("a.hosts | length", *records) == 2
    assert evaluated("[a.hosts['d2'].rows, a.hosts['d1'].exit_code]", *records) == [[], 68]


READS_ALL = ["a.rows | length == 0", "not a.rows", "a.rows == []", "a.rows | where('n', '9') | length == 0"]


@pytest.mark.parametrize("text", READS_ALL)
@pytest.mark.parametrize("state", NOT_DONE)
def test_rows_of_a_host_that_did_not_answer_are_missed(text: str, state: State) -> None:
    """No condition over the rows of all hosts holds while one of them is not done; the message says which, and why."""
    with pytest.raises(ExpressionError) as caught:
        evaluated(text, record("d1", n="1"), record("d2", state, error="no route"))
    assert "rows are missing (d2: no route)" in caught.value.message
    assert ".answered.rows" in caught.value.message


def test_the_last_word_of_a_host_counts() -> None:
    """Of several operations of one host, exit code and error are those of the last one that has any."""
    decided = (
        record("d1", code=64, error="decided done: a"),
        record("d1", code=65, error="decided done: b"),
        record("d1"),
    )
    assert evaluated("[a.hosts['d1'].exit_code, a.hosts['d1'].error]", *decided) == [65, "decided done: b"]
    failed = (
        record("d1", State.FAILED, code=64, error="a"),
        record("d1", State.FAILED, code=65, error="b"),
        record("d1"),
    )
    assert evaluated("[a.hosts['d1'].exit_code, a.hosts['d1'].error]", *failed) == [65, "b"]


def test_a_failed_hosts_own_rows_are_missed() -> None:
    """The rows of one host are an error when that host failed, whatever other hosts did, and only then."""
    records = (record("d1", n="1"), record("d2", State.FAILED, n="2", code=75))
    assert evaluated("a.hosts['d1'].rows | length", *records) == 1
    with pytest.raises(ExpressionError, match="rows are missing"):
        evaluated("not a.hosts['d2'].rows", *records)
    assert evaluated("[a.hosts['d2'].ok, a.hosts['d2'].exit_code, a.ok, a.failed]", *records) == [
        False,
        75,
        False,
        ["d2"],
    ]


def test_what_did_answer_can_be_meant() -> None:
    """`answered` has the rows of the operations that are done, and none of those that failed."""
    records = (
        record("d1", n="1"),
        record("d2", State.FAILED, n="2"),
        record("d2", n="3"),
        record("d3", State.UNREACHABLE),
    )
    assert evaluated("a.answered.rows | column('n')", *records) == ["1", "3"]
    assert evaluated("a.answered.hosts['d2'].rows | column('n')", *records) == ["3"]
    assert evaluated("a.hosts['d2'].answered.rows | column('n')", *records) == ["3"]
    assert evaluated("a.hosts['d3'].answered.rows", *records) == []


@pytest.mark.parametrize("text", [*READS_ALL, "a.ok", "not a.ok", "not a.failed", "a.failed | length == 0"])
def test_an_answer_of_nobody_says_nothing(text: str) -> None:
    """A step that was skipped, or had no items, has neither rows nor failures; both polarities of a condition are errors."""
    with pytest.raises(ExpressionError, match="no host was asked"):
        evaluated(text)
    assert evaluated("a.answered.rows") == []
    assert evaluated("a.hosts | length == 0") is True


@pytest.mark.parametrize(
    "text", ["a.hosts['d9'].rows", "a.hosts.d9.rows", "not a.hosts['d9'].rows", "a.answered.hosts['d9'].rows"]
)
def test_a_host_that_was_not_asked_is_named(text: str) -> None:
    """The answer of a host that was not asked is an error that says who was."""
    with pytest.raises(ExpressionError, match="there is no 'd9'.*; there are: d1"):
        evaluated(text, record("d1"))


@pytest.mark.parametrize("text", ["a.hosts['d1'].exit_code == none", "a.hosts['d1'].exit_code != 68"])
def test_a_host_that_did_not_answer_has_no_exit_code(text: str) -> None:
    """Without an answer there is no exit code to compare, equal or unequal."""
    with pytest.raises(ExpressionError, match="there is no exit code"):
        evaluated(text, record("d1", State.UNREACHABLE, error="refused"))
    assert evaluated("a.hosts['d1'].exit_code == none", record("d1")) is True


@pytest.mark.parametrize(
    "text", ["not a", "a or true", "a and true", "1 if a else 2", "not a.hosts['d1']", "not a.answered"]
)
def test_an_answer_is_no_condition(text: str) -> None:
    """An answer is neither true nor false, so `not before` cannot mean "nothing was found"."""
    with pytest.raises(ExpressionError, match="neither true nor false"):
        evaluated(text, record("d1"))


def test_an_answer_as_a_whole_condition_is_refused() -> None:
    """`require: {{ before }}` says what to write, without printing all rows."""
    with pytest.raises(ExpressionError) as caught:
        truth(Answer({}))
    assert caught.value.message == "a condition must be true or false, not an answer"
