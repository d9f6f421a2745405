"""Filters that make a procedure read like its prose: `rows | where('state', 'up') | column('users') | total`.

All values in Dovecot's answers are text; the filters that count accept text that is a number. A number that filters
make has no spelling of its own; what becomes text does so by `text_of` alone. Pure functions.

A condition must not hold because nothing was there. So a column that no row has is an error, and so is a filter of what
is no list. A column that some rows lack is normal, and counts as empty text there (seen on 2.3.19.1: a director that is
not next to the one asked has neither `type` nor `status`).
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from orchestrator.text.scalar import text_of

Row = dict[str, Any]
_NONE = object()


class NoColumnError(LookupError):
    """No row has the column; `columns` are those that are there."""

    def __init__(self, key: Any, columns: Iterable[str]) -> None:
        super().__init__(key)
        self.key = str(key)
        self.columns = sorted(columns)


class NothingThereError(ValueError):
    """One value of a list was asked for, and the list is empty."""


class _Chosen(list[Any]):
    """Rows that a filter chose, and the rows that they were chosen from.

    Which columns there are is a property of the answer, not of what was chosen: `rows | where('type', '') |
    column('status')` is no mistake although no row that is left has a status, and a misspelt column is one although no
    row at all is left.
    """

    def __init__(self, rows: Iterable[Any], source: list[Any]) -> None:
        super().__init__(rows)
        self.source: list[Any] = source.source if isinstance(source, _Chosen) else source


def listed(values: Any, name: str) -> list[Any]:
    """The list that the filter `name` is applied to.

    Raises:
        TypeError: it is applied to something else.
    """
    if isinstance(values, list):
        return values
    if _is_list(values):
        return list(values)
    raise TypeError(f"{name} needs rows or a list, not {_shown(values)}")


def _is_list(value: Any) -> bool:
    """Whether it is a list, or the items of a file."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _rows(rows: Any, name: str, *keys: str) -> list[Any]:
    """The rows of a list; each of the keys is a column of at least one of them."""
    found = listed(rows, name)
    source = found.source if isinstance(found, _Chosen) else found
    for key in keys:
        if source and all(_value(row, key) is _NONE for row in source):
            raise NoColumnError(key, {column for row in source for column in row})
    return found


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float | list | tuple | dict) or value is None:
        return repr(value)[:200]
    return f"the {type(value).__name__} {value}"[:200] if hasattr(value, "name") else f"an {type(value).__name__}"


def where(rows: Iterable[Row], key: str, value: Any) -> list[Row]:
    """The rows whose `key` is `value` (compared as text, as Dovecot answers); a list means any of its values."""
    wanted = {_text(v) for v in value} if _is_list(value) else {_text(value)}
    found = _rows(rows, "where", key)
    return _Chosen((row for row in found if _field(row, key) in wanted), found)


def where_not(rows: Iterable[Row], key: str, value: Any) -> list[Row]:
    """The rows whose `key` is anything but `value` (or any of a list of values)."""
    unwanted = {_text(v) for v in value} if _is_list(value) else {_text(value)}
    found = _rows(rows, "where_not", key)
    return _Chosen((row for row in found if _field(row, key) not in unwanted), found)


def matching(rows: Iterable[Any], key: str, pattern: str) -> list[Any]:
    """The rows whose `key` matches a shell pattern such as `ring synced*`."""
    found, wanted = _rows(rows, "matching", key), _pattern(pattern)
    return _Chosen((row for row in found if fnmatch.fnmatchcase(_field(row, key), wanted)), found)


def not_matching(rows: Iterable[Any], key: str, pattern: str) -> list[Any]:
    """The rows whose `key` does not match a shell pattern."""
    found, unwanted = _rows(rows, "not_matching", key), _pattern(pattern)
    return _Chosen((row for row in found if not fnmatch.fnmatchcase(_field(row, key), unwanted)), found)


def _pattern(pattern: Any) -> str:
    if isinstance(pattern, str):
        return pattern
    raise TypeError(f"a pattern is a text such as 'ring*', not {_shown(pattern)}")


def agree(rows: Iterable[Row], key: str, value: str) -> bool:
    """Whether rows with the same `key` have the same `value`: the directors' answers about a host, for example."""
    found = _rows(rows, "agree", key, value)
    if not found:
        raise NothingThereError("agree of no rows at all; there is nothing to compare")
    seen: dict[str, str] = {}
    return all(seen.setdefault(_field(row, key), _field(row, value)) == _field(row, value) for row in found)


