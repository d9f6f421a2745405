"""Where items come from: lists, files of lines, lists of users, CSV. What people have in such files, and what becomes of it."""

from __future__ import annotations

import os
import re
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import ExpressionError, InputError
from orchestrator.playbook.items import MAX_FILE, MAX_LINE, Lists, from_value
from orchestrator.text.expression import compile_value

BOM = b"\xef\xbb\xbf"


def written(folder: Path, content: bytes) -> str:
    """A file with that content."""
    path = folder / "items"
    path.write_bytes(content)
    return str(path)


def refusal(path: str, kind: str, **how: Any) -> str:
    """Why a list is refused, with its place; the folder is left out."""
    with pytest.raises(InputError) as caught:
        getattr(Lists(), kind)(path, **how)
    return f"{caught.value.message}\n{caught.value.hint}".replace(f"{Path(path).parent}/", "")


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
        (BOM + b"u1\n", ["u1"]),
        (BOM + b"u1\n" + BOM + b"u2\n " + BOM + b" u3\n" + BOM + BOM + b"u4", ["u1", "u2", "u3", "u4"]),
        (b"  u1  \n\n# gone\n #too\nu#2", ["u1", "u#2"]),
        (b"", []),
        (BOM, []),
        ("jörg\n".encode(), ["jörg"]),
        ("\u00a0jörg\u3000\n".encode(), ["jörg"]),
        (b"first last\n", ["first last"]),
        (b'user\n*\n10.0.0.1\n"q"\na;b\n', ["user", "*", "10.0.0.1", '"q"', "a;b"]),
        ("می\u200cخواهم\n❤\ufe0f\n".encode(), ["می\u200cخواهم", "❤\ufe0f"]),
    ],
)
def test_lines_are_items(tmp_path: Path, content: bytes, items: list[str]) -> None:
    """Each line of a file is an item as it stands; blank lines and comments are none, and a byte order mark is no part of it."""
    found = Lists().lines(written(tmp_path, content))
    assert (list(found), len(found)) == (items, len(items))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"u1\n" + b"x" * (MAX_LINE + 1), "items:2:1: this line is too long"),
        (b"u1\n \tu\xe2\x80\x8b2\n", "items:2:4: U+200B ZERO WIDTH SPACE, which cannot be seen"),
        (b"u1\xe2\x80\x8d\n", "items:1:3: U+200D ZERO WIDTH JOINER"),
        (b"u1\nu\x07\n", "items:2:2: U+0007 CONTROL CHARACTER"),
        (b"u1\nu" + BOM + b"2\n", "items:2:2: U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    ],
)
def test_bad_lines_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """What cannot be an item, or cannot be seen, is refused with its file, line and column."""
    assert message in refusal(written(tmp_path, content), "lines")


@pytest.mark.parametrize("kind", ["lines", "users", "table"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"u1\nM\xfcller\n", "items:2:2: not UTF-8 text: the byte 0xFC\nif it is Latin-1 (ISO-8859-1), convert it: iconv -f ISO-8859-1 -t UTF-8"),
        (b"u1\r\nu2\rJ\xc3\xbc\xff\n", "items:3:3: not UTF-8 text: the byte 0xFF"),
        ("u1\nu2".encode("utf-16"), "items: not UTF-8 text, but UTF-16 text: iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff" + "u1".encode("utf-16-be"), "items: not UTF-8 text, but UTF-16 text: iconv -f UTF-16 -t UTF-8"),
        (b"SQLite format 3\x00", "items: not UTF-8 text, but a database, not a list"),
        (b"\x1f\x8b\x08\x00", "items: not UTF-8 text, but compressed: zcat"),
        (b"PK\x03\x04", "items: not UTF-8 text, but a spreadsheet or a zip archive: save it as CSV"),
    ],
)  # fmt: skip
def test_other_encodings_are_named(tmp_path: Path, kind: str, content: bytes, message: str) -> None:
    """What is not UTF-8 is refused with the place of the first such byte, and how to convert it."""
    assert message in refusal(written(tmp_path, content), kind)


@pytest.mark.parametrize("kind", ["lines", "users", "table"])
def test_what_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    """A missing file, a directory and a file of gigabytes are errors that name it."""
    assert refusal(str(tmp_path / "none"), kind).startswith("none: cannot read the items: No such file")
    assert "cannot read the items: Is a directory" in refusal(str(tmp_path), kind)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert "large: more than 256 MiB, too long for a list; divide it" in refusal(str(tmp_path / "large"), kind)


# What stands in lists of users, and what becomes of it.

