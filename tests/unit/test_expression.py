"""Expressions: what they can do, and that they can do nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.errors import ExpressionError
from orchestrator.secret import Secret
from orchestrator.text import direct
from orchestrator.text.expression import (
    _ENV,
    MAX_LENGTH,
    MAX_NESTING,
    compile_value,
    is_template,
    names_in,
    parsed,
    template,
    truth,
)
from orchestrator.text.reads import column_uses, members_in, row_origins
from tests.strategies import fleet


@dataclass(frozen=True)
class Thing:
    readable: ClassVar = frozenset({"name"})

    name: str
    _hidden: str = "hidden"

    def method(self) -> str:
        """Never to be called."""
        return "called"


ROWS = [
    {"host": "b1", "state": "up", "users": "3", "mail server ip": "10.0.1.1"},
    {"host": "b2", "state": "down", "users": "4", "mail server ip": "10.0.1.2"},
]
SCOPE = {
    "rows": ROWS,
    "n": 7,
    "half": 0.5,
    "word": "abc",
    "flag": True,
    "nothing": None,
    "empty": [],
    "thing": Thing("b1"),
    "item": {"user": "u1", "values": "column", "evil": "{{ 7 * 7 }}"},
    "secret": Secret("hunter2x"),
    "backend": fleet().hosts["b1"],
}


def value(text: str) -> Any:
    """What a text is in the scope above."""
    return template(text)(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ n }}", 7),
        ("{{n}}", 7),
        ("{{- n -}}", 7),
        ("{{ n }}\n", 7),
        ("{{ n + 1 }}", 8),
        ("{{ -n }}", -7),
        ("{{ -n + 1 }}", -6),
        ("{{ -5 }}", -5),
        ("{{ - 5 }}", -5),
        ("{{-5}}", 5),
        ("{{- -5 }}", -5),
        ("{{ 2 * 3 + 1 }}", 7),
        ("{{ 7 // 2 }}", 3),
        ("{{ 7 % 2 }}", 1),
        ("{{ 7 / 2 }}", 3.5),
        ("{{ half }}", 0.5),
        ("{{ flag }}", True),
        ("{{ not flag }}", False),
        ("{{ nothing }}", None),
        ("{{ empty }}", []),
        ("{{ [1, 'a'] }}", [1, "a"]),
        ("{{ {'a': n} }}", {"a": 7}),
        ("{{ word }}", "abc"),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ [1] + [2] }}", [1, 2]),
        ("{{ 'n' ~ n }}", "n7"),
        ("{{ rows[0].host }}", "b1"),
        ("{{ rows[0]['mail server ip'] }}", "10.0.1.1"),
        ("{{ (rows | first).host }}", "b1"),
        ("{{ (rows | last)['host'] }}", "b2"),
        ("{{ rows[1:] | length }}", 1),
        ("{{ item.values }}", "column"),
        ("{{ thing.name }}", "b1"),
        ("{{ backend.address }}", "10.0.1.1"),
        ("{{ 'a' if n > 5 else 'b' }}", "a"),
        ("{{ n in [1, 7] }}", True),
        ("{{ n > 3 and n < 9 or flag }}", True),
        ("{{ rows | where('state', 'up') | column('users') | total }}", 3),
        ("{{ missing | default(4) }}", 4),
        ("{{ missing is defined }}", False),
        ("{{ nothing is none }}", True),
        ("{{ '}}' }}", "}}"),
        ("{{ '{{ n }}' }}", "{{ n }}"),
        ("{# said #}{{ n + 1 }}", 8),
    ],
)
def test_an_expression_alone_keeps_its_type(text: str, expected: Any) -> None:
    """A text that is wholly one expression has the expression's value and type."""
    result = value(text)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n is {{ n }}", "n is 7"),
        ("{{ n }}{{ n }}", "77"),
        (" {{ n }}", " 7"),
        ("{{ flag }}!", "true!"),
        ("{{ word }}-{{ n + 1 }}", "abc-8"),
        ("no expression", "no expression"),
        ("{{ item.evil }} stays", "{{ 7 * 7 }} stays"),
        ("{{ 'x' ~ flag ~ n }}", "xtrue7"),
        ("{{ 'x' ~ ('y' ~ flag) }}", "xytrue"),
        ("{{ [word, flag, n] | join('-') }}", "abc-true-7"),
        ("{{ flag | upper }}{{ flag | lower }}{{ flag | trim }}", "TRUEtruetrue"),
        ("on {{ backend }}", "on b1"),
    ],
)
def test_expressions_in_a_text_become_text(text: str, expected: str) -> None:
    """Pieces of a longer text are put together as text, with booleans as they are written in playbooks."""
    assert value(text) == expected


