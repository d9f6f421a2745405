"""The expressions of playbooks: `{{ before.rows | where('state', 'up') | column('users') | total }}`.

A subset of Jinja2 that operators know: names, attributes, indexes, arithmetic, comparisons, `and or not in`, `a if b
else c`, filters and tests. No statements, no function calls, no string or list multiplication, no powers: an expression
can neither reach Python nor run for ever. A template that is wholly one `{{ expression }}` keeps its value's type;
otherwise the pieces become text, by `text_of` alone. What hosts answer is data: it is never parsed here.

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
from orchestrator.text import direct
from orchestrator.text.filters import (
    FILTERS,
    NOT_NEEDED,
    OTHER_FILTERS,
    NoColumnError,
    NoSampleError,
    NothingThereError,
    listed,
)
from orchestrator.text.scalar import text_of

Scope = Mapping[str, Any]

MAX_LENGTH = 4000  # characters of one template
MAX_NESTING = 40
TEMPLATES = 65_536  # texts that are kept compiled: of a playbook all, however long it is


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
        return self._of_object(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item; never a method under an item's name."""
        if isinstance(obj, Mapping):
            return self._of_mapping(obj, argument)
        if isinstance(argument, str):
            return self._of_object(obj, argument)
        return super().getitem(obj, argument)

    def _of_mapping(self, obj: Mapping[Any, Any], key: Any) -> Any:
        return obj[key] if key in obj else self.undefined(hint=_missing(key, obj))

    def _of_object(self, obj: Any, name: str) -> Any:
        """What the object's type says that expressions may read, and nothing else: no method, no secret, no inner part."""
        readable: frozenset[str] = getattr(type(_there(obj)), "readable", frozenset())
        if name in readable:
            return getattr(obj, name)
        return self.undefined(hint=_missing(name, sorted(readable)))


_OF_SOMETHING = ("first", "last", "min", "max")
_THERE = "there!"  # no filter that a playbook could write


def _environment() -> _Environment:
    env = _Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        finalize=text_of,
        optimized=False,
        keep_trailing_newline=True,
    )
    kept = {name: env.filters[name] for name in ("default", "round", "abs")}
    of_lists = {"sort": _of_list("sort", env.filters["sort"])}
    of_something = {name: _or_undefined(env, FILTERS[name]) for name in _OF_SOMETHING}
    env.filters = {**FILTERS, **kept, **of_lists, **of_something, _THERE: _there, _TO_TEXT: text_of}
    env.tests = {name: env.tests[name] for name in ("defined", "undefined", "none", "number", "string", "in")}
    env.globals = {}
    return env


_TO_TEXT = "~"  # a filter that nobody can write


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
    if isinstance(error, NoSampleError):
        return _missing(error.key, error.columns, "no metric is called {!r}", "metrics")
    if isinstance(error, NoColumnError):
        return _missing(error.key, error.columns, "no row has a column {!r}", "columns")
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return str(error) or type(error).__name__


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """The words of a text with expressions, blanks included, each with its kind."""
    yield from ((kind, written) for _line, kind, written in _ENV.lex(text))


def is_template(value: Any) -> bool:
    """Whether a value is text with an expression in it."""
    return isinstance(value, str) and "{{" in value


@lru_cache(maxsize=TEMPLATES)
def template(text: str) -> Template:
    """Compile a text.

    Raises:
        ExpressionError: not an expression, or one that uses what is not available here.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression of {len(text)} characters is too long (at most {MAX_LENGTH})")
    try:
        tree = parsed(text)
        _check(tree, 0)
        _check_numbers(text)
    except jinja2.TemplateSyntaxError as error:
        raise ExpressionError(f"not a valid expression: {error.message} in {text}") from None
    except (jinja2.TemplateError, RecursionError, SyntaxError, MemoryError, ValueError) as error:
        raise ExpressionError(f"not a valid expression: {_reason(error)} in {text}") from None
    names = frozenset(name.name for name in tree.find_all(nodes.Name))
    return Template(text, names, _evaluator(_Texts().visit(tree), names))


def parsed(text: str) -> nodes.Template:
    """Jinja makes each line end a plain one; a carriage return stays if Jinja does not see it."""
    if "\r" not in text:
        return _ENV.parse(text)
    hidden = next(sign for sign in map(chr, range(0xE000, 0xF900)) if sign not in text)
    tree = _ENV.parse(text.replace("\r", hidden))
    for data in tree.find_all(nodes.TemplateData):
        data.data = data.data.replace(hidden, "\r")
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, str):
            const.value = const.value.replace(hidden, "\r")
    return tree


class _Texts(NodeTransformer):
    """Has the pieces of `a ~ b` become text as all others do; Jinja writes True and None there."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - Jinja's name
        """Each piece passes through `text_of`."""
        self.generic_visit(node)
        node.nodes = [nodes.Filter(piece, _TO_TEXT, [], [], None, None, lineno=node.lineno) for piece in node.nodes]
        return node


