"""An expression as a reviewer reads it: what is known already stands there as a value, and the rest as it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.errors import ExpressionError
from orchestrator.text.expression import Scope, is_template, template, tokens
from orchestrator.text.scalar import text_of

LONGEST = 60  # characters of a value that takes the place of a name


def filled(written: Any, scope: Scope) -> str:
    """A text of a playbook with the values of names that are known.

    `{{ before.rows | where('ip', backend.address) }}` becomes `{{ before.rows | where('ip', '10.0.0.1') }}`, and
    `{{ backend.address }}` becomes `10.0.0.1`.

    Args:
        written: a valid template, or any other value, which stays as it is.
        scope: what is known.
    """
    if not is_template(written):
        return str(written)
    return "".join(_pieces(list(tokens(written)), scope))


def _pieces(found: list[tuple[str, str]], scope: Scope) -> Iterator[str]:
    at = 0
    while at < len(found):
        kind, text = found[at]
        if kind != "variable_begin":
            yield text
            at += 1
            continue
        end = next(place for place in range(at, len(found)) if found[place][0] == "variable_end")
        inner = list(_expression(found[at + 1 : end], scope))
        words = [(text, value) for text, value in inner if text.strip()]
        if len(words) == 1 and words[0][1] is not None:
            yield text_of(words[0][1])
        else:
            yield "".join(["{{", *(text for text, _ in inner), "}}"])
        at = end + 1


def _expression(found: list[tuple[str, str]], scope: Scope) -> Iterator[tuple[str, Any]]:
    """The parts of an expression: each text, and the value of a name that is known, or None."""
    at, before = 0, ""
    while at < len(found):
        size = _chain(found, at) if before not in {".", "|", "is"} else 0
        value = _known("".join(part for _, part in found[at : at + size]), scope) if size else None
        if value is not None:
            yield _literal(value), value
        else:
            yield "".join(part for _, part in found[at : at + max(size, 1)]), None
        at += max(size, 1)
        before = found[at - 1][1].strip() or before


def _chain(found: list[tuple[str, str]], at: int) -> int:
    """How many tokens a name, or `(name | first)`, has with its attributes; 0 for anything else."""
    if found[at][0] == "name":
        size = 1
    elif found[at] == ("operator", "(") and (at == 0 or found[at - 1][0] != "name"):  # else it begins arguments
        size = _first_of(found, at)
    else:
        return 0
    if not size:
        return 0
    while found[at + size : at + size + 1] == [("operator", ".")] and found[at + size + 1 : at + size + 2]:
        size += 2
    return 0 if found[at + size : at + size + 1] == [("operator", "=")] else size


def _first_of(found: list[tuple[str, str]], at: int) -> int:
    """How many tokens `(name | first)` has, blanks included; 0 for anything else."""
    close = next((place for place in range(at, len(found)) if found[place] == ("operator", ")")), at)
    inner = [part for part in found[at : close + 1] if part[1].strip()]
    shape = [("operator", "("), *inner[1:2], ("operator", "|"), ("name", "first"), ("operator", ")")]
    return close + 1 - at if inner == shape and inner[1][0] == "name" else 0


def _known(chain: str, scope: Scope) -> Any:
    """The value of a name and its attributes, if it is short; None otherwise."""
    try:
        found = template("{{ " + chain + " }}")
        value = found(scope) if found.names and found.names <= set(scope) else None
    except ExpressionError:  # a word of the language, or nothing that is there
        return None
    return value if isinstance(value, str | int | float) and len(str(value)) <= LONGEST else None


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, str) else text_of(value)