@pytest.mark.parametrize(
    "piece",
    [
        "nothing",
        "empty",
        "rows",
        "item",
        "thing",
        "(1, 2)",
        "nothing ~ ''",
        "'' ~ empty",
        "[nothing] | join",
        "[rows] | join",
        "nothing | trim",
    ],
)
def test_only_scalars_become_a_piece_of_a_text(piece: str) -> None:
    """Nothing, lists, rows and answers are an error within a text, where they would be written as Python writes them."""
    with pytest.raises(ExpressionError, match="cannot become text"):
        value(f"x{{{{ {piece} }}}}")


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n", " \n", "\r\n", "\r", "\t\n", "\n "])
@pytest.mark.parametrize("text", ["Subject: abc\n\nbody", "abc", "a\r\nabc\rb"])
def test_a_text_keeps_its_line_ends(text: str, end: str) -> None:
    """Line ends within a text and at its end are the same with an expression in it and without."""
    assert value(text.replace("abc", "{{ word }}") + end) == text + end
    assert value(text.replace("abc", "{{ 'abc' }}") + end) == text + end
    assert value(f"{{{{ word }}}}{text}{end}") == "abc" + text + end


def test_line_ends_in_an_expression_are_kept() -> None:
    """Line ends of a text within an expression are kept as well."""
    assert value("{{ 'a\r\nb\rc\n' }}") == "a\r\nb\rc\n"
    assert value("\ue000 {{ 'a\r\ue001' }}\r") == "\ue000 a\r\ue001\r"  # characters that stand for one within


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ n }}\n\n", 7),
        ("{{ flag }}\n", True),
        ("{{ empty }}\n", []),
        ("{{ nothing }}\n", None),
        ("{{ n > 3 }}\n", True),
    ],
)
def test_an_expression_in_a_block_keeps_its_type(text: str, expected: Any) -> None:
    """A condition, list or number may be written in a YAML block, whose line end is no part of it."""
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 2024.10 }}", "2024.10 is the number 2024.1 here: write that, or '2024.10' if a name is meant"),
        ("{{ n | default(1e3) }}", "1e3 is the number 1000.0 here"),
        ("x{{ 0x1f }}", "0x1f is the number 31 here"),
        ("{{ 1_000 }}", "1_000 is the number 1000 here"),
        ("{{ +491711234567 }}", "a + in front is not available; put a name in quotes"),
        ("{{ 1e999 }}", "a number is too large"),
    ],
)
def test_a_number_that_may_be_a_name_is_refused_in_an_expression(text: str, message: str) -> None:
    """A number that an expression would write otherwise is an error that says to put a name in quotes."""
    with pytest.raises(ExpressionError) as caught:
        template(text)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ thing._hidden }}",
        "{{ thing['_hidden'] }}",
        "{{ thing.method }}",
        "{{ thing.method() }}",
        "{{ thing.__init__ }}",
        "{{ thing.__dict__ }}",
        "{{ word.format }}",
        "{{ word.format(n) }}",
        "{{ item.keys }}",
        "{{ item.items() }}",
        "{{ rows.append(1) }}",
        "{{ rows.append }}",
        "{{ secret.reveal() }}",
        "{{ secret.reveal }}",
        "{{ secret._value }}",
        "{{ backend.endpoint.secret.resolve() }}",
        "{{ backend.endpoint.secret.resolve }}",
        "{{ range(10) }}",
        "{{ lipsum() }}",
        "{{ cycler }}",
        "{{ namespace(a=1) }}",
        "{{ dict(a=1) }}",
        "{{ joiner }}",
        "{{ config }}",
        "{{ self }}",
        "{{ self ~ '' }}",
        "{{ self._TemplateReference__context }}",
        "{{ loop ~ '' }}",
        "{{ caller ~ '' }}",
        "{{ varargs ~ '' }}",
        "{{ __import__('os') }}",
        "{{ _ }}",
        "{{ word | attr('__class__') }}",
        "{{ word | format(n) }}",
        "{{ rows | map('upper') | list }}",
        "{{ rows | map(attribute='__class__') }}",
        "{{ [thing] | sort(attribute='__class__.__mro__') }}",
        "{{ [thing] | join(attribute='__class__') }}",
        "{{ [thing, thing] | sort(attribute='method') }}",
        "{{ [thing] | column('__class__') }}",
        "{{ word | pprint }}",
        "{{ word | tojson }}",
        "{{ n is callable }}",
        "{{ '%s' % thing }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for x in rows %}{{ x }}{% endfor %}",
        "{% set n = 8 %}{{ n }}",
        "{% if n %}{{ n }}{% endif %}",
        "{% include '/etc/passwd' %}{{ n }}",
        "{% import 'x' as y %}{{ n }}",
        "{% extends 'x' %}{{ n }}",
        "{% macro m() %}{{ n }}{% endmacro %}",
        "{% block b %}{{ n }}{% endblock %}",
        "{% filter upper %}{{ n }}{% endfilter %}",
        "{% call n() %}{{ n }}{% endcall %}",
        "{% with x = 1 %}{{ x }}{% endwith %}",
    ],
)
def test_nothing_reaches_python(text: str) -> None:
    """Attributes with an underscore, methods, calls, statements and Jinja's own globals are all refused."""
    with pytest.raises(ExpressionError):
        value(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ [0] * 1000000000 }}",
        "{{ rows * 1000000 }}",
        "{{ '%999999999s' % 'a' }}",
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
        "{{ " + "[" * 100 + "]" * 100 + " }}",
        "{{ " + "not " * 900 + "n }}",
        "{{ n" + " | abs" * 200 + " }}",
        "{{ n" + ".a" * 500 + " }}",
        "{{ '" + "x" * MAX_LENGTH + "' }}",
        "{{ n // 0 }}",
        "{{ n % 0 }}",
        "{{ (1e308 * 10) | round_up }}",
        "{{ (1e308 * 10) | int }}",
        "{{ 1e999 }}",
        "{{ 'inf' | number }}",
        "{{ 'nan' | number }}",
        "{{ 'x' | number }}",
        "{{ [] | max }}",
        "{{ rows | total }}",
        "{{ word | where('a', 'b') }}",
        "{{ nothing | where('a', 'b') }}",
        "{{ ['x'] | where('a', 'b') }}",
        "{{ ['x'] | where_not('a', 'b') }}",
        "{{ [1] | matching('a', 'b') }}",
        "{{ [1] | not_matching('a', 'b') }}",
        "{{ [1, 2] | agree('a', 'b') }}",
        "{{ nothing | agree('a', 'b') }}",
        "{{ [1] | column('a') }}",
        "{{ rows | where('state') }}",
        "{{ rows | matching('state', 5) }}",
        "{{ rows | sort }}",
        "{{ word + 1 }}",
        "{{ [1] + 'a' }}",
        "{{ word < 1 }}",
        "{{ n in 5 }}",
        "{{ -word }}",
    ],
)
def test_impossible_or_endless_work_is_an_expression_error(text: str) -> None:
    """What the values do not allow, or what could take for ever, is refused and never crashes."""
    with pytest.raises(ExpressionError):
        value(text)


