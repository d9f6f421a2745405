"""Where items come from: lists, files of lines, CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ExpressionError, InputError
from orchestrator.items import MAX_LINE, from_csv, from_lines, from_value


def written(folder: Path, content: bytes) -> Path:
    """A file with that content."""
    path = folder / "items"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("value", [[], [1, "a", None], ({"a": 1},)])
def test_a_list_is_items(value: Any) -> None:
    """The members of a list are the items."""
    assert list(from_value(value)) == list(value)


@pytest.mark.parametrize("value", ["abc", 5, None, {"a": 1}, True])
def test_anything_else_is_no_list(value: Any) -> None:
    """A text is not taken for the list of its letters, nor a mapping for the list of its keys."""
    with pytest.raises(ExpressionError, match="for_each needs a list"):
        from_value(value)


@pytest.mark.parametrize(
    ("content", "items"),
    [
        (b"u1\nu2\n", ["u1", "u2"]),
        (b"u1\r\nu2\r\n", ["u1", "u2"]),
        (b"u1\ru2", ["u1", "u2"]),
        (b"\xef\xbb\xbfu1\n", ["u1"]),
        (b"  u1  \n\n# gone\n #too\nu#2", ["u1", "u#2"]),
        (b"", []),
        ("jörg\n".encode(), ["jörg"]),
        (b"first last\n", ["first last"]),
    ],
)
def test_lines_are_items(tmp_path: Path, content: bytes, items: list[str]) -> None:
    """Each line is an item; blank lines and comments are none, and a byte order mark is no part of it."""
    assert list(from_lines(written(tmp_path, content))) == items


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"u1\nu2\n\xff\n", "items:3:1: not UTF-8 text (byte 0xff); save the file as UTF-8"),
        (b"jane\r\nj\xfcrgen\r\njoe\r\n", "items:2:2: not UTF-8 text (byte 0xfc)"),
        (b"jane\n" * 50_000 + "jör".encode() + b"\xe4", "items:50001:4: not UTF-8 text (byte 0xe4)"),
        (b"u1\n" + b"x" * (MAX_LINE + 1), "items:2:1: this line is too long"),
    ],
)
def test_bad_lines_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """What cannot be an item is refused with its file and line."""
    with pytest.raises(InputError) as caught:
        list(from_lines(written(tmp_path, content)))
    assert message in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is an error that names it."""
    with pytest.raises(InputError, match=r"none: cannot read the items: No such file"):
        list(from_lines(tmp_path / "none"))


def test_lines_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """The first items are there before a bad line at the end of a large file is met."""
    items = from_lines(written(tmp_path, b"u\n" * 100_000 + b"\xff"))
    assert [next(items) for _ in range(3)] == ["u", "u", "u"]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"user,host\nu1,b1\nu2,b2\n", [{"user": "u1", "host": "b1"}, {"user": "u2", "host": "b2"}]),
        (b"user\r\nu1\r\n", [{"user": "u1"}]),
        (b'user,note\nu1,"a, ""b"""\n', [{"user": "u1", "note": 'a, "b"'}]),
        (b"user , host\n u1 , b1 \n\n", [{"user": "u1", "host": "b1"}]),
        (b"\xef\xbb\xbfuser\nu1\n", [{"user": "u1"}]),
        (b'user,note\nu1,"two\nlines"\n', [{"user": "u1", "note": "two\nlines"}]),
        (b"user\n", []),
        (b"\nuser\nu1\n", [{"user": "u1"}]),
    ],
)
def test_csv_records_have_columns(tmp_path: Path, content: bytes, records: list[dict[str, str]]) -> None:
    """The header names the columns; quotes, line ends and byte order mark are as spreadsheets write them."""
    assert list(from_csv(written(tmp_path, content))) == records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty CSV file has no header line"),
        (b"user,user\nu1,u2\n", ":1:1: the header line needs a different name for each column"),
        (b"user,\nu1,u2\n", ":1:1: the header line needs a different name"),
        (b"user,host\nu1\n", ":2:1: 1 fields, but the header has 2"),
        (b"user,host\nu1,b1\nu2,b2,x\n", ":3:1: 3 fields, but the header has 2"),
        (b'user\n"u1\n', "not valid CSV"),
        (b'user\n"u1"x\n', ":2:1: not valid CSV"),
        (b"user\nu1\nu\xff\n", ":3:2: not UTF-8 text (byte 0xff)"),
        (b"user\n" + b"x" * 200_000 + b"\n", ":2:1: not valid CSV"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A record that does not fit its header is refused with its line, never padded or cut."""
    with pytest.raises(InputError) as caught:
        list(from_csv(written(tmp_path, content)))
    assert message in caught.value.message


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)))
def test_plain_words_survive_a_file_of_lines(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    """Words without blanks are the same items when they come from a file."""
    path = written(tmp_path_factory.mktemp("lines"), "\n".join(words).encode())
    assert list(from_lines(path)) == [word for word in words if not word.startswith("#")]