NAMES = [
    (b"user001\nuser002\n", ["user001", "user002"]),
    (b"user001\r\n\r\nuser002\r\n", ["user001", "user002"]),
    (BOM + b"user001\n" + BOM + b"user002\n", ["user001", "user002"]),
    (b'"user001"\n\'user002\'\n" user003 "\n', ["user001", "user002", "user003"]),
    (b"jane+spam@example.com\nJane.Doe@Example.COM\n", ["jane+spam@example.com", "Jane.Doe@Example.COM"]),
    ("jürgen@example.com\nmüller\n用户@例.中国\n".encode(), ["jürgen@example.com", "müller", "用户@例.中国"]),
    (b"100%@example.com\n%u\n", ["100%@example.com", "%u"]),
    (b"1234\n100234\n017\n4917.1234567\n256.1.1.1\n", ["1234", "100234", "017", "4917.1234567", "256.1.1.1"]),
    (b"we ird@example.com\n", ["we ird@example.com"]),
    (b"user/8\nface\nu#2\na=b\no'brien\nlocalhost\n", ["user/8", "face", "u#2", "a=b", "o'brien", "localhost"]),
    (b'"doe,jane"\n"a  b"\n"user"\n"a:b"\n"# x"\n', ["doe,jane", "a  b", "user", "a:b", "# x"]),
    (b'\'"jane doe"@example.com\'\n"\'t.hart"\n', ['"jane doe"@example.com', "'t.hart"]),
    (b"user001\nuser\n", ["user001", "user"]),
    (b"# from the ticket\nuser001\n", ["user001"]),
    (b"  user001 \t\n\xc2\xa0user002\xe3\x80\x80\n", ["user001", "user002"]),
]