def test_an_expression_has_a_length_and_a_depth() -> None:
    """What is as long or as deep as may be is read; one more is refused, with the limit."""
    whole = "{{ '" + "x" * (MAX_LENGTH - len("{{ '' }}")) + "' }}"
    assert len(value(whole)) == MAX_LENGTH - len("{{ '' }}")
    with pytest.raises(ExpressionError, match=f"4001 characters is too long .at most {MAX_LENGTH}"):
        value(whole + " ")
    lists = MAX_NESTING - 2
    assert value("{{ " + "[" * lists + "1" + "]" * lists + " }}")
    with pytest.raises(ExpressionError, match=f"nested more than {MAX_NESTING} levels"):
        value("{{ " + "[" * (lists + 1) + "1" + "]" * (lists + 1) + " }}")


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{ }}",
        "{{ n",
        "{{ n }",
        "{{ n + }}",
        "{{ 'a }}",
        "{{ n n }}",
        "{{ n | nosuch }}",
        "{{ n is nosuch }}",
        "{{ 5 | where( }}",
        "{{ [1, }}",
        "{{ n }} {{ n",
        "{{ a.b. }}",
    ],
)
def test_a_malformed_expression_is_found_when_it_is_read(text: str) -> None:
    """A syntax error or an unknown filter is an error of the text, before any value is known."""
    with pytest.raises(ExpressionError, match="not a valid expression"):
        template(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ missing }}", "missing"),
        ("{{ missing.rows }}", "missing"),
        ("{{ item.nope }}", "nope"),
        ("{{ item['nope'] }}", "nope"),
        ("{{ thing.nope }}", "nope"),
        ("x {{ missing }}", "missing"),
        ("{{ missing + 1 }}", "missing"),
        ("{{ missing | length }}", "missing"),
        ("{{ [item.nope] }}", "nope"),
        ("{{ [[item.nope]] }}", "nope"),
        ("{{ {'a': item.nope} }}", "nope"),
        ("{{ rows[5] }}", "5"),
    ],
)
def test_undefined_names_are_named(text: str, name: str) -> None:
    """A name or attribute that is not there is an error that names it, also within a list."""
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert name in caught.value.message


