"""The operator's values: text to checked values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as property_of
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.playbook.values import given_values, usage
from tests.strategies import fleet, playbook

STEP = "steps: [{name: S, require: [{that: true, message: m}]}]"


def made(spec: str, text: str | None = None) -> Any:
    """The value of one parameter."""
    source = playbook(f"name: P\nparameters: {{x: {spec}}}\n{STEP}")
    return given_values(source, {} if text is None else {"x": text}, fleet())["x"]


def plain(value: Any) -> Any:
    """Hosts as their names."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    return getattr(value, "name", value)


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("{required: true}", "5", "5"),
        ("{required: true}", "", ""),
        ("{default: a}", None, "a"),
        ("{default: a}", "b", "b"),
        ("{type: integer, default: 5}", None, 5),
        ("{type: integer, default: 5}", "7", 7),
        ("{type: integer, default: 5, min: 1, max: 9}", "9", 9),
        ("{type: number, default: 0.5}", "2", 2.0),
        ("{type: boolean, default: false}", "yes", True),
        ("{type: boolean, default: false}", "1", True),
        ("{type: boolean, default: true}", "0", False),
        ("{type: boolean, default: true, min: 1}", "0", False),
        ("{type: boolean, default: true}", "FALSE", False),
        ("{type: duration, default: 30s}", "1m30s", 90.0),
        ("{type: duration, default: 30s}", None, 30.0),
        ("{type: host, required: true}", "b1", "b1"),
        ("{type: host, group: backends, required: true}", "b[1]", "b1"),
        ("{type: host, required: true}", "new", "b9"),
        ("{type: hosts, required: true}", "backends:!b9", ["b1", "b2", "b3"]),
        ("{type: hosts}", None, []),
        ("{type: list}", None, []),
        ("{type: list}", "a, b,,c", ["a", "b", "c"]),
        ("{type: list, default: [a, b]}", None, ["a", "b"]),
        ("{choices: [a, b], default: a}", "b", "b"),
        ("{choices: [2024.10, +5], default: 2024.10}", None, "2024.10"),
        ("{choices: [2024.10, +5], default: 2024.10}", "+5", "+5"),
        ("{default: true}", None, "true"),
        ("{type: hosts, choices: [b1, all], default: all}", "b1", ["b1"]),
        ("{type: file, default: 2024.10}", None, "/nowhere/2024.10"),
        ("{type: list, default: [1.50, true]}", None, ["1.50", "true"]),
        ("{type: duration, choices: [30s, 1m], default: 30s}", "1m", 60.0),
        ("{type: integer, choices: [1, 2], default: 1}", "2", 2),
        ("{required: true}", "{{ 1 + 1 }}", "{{ 1 + 1 }}"),
    ],
)
def test_values_have_the_declared_type(spec: str, text: str | None, expected: Any) -> None:
    """What is given, or the default, becomes a value of the parameter's type; text is never evaluated."""
    value = plain(made(spec, text))
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("spec", "text", "message"),
    [
        ("{required: true, help: the thing}", None, "-e x=... is missing: the thing"),
        ("{type: integer, default: 1}", "five", "'five' is not a whole number"),
        ("{type: integer, default: 1}", "1.5", "is not a whole number"),
        ("{type: integer, default: 1}", "", "is not a whole number"),
        ("{type: integer, default: 1, min: 1}", "0", "0 is less than 1"),
        ("{type: integer, default: 1, max: 9}", "10", "10 is more than 9"),
        ("{type: number, default: 1}", "x", "number"),
        ("{type: number, default: 1, min: 0, max: 1}", "nan", "number"),
        ("{type: number, default: 1, min: 0}", "inf", "number"),
        ("{type: boolean, default: true}", "maybe", "'maybe' is not true or false"),
        ("{type: duration, default: 1s}", "soon", "is not a duration"),
        ("{type: duration, default: 1s, max: 60}", "2m", "120 is more than 60"),
        ("{type: host, required: true}", "b4", "'b4' is not a host, group or tag"),
        ("{type: host, required: true}", "backends", "'backends' names 4 hosts, not one"),
        ("{type: host, required: true}", "b1:!b1", "names 0 hosts, not one"),
        ("{type: host, group: backends, required: true}", "d1", "d1 is not in the group 'backends'"),
        ("{type: hosts, group: backends, required: true}", "all", "d1, d2 is not in the group 'backends'"),
        ("{choices: [a, b], default: a}", "c", "'c' is none of a, b"),
        ("{type: integer, choices: [1, 2], default: 1}", "3", "'3' is none of 1, 2"),
        ("{choices: [1.50, true], default: 1.50}", "1.5", "'1.5' is none of 1.50, true"),
        ("{type: duration, choices: [30s, 1m], default: 30s}", "90s", "'90s' is none of 30s, 1m"),
        ("{type: integer, default: 1, choices: [[1], 2]}", None, "1 is none of 1, 2"),
        ("{type: integer, default: x}", None, "is not a whole number"),
    ],
)
def test_unsuitable_values_are_refused(spec: str, text: str | None, message: str) -> None:
    """A value that the parameter does not allow is refused with its name, the reason and the usage."""
    with pytest.raises(InputError) as caught:
        made(spec, text)
    assert message in caught.value.message
    assert "-e x" in caught.value.message
    assert "parameters of 'P'" in caught.value.hint


