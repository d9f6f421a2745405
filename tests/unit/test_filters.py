"""The filters of expressions: answers' rows in, values out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.text.filters import FILTERS, NoColumnError, NothingThereError
from tests.strategies import fleet

ROWS = [
    {"host": "b1", "state": "up", "users": "3"},
    {"host": "b2", "state": "down", "users": "4"},
    {"host": "b3", "users": 0, "ok": True},
]


def names(rows: list[dict[str, Any]]) -> list[str]:
    """The hosts of rows."""
    return [row["host"] for row in rows]


@pytest.mark.parametrize(
    ("name", "arguments", "hosts"),
    [
        ("where", ("state", "up"), ["b1"]),
        ("where", ("state", ""), ["b3"]),
        ("where", ("state", None), ["b3"]),
        ("where", ("state", ["up", "down"]), ["b1", "b2"]),
        ("where", ("state", []), []),
        ("where", ("users", 3), ["b1"]),
        ("where", ("users", "0"), ["b3"]),
        ("where", ("ok", True), ["b3"]),
        ("where", ("ok", "true"), ["b3"]),
        ("where_not", ("state", "up"), ["b2", "b3"]),
        ("where_not", ("state", ["up", "down"]), ["b3"]),
        ("where_not", ("state", []), ["b1", "b2", "b3"]),
        ("matching", ("host", "b[12]"), ["b1", "b2"]),
        ("matching", ("state", "*"), ["b1", "b2", "b3"]),
        ("matching", ("state", "U*"), []),
        ("not_matching", ("state", "u*"), ["b2", "b3"]),
    ],
)
def test_rows_are_chosen(name: str, arguments: tuple[Any, ...], hosts: list[str]) -> None:
    """Rows are compared as text, as Dovecot answers; a list means any of its values; a missing column is empty."""
    assert names(FILTERS[name](ROWS, *arguments)) == hosts


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("column", (ROWS, "state"), ["up", "down"]),
        ("column", ([], "nosuch"), []),
        ("column", (ROWS, "nosuch", "-"), ["-", "-", "-"]),
        ("column", (ROWS, "state", "-"), ["up", "down", "-"]),
        ("length", (ROWS,), 3),
        ("length", ([],), 0),
        ("length", ({"d1": 1},), 1),
        ("first", (["a", "b"],), "a"),
        ("last", (("a", "b"),), "b"),
        ("total", (["3", 4, "0.5"],), 7.5),
        ("total", ([],), 0),
        ("total", (("1", "2"),), 3),
        ("min", (["10", "9"],), 9),
        ("max", (["10", "9"],), 10),
        ("number", ("17",), 17),
        ("number", (" 2.5 ",), 2.5),
        ("number", (True,), 1),
        ("number", ("-3",), -3),
        ("int", ("2.9",), 2),
        ("words", ("(1 2 3)",), ["1", "2", "3"]),
        ("words", ("a  b",), ["a", "b"]),
        ("words", ("()",), []),
        ("words", ("",), []),
        ("round_up", ("2.1",), 3),
        ("round_up", (2,), 2),
        ("minus", (["a", "b", "a", 1], ["b", "1"]), ["a", "a"]),
        ("minus", ([], ["x"]), []),
        ("unique", (["b", "a", "b", 1, "1"],), ["b", "a", 1]),
        ("agree", ([{"k": "a", "v": "1"}, {"k": "a", "v": 1}, {"k": "b", "v": "2"}], "k", "v"), True),
        ("agree", ([{"k": "a", "v": "1"}, {"k": "a", "v": "2"}], "k", "v"), False),
        ("agree", ([{"k": "a", "v": "1"}, {"k": "a"}], "k", "v"), False),
    ],
)
def test_values_are_made(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    """Each filter gives what its name says."""
    assert FILTERS[name](*arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("where", ("rows", "k", "v")),
        ("where", (None, "k", "v")),
        ("where", ({"k": "v"}, "k", "v")),
        ("agree", ("rows", "k", "v")),
        ("agree", (None, "k", "v")),
        ("column", (5, "k")),
        ("total", ("12",)),
        ("minus", ([], "ab")),
        ("minus", ("ab", [])),
        ("unique", ("ab",)),
        ("max", ("12",)),
        ("max", ([],)),
        ("number", ("one",)),
        ("number", ("inf",)),
        ("number", ("nan",)),
        ("number", (None,)),
        ("number", ([],)),
        ("total", ([None],)),
    ],
)
def test_what_is_no_list_or_number_is_refused(name: str, arguments: tuple[Any, ...]) -> None:
    """A text where rows are needed, or words where a number is needed, is a plain error and no guess."""
    with pytest.raises((TypeError, ValueError)):
        FILTERS[name](*arguments)


BY_COLUMN = [
    ("where", ("up",)),
    ("where", ([],)),
    ("where_not", ("up",)),
    ("matching", ("*",)),
    ("not_matching", ("*",)),
    ("column", ()),
]


@pytest.mark.parametrize(("name", "more"), BY_COLUMN)
def test_a_column_that_no_row_has_is_an_error(name: str, more: tuple[Any, ...]) -> None:
    """A filter by a column that no row has says which columns are there, and chooses neither all rows nor none."""
    with pytest.raises(NoColumnError) as caught:
        FILTERS[name](ROWS, "stat", *more)
    assert (caught.value.key, caught.value.columns) == ("stat", ["host", "ok", "state", "users"])


@pytest.mark.parametrize(("key", "value"), [("hosts", "state"), ("host", "stat")])
def test_agree_needs_both_columns(key: str, value: str) -> None:
    """`agree` of a misspelt column is an error, for the one and for the other."""
    with pytest.raises(NoColumnError):
        FILTERS["agree"](ROWS, key, value)


@pytest.mark.parametrize(("name", "more"), BY_COLUMN)
def test_of_no_rows_every_column_can_be_asked(name: str, more: tuple[Any, ...]) -> None:
    """Where a host has nothing to say there are no columns either, and that is no error."""
    assert FILTERS[name]([], "stat", *more) == []


@pytest.mark.parametrize(("name", "more"), BY_COLUMN)
@pytest.mark.parametrize("left", ["none", "b3"])
def test_columns_are_those_of_the_whole_answer(name: str, more: tuple[Any, ...], left: str) -> None:
    """After a filter a misspelt column is found although no row is left, and one that only other rows have is there."""
    chosen = FILTERS["where"](ROWS, "host", left)
    FILTERS[name](chosen, "state", *more)
    with pytest.raises(NoColumnError):
        FILTERS[name](chosen, "stat", *more)


@pytest.mark.parametrize("arguments", [("first", []), ("last", ()), ("min", []), ("max", []), ("agree", [], "k", "v")])
def test_there_is_no_one_of_nothing(arguments: tuple[Any, ...]) -> None:
    """One value of an empty list, and whether nothing agrees, is an error and no value."""
    name, *rest = arguments
    with pytest.raises(NothingThereError, match=name):
        FILTERS[name](*rest)


@pytest.mark.parametrize("found", ["", "text", 7, 1.5, True, None, {"a": "b"}, object(), iter(["a"])])
@pytest.mark.parametrize(("name", "more"), [*((n, ("k", *m)) for n, m in BY_COLUMN), ("agree", ("k", "v")), ("total", ()), ("min", ()), ("max", ()), ("minus", ([],)), ("unique", ()), ("first", ()), ("last", ())])  # fmt: skip
def test_only_lists_have_rows(name: str, more: tuple[Any, ...], found: Any) -> None:
    """A text, a number, nothing, one row, or any other object is not taken for rows."""
    with pytest.raises(TypeError, match=f"{name} needs rows or a list"):
        FILTERS[name](found, *more)


@pytest.mark.parametrize("found", ["", "text", 7, None, object()])
def test_only_lists_and_hosts_have_a_length(found: Any) -> None:
    """The length of a text is never compared with the number of hosts."""
    with pytest.raises(TypeError, match="length needs rows or a list"):
        FILTERS["length"](found)


@pytest.mark.parametrize("text", ["", " ", "-", "n/a", "1 2"])
def test_what_is_no_number_says_so(text: str) -> None:
    """An empty text, or Dovecot's `-`, is an error that shows the text."""
    with pytest.raises(ValueError, match="is not a number") as caught:
        FILTERS["number"](text)
    assert repr(text.strip()) in str(caught.value)