def column(rows: Iterable[Any], key: str, instead: Any = _NONE) -> list[Any]:
    """The values of one column, of the rows that have it; of hosts `name`, `address` or `port`.

    With `instead`, rows without the column have that value, and no row need have the column.
    """
    if instead is not _NONE:
        return [instead if (value := _value(row, key)) is _NONE else value for row in listed(rows, "column")]
    return [value for row in _rows(rows, "column", key) if (value := _value(row, key)) is not _NONE]


def _value(row: Any, key: str) -> Any:
    if isinstance(row, dict):
        return row.get(key, _NONE)
    if key in {"name", "address", "port"} and hasattr(row, key):
        return getattr(row, key)
    raise TypeError(f"{row!r} is not a row")


def length(values: Any) -> int:
    """How many there are: of a list, or of the hosts of an answer."""
    if _is_list(values) or isinstance(values, Mapping):
        return len(values)
    raise TypeError(f"length needs rows or a list, not {_shown(values)}")


def first(values: Any) -> Any:
    """The first of a list."""
    return _some(values, "first")[0]


def last(values: Any) -> Any:
    """The last of a list."""
    return _some(values, "last")[-1]


def _some(values: Any, name: str) -> list[Any]:
    found = listed(values, name)
    if not found:
        raise NothingThereError(f"{name} of an empty list; there is nothing to take")
    return found


def number(value: Any) -> float | int:
    """A number from text such as "17" or "2.5"; the text that a number was written as is left behind."""
    if isinstance(value, int | float):
        return +value
    text = str(value).strip()
    try:
        return int(text)
    except ValueError:
        pass
    try:
        result = float(text)
    except ValueError:
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f"{text[:200]!r} is not a number")
    return result


def total(values: Iterable[Any]) -> float | int:
    """The sum; of nothing 0."""
    return sum(number(value) for value in listed(values, "total"))


def smallest(values: Iterable[Any]) -> float | int:
    """The smallest number of a list."""
    return min(number(value) for value in _some(values, "min"))


def largest(values: Iterable[Any]) -> float | int:
    """The largest number of a list."""
    return max(number(value) for value in _some(values, "max"))


def words(value: Any) -> list[str]:
    """The parts of Dovecot's lists such as "(1 2 3)" or of blank-separated text."""
    return text_of(value).strip().removeprefix("(").removesuffix(")").split()


def join(values: Iterable[Any], separator: str = "") -> str:
    """The values of a list as one text."""
    return separator.join(map(text_of, _rows(values, "join")))


def _each(change: Callable[[str], str]) -> Callable[[Any], Any]:
    """A change of a text, or of each text of a list."""

    def changed(value: Any) -> Any:
        return [change(text_of(part)) for part in value] if _is_list(value) else change(text_of(value))

    return changed


upper, lower, trim = _each(str.upper), _each(str.lower), _each(str.strip)


def round_up(value: Any) -> int:
    """The next whole number."""
    return math.ceil(number(value))


def minus(values: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    """The values of a list that are not in another, in their order."""
    unwanted = {_text(value) for value in listed(others, "minus")}
    return [value for value in listed(values, "minus") if _text(value) not in unwanted]


def unique(values: Iterable[Any]) -> list[Any]:
    """Each value once, in the order of first appearance."""
    seen: set[str] = set()
    return [v for v in listed(values, "unique") if not (_text(v) in seen or seen.add(_text(v)))]  # type: ignore[func-returns-value]


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
    "length": length,
    "first": first,
    "last": last,
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

OTHER_FILTERS = {  # of Jinja and Ansible -> what does that here
    "count": "length",
    "size": "length",
    "len": "length",
    "sum": "total",
    "map": "column",
    "selectattr": "where",
    "select": "where",
    "rejectattr": "where_not",
    "reject": "where_not",
    "match": "matching",
    "search": "matching",
    "regex_search": "matching",
    "difference": "minus",
    "split": "words",
    "float": "number",
    "ceil": "round_up",
    "strip": "trim",
    "lowercase": "lower",
    "uppercase": "upper",
    "d": "default",
}
NOT_NEEDED = {
    "list",
    "string",
    "items",
    "tojson",
    "to_json",
    "bool",
}  # Jinja's filters to a type: values have the right one