NO_NAMES = [
    (b"user001\xe2\x80\x8b\n", "1:8: U+200B ZERO WIDTH SPACE, which cannot be seen; delete it"),
    (b"u1\nus\xc2\xader001\n", "2:3: U+00AD SOFT HYPHEN"),
    (b"u1\n\n  user\xe2\x81\xa0001\n", "3:7: U+2060 WORD JOINER"),
    (b"u1\nuser" + BOM + b"\n", "2:5: U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    (b"\xe2\x80\xaeuser\n", "1:1: U+202E RIGHT-TO-LEFT OVERRIDE"),
    (b"\xe2\x81\xa6user\n", "1:1: U+2066 LEFT-TO-RIGHT ISOLATE"),
    ("می\u200cخ\n".encode(), "1:3: U+200C ZERO WIDTH NON-JOINER"),
    (b"us\x00er\n", "1:3: U+0000 CONTROL CHARACTER"),
    (b"a\xc2\xa0b\n", "1:2: U+00A0 NO-BREAK SPACE within the line, which looks like a blank"),
    (b"M\xef\xbf\xbdller\n", "1:2: a character was lost when this was converted"),
    (b"user001,\n", "1:1: a ',' at the end; delete it: sed"),
    (b"u1\nuser001;\n", "2:1: a ';' at the end; delete it: sed"),
    (b"user001;Jane\n", "1:1: more than a name: columns, or several names, divided by ';'; one name per line: cut -d';' -f1"),
    (b"user001, user002\n", "divided by ','"),
    (b"user001 # phone\n", "1:1: more than a name: a comment; comments stand on lines of their own"),
    (b"user001\tJane\n", "1:1: more than a name: columns, divided by tabs; one name per line: cut -f1"),
    (b"user001   Jane\n", "1:1: more than a name: columns, divided by blanks; one name per line: awk '{print $1}'"),
    (b"user001 10.0.0.1\n", "more than a name: several words"),
    (b"user001 4\n", "more than a name: several words"),
    (b"user001 of b1\n", "more than a name: several words"),
    (b"user,backend\nuser001,b1\n", "1:1: more than a name: columns"),
    (b"user\nuser001\n", '1:1: this looks like a header line; delete it (if that is a user name, put it in quotes: "user")'),
    (b"\n# x\nUserName\nuser001\n", "3:1: this looks like a header line"),
    (b"jane:{PLAIN}secret:1000\n", "1:1: more than a name: fields, divided by ':'; one name per line: cut -d: -f1"),
    (b" user    | host\n---------+------\n user001 | b1\n(1 row)\n", "1:1: this looks like a table of psql or mysql"),
    (b"user001\n(5 rows)\n", "2:1: this looks like a table of psql or mysql"),
    (b"-------\nuser001\n", "1:1: this looks like a table of psql or mysql"),
    (b"+------+\n| user |\n+------+\n", "2:1: this looks like a table of psql or mysql"),
    (b"username                # proto (pids) (ips)\nuser001                 1 imap  (71)   (10.0.0.1)\n",
     "2:1: this looks like the output of doveadm who; take its first column: doveadm who | awk"),
    (b"user001  2 imap  (71 72)   (10.0.0.1)\n", "1:1: this looks like the output of doveadm who"),
    (b"username\tproto\tpid\tip\n", "1:1: this looks like the output of doveadm who"),
    (b"user     mail server ip expire time\nuser001  127.0.41.1     2026-11-27 12:00:00\n",
     "2:1: this looks like the output of doveadm director map"),
    (b"username=user001 #=1 proto=imap\n", "1:1: this looks like the output of doveadm -f flow"),
    (b"Jane Doe <jane@example.com>\n", "1:1: this looks like an e-mail address with a person's name"),
    (b'["user001",\n', "1:1: this looks like JSON"),
    (b'"user001","Jane"\n', "1:1: more than a name: columns, or several names, in quotes"),
    (b'"user001\n', "1:1: a quote without its partner"),
    (b'user001"\n', "1:1: a quote without its partner"),
    (b"'t.hart@example.com\n", '1:1: a quote without its partner (if it belongs to the name, put " around the name)'),
    ("“user001”\n".encode(), "1:1: typographic quotes around '“user001”'"),
    (b'""\n', "1:1: an empty name in quotes"),
    (b"u1\n*\n", "2:1: '*' is a pattern: every user; this list takes the names of users only"),
    (b"u1\nuser000?3\n", "2:1: 'user000?3' is a pattern: every user that matches it (a ? may be a letter that a conversion lost)"),
    (b'"user*"\n', "1:1: 'user*' is a pattern"),
    (b"127.0.0.1\n", "1:1: '127.0.0.1' is an address: everybody who is connected from it"),
    (b"10.0.0.0/8\n0x1f\n127.1\n::1\n", "4:1: '::1' is an address"),
    (b"u1\n" + b"x" * (MAX_LINE + 1), "2:1: this line is too long"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "names"), NAMES)
def test_names_are_taken(tmp_path: Path, content: bytes, names: list[str]) -> None:
    """What is certainly a name is taken, without blanks, quotes and byte order marks around it."""
    assert list(Lists().users(written(tmp_path, content))) == names


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{{ users | length }}", 2),
        ("{{ users | lower }}", ["jane", "joe"]),
        ("{{ (users | unique) + (users | lower) }}", ["Jane", "joe", "jane", "joe"]),
        ("{{ rows | where('username', users) | length }}", 1),
        ("{{ rows | where_not('username', users) | length }}", 2),
        ("{{ rows | where('username', users | lower) | column('username') }}", ["jane", "joe"]),
        ("{{ 'joe' in users and 'jim' not in users }}", True),
    ],
)
def test_expressions_take_a_file_of_names_for_a_list(tmp_path: Path, expression: str, value: object) -> None:
    """How many there are, which rows are of them, whether one is among them."""
    users = Lists().users(written(tmp_path, b"Jane\njoe\n"))
    rows = [{"username": name} for name in ("jane", "joe", "jim")]
    assert compile_value(expression)({"users": users, "rows": rows}) == value


@pytest.mark.parametrize(("content", "message"), NO_NAMES)
def test_what_is_no_name_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """What is no name, or cannot be told from something else, is refused with file, line and what to do."""
    told = refusal(written(tmp_path, content), "users")
    assert (f"items:{message}" if message[0].isdigit() else message) in told


@pytest.mark.parametrize("content", [b"jane:{PLAIN}secret:1000\n", b"jane;secret\n", b"jane,secret\n", b"jane\tsecret\n", b'"jane","secret"\n'])  # fmt: skip
def test_what_stands_beside_a_name_is_not_shown(tmp_path: Path, content: bytes) -> None:
    """A message repeats no other column of a line, which may be a password."""
    assert "secret" not in refusal(written(tmp_path, content), "users")