words = st.lists(st.text("ab1", max_size=2))


@given(words, words)
def test_minus_and_unique_are_set_operations_in_order(left: list[str], right: list[str]) -> None:
    """`minus` and `unique` keep the order of their list, and have the members that sets would have."""
    assert FILTERS["minus"](left, right) == [word for word in left if word not in right]
    assert FILTERS["unique"](left) == list(dict.fromkeys(left))


@given(st.lists(st.fixed_dictionaries({"k": st.sampled_from("abc")})), st.sampled_from("abcd"))
def test_where_and_where_not_part_all_rows(rows: list[dict[str, str]], wanted: str) -> None:
    """Every row is chosen by exactly one of `where` and `where_not`, and of `matching` and `not_matching`."""
    for chosen, other in (("where", "where_not"), ("matching", "not_matching")):
        parts = FILTERS[chosen](rows, "k", wanted), FILTERS[other](rows, "k", wanted)
        assert [len(part) for part in parts] == [
            sum(r["k"] == wanted for r in rows),
            sum(r["k"] != wanted for r in rows),
        ]


@pytest.mark.parametrize(("key", "expected"), [("name", "b1"), ("address", "10.0.1.1"), ("port", 8080)])
def test_hosts_have_columns(key: str, expected: Any) -> None:
    """Of hosts, name, address and port can be had as those of rows, and nothing else."""
    host = fleet().hosts["b1"]
    assert FILTERS["column"]([host], key) == [expected]
    with pytest.raises(TypeError):
        FILTERS["column"]([host], "tags")
