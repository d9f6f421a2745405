"""Where `for_each` takes its items from: lists, answers, files of lines, lists of users, CSV files.

A file is read once for a plan, and checked completely then: what was read is what is sent, whatever becomes of the file, and a
pipe is as good as a file. It is kept as the bytes that it was, and taken apart as its items are needed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import ExpressionError, InputError, Place, Problem
from orchestrator.playbook.doubtful_items import WIDE, Doubles, Few, Numbered
from orchestrator.text.names import NoNameError, is_plain, mask_meaning, unseen, user_name

MAX_LINE = 64 * 1024  # characters
MAX_FILE = 256 * 1024 * 1024  # bytes; ten million users
MAX_SHOWN = 10  # problems of one list; the first few show what is wrong with all of them
STDIN = "/dev/stdin"

_MARK = "\ufeff"
_BLANK_OR_MARK = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u3000" + _MARK
_KINDS = (
    (b"\xff\xfe", "UTF-16 text: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text: iconv -f UTF-16 -t UTF-8"),
    (b"\x1f\x8b", "compressed: zcat"),
    (b"PK\x03\x04", "a spreadsheet or a zip archive: save it as CSV"),
    (b"SQLite format 3", "a database, not a list"),
)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_SEP_LINE = re.compile(r"sep=([,;|:\t])\Z", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class ItemList:
    """The items of a file, in its order, with their lines. As text it is the file's path.

    Attributes:
        source: the path of the file.
        kind: how it is read: "lines", "users", "masks" or "table".
        digest: of its content.
        columns: of a CSV file; empty for lines.
        header: the line of the header.
        count: how many items it has.
        checked: whether its lines were checked to be names of users.
        warnings: what a reviewer should know of it, a sentence each.
    """

    source: str
    kind: str
    digest: str
    columns: tuple[str, ...]
    header: int
    count: int
    checked: bool
    warnings: tuple[str, ...]
    _numbered: Callable[[], Numbered] = field(repr=False)

    def numbered(self) -> Numbered:
        """The items, each with its line."""
        return self._numbered()

    def place(self, line: int) -> Place:
        """A line of it."""
        return Place(self.source, line)

    def __iter__(self) -> Iterator[Any]:
        return (item for _, item in self._numbered())

    def __len__(self) -> int:
        return self.count

    def __contains__(self, item: object) -> bool:
        return any(item == other for other in self)

    def __str__(self) -> str:
        return self.source


class Lists:
    """The files of a plan, each read once.

    Args:
        kept: path -> content, of a plan that has read them before; nothing else is read then.
    """

    def __init__(self, kept: Mapping[str, bytes] | None = None) -> None:
        self._contents = dict(kept or {})
        self._sealed = kept is not None
        self._made: dict[tuple[str, str], ItemList] = {}

    @property
    def contents(self) -> Mapping[str, bytes]:
        """All that was read: path -> content."""
        return self._contents

    def lines(self, path: str) -> ItemList:
        """The lines of a file, as they are; blank lines and lines that begin with # are left out.

        Raises:
            InputError: it cannot be read, is no text, or has lines that cannot be items.
        """
        return self.read(path, "lines")

    def users(self, path: str, *, masks: bool = False) -> ItemList:
        """The names of users in a file, one a line, each checked to be a name.

        Args:
            path: the file.
            masks: whether patterns and addresses may stand there too.

        Raises:
            InputError: it cannot be read, or has lines that are no names.
        """
        return self.read(path, "masks" if masks else "users")

    def table(self, path: str) -> ItemList:
        """The records of a CSV file with a header line, by column name; divided by commas, semicolons or tabs.

        Raises:
            InputError: it cannot be read, has no header, or a record with more or fewer fields than the header.
        """
        return self.read(path, "table")

    def read(self, path: str, kind: str) -> ItemList:
        """A file as a list of a kind.

        Raises:
            InputError: it cannot be read, or is none.
        """
        if path not in self._contents:
            if self._sealed:
                raise InputError.at("this list was not read when the plan was made, and is not read later", path)
            self._contents[path] = _read(path)
        if (path, kind) not in self._made:
            self._made[path, kind] = _MAKERS[kind](path, self._contents[path])
        return self._made[path, kind]


def from_value(value: Any) -> Iterable[Any]:
    """The items of a list; anything else is an error.

    Raises:
        ExpressionError: not a list.
    """
    if isinstance(value, list | tuple | ItemList):
        return value
    raise ExpressionError(f"for_each needs a list, not {value!r}")


def _read(path: str) -> bytes:
    """A file to its end; a pipe can be read only once.

    Raises:
        InputError: it cannot be read, or is too large to be a list.
    """
    try:
        with _opened(path) as file:
            if file.isatty():
                raise InputError.at("a terminal, not a list", path, hint="give a file, or a pipe: ... | -e NAME=-")
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError.at(f"cannot read the items: {error.strerror}", path) from None
    if len(content) > MAX_FILE:
        raise InputError.at(f"more than {MAX_FILE >> 20} MiB, too long for a list; divide it", path)
    for start, words in _KINDS:
        if content.startswith(start):
            raise InputError.at(f"not UTF-8 text, but {words}", path)
    return content


def _opened(path: str) -> BinaryIO:
    if path == STDIN:  # by number: what ssh gives may be a socket, which cannot be opened by name
        return open(0, "rb", closefd=False)
    return Path(path).open("rb")


def _text(source: str, content: bytes) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, without byte order marks: files that were joined have them in the midst."""
    try:
        for number, line in enumerate(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""), 1):
            yield number, line.lstrip(_MARK) if line[0] == _MARK else line
    except UnicodeDecodeError:
        raise _not_utf8(source, content) from None


