"""The plainest expressions, read without Jinja: `{{ item.user }}`, `{{ hosts['b1'].rows }}`, `{{ host.name }}-{{ item }}`.

Nearly all that playbooks say of a million items is as plain, and compiling a template costs as much as sending two requests.
Whatever is not, by a filter, a test or an operator, is Jinja's; what both can read, both read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from jinja2 import nodes

from orchestrator.text.scalar import text_of

Read = Callable[[Mapping[str, Any]], Any]


def reader(tree: nodes.Node | None, env: jinja2.Environment) -> Read | None:
    """Reads a name, or members of one, from a scope; None for any other expression.

    Args:
        tree: the expression.
        env: knows what may be read of a value.
    """
    if isinstance(tree, nodes.Name):
        return _name(tree.name)
    if isinstance(tree, nodes.Getattr):
        return _member(reader(tree.node, env), env.getattr, tree.attr)
    if isinstance(tree, nodes.Getitem) and isinstance(tree.arg, nodes.Const):
        return _member(reader(tree.node, env), env.getitem, tree.arg.value)
    return None


def text_reader(tree: nodes.Template, env: jinja2.Environment) -> Read | None:
    """Puts a text together of its pieces; None when one of them is more than a name or members of one."""
    pieces = [node for output in tree.body if isinstance(output, nodes.Output) for node in output.nodes]
    parts = [piece.data if isinstance(piece, nodes.TemplateData) else reader(piece, env) for piece in pieces]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return lambda scope: "".join(part if isinstance(part, str) else str(text_of(part(scope))) for part in known)


def _name(name: str) -> Read:
    def read(scope: Mapping[str, Any]) -> Any:
        try:
            return scope[name]
        except KeyError:
            raise jinja2.UndefinedError(f"'{name}' is undefined") from None

    return read


def _member(of: Read | None, get: Callable[[Any, Any], Any], key: Any) -> Read | None:
    if of is None:
        return None

    def read(scope: Mapping[str, Any]) -> Any:
        value = get(of(scope), key)
        if isinstance(value, jinja2.Undefined):
            str(value)  # raises, and says what is not there
        return value

    return read
