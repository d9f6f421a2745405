"""YAML as it is accepted here: strict, and with the place of every problem."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError, Problem, nearest
from orchestrator.text.document import MAX_BYTES, MAX_DEPTH, Strict, Suggested, build, dump, load, parse
from tests.strategies import document, json_values


class Inner(Strict):
    port: int = 1
    name: str = ""


class Outer(Strict):
    inner: Inner = Inner()
    items: list[Inner] = []
    word: str = ""
    flag: bool = False
    anything: Any = None


def problems(text: str) -> list[Problem]:
    """What `build` finds in a text."""
    with pytest.raises(InputError) as caught:
        build(Outer, document(text))
    return list(caught.value.problems)


def where(found: Problem) -> tuple[int, int]:
    """Line and column of a problem."""
    return found.place.line, found.place.column


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: -17", {"a": -17}),
        ("a: 2.5", {"a": 2.5}),
        ("a: true", {"a": True}),
        ("a: false", {"a": False}),
        ("a: null", {"a": None}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: 'no'", {"a": "no"}),
        ('a: "012"', {"a": "012"}),
        ("a: |\n  on\n", {"a": "on\n"}),
        ("a: >\n  1:30\n", {"a": "1:30\n"}),
        ("a: 10.0.0.234", {"a": "10.0.0.234"}),
        ("5: x", {"5": "x"}),
        ("no: x", {"no": "x"}),
        ("a: 99999999999999999999999999999999", {"a": "99999999999999999999999999999999"}),
        ("- [1, {b: c}]", [[1, {"b": "c"}]]),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("", None),
        ("# nothing", None),
    ],
)
def test_plain_words_are_what_they_look_like(text: str, value: Any) -> None:
    """Numbers, true, false, null, lists and mappings have their value, and all else is text."""
    read = parse(text, source="a.yaml", folder=Path())
    assert (read.value, read.problems) == (value, [])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("no", "no is a boolean in YAML: write false, or 'no' in quotes"),
        ("On", "On is a boolean in YAML: write true, or 'On' in quotes"),
        ("yes", "write true"),
        ("off", "write false"),
        ("TRUE", "write true"),
        ("012", "012 is a number in a notation that is not read here: put it in quotes"),
        ("0x1f", "is a number in a notation that is not read here"),
        ("1_000", "or write 1000"),
        ("1:30", "is a number in a notation that is not read here"),
        (".inf", "is a number in a notation that is not read here"),
        ("2026-11-23", "2026-11-23 is a date in YAML: put it in quotes"),
        ("2026-11-23 02:00:00", "is a date in YAML"),
        ("NULL", "NULL is null in YAML: write null, or 'NULL' in quotes"),
        ("!vault x", "the tag !vault is not supported"),
        ("!!python/object:os.system x", "is not supported"),
        ("!!binary aGk=", "is not supported"),
        ("!!set x", "the tag !!set is not supported"),
        ("!vault 'x'", "the tag !vault is not supported"),
        ("!vault |\n  x", "the tag !vault is not supported"),
        ("=", "= has a meaning of its own in YAML"),
    ],
)
def test_surprises_are_errors(word: str, message: str) -> None:
    """What YAML 1.1 reads otherwise than people do is refused, with the way to write it."""
    [found] = problems(f"word: {word}")
    assert message in found.message
    assert where(found) == (1, 7)


@pytest.mark.parametrize("text", ["anything: !vault {a: b}", "anything: !python/tuple [1]", "anything: !!set {a, b}"])
def test_tags_on_collections_are_errors(text: str) -> None:
    """A tag on a mapping or list is refused like one on a word."""
    assert "is not supported" in problems(text)[0].message


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("word: a\nflag: true\nword: b", "the key 'word' is given twice", (3, 1)),
        ("inner: {port: 1, port: 1}", "the key 'port' is given twice", (1, 18)),
        ("anything:\n  - {a: 1, 'a': 2}", "the key 'a' is given twice", (2, 12)),
        ("inner: &x {port: 1}\nanything:\n  <<: *x", "merge keys (<<) are not supported", (3, 3)),
        ("anything: {[1]: 2}", "a key must be a word", (1, 12)),
        ("anything:\n  ? {a: 1}\n  : 2", "a key must be a word", (2, 5)),
        ("anything: {!vault a: 1}", "the tag !vault is not supported", (1, 12)),
        ("anything: {{ u }}", 'an expression must be in quotes: "{{ ... }}"', (1, 11)),
        ("anything:\n  - x\n  - [{{ a == 'b' }}]", 'an expression must be in quotes: "{{ ... }}"', (3, 6)),
    ],
)
def test_keys_are_words_and_unique(text: str, message: str, place: tuple[int, int]) -> None:
    """A key that is given twice, merged in or not a word is refused where it stands."""
    [found] = problems(text)
    assert message in found.message
    assert where(found) == place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("a:\n\t- b", "not valid YAML"),
        ("a: *nobody", "not valid YAML"),
        ("--- 1\n--- 2", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("&x [*x]", "an alias refers to a value that contains it"),
        ("a: &x {b: {c: *x}}", "an alias refers to a value that contains it"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), f"nested more than {MAX_DEPTH} levels deep"),
    ],
)
def test_unreadable_texts_are_refused(text: str, message: str) -> None:
    """What is no YAML, endless or too deep is an InputError and nothing else."""
    with pytest.raises(InputError, match="a.yaml") as caught:
        parse(text, source="a.yaml", folder=Path())
    assert message in caught.value.message


@pytest.mark.parametrize("text", ["'[' * 30_000", "'- ' * 30_000 + 'x'", "'[' + '[],' * 30_000 + '[' * 30_000"])
def test_very_deep_nesting_does_not_kill_the_program(text: str) -> None:
    """Thirty thousand brackets or dashes are refused like any other text; the interpreter survives them."""
    program = (
        "from pathlib import Path\nfrom orchestrator.text.document import parse\nfrom orchestrator.errors import InputError\n"
        f"try:\n    parse({text}, source='a.yaml', folder=Path())\nexcept InputError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nested" in done.stdout


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_nesting_has_a_limit(opened: str, closed: str) -> None:
    """What is as deep as may be is read; one level more is refused, in each way of writing it."""
    levels = MAX_DEPTH
    text = opened * levels + "x" + closed * levels
    value = parse(text, source="a.yaml", folder=Path()).value
    for _ in range(levels):
        [value] = value if isinstance(value, list) else value.values()
    assert value == "x"
    with pytest.raises(InputError, match=f"nested more than {MAX_DEPTH} levels deep"):
        parse(f"{opened}{text}{closed}", source="a.yaml", folder=Path())


def test_aliases_may_not_multiply() -> None:
    """Nine lines that stand for a thousand million values are refused."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InputError, match="aliases expand to more than"):
        parse("\n".join(lines), source="a.yaml", folder=Path())


