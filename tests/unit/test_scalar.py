"""Scalars: a name arrives as it was written or not at all, and where a number is wanted a number is taken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import command_line
from orchestrator.errors import InputError, OrchestratorError
from orchestrator.playbook.model import Parameter
from orchestrator.text.document import dump
from orchestrator.text.expression import template
from orchestrator.text.filters import number
from orchestrator.text.scalar import Written, plain_number, read_number, text_of
from tests.strategies import config, document, drafts, fleet, plan, playbook

ERROR = object()
STEP = "  - name: S\n    hosts: b1\n"
PLUGIN = "    command: myCommand\n    effect: repeatable\n    parameters:\n"
ITEMS = STEP + "    for_each:\n      - {word}\n    command: kick\n    parameters: {{mask: ["
AFTER = "name: P\nsteps:\n"


def _given(spec: str) -> str:
    return f"name: P\nparameters:\n  x:\n{spec}steps:\n{STEP}    command: kick\n"


# Where a word becomes text -> a playbook with the word, and the text that is sent around it.
ROUTES: dict[str, tuple[str, str]] = {
    "a parameter": (AFTER + STEP + "    command: mailboxDelete\n    parameters:\n      mailbox: [x]\n      user: {word}\n", ""),
    "a list": (AFTER + STEP + "    command: mailboxDelete\n    parameters:\n      user: x\n      mailbox:\n        - {word}\n", ""),
    "one of a list": (AFTER + STEP + "    command: kick\n    parameters:\n      mask: {word}\n", ""),
    "a plugin's list": (AFTER + STEP + PLUGIN + "      p:\n        - {word}\n", ""),
    "an item": (AFTER + ITEMS + '"{{{{ item }}}}"]}}\n', ""),
    "an item in a text": (AFTER + ITEMS + "\"{{{{ 'x' }}}}{{{{ item }}}}\"]}}\n", "x"),
    "an item put together": (AFTER + ITEMS + "\"{{{{ 'x' ~ item }}}}\"]}}\n", "x"),
    "an item joined": (AFTER + ITEMS + "\"{{{{ ['x', item] | join }}}}\"]}}\n", "x"),
    "an item trimmed": (AFTER + ITEMS + '"{{{{ item | trim }}}}"]}}\n', ""),
    "an item of a list": (AFTER + ITEMS + '"{{{{ [item] | first }}}}"]}}\n', ""),
    "an item that is there": (AFTER + ITEMS + "\"{{{{ item | default('x') }}}}\"]}}\n", ""),
    "a column": (
        AFTER + STEP + "    for_each:\n      - u: {word}\n    command: kick\n    parameters: {{mask: ['{{{{ item.u }}}}']}}\n",
        "",
    ),
    "an alias": (
        AFTER + STEP + "    command: mailboxDelete\n    parameters:\n      user: &a {word}\n      mailbox: [*a]\n",
        "",
    ),
    "a default": (_given("    default: {word}\n") + "    parameters: {{mask: ['{{{{ x }}}}']}}\n", ""),
    "a default of a list": (
        _given("    type: list\n    default:\n      - {word}\n") + "    for_each: '{{{{ x }}}}'\n"
        "    parameters: {{mask: ['{{{{ item }}}}']}}\n",
        "",
    ),
    "a choice": (
        _given("    default: x\n    choices:\n      - x\n      - {word}\n") + "    parameters: {{mask: ['{{{{ x }}}}']}}\n",
        "",
    ),
}  # fmt: skip


def sent(route: str, word: str) -> Any:
    """What a word in a playbook is in the JSON that is sent; ERROR if nothing is sent."""
    text, before = ROUTES[route]
    try:
        made = plan(text.format(word=word), {"x": word} if route == "a choice" else None)
        [draft] = drafts(made)
    except OrchestratorError:
        return ERROR
    parameters = json.loads(draft.parameters)
    value = parameters.get("mask") or parameters.get("p") or parameters["mailbox"]
    value = parameters["user"] if route == "a parameter" else value[0]
    assert isinstance(value, str)
    assert value.startswith(before)
    return value.removeprefix(before)


def wanted_number(word: str) -> Any:
    """What a word is where a number is wanted; ERROR if it is none."""
    try:
        made = plan(_given(f"    type: number\n    default: {word}\n") + "    parameters: {mask: [a]}\n")
    except OrchestratorError:
        return ERROR
    return made.values["x"]


NOTHING = "nothing"  # the word is null: an error wherever text is wanted

# As it is written -> what is sent where text is wanted, and what it is where a number is wanted.
WORDS: list[tuple[str, Any, Any]] = [
    ("2024.10", "2024.10", 2024.1),
    ("2024.1", "2024.1", 2024.1),
    ("2024.0", "2024.0", 2024.0),
    ("2024.", "2024.", 2024.0),
    ("2024.100", "2024.100", 2024.1),
    ("+491711234567", "+491711234567", 491711234567.0),
    ("+5", "+5", 5.0),
    ("-5", "-5", -5.0),
    ("-0", "-0", 0.0),
    ("+0", "+0", 0.0),
    ("0", "0", 0.0),
    ("-0.0", "-0.0", 0.0),
    ("5", "5", 5.0),
    ("1.50", "1.50", 1.5),
    ("+1.5", "+1.5", 1.5),
    ("01.5", "01.5", 1.5),
    (".5", ".5", 0.5),
    ("-.5", "-.5", -0.5),
    ("+.5", "+.5", 0.5),
    ("1e3", "1e3", 1000.0),
    ("1E3", "1E3", 1000.0),
    ("12e5", "12e5", 1200000.0),
    ("1e+3", "1e+3", 1000.0),
    ("1.5e3", "1.5e3", 1500.0),
    ("1.5e+3", "1.5e+3", 1500.0),
    ("1.0e+2", "1.0e+2", 100.0),
    ("1e-7", "1e-7", 1e-7),
    ("0.00001", "0.00001", 1e-5),
    ("0.30000000000000004", "0.30000000000000004", 0.30000000000000004),
    ("0.1234567890123456789", "0.1234567890123456789", 0.12345678901234568),
    ("10000000000000000.0", "10000000000000000.0", 1e16),
    ("1e999", "1e999", ERROR),
    ("1.0e+999", ERROR, ERROR),
    ("9223372036854775807", "9223372036854775807", 9223372036854775807.0),
    ("12345678901234567890", "12345678901234567890", 12345678901234567890.0),
    ("12345678901234567890123", "12345678901234567890123", 12345678901234567890123.0),
    ("123456789012345678901234567890123456", "123456789012345678901234567890123456", 1.2345678901234568e35),
    ("012", ERROR, ERROR),
    ("00", ERROR, ERROR),
    ("08", "08", 8.0),
    ("-017", ERROR, ERROR),
    ("0x1f", ERROR, ERROR),
    ("0b101", ERROR, ERROR),
    ("0o17", "0o17", ERROR),
    ("1_000", ERROR, ERROR),
    ("1_000.50", ERROR, ERROR),
    ("_1", "_1", ERROR),
    ("1:30", ERROR, ERROR),
    ("190:20:30.15", ERROR, ERROR),
    (".inf", ERROR, ERROR),
    ("-.INF", ERROR, ERROR),
    (".nan", ERROR, ERROR),
    ("inf", "inf", ERROR),
    ("nan", "nan", ERROR),
    ("2026-11-23", ERROR, ERROR),
    ("2026-11-23T02:00:00Z", ERROR, ERROR),
    ("2026-11", "2026-11", ERROR),
    ("true", "true", ERROR),
    ("false", "false", ERROR),
    ("True", ERROR, ERROR),
    ("TRUE", ERROR, ERROR),
    ("yes", ERROR, ERROR),
    ("No", ERROR, ERROR),
    ("on", ERROR, ERROR),
    ("OFF", ERROR, ERROR),
    ("y", "y", ERROR),
    ("N", "N", ERROR),
    ("null", NOTHING, ERROR),
    ("~", NOTHING, ERROR),
    ("", NOTHING, ERROR),
    ("Null", ERROR, ERROR),
    ("NULL", ERROR, ERROR),
    ("none", "none", ERROR),
    ("=", ERROR, ERROR),
    ("<<", ERROR, ERROR),
    ("!!str 2024.10", "2024.10", 2024.1),
    ("!!str 1e3", "1e3", 1000.0),
    ("!!str true", "true", ERROR),
    ("!!str", "", ERROR),
    ("!!int 5", "5", 5.0),
    ("!!float 5", "5", 5.0),
    ("!!int x", ERROR, ERROR),
    ("!!null x", ERROR, ERROR),
    ("!!binary aGk=", ERROR, ERROR),
    ("!vault x", ERROR, ERROR),
    ("!vault 'x'", ERROR, ERROR),
    ("!d1", ERROR, ERROR),
    ("'2024.10'", "2024.10", 2024.1),
    ('"+5"', "+5", 5.0),
    ("'012'", "012", 12.0),
    ("'no'", "no", ERROR),
    ("'~'", "~", ERROR),
    ("|-\n          2024.10", "2024.10", 2024.1),
    (">-\n          1e3", "1e3", 1000.0),
    ("10.0.0.234", "10.0.0.234", ERROR),
    ("1.2.3", "1.2.3", ERROR),
    ("1,5", "1,5", ERROR),
    ("5%", "5%", ERROR),
    ("v1.50", "v1.50", ERROR),
    ("2024.10 ", "2024.10", 2024.1),
]  # fmt: skip


def allowed(route: str, word: str, text: Any) -> list[Any]:
    """What may become of a word on its way."""
    if text is NOTHING:
        return [ERROR]
    if text == "" or (route == "a choice" and text != word):  # a user is not empty; -e knows no tags and quotes
        return [text, ERROR]
    return [text]


@pytest.mark.parametrize(("word", "text", "_number"), WORDS)
def test_a_word_is_sent_as_it_is_written(word: str, text: Any, _number: Any) -> None:
    """Whichever way a word takes from a playbook to a host, it arrives as it was written, or nothing is sent."""
    found = {route: sent(route, word) for route in ROUTES}
    assert {route: value for route, value in found.items() if value not in allowed(route, word, text)} == {}


@pytest.mark.parametrize(("word", "_text", "wanted"), WORDS)
def test_a_number_is_one_however_it_is_written(word: str, _text: Any, wanted: Any) -> None:
    """Where a number is wanted, each notation that everybody reads alike is that number, and the others are errors."""
    assert wanted_number(word) == wanted


PLAIN = st.one_of(
    st.text("0123456789+-._eE", min_size=1, max_size=12),
    st.text("0123456789+-._eExXobabcdf:TtrRuUeEnNlLyYfFsS~=<!T Z", min_size=1, max_size=12),
    st.from_regex(r"[-+]?[0-9_]{1,20}(\.[0-9_]{0,5})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.floats().map(repr),
    st.text(min_size=1, max_size=12),
)


@given(PLAIN, st.sampled_from(list(ROUTES)))
@example("2024.10", "a list")
@example("+491711234567", "an item in a text")
def test_any_plain_word_is_sent_as_it_is_written_or_refused(word: str, route: str) -> None:
    """For any plain scalar that YAML accepts, what is sent is its very text, or there is an error."""
    assume("{" not in word)
    try:
        events = list(yaml.parse(f"a:\n  - {word}\n", Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        assume(False)
    found = [(e.value, e.style, e.implicit[0], e.anchor) for e in events if isinstance(e, yaml.ScalarEvent)]
    assume(found == [("a", None, True, None), (word, None, True, None)])
    if route == "an item trimmed":
        assume(word == word.strip())
    assert sent(route, word) in (word, ERROR)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "012",
            "012 is a number in a notation that is not read here: put it in quotes if a name is meant, or write 12",
        ),
        ("-017", "or write -17"),
        ("0x1f", "or write 31"),
        ("1_000", "or write 1000"),
        ("1_000.50", "or write 1000.50"),
        ("1:30", "or write a plain number"),
        (".inf", "or write a plain number"),
        ("1.0e+999", "or write a plain number"),
        ("2026-11-23", "2026-11-23 is a date in YAML: put it in quotes"),
        ("True", "True is a boolean in YAML: write true, or 'True' in quotes"),
        ("off", "off is a boolean in YAML: write false, or 'off' in quotes"),
        ("NULL", "NULL is null in YAML: write null, or 'NULL' in quotes"),
        ("=", "= has a meaning of its own in YAML: put it in quotes"),
        ("<<", "<< has a meaning of its own in YAML: put it in quotes"),
        ("!d1", "the tag !d1 is not supported; put it in quotes if it belongs to the text"),
        ("!vault 'x'", "the tag !vault is not supported"),
        ("!!int '5'", "the tag !!int is not supported"),
    ],
)
def test_an_error_says_how_to_write_what_was_meant(word: str, message: str) -> None:
    """A word that is not taken is reported where it stands, with the way to write the name and the number."""
    with pytest.raises(InputError) as caught:
        playbook(ROUTES["a list"][0].format(word=word))
    [found] = caught.value.problems
    assert message in found.message
    assert (found.place.line, found.place.column) == (9, 11)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ("limits: {rate: 2.50}", 2.5),
        ("limits: {rate: 1e3}", 1000),
        ("limits: {rate: +5}", 5),
        ("limits: {rate: 5}", 5),
        ("retry: {budget: 1.50}", 1.5),
        ("retry: {base: 1.50}", 1.5),
        ("retry: {attempts: +5}", 5),
        ("limits: {in_flight: +5}", 5),
    ],
)
def test_settings_take_numbers_as_people_write_them(settings: str, value: float) -> None:
    """A setting that is a number needs no care for zeros, signs and exponents, and is a plain number."""
    book = playbook(f"name: P\n{settings}\nsteps:\n{STEP}    command: who\n").playbook
    part = getattr(book, settings.partition(":")[0])
    found = getattr(part, settings.partition("{")[2].partition(":")[0])
    assert found == value
    assert not isinstance(found, Written)


def test_keys_are_text_as_they_are_written() -> None:
    """Names of hosts, groups and parameters that YAML would read as numbers, booleans or nothing are those names."""
    words = ["2024.10", "1.0", "012", "1_000", "1e3", "2026-11-23", "no", "null", "1.50"]
    lines = "".join(f"        {word}: 10.0.2.{number}\n" for number, word in enumerate(words, 1))
    hosts = fleet("defaults: {auth: {api_key: {env: KEY}}}\ngroups:\n  2.50:\n    hosts:\n" + lines)
    assert hosts.groups == {"2.50": tuple(words)}
    made = plan(
        AFTER + STEP + "    command: myCommand\n    effect: repeatable\n    parameters: {2024.10: a, 2024.1: b}\n"
    )
    assert json.loads(drafts(made)[0].parameters) == {"2024.10": "a", "2024.1": "b"}


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("{hosts: {b1: 10.10}}", "an address must be text, not the number 10.10; put it in quotes"),
        ("{hosts: {b1: {address: 10.10}}}", "must be text; put it in quotes"),
        ("{hosts: [b1, 1.0]}", "a host's name must be text, not the number 1.0; put it in quotes"),
        ("{hosts: {b1: {address: b1, tags: [2024.10]}}}", "must be text; put it in quotes"),
        ("{hosts: {b1: b1}, defaults: {auth: {api_key: {env: 5}}}}", "must be text; put it in quotes"),
    ],
)
def test_a_number_in_the_configuration_is_no_name(host: str, message: str) -> None:
    """Addresses, tags and names of secrets that YAML reads as numbers are errors that say what to do."""
    with pytest.raises(InputError) as caught:
        config("defaults: {auth: {api_key: {env: KEY}}}\ngroups: {g: " + host + "}")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{{ item + 1 }}", 3.5),
        ("{{ item * 2 }}", 5.0),
        ("{{ -item }}", -2.5),
        ("{{ item / 2 }}", 1.25),
        ("{{ item // 2 }}", 1.0),
        ("{{ item > 2 and item < 3 }}", True),
        ("{{ item == 2.5 }}", True),
        ("{{ item | number }}", 2.5),
        ("{{ item | int }}", 2),
        ("{{ item | round_up }}", 3),
        ("{{ [item, 1] | total }}", 3.5),
        ("{{ [item, 1] | max }}", 2.5),
        ("{{ item is number }}", True),
        ("{{ item | abs }}", 2.5),
        ("{{ [item, 2.5] | unique }}", [2.5, 2.5]),
    ],
)
def test_a_written_number_is_a_number(expression: str, expected: Any) -> None:
    """Arithmetic and comparisons work on a number with a text of its own, and give plain numbers."""
    result = template(expression)({"item": read_number("2.50")})
    assert result == expected
    assert not isinstance(result, Written)


def test_a_plugins_command_gets_numbers_as_they_are_written() -> None:
    """A command that the catalogue does not know gets a whole number, unless its text is another: then the text."""
    values = "{a: 5, b: +5, c: -0, d: 1.50, e: 12345678901234567890, f: true, g: 1.5}"
    made = plan(AFTER + STEP + f"    command: myCommand\n    effect: repeatable\n    parameters: {values}\n")
    expected = {"a": 5, "b": "+5", "c": "-0", "d": "1.50", "e": "12345678901234567890", "f": True, "g": "1.5"}
    assert json.loads(drafts(made)[0].parameters) == expected


def test_whole_numbers_are_sent_where_a_command_takes_them() -> None:
    """A parameter that is a number in Dovecot is sent as one, whatever sign it was written with."""
    made = plan(
        AFTER + STEP + "    command: dictInc\n    effect: repeatable\n"
        "    parameters: {dictUri: 'file:/x', key: k, difference: +5}\n"
    )  # fmt: skip
    assert json.loads(drafts(made)[0].parameters)["difference"] == 5


def test_plans_show_a_name_as_it_is_sent() -> None:
    """The command line of a plan has the written text too."""
    name = read_number("2024.10")
    assert command_line("mailboxDelete", catalog.find("mailboxDelete"), {"user": "u", "mailbox": [name]}).endswith(
        "2024.10"
    )
    assert command_line("myCommand", None, {"p": name, "q": [name]}) == "myCommand p=2024.10 'q=[\"2024.10\"]'"


def test_defaults_and_choices_are_text_where_text_is_wanted() -> None:
    """A parameter's page, and its JSON, show the default that is sent."""
    spec = Parameter.model_validate({"default": read_number("2024.10"), "choices": [read_number("2024.10"), True]})
    assert spec.model_dump(mode="json") | {"default": "2024.10", "choices": ["2024.10", "true"]} == spec.model_dump()


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["+5", "-0", "2024.10", "1e3", ".5", "5.", "12e5", "01.5", "1.5e+3"]).map(read_number),
    st.text(max_size=12),
)


