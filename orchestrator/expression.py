"""The expressions of playbooks: `{{ before.rows | where('state', 'up') | column('users') | total }}`.

A subset of Jinja2 that operators know: names, attributes, indexes, arithmetic, comparisons, `and or not in`, `a if b
else c`, filters and tests. No statements, no function calls, no string or list multiplication, no powers: an expression
can neither reach Python nor run for ever. A template that is wholly one `{{ expression }}` keeps its value's type;
otherwise the pieces become text. What hosts answer is data: it is never parsed here.

What is not there is an error where it is read, however the expression goes on: `not`, `in []` or a list around it would
turn it into a condition that holds. Only `x | default(y)` and `x is defined` ask whether it is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache, wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.environment import TemplateExpression
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from orchestrator.errors import ExpressionError, nearest
from orchestrator.filters import FILTERS, NoColumnError, NothingThereError, listed

Scope = Mapping[str, Any]

MAX_LENGTH = 4000  # characters of one template
MAX_NESTING = 40


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, less all that an answer's reader does not need."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        texts, lists = (isinstance(left, kind) and isinstance(right, kind) for kind in (str, list))
        if operator == "+" and (texts or lists):
            return super().call_binop(context, operator, left, right)
        if not numbers or operator == "**":
            raise SecurityError(f"{operator} works on numbers only" if operator != "**" else "** is not available")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Of a row a column, never a method of its dict: `item.values` is the column."""
        if isinstance(obj, Mapping):
            return self._of_mapping(obj, attribute)
        return self._no_method(obj, attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item; never a method under an item's name."""
        if isinstance(obj, Mapping):
            return self._of_mapping(obj, argument)
        return self._no_method(obj, str(argument), super().getitem(obj, argument))

    def _of_mapping(self, obj: Mapping[Any, Any], key: Any) -> Any:
        return obj[key] if key in obj else self.undefined(hint=_missing(key, obj))

    def _no_method(self, obj: Any, name: str, value: Any) -> Any:
        return (
            self.unsafe_undefined(obj, name) if callable(value) and not isinstance(value, jinja2.Undefined) else value
        )

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - Jinja's signature
        return not attr.startswith("_") and not callable(value)


_OF_LISTS = ("sort", "join")  # Jinja takes a text for a list of letters
_OF_SOMETHING = ("first", "last", "min", "max")
_THERE = "there!"  # no filter that a playbook could write


def _environment() -> _Environment:
    env = _Environment(undefined=jinja2.StrictUndefined, autoescape=False, finalize=_text_of, optimized=False)
    kept = {name: env.filters[name] for name in ("default", "upper", "lower", "trim", "round", "abs")}
    of_lists = {name: _of_list(name, env.filters[name]) for name in _OF_LISTS}
    of_something = {name: _or_undefined(env, FILTERS[name]) for name in _OF_SOMETHING}
    env.filters = {**FILTERS, **kept, **of_lists, **of_something, _THERE: _there}
    env.tests = {name: env.tests[name] for name in ("defined", "undefined", "none", "number", "string", "in", "==")}
    env.globals = {}
    return env


def _of_list(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def checked(context: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        return function(context, listed(values, name), *args, **kwargs)

    return checked


def _or_undefined(env: _Environment, function: Callable[..., Any]) -> Callable[..., Any]:
    """A value of a list that may be empty: as undefined as a name that is not there, so that `default` can follow."""

    def checked(values: Any) -> Any:
        try:
            return function(values)
        except NothingThereError as error:
            return env.undefined(hint=str(error))

    return checked


def _there(value: Any) -> Any:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises, and says what is not there
    return value


_SHOWN = 20  # names in a message


def _missing(name: Any, there: Iterable[Any], sentence: str = "there is no {!r}", names: str = "there are") -> str:
    """That something is not there, with the nearest that is, and all that are."""
    known = [str(key) for key in there]
    close = nearest(str(name), known)
    meant = f" (did you mean {close!r}?)" if close else ""
    shown = ", ".join([*(key[:60] for key in known[:_SHOWN]), *(["..."] if len(known) > _SHOWN else [])])
    return f"{sentence.format(str(name)[:60])}{meant}; {names}: {shown or 'none'}"


def _text_of(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value


_ENV = _environment()
_FORBIDDEN: tuple[type[nodes.Node], ...] = (nodes.Call, nodes.Stmt, nodes.Pow)
_ALLOWED_STATEMENTS = (nodes.Output,)
_SPECIAL = {"self", "loop", "caller", "varargs", "kwargs"}  # names that Jinja gives a meaning of its own


@dataclass(frozen=True)
class Template:
    """A text with `{{ expressions }}` in it, compiled.

    Attributes:
        text: as written.
        names: the names that it reads from its scope.
    """

    text: str
    names: frozenset[str]
    _evaluate: Callable[[Scope], Any] = field(repr=False, compare=False)

    def __call__(self, scope: Scope) -> Any:
        """The value in a scope.

        Raises:
            ExpressionError: an undefined name or attribute, or an operation that the values do not allow.
        """
        try:
            return self._evaluate(scope)
        except ExpressionError as error:
            raise ExpressionError(f"cannot evaluate {self.text}: {error.message}", hint=error.hint) from None
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise ExpressionError(f"cannot evaluate {self.text}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, NoColumnError):
        return _missing(error.key, error.columns, "no row has a column {!r}", "columns")
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return str(error) or type(error).__name__


def is_template(value: Any) -> bool:
    """Whether a value is text with an expression in it."""
    return isinstance(value, str) and "{{" in value


@lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """Compile a text.

    Raises:
        ExpressionError: not an expression, or one that uses what is not available here.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression of {len(text)} characters is too long (at most {MAX_LENGTH})")
    try:
        tree = _ENV.parse(text)
        _check(tree, 0)
    except jinja2.TemplateSyntaxError as error:
        raise ExpressionError(f"not a valid expression: {error.message} in {text}") from None
    except (jinja2.TemplateError, RecursionError, SyntaxError, MemoryError, ValueError) as error:
        raise ExpressionError(f"not a valid expression: {_reason(error)} in {text}") from None
    names = frozenset(name.name for name in tree.find_all(nodes.Name))
    return Template(text, names, _evaluator(tree, names))


def _check(node: nodes.Node, depth: int) -> None:
    if depth > MAX_NESTING:
        raise SecurityError(f"nested more than {MAX_NESTING} levels")
    if isinstance(node, nodes.Call):
        raise SecurityError("function calls are not available; use filters (value | filter)")
    if isinstance(node, nodes.CondExpr) and node.expr2 is None:
        raise SecurityError("an `if` needs its `else`")  # without, it would have no value, and `not` make that true
    if isinstance(node, nodes.Const) and isinstance(node.value, float) and not math.isfinite(node.value):
        raise SecurityError("a number is too large")
    if isinstance(node, nodes.Filter | nodes.Test):
        _check_name(node)
    if isinstance(node, _FORBIDDEN) and not isinstance(node, _ALLOWED_STATEMENTS):
        raise SecurityError("statements ({% %}) and ** are not available; only {{ expressions }} are")
    for child in node.iter_child_nodes():
        _check(child, depth + 1)


def _check_name(node: nodes.Filter | nodes.Test) -> None:
    """What Jinja finds when it compiles, which is left until the value is asked for."""
    kind, known = ("filter", _ENV.filters) if isinstance(node, nodes.Filter) else ("test", _ENV.tests)
    if node.name not in known or node.name == _THERE:
        raise SecurityError(f"No {kind} named {node.name!r}.")
    keywords = [pair.key for pair in node.kwargs]
    if len(keywords) != len(set(keywords)):
        raise SecurityError(f"the {kind} {node.name} is given an argument twice")


def _evaluator(tree: nodes.Template, names: frozenset[str]) -> Callable[[Scope], Any]:
    if names & _SPECIAL:
        return _unknown(names & _SPECIAL)
    whole = _whole_expression(tree)
    if isinstance(whole, nodes.Name):
        return _plain_name(whole.name)
    tree = _Demanding().visit(tree)
    whole = _whole_expression(tree)

    @cache
    def compiled() -> Callable[[Scope], Any]:
        """On first use: a playbook that is only looked at evaluates nothing."""
        return _compile_text(tree) if whole is None else _compile_expression(whole)

    def evaluate(scope: Scope) -> Any:
        return compiled()(scope)

    return evaluate


class _Demanding(NodeTransformer):
    """Has all that is read be there, but what an expression asks about with `default`, `is defined`, `is undefined`."""

    def visit_Name(self, node: nodes.Name) -> nodes.Expr:  # noqa: N802 - Jinja's way to find the method
        return _demanded(node)

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Expr:  # noqa: N802
        return _demanded(self.generic_visit(node))

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        return _demanded(self.generic_visit(node))

    def visit_Filter(self, node: nodes.Filter) -> nodes.Expr:  # noqa: N802
        self._visit_asking(node, asks=node.name == "default")
        return _demanded(node) if node.name in _OF_SOMETHING else node

    def visit_Test(self, node: nodes.Test) -> nodes.Expr:  # noqa: N802
        self._visit_asking(node, asks=node.name in {"defined", "undefined"})
        return node

    def _visit_asking(self, node: nodes.Filter | nodes.Test, *, asks: bool) -> None:
        self.generic_visit(node)
        if asks and isinstance(node.node, nodes.Filter) and node.node.name == _THERE:
            node.node = node.node.node


def _demanded(node: nodes.Node) -> nodes.Expr:
    return nodes.Filter(node, _THERE, [], [], None, None, lineno=node.lineno)


def _whole_expression(tree: nodes.Template) -> nodes.Node | None:
    """The expression, if the text is one `{{ expression }}` and nothing else."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        only = tree.body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


def _compile_expression(expression: nodes.Node) -> Callable[[Scope], Any]:
    """As Jinja's own `compile_expression` does, from the parsed expression: its text may begin with a minus sign."""
    target = nodes.Name("result", "store", lineno=1)
    body = nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)
    return TemplateExpression(_ENV.from_string(body), undefined_to_none=False)


def _unknown(names: frozenset[str]) -> Callable[[Scope], Any]:
    def evaluate(_scope: Scope) -> Any:
        raise jinja2.UndefinedError(f"'{min(names)}' is undefined")

    return evaluate


def _compile_text(tree: nodes.Template) -> Callable[[Scope], Any]:
    return _ENV.from_string(tree).render


def _plain_name(name: str) -> Callable[[Scope], Any]:
    """A short cut for `{{ item }}`: a million items need not pass through Jinja."""

    def evaluate(scope: Scope) -> Any:
        try:
            return scope[name]
        except KeyError:
            raise jinja2.UndefinedError(f"'{name}' is undefined") from None

    return evaluate


def names_in(value: Any) -> frozenset[str]:
    """All names that the templates within a value (text, list, mapping) read.

    Raises:
        ExpressionError: one of them is not valid.
    """
    if is_template(value):
        return template(value).names
    if isinstance(value, Mapping):
        return frozenset().union(*map(names_in, value.values()))
    if isinstance(value, list | tuple):
        return frozenset().union(*map(names_in, value))
    return frozenset()


@dataclass(frozen=True)
class ColumnUse:
    """A column that an expression reads by its name from rows.

    Attributes:
        column: its name.
        origins: the names whose rows it is looked for in: `before`, `rows`, `item`.
    """

    column: str
    origins: frozenset[str]


@lru_cache(maxsize=4096)
def column_uses(text: str) -> tuple[ColumnUse, ...]:
    """The columns that a text's expressions read by name, as far as it can be told what rows they are read from.

    Raises:
        ExpressionError: not an expression.
    """
    reader = _ColumnReader()
    if is_template(text):
        template(text)  # refuses what is none
        reader.read(_ENV.parse(text))
    return tuple(dict.fromkeys(reader.uses))


@lru_cache(maxsize=4096)
def row_origins(text: str) -> frozenset[str]:
    """The names whose rows the value of an expression is made of; none when its value is not rows, or cannot be told."""
    if not is_template(text):
        return frozenset()
    template(text)
    whole = _whole_expression(_ENV.parse(text))
    found = _ColumnReader().read(whole) if whole is not None else None
    return found.origins if found is not None and found.kind == "rows" else frozenset()


@dataclass(frozen=True)
class _Known:
    """What is known of a part of an expression: that it is an answer, its hosts, rows, or a row, and of which names."""

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
        if of is None or of.kind != "rows":
            return None
        self.uses += [ColumnUse(column, of.origins) for column in self._columns(node)]
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
    kinds = {"rows": "rows", "item": "row"}
    return _Known(kinds.get(name, "answer"), frozenset({name}))


def _literal(node: nodes.Node) -> Any:
    return node.value if isinstance(node, nodes.Const) else None


def _together(parts: list[_Known | None]) -> _Known | None:
    """Rows of several parts; unknown as soon as one part is."""
    found = [part for part in parts if part is not None]
    if len(found) != len(parts) or any(part.kind != found[0].kind for part in found):
        return None
    return _Known(found[0].kind, frozenset().union(*(part.origins for part in found)))


def compile_value(value: Any) -> Callable[[Scope], Any]:
    """A function from a scope to the value with all its templates evaluated; cheap to call a million times."""
    if is_template(value):
        return template(value)
    if not names_in(value) and not _has_template(value):
        return lambda _scope: value
    if isinstance(value, Mapping):
        parts = [(key, compile_value(part)) for key, part in value.items()]
        return lambda scope: {key: part(scope) for key, part in parts}
    items = [compile_value(part) for part in value]
    return lambda scope: [item(scope) for item in items]


def _has_template(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_template, value))
    return is_template(value)


def truth(value: Any) -> bool:
    """Whether a condition's value holds. Only booleans, and "is there any" of lists and answers; a text is neither.

    Raises:
        ExpressionError: a text or number, which is nearly always a condition that forgot its comparison.
    """
    if isinstance(value, bool):
        return value
    if value is None or isinstance(value, list | tuple | dict):
        return bool(value)
    raise ExpressionError(f"a condition must be true or false, not {value!r}", hint="compare it: {{ ... == 'x' }}")