def test_all_mistakes_are_shown_at_once() -> None:
    """Unknown, missing and wrong values are told together, with the nearest name."""
    text = f"name: P\nparameters: {{backend: {{required: true}}, n: {{type: integer, default: 1}}}}\n{STEP}"
    with pytest.raises(InputError) as caught:
        given_values(playbook(text), {"bakend": "b1", "n": "x"}, fleet())
    assert len(caught.value.problems) == 3
    assert "did you mean 'backend'?" in caught.value.message


@pytest.mark.parametrize(
    ("spec", "content", "message"),
    [
        ("required: true", b"", "users.txt: has no names (-e x)"),
        ("required: true", b"# nobody\n", "users.txt: has no names (-e x)"),
        ("required: true, min: 3", b"u1\nu2\n", "users.txt: 2 names, and at least 3 are needed (-e x)"),
        ("required: true, max: 1", b"u1\nu2\n", "users.txt: 2 names, and at most 1 are allowed (-e x)"),
        ("required: true", b"u1\n*\n", "users.txt:2:1: '*' is a pattern: every user"),
        ("required: true, patterns: true", b"u1\n*,\n", "users.txt:2:1: a ',' at the end"),
        ("required: true", None, "users.txt: cannot read the items: No such file"),
    ],
)
def test_users_are_checked_when_they_are_given(tmp_path: Path, spec: str, content: bytes | None, message: str) -> None:
    """A list of users that is missing, empty, too short or long, or has what is no name, is refused at its own place."""
    path = tmp_path / "users.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        made(f"{{type: users, {spec}}}", str(path))
    assert f"{tmp_path}/{message}" in caught.value.message
    assert "parameters of" not in caught.value.hint


def test_users_are_a_list(tmp_path: Path) -> None:
    """The value of a parameter of users has its names and their number, and is the path as text."""
    path = tmp_path / "users.txt"
    path.write_text("u1\n*\n")
    users = made("{type: users, patterns: true, required: true}", str(path))
    assert (list(users), len(users), str(users)) == (["u1", "*"], 2, str(path))
    assert len(made("{type: users, patterns: true, required: true, min: 2, max: 2}", str(path))) == 2
    assert list(made("{type: users, min: 0, required: true}", "/dev/null")) == []


def test_bad_lists_are_told_with_other_mistakes(tmp_path: Path) -> None:
    """What is wrong in a list is told together with what is wrong elsewhere."""
    (tmp_path / "u").write_text("a;b\n")
    source = playbook(f"name: P\nparameters: {{u: {{type: users, required: true}}}}\n{STEP}")
    with pytest.raises(InputError) as caught:
        given_values(source, {"u": str(tmp_path / "u"), "usr": "x"}, fleet())
    assert len(caught.value.problems) == 2


def test_a_minus_is_standard_input() -> None:
    """`-` for a file is what comes in by a pipe."""
    assert made("{type: file, required: true}", "-") == "/dev/stdin"


@pytest.mark.parametrize(("text", "base"), [("list.txt", "cwd"), (None, "playbook"), ("/abs/list.txt", "abs")])
def test_files_are_relative_to_who_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, base: str
) -> None:
    """The operator's path is relative to the working directory, a default to the playbook."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    source = playbook(f"name: P\nparameters: {{x: {{type: file, default: list.txt}}}}\n{STEP}", tmp_path / "playbook")
    value = given_values(source, {} if text is None else {"x": text}, fleet())["x"]
    assert value == ("/abs/list.txt" if base == "abs" else str(tmp_path / base / "list.txt"))


def test_usage_describes_each_parameter() -> None:
    """Help says type, meaning, choices and default of each parameter."""
    text = f"""
name: P
parameters:
  backend: {{type: host, group: backends, required: true, help: the backend}}
  mode: {{choices: [fast, slow], default: slow}}
  quick: {{type: boolean, default: false}}
  share: {{type: number, choices: [0.50, 1], default: 0.50}}
  names: {{type: list, default: [a, 1.50]}}
{STEP}"""
    assert usage(playbook(text)).splitlines() == [
        "parameters of 'P':",
        "  -e backend=HOST  the backend; a host of backends; required",
        "  -e mode=STRING  one of fast, slow; default slow",
        "  -e quick=BOOLEAN  default false",
        "  -e share=NUMBER  one of 0.50, 1; default 0.50",
        "  -e names=LIST  default a,1.50",
    ]
    assert usage(playbook(f"name: P\n{STEP}")) == "this playbook has no parameters"


@property_of(
    st.sampled_from(["string", "integer", "number", "boolean", "duration", "host", "hosts", "list", "file"]),
    st.text(st.characters(exclude_characters="\0"), max_size=20),
)
def test_any_text_is_a_value_or_refused(kind: str, text: str) -> None:
    """Whatever the operator types, it is a value or an InputError."""
    try:
        made(f"{{type: {kind}, required: true}}", text)
    except InputError as error:
        assert "-e x" in str(error)