def _not_utf8(source: str, content: bytes) -> InputError:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        before = re.split(rb"\r\n|\r|\n", content[: error.start])
        place = Place(source, len(before), len(before[-1].decode()) + 1)
        byte = f"the byte 0x{content[error.start]:02X}"
    else:  # pragma: no cover - a decoder that disagrees with itself
        place, byte = Place(source), "a byte"
    return InputError.at(
        f"not UTF-8 text: {byte}",
        place,
        hint=f"if it is Latin-1 (ISO-8859-1), convert it: iconv -f ISO-8859-1 -t UTF-8 {shlex.quote(source)} > NEW",
    )


def _items(source: str, content: bytes) -> Iterator[tuple[int, str]]:
    for number, line in _text(source, content):
        item = line.strip()
        if item[:1] == _MARK:
            item = item.strip(_BLANK_OR_MARK)
        if item and item[0] != "#":
            yield number, item


def _of_lines(source: str, content: bytes) -> ItemList:
    def items() -> Numbered:
        return _items(source, content)

    problems, doubles = _Problems(source, content), Doubles(source)
    for number, item in items():
        doubles.add(item)
        if len(item) > MAX_LINE:
            problems.add("this line is too long to be an item", number)
        elif found := unseen(item, prose=True):
            problems.add(f"{found[1]}, which cannot be seen; delete it", number, item, found[0])
    problems.raise_if_any()
    warnings = tuple(doubles.warning(items()))
    return ItemList(source, "lines", _digest(content), (), 0, len(doubles.hashes), False, warnings, items)


def _of_users(source: str, content: bytes, *, masks: bool) -> ItemList:
    def items() -> Numbered:
        for number, text in _items(source, content):
            yield number, text if is_plain(text) else user_name(text, masks=masks)

    problems, doubles = _Problems(source, content), Doubles(source)
    blanks, wide = Few(source, "with a blank within the name"), Few(source, WIDE)
    first = next((number for number, _ in _items(source, content)), 0)
    for number, text in _items(source, content):
        name = text
        if number == first or not is_plain(text):
            try:
                name = _short(user_name(text, first=number == first, masks=masks))
            except NoNameError as error:
                problems.add(str(error), number, text, error.offset)
            blanks.add(number, name, "" if " " in name else None)
            wide.add(number, name, mask_meaning(name) or None)
        doubles.add(name)
    problems.raise_if_any()
    warnings = (*doubles.warning(items()), *blanks.warning(), *wide.warning())
    kind = "masks" if masks else "users"
    return ItemList(source, kind, _digest(content), (), 0, len(doubles.hashes), True, warnings, items)


def _short(name: str) -> str:
    if len(name) > MAX_LINE:
        raise NoNameError("this line is too long to be a name")
    return name


