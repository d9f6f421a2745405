"""Filters that make a procedure read like its prose: `rows | where('state', 'up') | column('users') | total`.

All values in Dovecot's answers are text; the filters that count accept text that is a number. A number that filters
make has no spelling of its own; what becomes text does so by `text_of` alone. Pure functions.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.scalar import text_of

Row = dict[str, Any]


def _rows(rows: Any, name: str) -> list[Any]:
    if isinstance(rows, list | tuple):
        return list(rows)
    if rows is None or isinstance(rows, str | int | float | dict):
        raise TypeError(f"{name} needs rows or a list, not {rows!r}")
    return list(rows)


def where(rows: Iterable[Row], key: str, value: Any) -> list[Row]:
    """The rows whose `key` is `value` (compared as text, as Dovecot answers); a list means any of its values."""
    wanted = {_text(v) for v in value} if isinstance(value, list | tuple) else {_text(value)}
    return [row for row in _rows(rows, "where") if _field(row, key) in wanted]


def where_not(rows: Iterable[Row], key: str, value: Any) -> list[Row]:
    """The rows whose `key` is anything but `value` (or any of a list of values)."""
    unwanted = {_text(v) for v in value} if isinstance(value, list | tuple) else {_text(value)}
    return [row for row in _rows(rows, "where_not") if _field(row, key) not in unwanted]


def matching(rows: Iterable[Any], key: str, pattern: str) -> list[Any]:
    """The rows whose `key` matches a shell pattern such as `ring synced*`."""
    return [row for row in _rows(rows, "matching") if fnmatch.fnmatchcase(_field(row, key), pattern)]


def not_matching(rows: Iterable[Any], key: str, pattern: str) -> list[Any]:
    """The rows whose `key` does not match a shell pattern."""
    return [row for row in _rows(rows, "not_matching") if not fnmatch.fnmatchcase(_field(row, key), pattern)]


def agree(rows: Iterable[Row], key: str, value: str) -> bool:
    """Whether rows with the same `key` have the same `value`: the directors' answers about a host, for example."""
    seen: dict[str, str] = {}
    return all(
        seen.setdefault(_field(row, key), _field(row, value)) == _field(row, value) for row in _rows(rows, "agree")
    )


def column(rows: Iterable[Any], key: str) -> list[Any]:
    """The values of one column, of the rows that have it; of hosts `name`, `address` or `port`."""
    return [value for row in _rows(rows, "column") if (value := _value(row, key)) is not _NONE]


def _value(row: Any, key: str) -> Any:
    if isinstance(row, dict):
        return row.get(key, _NONE)
    if key in {"name", "address", "port"} and hasattr(row, key):
        return getattr(row, key)
    raise TypeError(f"{row!r} is not a row")


_NONE = object()


def number(value: Any) -> float | int:
    """A number from text such as "17" or "2.5"; the text that a number was written as is left behind."""
    if isinstance(value, int | float):
        return +value
    text = str(value).strip()
    try:
        return int(text)
    except ValueError:
        result = float(text)
    if not math.isfinite(result):
        raise ValueError(f"{text!r} is not a number")
    return result


def total(values: Iterable[Any]) -> float | int:
    """The sum; of nothing 0."""
    return sum(number(value) for value in _rows(values, "total"))


def smallest(values: Iterable[Any]) -> float | int:
    """The smallest number of a list."""
    return min(number(value) for value in _rows(values, "min"))


def largest(values: Iterable[Any]) -> float | int:
    """The largest number of a list."""
    return max(number(value) for value in _rows(values, "max"))


def words(value: Any) -> list[str]:
    """The parts of Dovecot's lists such as "(1 2 3)" or of blank-separated text."""
    return text_of(value).strip().removeprefix("(").removesuffix(")").split()


def join(values: Iterable[Any], separator: str = "") -> str:
    """The values of a list as one text."""
    return separator.join(map(text_of, _rows(values, "join")))


def upper(value: Any) -> str:
    """In upper case."""
    return text_of(value).upper()


def lower(value: Any) -> str:
    """In lower case."""
    return text_of(value).lower()


def trim(value: Any) -> str:
    """Without white space at both ends."""
    return text_of(value).strip()


def round_up(value: Any) -> int:
    """The next whole number."""
    return math.ceil(number(value))


def minus(values: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    """The values of a list that are not in another, in their order."""
    unwanted = {_text(value) for value in _rows(others, "minus")}
    return [value for value in _rows(values, "minus") if _text(value) not in unwanted]


def unique(values: Iterable[Any]) -> list[Any]:
    """Each value once, in the order of first appearance."""
    seen: set[str] = set()
    return [v for v in _rows(values, "unique") if not (_text(v) in seen or seen.add(_text(v)))]  # type: ignore[func-returns-value]


def _field(row: Any, key: str) -> str:
    value = _value(row, key)
    return "" if value is _NONE else _text(value)


def _text(value: Any) -> str:
    """A value to compare: a column that is not there is as an empty one."""
    return "" if value is None else str(value) if isinstance(value, list | tuple | dict) else text_of(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "where": where,
    "where_not": where_not,
    "matching": matching,
    "not_matching": not_matching,
    "agree": agree,
    "column": column,
    "number": number,
    "int": lambda value: int(number(value)),
    "total": total,
    "min": smallest,
    "max": largest,
    "words": words,
    "join": join,
    "upper": upper,
    "lower": lower,
    "trim": trim,
    "round_up": round_up,
    "minus": minus,
    "unique": unique,
}