@pytest.mark.parametrize(
    "wrapped",
    [
        "{{ %s }}",
        "{{ not %s }}",
        "{{ not (%s in []) }}",
        "{{ %s == %s }}",
        "{{ %s != 1 }}",
        "{{ %s is none }}",
        "{{ not (%s is string) }}",
        "{{ [%s] | length == 1 }}",
        "{{ [%s] }}",
        "{{ {'a': %s} }}",
        "{{ [] | where_not('a', %s) }}",
        "{{ [] | minus([%s]) }}",
        "{{ missing | default(%s) }}",
        "{{ 1 if %s else 2 }}",
        "{{ n == 7 and %s }}",
        "{{ rows[%s] }}",
        "text {{ %s }}",
    ],
)
@pytest.mark.parametrize(
    "missing",
    ["missing", "item.nope", "rows[5]", "(rows | first).nope", "(empty | first)", "(empty | max)", "(empty | last).x"],
)
def test_what_is_not_there_is_an_error_whatever_is_made_of_it(missing: str, wrapped: str) -> None:
    """No `not`, comparison, list, test or filter makes a value, and so a condition, of what is not there."""
    with pytest.raises(ExpressionError):
        value(wrapped.replace("%s", missing))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ item.nope | default('a') }}", "a"),
        ("{{ item.nope is defined }}", False),
        ("{{ item['nope'] is undefined }}", True),
        ("{{ item.user is defined }}", True),
        ("{{ rows[5] | default(none) }}", None),
        ("{{ empty | first | default('0') }}", "0"),
        ("{{ empty | last | default('0') }}", "0"),
        ("{{ empty | min | default(0) }}", 0),
        ("{{ empty | max | default(missing | default(1)) }}", 1),
        ("{{ not (item.nope | default(false)) }}", True),
        ("{{ rows | column('nope', '-') }}", ["-", "-"]),
    ],
)
def test_what_may_be_missing_is_written(text: str, expected: Any) -> None:
    """`default`, `is defined` and the second word of `column` say that something may not be there."""
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ rows | column('usrs') | default([]) }}",
        "{{ rows | where('usrs', '3') | first | default(1) }}",
        "{{ item.nope.nope | default(1) }}",
        "{{ word | first | default(1) }}",
        "{{ empty | agree('a', 'b') | default(true) }}",
        "{{ nothing | max | default(1) }}",
    ],
)
def test_a_default_hides_no_mistake(text: str) -> None:
    """What stands before a `default` may be missing; a misspelt column or a wrong type before it is an error still."""
    with pytest.raises(ExpressionError):
        value(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows | where_not('usrs', '0') | length == 0", "no row has a column 'usrs' (did you mean 'users'?)"),
        ("rows | where('state', 'x') | column('mail_server_ip')", "(did you mean 'mail server ip'?)"),
        ("rows | agree('host', 'stat')", "columns: host, mail server ip, state, users"),
        (
            "not rows[0].usrs",
            "there is no 'usrs' (did you mean 'users'?); there are: host, state, users, mail server ip",
        ),
        ("rows[0]['mail server'] == ''", "(did you mean 'mail server ip'?)"),
        ("item | column('user')", "column needs rows or a list, not {'user'"),
        ("empty | first", "first of an empty list"),
        ("empty | max", "max of an empty list"),
        ("'' | number", "'' is not a number"),
        ("word | length == 3", "length needs rows or a list, not 'abc'"),
        ("'x' if flag", "needs its `else`"),
    ],
)
def test_what_is_missing_is_told_with_what_is_there(text: str, said: str) -> None:
    """The message names the column, the nearest one, and those that are there."""
    with pytest.raises(ExpressionError) as caught:
        value("{{ " + text + " }}")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("a.rows | where('k', x) | where_not('l', '0') | length", {("k", "a"), ("l", "a")}),
        ("(a.rows + rows) | agree('k', 'l')", {("k", "a rows"), ("l", "a rows")}),
        ("a.hosts[host.name].rows | column('k')", {("k", "a")}),
        ("a.hosts['b1'].answered.rows | column(key='k')", {("k", "a")}),
        ("a['rows'] | sort(attribute='j') | last", set()),
        ("(a.rows | matching('k', '*') | first).l", {("k", "a"), ("l", "a")}),
        ("(a.rows | last).l", {("l", "a")}),
        ("(a | where('k', 'x') | first).l", {("k", "a")}),
        ("a.hosts | where('k', 'x')", set()),
        ("a.rows[0]['k l']", {("k l", "a")}),
        ("a.rows[1:] | not_matching('k', '*')", {("k", "a")}),
        ("(a.rows if flag else []) | column('k')", {("k", "a")}),
        ("(a.rows or b.rows) | column('k')", {("k", "a b")}),
        ("rows | where('k', b.rows | column('l')) | unique | minus([]) | column('m')", {("k", "rows"), ("l", "b"), ("m", "rows")}),
        ("answer.rows | column('k')", {("k", "answer")}),
        ("[item.k, -item['l']]", {("k", "item"), ("l", "item")}),
        ("item.k | default('x')", {("k", "item")}),
        ("rows | column(item)", set()),
        ("a.rows[0][item.k]", {("k", "item")}),
        ("groups.directors | column('name')", {("name", "groups")}),
        ("a.failed | column('k')", set()),
        ("(a.rows + words) | column('k')", set()),
        ("a.rows | column('k') | first", {("k", "a")}),
        ("(a.rows | column('k')).l", {("k", "a")}),
    ],
)  # fmt: skip
def test_the_columns_that_an_expression_reads_are_known(text: str, uses: set[tuple[str, str]]) -> None:
    """A column's name is found with the names whose rows it is read from, as far as these can be told."""
    found = column_uses("{{ " + text + " }}")
    assert {(use.column, " ".join(sorted(use.origins))) for use in found} == uses
    assert column_uses("say {{ " + text + " }}") == found