@pytest.mark.parametrize(
    ("content", "message", "shown"),
    [
        (b"a: \xff\n", ":1:4: not UTF-8 text (byte 0xff); save the file as UTF-8", "a: \ufffd"),
        (b"a: b\n\xc3", ":2:1: not UTF-8 text (byte 0xc3)", "\ufffd"),
        (b"a: b\r\nname: M\xfcller\r\nc: d", ":2:8: not UTF-8 text (byte 0xfc)", "name: M\ufffdller"),
        ("a: äöü\nb: ".encode() + b"\xe4", ":2:4: not UTF-8 text (byte 0xe4)", "b: \ufffd"),
        ("a: b".encode("utf-16"), ":1:1: not UTF-8 text (byte 0xff)", ""),
        (b"a: b\npassword: hunter2\xfc", ":2:18: not UTF-8 text (byte 0xfc)", ""),
    ],
)
def test_bad_utf8_is_refused(tmp_path: Path, content: bytes, message: str, shown: str) -> None:
    """A file that is not UTF-8 is refused with the line and column of the first bad byte, and no secret is shown."""
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(tmp_path / "a.yaml")
    assert message in caught.value.message
    assert shown in caught.value.message
    assert "hunter2" not in caught.value.message


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A missing file and a directory are errors that name the path and what was expected."""
    with pytest.raises(InputError, match="cannot read this playbook: No such file"):
        load(tmp_path / "none.yaml", what="playbook")
    with pytest.raises(InputError, match="is a directory; a playbook is a YAML file"):
        load(tmp_path, what="playbook")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="this playbook is larger than 64 MiB") as caught:
        load(tmp_path / "large.yaml", what="playbook", source="the large one")
    assert caught.value.message.startswith("the large one: ")


def test_paths_in_a_file_start_where_it_is(tmp_path: Path) -> None:
    """Also for a file that is reached by a link; it is called as it was named."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.yaml").write_text("a: 1")
    (tmp_path / "link.yaml").symlink_to("there/a.yaml")
    read = load(tmp_path / "link.yaml")
    assert (read.value, read.folder, read.source) == ({"a": 1}, tmp_path / "there", str(tmp_path / "link.yaml"))


