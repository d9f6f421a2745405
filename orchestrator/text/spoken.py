"""A condition in words, for people who read no expressions: `no rows whose 'dest-ip' is 10.0.1.1`.

What playbooks compare has few shapes: rows that were chosen by a column, a column of them, how many there are. These are
said; any other part stands there as it is written, with what is known filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes

from orchestrator.errors import ExpressionError
from orchestrator.text.expression import Scope, compile_part, is_template, parsed, template, whole_expression
from orchestrator.text.filled import filled
from orchestrator.text.scalar import text_of

LONGEST = 80  # characters of a value that takes the place of its expression

_COMPARED = {
    "eq": "is",
    "ne": "is not",
    "gt": "is more than",
    "gteq": "is at least",
    "lt": "is less than",
    "lteq": "is at most",
    "in": "is one of",
    "notin": "is none of",
}
_COUNTED = {
    "eq": "exactly",
    "ne": "any number but",
    "gt": "more than",
    "gteq": "at least",
    "lt": "fewer than",
    "lteq": "at most",
}
_CHOSEN = {
    "where": ("is", "is one of"),
    "where_not": ("is not", "is none of"),
    "matching": ("matches", ""),
    "not_matching": ("does not match", ""),
}
_OF_A_LIST = {
    "first": "the first of",
    "last": "the last of",
    "max": "the highest of",
    "min": "the lowest of",
    "total": "the sum of",
    "unique": "the different values of",
    "round_up": "the next whole number of",
    "join": "",
}
_OPERATORS: Mapping[type[nodes.BinExpr], str] = {nodes.Add: "+", nodes.Sub: "-", nodes.Mul: "*", nodes.Div: "/"}


class _UnspokenError(Exception):
    """A part for which there are no words."""


def spoken(written: Any, scope: Scope, answers: Mapping[str, str]) -> str:
    """A condition in words.

    Args:
        written: of a playbook; valid.
        scope: what is known.
        answers: name -> the key of the step whose answers it stands for.
    """
    return _spoken(written, scope, answers, _Speaker.condition)


def spoken_value(written: Any, scope: Scope, answers: Mapping[str, str]) -> str:
    """A value, or a text with values in it, in words; see `spoken`."""
    return _spoken(written, scope, answers, _Speaker.piece)


def _spoken(
    written: Any, scope: Scope, answers: Mapping[str, str], speak: Callable[[_Speaker, nodes.Node], str]
) -> str:
    if not is_template(written):
        return str(written).lower() if isinstance(written, bool) else str(written)
    try:
        read = _read(written)
        speaker = _Speaker(read, scope, answers)
        return speak(speaker, read.whole) if read.whole is not None else "".join(map(speaker.piece, read.pieces))
    except (_UnspokenError, ExpressionError):
        return filled(written, scope)


class _Read:
    """An expression, and those of its parts that were asked for their values; batches ask the same of each of them."""

    def __init__(self, written: str) -> None:
        template(written)  # refuses what is none
        tree = parsed(written)
        self.whole, _ = whole_expression(tree)
        self.pieces = [piece for part in tree.body if isinstance(part, nodes.Output) for piece in part.nodes]
        self._parts: dict[int, tuple[frozenset[str], Callable[[Scope], Any]]] = {}

    def part(self, node: nodes.Expr) -> tuple[frozenset[str], Callable[[Scope], Any]]:
        """The names that a part reads, and the part as a function."""
        if id(node) not in self._parts:
            found = [node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name)
            asked = nodes.Filter(deepcopy(node), "default", [nodes.Const(None)], [], None, None, lineno=node.lineno)
            self._parts[id(node)] = frozenset(name.name for name in found), compile_part(asked)
        return self._parts[id(node)]


@lru_cache(maxsize=1024)
def _read(written: str) -> _Read:
    return _Read(written)


class _Speaker:
    def __init__(self, read: _Read, scope: Scope, answers: Mapping[str, str]) -> None:
        self._read = read
        self._scope = scope
        self._answers = answers

    def piece(self, node: nodes.Node) -> str:
        """A piece of a text, or of an expression in it."""
        return node.data if isinstance(node, nodes.TemplateData) else self._thing(node)

    def condition(self, node: nodes.Node) -> str:
        """What must be so."""
        known = self._value(node)
        if isinstance(known, bool):
            return "always true" if known else "never true"
        if isinstance(node, nodes.And | nodes.Or):
            word = "and" if isinstance(node, nodes.And) else "or"
            return f"{self.condition(node.left)}, {word} {self.condition(node.right)}"
        if isinstance(node, nodes.Not):
            return f"no {self._thing(node.node)}" if self._is_rows(node.node) else f"not: {self.condition(node.node)}"
        if isinstance(node, nodes.Compare) and len(node.ops) == 1:
            return self._compared(node)
        if isinstance(node, nodes.Filter) and node.name == "agree":
            key, value = map(self._argument, node.args)
            return f"'{value}' is the same everywhere for each '{key}' in {self._thing(node.node)}"
        return f"there are {self._thing(node)}" if self._is_rows(node) else self._thing(node)

    def _compared(self, node: nodes.Compare) -> str:
        left, operand = node.expr, node.ops[0]
        if isinstance(left, nodes.Filter) and left.name == "length" and operand.op in _COUNTED:
            number = self._thing(operand.expr)
            counted = self._thing(left.node).removeprefix("the ")
            return (
                f"no {counted}"
                if (operand.op, number) == ("eq", "0")
                else (f"{_COUNTED[operand.op]} {number} {counted}")
            )
        return f"{self._thing(left)} {_COMPARED[operand.op]} {self._thing(operand.expr)}"

    def _thing(self, node: nodes.Node | None) -> str:
        """A value, or what it is of."""
        known = self._value(node)
        if known is not None:
            return _plain(known)
        if isinstance(node, nodes.Filter):
            return self._filtered(node)
        if isinstance(node, nodes.Name):
            return _NAMES.get(node.name) or self._answer(node.name)
        if isinstance(node, nodes.Getattr):
            return self._member(node)
        if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Getattr) and node.node.attr == "hosts":
            return f"{self._thing(node.node.node)} by {self._host(node.arg)}"
        if isinstance(node, nodes.List):
            return ", ".join(map(self._thing, node.items))
        if isinstance(node, nodes.Test) and node.name in {"defined", "undefined"}:
            return f"{self._thing(node.node)} is {'there' if node.name == 'defined' else 'not there'}"
        if type(node) in _OPERATORS and isinstance(node, nodes.BinExpr):
            return f"({self._thing(node.left)} {_OPERATORS[type(node)]} {self._thing(node.right)})"
        raise _UnspokenError

    def _filtered(self, node: nodes.Filter) -> str:
        if node.name in _CHOSEN:
            return self._chosen(node)
        of = self._thing(node.node)
        if node.name == "column":
            return f"'{self._argument(node.args[0])}' of {of}"
        if node.name == "length":
            return f"the number of {of}"
        if node.name == "minus":
            return f"{of} (without {self._thing(node.args[0])})"
        if node.name in {"sort", "int", "number", "trim"}:
            return of
        if node.name == "default" and node.args:
            return f"{of} (or {self._thing(node.args[0])} where there is none)"
        if node.name in {"lower", "upper"}:
            return f"{of} in {node.name} case"
        if node.name in _OF_A_LIST:
            return f"{_OF_A_LIST[node.name]} {of}".lstrip()
        raise _UnspokenError

    def _chosen(self, node: nodes.Filter) -> str:
        """Rows that were chosen; of several choices, one after the other."""
        inner = node.node
        also = isinstance(inner, nodes.Filter) and inner.name in _CHOSEN
        key, wanted = self._argument(node.args[0]), node.args[1]
        one, several = _CHOSEN[node.name]
        many = several and self._is_list(wanted)
        value = self._thing(wanted)
        words = f"'{key}' {several if many else one} {value or 'empty'}"
        return f"{self._thing(inner)}{' and' if also else ' whose'} {words}"

    def _member(self, node: nodes.Getattr) -> str:
        if isinstance(node.node, nodes.Name) and node.node.name in _OWN:
            return f"{_OWN[node.node.name]} {node.attr}"
        of = self._thing(node.node)
        if node.attr == "rows":
            return of
        words: dict[str, Callable[[], str]] = {
            "answered": lambda: of,
            "ok": lambda: f"success everywhere in {of}",
            "failed": lambda: f"hosts that failed in {of}",
            "status": lambda: f"the HTTP status of {of}",
        }
        return (
            words[node.attr]() if node.attr in words and isinstance(node.node, nodes.Name) else f"'{node.attr}' of {of}"
        )

    def _answer(self, name: str) -> str:
        if name in self._answers:
            return f"rows that step {self._answers[name]} answered"
        raise _UnspokenError

    def _host(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "host":
            return "the same host"
        return self._thing(node)

    def _argument(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Const):
            return str(node.value)
        return self._thing(node)

    def _is_list(self, node: nodes.Node) -> bool:
        known = self._value(node)
        if known is not None:
            return isinstance(known, list | tuple)
        return isinstance(node, nodes.List) or (
            isinstance(node, nodes.Filter) and node.name in {"column", "minus", "unique", "sort"}
        )

    def _is_rows(self, node: nodes.Node) -> bool:
        """Whether it is rows, or values of a column, of which there are some or none."""
        if isinstance(node, nodes.Filter):
            return node.name in _CHOSEN or (
                node.name in {"column", "minus", "unique", "sort"}
                and node.node is not None
                and self._is_rows(node.node)
            )
        return (isinstance(node, nodes.Getattr) and node.attr == "rows") or (
            isinstance(node, nodes.Name) and node.name == "rows"
        )

    def _value(self, node: nodes.Node | None) -> Any:
        """What a part is, if all that it reads is known and it is short; None otherwise."""
        if not isinstance(node, nodes.Expr):
            return None
        names, evaluate = self._read.part(node)
        if not names <= set(self._scope):
            return None
        try:
            value = evaluate(self._scope)
        except (ExpressionError, jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError):
            return None
        several = isinstance(value, list | tuple)
        short = all(map(_is_plain, value)) if several else _is_plain(value)
        return value if short and len(_plain(value)) <= LONGEST else None


_NAMES = {
    "rows": "rows",
    "answer": "rows",
    "now": "the value",
    "reviewed": "the value of the review",
    "item": "the item",
}
_OWN = {"host": "the host's", "item": "the item's", "parameters": "the request's"}


def _is_plain(value: Any) -> bool:
    """Whether a value is a word or a number, or has a name as hosts do."""
    return isinstance(value, str | int | float) or hasattr(type(value), "readable")


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if hasattr(type(value), "readable") else text_of(value)