@pytest.mark.parametrize(
    ("written", "members"),
    [
        ("{{ item.user }}", {"user"}),
        ("{{ item['mail server ip'] ~ item.user }}", {"mail server ip", "user"}),
        ("{{ item.user.name }}", {"user"}),
        ("to {{ [item.user, other.host] | first }}", {"user"}),
        ({"a": ["{{ item.user }}", {"b": "{{ item.host }}"}], "c": 5}, {"user", "host"}),
        (("{{ item.user }}",), {"user"}),
        ("{{ item.note | default('-') }}{{ item.user }}", {"user"}),
        ("{{ item.note is defined and item['x'] is undefined }}", set()),
        ("{{ item.note is string }}{{ item.user | upper }}", {"note", "user"}),
        ("{{ item[0] }}{{ item[key] }}{{ item }}", set()),
        ("{{ other.user }}", set()),
        ("item.user", set()),
        (5, set()),
    ],
)
def test_what_is_read_of_an_item_is_known(written: Any, members: set[str]) -> None:
    """The columns that a list must have: those that are read by name, but what may be missing."""
    assert members_in(written, "item") == members


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("{{ a.rows | where('k', 'x') }}", {"a"}),
        ("{{ (a.rows if flag else []) + b.hosts['d1'].rows }}", {"a", "b"}),
        ("{{ a.rows | column('k') }}", set()),
        ("{{ a.rows | first }}", set()),
        ("{{ a }}", set()),
        ("{{ [1] }}", set()),
        ("{{ a.rows }} ", set()),
        ("a", set()),
    ],
)
def test_where_rows_come_from_is_known(text: str, origins: set[str]) -> None:
    """The items of a `for_each` over rows are rows of known names; of anything else nothing is claimed."""
    assert row_origins(text) == origins