class _Problems:
    """What is wrong with a list: the first few lines, and how many there are."""

    def __init__(self, source: str, content: bytes) -> None:
        self.source = source
        self.content = content
        self.found: list[Problem] = []
        self.count = 0

    def add(self, message: str, number: int, item: str = "", offset: int = 0) -> None:
        """Add a problem at a place of an item."""
        self.count += 1
        if len(self.found) < MAX_SHOWN:
            column = 1 + offset + (self._indent(number, item) if offset else 0)
            self.found.append(Problem(message, Place(self.source, number, column)))

    def _indent(self, number: int, item: str) -> int:
        """Where an item begins in its line; not counted for each line, since hardly any is wrong."""
        return max(0, next(line for count, line in _text(self.source, self.content) if count == number).find(item))

    def raise_if_any(self) -> None:
        """Raise what was found."""
        more = self.count - len(self.found)
        if self.found:
            raise InputError(self.found, hint=f"{more} more lines of {self.source} are refused" if more else "")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _of_table(source: str, content: bytes) -> ItemList:
    separator, skip = _separator(source, content)
    columns, header = _header(source, content, separator, skip)

    def items() -> Numbered:
        for number, fields in _records(source, content, separator, skip):
            if number > header:
                yield number, dict(zip(columns, fields, strict=True))

    problems, doubles = _Problems(source, content), Doubles(source)
    divided = "" if separator == "," else f" (columns are divided by {_SEPARATORS.get(separator, repr(separator))})"
    user = columns.index("user") if "user" in columns else None
    for number, fields in _records(source, content, separator, skip):
        if number == header:
            continue
        if len(fields) != len(columns):
            problems.add(f"{len(fields)} fields, but the header has {len(columns)}{divided}", number)
            continue
        whole = "\t".join(fields)
        doubles.add(whole if user is None else fields[user])
        if fields == list(columns):
            problems.add("the header line again, as in files that were joined; delete it", number)
        elif not whole.isascii():
            for column, value in zip(columns, fields, strict=True):
                if found := unseen(value, prose=True):
                    problems.add(f"column {column!r}: {found[1]}, which cannot be seen; delete it", number)
    problems.raise_if_any()
    warnings = tuple(doubles.warning(items()))
    return ItemList(source, "table", _digest(content), columns, header, len(doubles.hashes), False, warnings, items)


def _separator(source: str, content: bytes) -> tuple[str, int]:
    """What divides the columns, and how many lines stand before the header: spreadsheets write `sep=;` there."""
    for number, line in _text(source, content):
        head = line.strip("\r\n")
        if told := _SEP_LINE.match(head.strip(" ")):
            return told[1], number
        if not head.strip():
            continue
        possible = [mark for mark in _SEPARATORS if _divides(mark, head)]
        if len(possible) > 1:
            words = " and ".join(_SEPARATORS[mark] for mark in possible)
            raise InputError.at(
                f"the header line has {words}",
                Place(source, number),
                hint="say which divides the columns: sep=; as the first line",
            )
        return (possible or [","])[0], 0
    raise InputError.at("an empty CSV file has no header line", source)


def _divides(mark: str, head: str) -> bool:
    """Whether a mark stands in a header line outside of quotes."""
    try:
        return len(next(csv.reader([head], delimiter=mark), [])) > 1
    except csv.Error:  # told with its line when the records are read
        return False


def _header(source: str, content: bytes, separator: str, skip: int) -> tuple[tuple[str, ...], int]:
    for number, fields in _records(source, content, separator, skip):
        for column in fields:
            if found := unseen(column):
                raise InputError.at(
                    f"the header line has {found[1]}, which cannot be seen; delete it", Place(source, number)
                )
        if len(set(fields)) != len(fields) or not all(fields):
            raise InputError.at("the header line needs a different name for each column", Place(source, number))
        return tuple(fields), number
    raise InputError.at("an empty CSV file has no header line", source)


def _records(source: str, content: bytes, separator: str, skip: int) -> Iterator[tuple[int, list[str]]]:
    """The records, each with the line where it begins; blank lines are left out."""
    lines = (line for number, line in _text(source, content) if number > skip)
    reader = csv.reader(lines, strict=True, delimiter=separator)
    begin = skip + 1
    try:
        for record in reader:
            if len(record) > 1 or "".join(record).strip():
                yield begin, [part.strip() for part in record]
            begin = skip + reader.line_num + 1
    except csv.Error as error:
        raise InputError.at(f"not valid CSV: {error}", Place(source, skip + reader.line_num)) from None


_MAKERS: Mapping[str, Callable[[str, bytes], ItemList]] = {
    "lines": _of_lines,
    "users": partial(_of_users, masks=False),
    "masks": partial(_of_users, masks=True),
    "table": _of_table,
}