def test_masks_are_taken_where_they_are_wanted(tmp_path: Path) -> None:
    """A list that may have patterns has them, and warns of each that means more than one user."""
    path = written(tmp_path, b"u1\n*\nu?\n10.0.0.0/8\n::1\n")
    found = Lists().users(path, masks=True)
    assert list(found) == ["u1", "*", "u?", "10.0.0.0/8", "::1"]
    assert found.warnings[0].startswith(
        f"{path}: 4 lines for more than one user: line 2: '*' is a pattern: every user; line 3: 'u?' is"
    )
    assert found.warnings[0].endswith("; …")


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    """Of many bad lines the first are told, and how many more there are."""
    told = refusal(written(tmp_path, b"u;x\n" * 1000), "users")
    assert re.findall(r"items:(\d+):", told) == [str(n) for n in range(1, 11)]
    assert "990 more lines" in told


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        (b"u1\nu2\n", []),
        (b"u1\nu2\nu1\n", ["1 line repeats an earlier one, the first 'u1' on lines 1 and 3; each is sent again"]),
        (b'u1\n"u1"\n\n u1\nu2\n', ["2 lines repeat earlier ones, the first 'u1' on lines 1 and 2; each is sent again"]),
        (b"U1\nu1\n", []),
        (b"a b\n", ["1 line with a blank within the name: line 1: 'a b'"]),
        (b"a b\na c\na d\na e\n", ["4 lines with a blank within the name: line 1: 'a b'; line 2: 'a c'; line 3: 'a d'; …"]),
    ],
)  # fmt: skip
def test_what_is_odd_is_told(tmp_path: Path, content: bytes, warnings: list[str]) -> None:
    """Names that stand there again, and names with blanks, are taken and told, with how many and where."""
    path = written(tmp_path, content)
    assert list(Lists().users(path).warnings) == [f"{path}: {warning}" for warning in warnings]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"user,host\nu1,b1\nu2,b2\n", [{"user": "u1", "host": "b1"}, {"user": "u2", "host": "b2"}]),
        (b"user\r\nu1\r\n", [{"user": "u1"}]),
        (b'user,note\nu1,"a, ""b"""\n', [{"user": "u1", "note": 'a, "b"'}]),
        (b"user , host\n u1 , b1 \n\n", [{"user": "u1", "host": "b1"}]),
        (BOM + b"user\nu1\n" + BOM + b"u2\n", [{"user": "u1"}, {"user": "u2"}]),
        (b'user,note\nu1,"two\nlines"\n', [{"user": "u1", "note": "two\nlines"}]),
        (b'user,note\r\nu1,"two\r\nlines"\r\n', [{"user": "u1", "note": "two\r\nlines"}]),
        (b" sep=; \nuser;host\nu1;b1\n", [{"user": "u1", "host": "b1"}]),
        (b"user\n", []),
        (b"\n  \nuser\nu1\n", [{"user": "u1"}]),
        (b"user;host\nu1;b1\n", [{"user": "u1", "host": "b1"}]),
        (b'"user";"note"\nu1;"a;b,c"\n', [{"user": "u1", "note": "a;b,c"}]),
        (b"user\thost\nu1\tb1\n", [{"user": "u1", "host": "b1"}]),
        (b"user\tnote\nu1\t\n", [{"user": "u1", "note": ""}]),
        (b"sep=;\nuser;a,b\nu1;x,y\n", [{"user": "u1", "a,b": "x,y"}]),
        (BOM + b"sep=,\r\nuser,host\r\nu1,b1\r\n", [{"user": "u1", "host": "b1"}]),
        (b'"a;b",user\nx,u1\n', [{"a;b": "x", "user": "u1"}]),
    ],
)
def test_csv_records_have_columns(tmp_path: Path, content: bytes, records: list[dict[str, str]]) -> None:
    """The header names the columns; separators, quotes, line ends and byte order marks are as spreadsheets write them."""
    found = Lists().table(written(tmp_path, content))
    assert (list(found), len(found)) == (records, len(records))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "items: an empty CSV file has no header line"),
        (b"sep=;\n", "items: an empty CSV file has no header line"),
        (b"user,user\nu1,u2\n", "items:1:1: the header line needs a different name for each column"),
        (b"sep=;\nuser;\nu1,u2\n", "items:2:1: the header line needs a different name"),
        (b"user;a,b\nu1;x\n", "items:1:1: the header line has commas and semicolons\nsay which divides the columns: sep=;"),
        (b"us\xe2\x80\x8ber,host\nu1,b1\n", "items:1:1: the header line has U+200B ZERO WIDTH SPACE"),
        (b"user,host\nu1\n", "items:2:1: 1 fields, but the header has 2"),
        ("host,user\nb\u00e4\n".encode(), "items:2:1: 1 fields, but the header has 2"),
        (b"user,host\nu1,b1\nu2,b2,x\n", "items:3:1: 3 fields, but the header has 2"),
        (b"user;host\nu1,b1\n", "items:2:1: 1 fields, but the header has 2 (columns are divided by semicolons)"),
        (b'user,n\n"a\nb",1\n\nu2\n', "items:5:1: 1 fields, but the header has 2"),
        (b'user\n"u1\n', "not valid CSV"),
        (b'user\n"u1"x\n', "items:2:1: not valid CSV"),
        (b"user\n" + b"x" * 200_000 + b"\n", "items:2:1: not valid CSV"),
        (b"x" * 200_000 + b"\n", "items:1:1: not valid CSV"),
        (b"user,host\nu1,b1\n" + BOM + b"user,host\nu2,b2\n", "items:3:1: the header line again, as in files that were joined"),
        (b"user,host\nu1,b\xc2\xad1\n", "items:2:1: column 'host': U+00AD SOFT HYPHEN"),
    ],
)  # fmt: skip
def test_bad_csv_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A record that does not fit its header is refused with its line, never padded or cut."""
    assert message in refusal(written(tmp_path, content), "table")


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (b"user,to\nu1,b1\nu1,b2\n", "1 line repeats an earlier one, the first 'u1' on lines 2 and 3"),
        (
            b'name,to\nu1,b1\n"x\ny",z\nu1,b2\nu1,b1\n',
            "1 line repeats an earlier one, the first 'u1\\tb1' on lines 2 and 6",
        ),
    ],
)
def test_repeated_records_are_told(tmp_path: Path, content: bytes, warning: str) -> None:
    """A user who stands in a CSV file again, or a record that does where no column is called so, is told."""
    assert warning in " ".join(Lists().table(written(tmp_path, content)).warnings)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """A pipe gives all steps of a plan the same items, as a file does."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    writing = threading.Thread(target=Path(path).write_bytes, args=(b"u1\nu2\n",))
    writing.start()
    lists = Lists()
    assert [list(lists.users(path)), list(lists.lines(path)), list(lists.users(path))] == [["u1", "u2"]] * 3
    writing.join()
    assert lists.contents == {path: b"u1\nu2\n"}