_PLAIN = [
    "{{ item }}",
    "{{ item.user }}",
    "{{ item.nobody }}",
    "{{ item['user'] }}",
    "{{ item.items }}",
    "{{ list[1] }}",
    "{{ list[7] }}",
    "{{ list.append }}",
    "{{ list }}-",
    "{{ nobody }}",
    "{{ nobody.user }}",
    "{{ item.nobody.user }}",
    "{{ host.name }}",
    "{{ host._hidden }}",
    "{{ host.__class__ }}",
    "{{ text.upper }}",
    "{{ text[0] }}",
    "{{ number.real }}",
    "{{ nothing.name }}",
    "{{ nothing }}",
    "{{ number }}{{ truth }} {{ item.user }}\n",
    "a{{ nothing }}b",
    "a{{ item }}b",
    "{{ host }}x",
]


@pytest.mark.parametrize("text", _PLAIN)
def test_what_is_read_without_jinja_is_read_as_jinja_does(text: str) -> None:
    """The plainest expressions take a short way, with the same values and the same errors as the long one."""
    scope: dict[str, Any] = {
        "item": {"user": "jane", "items": "7"},
        "list": ["a", "b"],
        "host": Thing("b1"),
        "text": "abc",
        "number": 7,
        "truth": True,
        "nothing": None,
    }
    whole = text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1
    long = text.replace("}}", " if 1 == 1 else 0 }}") if whole else text.replace("{{ ", "{{ '' if 1 == 2 else ")
    assert direct.text_reader(parsed(text), _ENV) is not None
    assert direct.text_reader(parsed(long), _ENV) is None
    assert _result(text, scope) == _result(long, scope).replace(long, text)


def _result(text: str, scope: dict[str, Any]) -> str:
    try:
        return repr(template(text)(scope))
    except ExpressionError as error:
        return error.message


def test_answers_are_never_evaluated() -> None:
    """Text from a host that looks like an expression stays as it is, however it is used."""
    assert value("{{ item.evil }}") == "{{ 7 * 7 }}"
    assert value("{{ [item.evil] | first }}") == "{{ 7 * 7 }}"
    assert value("<{{ item.evil }}>") == "<{{ 7 * 7 }}>"
    assert compile_value({"mask": ["{{ item.evil }}"]})(SCOPE) == {"mask": ["{{ 7 * 7 }}"]}


def test_a_secret_cannot_be_shown_by_an_expression() -> None:
    """A secret that came into a scope prints as stars."""
    assert "hunter2x" not in value("<{{ secret }}>")


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ("{{ a + b.c }}", {"a", "b"}),
        ({"x": ["{{ a }}", {"y": "-{{ b }}-"}], "z": 5}, {"a", "b"}),
        (("{{ a }}",), {"a"}),
        ("a", set()),
        (None, set()),
        ("{{ rows | where('state', wanted) }}", {"rows", "wanted"}),
        ("{{ self }}", {"self"}),
        ("{{ 'x' ~ self }}", {"self"}),
    ],
)
def test_the_names_that_a_value_reads_are_known(given_value: Any, expected: set[str]) -> None:
    """Planning knows which names a value needs, however deep they stand."""
    assert names_in(given_value) == expected


def test_values_are_compiled_part_by_part() -> None:
    """Lists and mappings keep their form, templates in them are evaluated, all else stays."""
    written = {"a": "{{ n }}", "b": ["x", "{{ word }}-{{ n }}"], "c": {"d": 5}, "e": None, "f": "{{ 1 + 1 }}"}
    evaluated = {"a": 7, "b": ["x", "abc-7"], "c": {"d": 5}, "e": None, "f": 2}
    assert compile_value(written)(SCOPE) == evaluated


@pytest.mark.parametrize(
    ("found", "holds"),
    [(True, True), (False, False), ([], False), ([0], True), ({}, False), (None, False), ((), False)],
)
def test_conditions_are_booleans_or_any(found: Any, holds: bool) -> None:
    """A condition is a boolean, or whether there is anything in a list or mapping."""
    assert truth(found) is holds