@given(
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    )
)
def test_what_is_dumped_is_read_back_as_it_was_written(value: Any) -> None:
    """Values that are written and read again have the same types, numbers and texts."""
    read = document(dump(value))
    assert (read.value, repr(read.value), read.problems) == (value, repr(value), [])


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, lambda value: f"{value}", lambda value: f"{value!s:s}", text_of]
)
@pytest.mark.parametrize("word", ["+5", "-0", "2024.10", "1e3"])
def test_all_ways_to_text_give_the_written_one(show: Callable[[Any], str], word: str) -> None:
    """Whichever way a program takes to make text of a number, it is the text that was written; also of a copy."""
    assert show(read_number(word)) == word
    assert show(copy.deepcopy(read_number(word))) == word


@pytest.mark.parametrize("value", [None, [], ["a"], {"a": 1}, ("a",)])
def test_what_is_no_scalar_does_not_become_text(value: Any) -> None:
    """Nothing, lists and mappings are never put into a text, where they would look as Python writes them."""
    with pytest.raises(ValueError, match="cannot become text"):
        text_of(value)


@given(st.from_regex(r"[-+]?[0-9_.]{1,12}", fullmatch=True))
def test_the_advice_to_write_a_plain_number_is_good(word: str) -> None:
    """What an error says to write is a number that is read as it stands."""
    advice = plain_number(word)
    assert not advice or read_number(advice) is not None


def test_the_filter_number_leaves_the_text_behind() -> None:
    """`| number` is the way to say that a number is meant."""
    assert text_of(number(read_number("1.50"))) == "1.5"