def test_a_run_reads_no_file(tmp_path: Path) -> None:
    """What was not read when the plan was made is not read by whoever goes on, even when it is there."""
    path = written(tmp_path, b"jane\n")
    with pytest.raises(InputError, match="was not read when the plan was made"):
        Lists({}).lines(path)


def test_what_is_kept_is_not_read_again(tmp_path: Path) -> None:
    """A plan that is taken up again has the items that it was made with, whatever became of the file."""
    path = written(tmp_path, b"u1\n")
    before = Lists()
    made = before.users(path)
    Path(path).write_bytes(b"u2\n")
    again = Lists(before.contents).users(path)
    assert (list(again), again.digest) == (list(made), made.digest)
    assert Lists().users(path).digest != made.digest


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)))
def test_plain_words_survive_a_file_of_lines(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    """Words without blanks are the same items when they come from a file."""
    path = str(tmp_path_factory.mktemp("lines") / "items")
    seen = [
        word
        for word in words
        if not re.search(
            "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]", word
        )
    ]
    Path(path).write_text("\n".join(seen), encoding="utf-8")
    assert list(Lists().lines(path)) == [word for word in seen if not word.startswith("#")]


PIECES = (b"\n", b"\r", b"\r\n", b"user1", b"*", b"?", b",", b";", b"\t", b" ", b"  ", b'"', b"'", b"#", b"|", b"sep=;", b"user", BOM, b"\xe2\x80\x8b",
          b"\xc2\xad", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xc3\xa9", b"\xff", b"\x00", b"\x85", b"\xc2\x85", b"10.0.0.1", b"::1", b"(", b"<a@b>", b":", b"\xf3\xa0\x81\x81")  # fmt: skip


@pytest.mark.parametrize("kind", ["lines", "users", "table"])
@settings(max_examples=300)
@given(content=st.binary(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join))
@example(content=b'"\n"')
@example(content=b"\r\r\n\n")
def test_whatever_stands_in_a_file(tmp_path_factory: pytest.TempPathFactory, kind: str, content: bytes) -> None:
    """Any bytes are items or an error with a line of the file; what is taken can be seen, and stands on the line that is told."""
    path = written(tmp_path_factory.getbasetemp(), content)
    physical = re.split(rb"\r\n|\r|\n", content)
    try:
        found = getattr(Lists(), kind)(path)
    except InputError as error:
        assert all(problem.place.line <= len(physical) for problem in error.problems)
        return
    numbered = list(found.numbered())
    assert len(numbered) == len(found)
    for line, item in numbered:
        if kind == "table":
            assert line <= len(physical)
            continue
        assert item.encode() in physical[line - 1]
        assert item == item.strip()
        hidden = {"Cc", "Cf", "Zl", "Zp"} if kind == "users" else {"Cc", "Zl", "Zp"}
        assert not [char for char in item if unicodedata.category(char) in hidden and char != "\t"]
        if kind == "users":
            assert not set("*?\t") & set(item)