@pytest.mark.parametrize("found", ["false", "true", "", 0, 1, 2.5])
def test_a_text_or_number_is_no_condition(found: Any) -> None:
    """A text such as "false", or a number, is refused instead of being taken for true."""
    with pytest.raises(ExpressionError, match="must be true or false"):
        truth(found)


@pytest.mark.parametrize(
    ("found", "is_one"), [("{{ n }}", True), ("a{{", True), ("{%", False), (5, False), ("", False)]
)
def test_what_is_taken_for_an_expression(found: Any, is_one: bool) -> None:
    """Only text with two opening braces is looked at."""
    assert is_template(found) is is_one


@given(st.text(max_size=80))
@example("{% raw %}{{ n }}{% endraw %}")
@example("{{ 1e999 }}")
@example("{{ -n }}")
@example("{#")
def test_any_text_compiles_or_is_refused(text: str) -> None:
    """Arbitrary text raises nothing but ExpressionError, when compiled and when evaluated."""
    with_braces = "{{ " + text + " }}"
    for candidate in (text, with_braces):
        try:
            template(candidate)(SCOPE)
        except ExpressionError as error:
            assert str(error)


_pieces = st.sampled_from(
    [
        *SCOPE,
        "'a'",
        "5",
        "2.5",
        "none",
        "[]",
        "[1]",
        "{}",
        ".a",
        ".name",
        "[0]",
        "['host']",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
    ]
    + ["**", "~", "==", "<", "in", "not", "and", "or", "if", "else", "is", "is defined", "is number", "(", ")", "|"]
    + ["| total", "| column('users')", "| where('state', 'up')", "| length", "| first", "| max", "| sort", "| unique"]
    + ["| join(',')", "| words", "| round_up", "| minus([1])", "| number", "| int", "| agree('a', 'b')", "| round", ":"]
    + [
        "| matching('host', 'b*')",
        "| default(1)",
        "| upper",
        "| trim",
        "| abs",
        "| last",
        "1e999",
        "10",
        "__class__",
        ",",
    ]
)


@given(st.lists(_pieces, max_size=9).map(" ".join))
def test_any_expression_is_a_value_or_refused(text: str) -> None:
    """Expressions put together at random raise nothing but ExpressionError on a fixed scope."""
    try:
        template("{{ " + text + " }}")(SCOPE)
    except ExpressionError as error:
        assert str(error)


@pytest.mark.parametrize(
    "text", ["'x'.upper()", "'{}'.format(1)", "[1].append(2)", "{'a': 1}.keys()", "range(9)", "'x' | join()()"]
)
def test_nothing_is_called(text: str) -> None:
    """No method and no function can be called, however harmless; the error says what there is instead."""
    with pytest.raises(ExpressionError, match="function calls are not available"):
        template("{{ " + text + " }}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing is none", True),
        ("1 is number", True),
        ("'1' is number", False),
        ("'1' is string", True),
        ("1 is in [1, 2]", True),
        ("3 is in [1, 2]", False),
        ("missing is undefined", True),
    ],
)
def test_what_can_be_asked_of_a_value(text: str, expected: bool) -> None:
    """Each test that the manual names."""
    assert template("{{ " + text + " }}")({"nothing": None}) is expected


@pytest.mark.parametrize("name", ["self", "loop", "caller", "varargs", "kwargs"])
def test_names_of_the_library_are_not_defined(name: str) -> None:
    """What the template library gives a meaning of its own is as unknown as any other name."""
    with pytest.raises(ExpressionError, match=f"'{name}' is"):
        template("{{ " + name + " }}")({name: 1})


def test_expressions_within_parameters_are_found() -> None:
    """However deep a parameter is nested, in mappings or lists, its expressions are evaluated, and what has none stays."""
    constant = {"a": {"b": ("x", "{{ 1 + 1 }}")}, "d": {"e": 5}}
    assert compile_value(constant)({}) == {"a": {"b": ["x", 2]}, "d": {"e": 5}}
    deep = {"a": {"b": ["x", {"c": "{{ n }}"}]}, "d": {"e": 5}}
    assert compile_value(deep)({"n": 7}) == {"a": {"b": ["x", {"c": 7}]}, "d": {"e": 5}}
    assert compile_value([{"a": "{{ n }}"}])({"n": 7}) == [{"a": 7}]