def test_a_place_is_shown_with_its_line_and_a_caret() -> None:
    """An error shows file:line:column, the message, the suggestion, the line, and a caret under the column."""
    [found] = problems("inner:\n  prot: 5\n")
    assert str(found) == "a.yaml:2:3: unknown key 'prot' (did you mean 'port'?)\n      prot: 5\n      ^"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_count(end: str) -> None:
    """Lines are counted alike, whichever way they end."""
    read = parse(f"word: a{end}flag: 3{end}", source="a.yaml", folder=Path())
    with pytest.raises(InputError) as caught:
        build(Outer, read)
    assert str(caught.value.problems[0].place) == "a.yaml:2:7"
    assert caught.value.problems[0].place.text == "flag: 3"


def test_a_long_line_is_shown_around_its_place() -> None:
    """A line of a megabyte is not printed whole, and the caret still stands under the place."""
    text = "{word: '" + "x" * 1_000_000 + "', bad: 1}"
    shown = str(problems(text)[0]).splitlines()
    assert max(map(len, shown)) < 300
    assert shown[1][shown[2].index("^") :].startswith("bad")


def test_wide_and_tabbed_lines_keep_the_caret_in_column() -> None:
    """Columns count characters, also behind letters that are no ASCII."""
    [found] = problems("{word: 'äöü€', bad: 1}")
    assert where(found) == (1, 16)


def test_all_problems_are_shown_at_once_and_in_order() -> None:
    """Problems of YAML and of the values come together, sorted by place."""
    found = problems("wrod: a\nflag: yes\ninner: {port: x, nam: b}\nitems: 5\nword: 7\n")
    assert [where(problem) for problem in found] == [(1, 1), (2, 7), (3, 15), (3, 18), (4, 8), (5, 7)]
    assert [problem.suggestion for problem in found] == ["word", "", "", "name", "", ""]


@pytest.mark.parametrize(("count", "told"), [(99, 99), (100, 100), (101, 100), (250, 100)])
def test_of_many_problems_the_first_are_told(count: int, told: int) -> None:
    """A hundred problems are as many as anybody reads; that these are the first is said."""
    for text in ("items:\n" + "  - {prot: 1}\n" * count, "anything:\n" + "  - no\n" * count):
        with pytest.raises(InputError) as caught:
            build(Outer, document(text))
        assert [problem.place.line for problem in caught.value.problems] == list(range(2, told + 2))
        assert caught.value.hint == ("these are the first 100 problems" if count >= 100 else "")


def test_what_an_alias_repeats_is_told_once() -> None:
    """A mistake in a value with a name stands in one place, however often the name is used."""
    assert len(problems("anything: [&x {a: no}, *x, *x]")) == 1


def test_what_two_models_refuse_alike_is_told_once() -> None:
    """Where either of two mappings may stand, a key that neither knows is one mistake, with the nearest key of both."""

    class Other(Strict):
        size: int = 1

    class Either(Strict):
        part: Inner | Other | None = None

    with pytest.raises(InputError) as caught:
        build(Either, document("part: {sise: 5}"))
    assert [str(problem).partition("\n")[0] for problem in caught.value.problems] == [
        "a.yaml:1:1: unknown key 'sise' (did you mean 'size'?)"
    ]


def test_a_part_of_a_document_is_built() -> None:
    """A model of a part has its problems at the places of the whole."""
    read = document("first: 1\npart: {port: 5, nam: x}\n")
    with pytest.raises(InputError) as caught:
        build(Inner, read, read.value["part"], ("part",))
    assert str(caught.value.problems[0]).startswith("a.yaml:2:17: unknown key 'nam' (did you mean 'name'?)")