def _check(node: nodes.Node, depth: int) -> None:
    if depth > MAX_NESTING:
        raise SecurityError(f"nested more than {MAX_NESTING} levels")
    if isinstance(node, nodes.Call):
        raise SecurityError("function calls are not available; use filters (value | filter)")
    if isinstance(node, nodes.Pos):
        raise SecurityError("a + in front is not available; put a name in quotes")
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


def _check_numbers(text: str) -> None:
    """A number that an expression would write otherwise may be meant as a name."""
    for kind, written in tokens(text):
        if kind in {"integer", "float"} and written != (plain := str(_number_of(written))):
            raise SecurityError(f"{written} is the number {plain} here: write that, or '{written}' if a name is meant")


def _number_of(written: str) -> int | float:
    plain = written.replace("_", "")
    try:
        return int(plain, 0)
    except ValueError:
        return float(plain)


def _check_name(node: nodes.Filter | nodes.Test) -> None:
    """What Jinja finds when it compiles, which is left until the value is asked for."""
    kind, known = ("filter", _ENV.filters) if isinstance(node, nodes.Filter) else ("test", _ENV.tests)
    if node.name not in known or node.name == _THERE:
        raise SecurityError(_no_such(kind, node.name, [name for name in known if name.isidentifier()]))
    keywords = [pair.key for pair in node.kwargs]
    if len(keywords) != len(set(keywords)):
        raise SecurityError(f"the {kind} {node.name} is given an argument twice")


def _no_such(kind: str, name: str, known: list[str]) -> str:
    if kind == "filter" and name in NOT_NEEDED:
        return f"there is no filter {name!r}, and none is needed: leave it out"
    meant = (OTHER_FILTERS.get(name, "") if kind == "filter" else "") or nearest(name, known)
    found = f"(did you mean {meant!r}?)" if meant else f"({kind}s: {', '.join(sorted(known))})"
    return f"there is no {kind} {name!r} {found}"


def _evaluator(tree: nodes.Template, names: frozenset[str]) -> Callable[[Scope], Any]:
    if names & _SPECIAL:
        return _unknown(names & _SPECIAL)
    whole, line_ends = whole_expression(tree)
    if line_ends:
        return _with_line_ends(_evaluator(nodes.Template([nodes.Output([whole])]), names), line_ends)
    plain = direct.text_reader(tree, _ENV) if whole is None else direct.reader(whole, _ENV)
    if plain is not None:
        return plain
    tree = _Demanding().visit(tree)
    whole, _ = whole_expression(tree)

    @cache
    def compiled() -> Callable[[Scope], Any]:
        """On first use: a playbook that is only looked at evaluates nothing."""
        return _compile_text(tree) if whole is None else compile_node(whole)

    def evaluate(scope: Scope) -> Any:
        return compiled()(scope)

    return evaluate


def whole_expression(tree: nodes.Template) -> tuple[nodes.Expr | None, str]:
    """The expression, if the text is one `{{ expression }}` and nothing else but the line ends of a YAML block."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output):
        first, *rest = tree.body[0].nodes
        line_ends = "".join(part.data if isinstance(part, nodes.TemplateData) else "{{" for part in rest)
        if not isinstance(first, nodes.TemplateData) and not line_ends.strip("\n"):
            return first, line_ends
    return None, ""


def _with_line_ends(evaluate: Callable[[Scope], Any], line_ends: str) -> Callable[[Scope], Any]:
    """A text keeps the line ends of its block, as it would without an expression; what is no text has none."""

    def evaluated(scope: Scope) -> Any:
        value = evaluate(scope)
        return value + line_ends if isinstance(value, str) else value

    return evaluated


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


def compile_part(expression: nodes.Expr) -> Callable[[Scope], Any]:
    """A part of a valid expression; what it reads must be there."""
    return compile_node(_Demanding().visit(expression))


def compile_node(expression: nodes.Node) -> Callable[[Scope], Any]:
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
