"""What an expression reads: members of a name, and columns of rows, as far as its text tells. Nothing is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from orchestrator.text.expression import TEMPLATES, is_template, parsed, template, whole_expression


def members_in(value: Any, name: str) -> frozenset[str]:
    """What the templates within a value (text, list, mapping) read of a name: `user` of `{{ item.user }}`.

    What they can do without, by `default` or `is defined`, is left out.

    Raises:
        ExpressionError: one of them is not valid.
    """
    if is_template(value):
        return _members(value, name) if name in template(value).names else frozenset()
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return frozenset().union(*(members_in(part, name) for part in value))
    return frozenset()


@lru_cache(maxsize=TEMPLATES)
def _members(text: str, name: str) -> frozenset[str]:
    tree = parsed(text)
    spared = {
        id(node.node)
        for kind in (nodes.Filter, nodes.Test)
        for node in tree.find_all(kind)
        if node.name in {"default", "defined", "undefined"}
    }
    read: list[tuple[nodes.Expr, nodes.Node, Any]] = [
        (node, node.node, node.attr) for node in tree.find_all(nodes.Getattr)
    ]
    read += [(node, node.node, getattr(node.arg, "value", None)) for node in tree.find_all(nodes.Getitem)]
    return frozenset(
        key
        for node, owner, key in read
        if isinstance(owner, nodes.Name) and owner.name == name and isinstance(key, str) and id(node) not in spared
    )


@dataclass(frozen=True)
class ColumnUse:
    """A column that an expression reads by its name from rows.

    Attributes:
        column: its name.
        origins: the names whose rows it is looked for in: `before`, `rows`, `item`.
    """

    column: str
    origins: frozenset[str]


@lru_cache(maxsize=TEMPLATES)
def column_uses(text: str) -> tuple[ColumnUse, ...]:
    """The columns that a text's expressions read by name, as far as it can be told what rows they are read from.

    Raises:
        ExpressionError: not an expression.
    """
    reader = _ColumnReader()
    if is_template(text):
        template(text)  # refuses what is none
        reader.read(parsed(text))
    return tuple(dict.fromkeys(reader.uses))


@lru_cache(maxsize=TEMPLATES)
def row_origins(text: str) -> frozenset[str]:
    """The names whose rows the value of an expression is made of; none when its value is not rows, or cannot be told."""
    if not is_template(text):
        return frozenset()
    template(text)
    whole, _ = whole_expression(parsed(text))
    found = _ColumnReader().read(whole) if whole is not None else None
    return found.origins if found is not None and found.kind == "rows" else frozenset()


@dataclass(frozen=True)
class _Known:
    """What is known of a part of an expression: that it is an answer, its hosts, the groups, rows, or a row; of which names."""

    kind: str
    origins: frozenset[str]


_NOTHING_YET = _Known("rows", frozenset())  # `[]`: rows of whatever it is put together with
_CHOOSING = frozenset({"where", "where_not", "matching", "not_matching", "sort", "unique", "minus", "default"})
_BY_COLUMN = {
    "where": 1,
    "where_not": 1,
    "matching": 1,
    "not_matching": 1,
    "column": 1,
    "agree": 2,
}  # columns they read
# What a registered name, `answer` and a host's part of an answer have; the reader need not tell them apart.
_PARTS = {"rows": "rows", "hosts": "hosts", "answered": "answer"}


class _ColumnReader:
    """Follows rows through an expression, from where they are named to where a column of them is read."""

    def __init__(self) -> None:
        self.uses: list[ColumnUse] = []

    def read(self, node: nodes.Node | None) -> _Known | None:
        """What is known of a part; all its parts are read."""
        if node is None:
            return None
        if isinstance(node, nodes.Name):
            return _known_name(node.name)
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            return self._item(node)
        if isinstance(node, nodes.Filter):
            return self._filter(node)
        parts = [self.read(child) for child in node.iter_child_nodes()]
        if isinstance(node, nodes.List):
            return _NOTHING_YET if not node.items else None
        if isinstance(node, nodes.CondExpr):  # test, value, and the value of `else`
            return _together(parts[1:])
        return _together(parts) if isinstance(node, nodes.Add | nodes.Or | nodes.And) else None

    def _item(self, node: nodes.Getattr | nodes.Getitem) -> _Known | None:
        of = self.read(node.node)
        if isinstance(node, nodes.Getitem):
            self.read(node.arg)
        key = node.attr if isinstance(node, nodes.Getattr) else _literal(node.arg)
        if of is None:
            return None
        if of.kind == "hosts":
            return _Known("answer", of.origins)
        if of.kind == "groups":
            return _Known("rows", of.origins)
        if of.kind == "rows":
            slice_ = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
            return of if slice_ else _Known("row", of.origins)
        if of.kind == "row" and isinstance(key, str):
            self.uses.append(ColumnUse(key, of.origins))
        return _Known(_PARTS[key], of.origins) if of.kind == "answer" and key in _PARTS else None

    def _filter(self, node: nodes.Filter) -> _Known | None:
        of = self.read(node.node)
        arguments = [*node.args, *(pair.value for pair in node.kwargs)]
        for argument in arguments:
            self.read(argument)
        if of is None or of.kind not in {"rows", "answer"}:
            return None
        self.uses += [ColumnUse(column, of.origins) for column in self._columns(node)]
        if of.kind == "answer":  # a name that stands for a list, as a parameter of type hosts does
            return None
        if node.name in {"first", "last"}:
            return _Known("row", of.origins)
        return of if node.name in _CHOOSING else None

    def _columns(self, node: nodes.Filter) -> Iterator[str]:
        """The literal column names that a filter is given: its first arguments, or those by keyword."""
        count = _BY_COLUMN.get(node.name, 0)
        by_keyword = {"agree": {"key", "value"}}.get(node.name, {"key"})
        given = [*node.args[:count], *(pair.value for pair in node.kwargs if count and pair.key in by_keyword)]
        yield from (name for name in map(_literal, given) if isinstance(name, str))


def _known_name(name: str) -> _Known:
    kinds = {"rows": "rows", "item": "row", "groups": "groups", "batch": "rows"}
    return _Known(kinds.get(name, "answer"), frozenset({name}))


def _literal(node: nodes.Node) -> Any:
    return node.value if isinstance(node, nodes.Const) else None


def _together(parts: list[_Known | None]) -> _Known | None:
    """Rows of several parts; unknown as soon as one part is."""
    found = [part for part in parts if part is not None]
    if len(found) != len(parts) or any(part.kind != found[0].kind for part in found):
        return None
    return _Known(found[0].kind, frozenset().union(*(part.origins for part in found)))