def test_what_is_dumped_can_be_read_by_people() -> None:
    """A key a line, indented, with numbers as they were written and nothing that YAML refuses."""
    read = parse("{a: [1.50, {b: 'x y'}], c: {}, d: [], e: null, f: true}", source="a", folder=Path())
    assert (
        dump({**read.value, "g": ("\x7f\u2028", "ä")})
        == """{
  "a": [
    1.50,
    {
      "b": "x y"
    }
  ],
  "c": {},
  "d": [],
  "e": null,
  "f": true,
  "g": [
    "\\u007f\\u2028",
    "ä"
  ]
}"""
    )


def test_a_missing_key_is_reported_at_its_parent() -> None:
    """A key that is missing has the place of the mapping that lacks it."""

    class Needy(Strict):
        items: list[Inner]
        must: str

    with pytest.raises(InputError) as caught:
        build(Needy, document("items:\n  - port: 1\n"))
    assert "the key 'must' is missing" in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: 5", "must be a mapping"),
        ("items: {}", "must be a list"),
        ("word: 5", "must be text; put it in quotes"),
        ("flag: 'true'", "should be a valid boolean"),
        ("inner: {port: '5'}", "should be a valid integer"),
        ("inner: {port: 5.0}", "should be a valid integer"),
        ("- 1", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_types_are_strict(text: str, message: str) -> None:
    """No value is turned into another type."""
    assert message in problems(text)[0].message


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2x",
        "auth: {password: hunter2x}",
        "auth:\n  api_key: hunter2x\n",
        "auth:\n  password:\n    hunter2x\n",
        "auth:\n  password: >\n    hunter2x\n",
        "auth:\n  password: [\n    hunter2x]\n",
        "auth: {pasword: hunter2x}",
        "token: 'hunter2x",
        "password: *hunter2x",
        "password: {hunter2x}: 1",
        "password: ! hunter2x\n",
    ],
)
def test_a_literal_secret_is_never_shown(text: str) -> None:
    """A secret that stands in a file by mistake is in no error message, on whichever line it stands."""
    from orchestrator.fleet.config import ConfigFile

    with pytest.raises(InputError) as caught:
        build(ConfigFile, document("groups: {}\ndefaults:\n  " + text.replace("\n", "\n  ")))
    assert "hunter2x" not in caught.value.message


@pytest.mark.parametrize("secret", ["0123456", "2026-11-23", "1:30:59", "1_234_567", "0x1234567"])
def test_a_secret_that_looks_like_a_number_is_not_shown_either(secret: str) -> None:
    """The complaint about a number that YAML reads otherwise does not print the value of a secret."""
    with pytest.raises(InputError) as caught:
        build(Outer, document(f"password: {secret}"))
    shown = caught.value.message.replace(",", "")
    assert not [form for form in (secret, secret.replace("_", ""), str(0x1234567)) if form in shown]


def test_a_validators_suggestion_is_kept() -> None:
    """A validator's own message and suggestion stand at the value."""
    from pydantic import field_validator

    class Picky(Strict):
        word: str

        @field_validator("word")
        @classmethod
        def _check(cls, value: str) -> str:
            raise Suggested(f"not {value}", "apple")

    with pytest.raises(InputError) as caught:
        build(Picky, document("word: appel"))
    [found] = caught.value.problems
    assert (found.message, found.suggestion, where(found)) == ("not appel", "apple", (1, 7))


@pytest.mark.parametrize(
    ("word", "expected"),
    [("directorstatus", "directorStatus"), ("directorStauts", "directorStatus"), ("KICK", "kick"), ("zzz", "")],
)
def test_the_nearest_word_is_found(word: str, expected: str) -> None:
    """A misspelt word, in whatever case, leads to the known one; nonsense leads nowhere."""
    assert nearest(word, ["directorStatus", "directorMove", "kick"]) == expected


@given(json_values)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    """Any plain value survives being written and read."""
    read = parse(dump(value), source="a.yaml", folder=Path())
    assert (read.value, read.problems) == (value, [])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, parsing raises nothing but InputError."""
    try:
        read = parse(text, source="a.yaml", folder=Path())
        build(Outer, read)
    except InputError as error:
        assert str(error)
