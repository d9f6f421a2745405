"""What a condition looks at, in short: `users=13` of `{{ rows | where(...) | column('users') == ['0'] }}`.

Whoever waits for a condition wants to see the value that is compared, and not only that it is not yet the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes

from orchestrator.errors import ExpressionError
from orchestrator.text.expression import Scope, compile_part, is_template, parsed, whole_expression
from orchestrator.text.scalar import text_of

MOST = 3  # values of a column that are shown
LONGEST = 40  # characters of one

_ANSWERS = frozenset({"rows", "answer"})
Watched = tuple[str, Callable[[Scope], Any]]


def seen(condition: Any, scope: Scope, answers: frozenset[str] = frozenset()) -> str:
    """What a condition's comparisons look at, as it is in a scope; empty where that cannot be said in short.

    Args:
        condition: of a playbook, such as an `until`; valid.
        scope: all names that it reads.
        answers: names of earlier answers in it.
    """
    found = []
    for name, value in (
        _watched(condition, _ANSWERS | answers) if isinstance(condition, str) and is_template(condition) else ()
    ):
        try:
            found.append(_shown(name, value(scope)))
        except (ExpressionError, jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError):
            continue  # a part that was not reached, since another decided
    return ", ".join(dict.fromkeys(found))


@lru_cache(maxsize=256)
def _watched(text: str, answers: frozenset[str]) -> tuple[Watched, ...]:
    whole, _ = whole_expression(parsed(text))
    if whole is None:
        return ()
    parts = _parts(whole, answers)
    return tuple((_name(part), compile_part(part)) for part in parts if _reads_answers(part, answers))


def _parts(node: nodes.Expr, answers: frozenset[str]) -> Iterator[nodes.Expr]:
    """The values that decide: what stands left of comparisons, and lists that are asked whether they are empty."""
    if isinstance(node, nodes.And | nodes.Or):
        yield from _parts(node.left, answers)
        yield from _parts(node.right, answers)
    elif isinstance(node, nodes.Not):
        yield from _parts(node.node, answers)
    elif isinstance(node, nodes.Compare):
        yield node.expr if _reads_answers(node.expr, answers) else node.ops[0].expr
    else:
        yield node


def _reads_answers(node: nodes.Node, answers: frozenset[str]) -> bool:
    found = [node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name)
    return any(name.name in answers for name in found)


def _name(node: nodes.Node) -> str:
    """The column, or what else is looked at; empty for rows that are counted."""
    while isinstance(node, nodes.Filter):
        if node.name == "length":
            return ""
        if node.name == "column" and node.args and isinstance(node.args[0], nodes.Const):
            return str(node.args[0].value)
        if node.name == "agree":
            return "agree"
        assert node.node is not None  # noqa: S101 - a filter block is no expression
        node = node.node
    return node.attr if isinstance(node, nodes.Getattr) and node.attr != "rows" else ""


def _shown(name: str, value: Any) -> str:
    if not name:
        number = len(value) if isinstance(value, list | tuple) else value
        return f"{number} row{'' if number == 1 else 's'}"
    values = [text_of(part)[:LONGEST] for part in (value if isinstance(value, list | tuple) else [value])]
    different = list(dict.fromkeys(values))
    more = ["…"] if len(different) > MOST else []
    return f"{name}={','.join([*different[:MOST], *more]) or 'nothing'}"
