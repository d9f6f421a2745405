"""Where `for_each` takes its items from: lists, answers, files of lines, CSV files. Files are read lazily."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import ExpressionError, InputError, Place

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how Python reads a byte that is no UTF-8, so that its line is known
MAX_LINE = 64 * 1024  # characters


def from_value(value: Any) -> Iterator[Any]:
    """The items of a list; anything else is an error.

    Raises:
        ExpressionError: not a list.
    """
    if isinstance(value, list | tuple):
        return iter(value)
    raise ExpressionError(f"for_each needs a list, not {value!r}")


def from_lines(path: Path) -> Iterator[str]:
    """The lines of a text file; blank lines and lines that begin with # are left out.

    Raises:
        InputError: unreadable, not UTF-8, or a line too long to be an item.
    """
    for number, line in _lines(path):
        item = line.strip()
        if len(item) > MAX_LINE:
            raise InputError.at("this line is too long to be an item", Place(str(path), number))
        if item and not item.startswith("#"):
            yield item


def from_csv(path: Path) -> Iterator[dict[str, str]]:
    """The records of a CSV file with a header line, by column name.

    Raises:
        InputError: unreadable, no header, or a record with more or fewer fields than the header.
    """
    lines = _lines(path)
    reader = csv.reader((line for _, line in lines), strict=True)
    header: list[str] | None = None
    try:
        for record in reader:
            if not record:
                continue
            if header is None:
                header = [name.strip() for name in record]
                if len(set(header)) != len(header) or not all(header):
                    raise InputError.at("the header line needs a different name for each column", Place(str(path), 1))
                continue
            if len(record) != len(header):
                where = Place(str(path), reader.line_num)
                raise InputError.at(f"{len(record)} fields, but the header has {len(header)}", where)
            yield dict(zip(header, (field.strip() for field in record), strict=True))
    except csv.Error as error:
        raise InputError.at(f"not valid CSV: {error}", Place(str(path), reader.line_num)) from None
    if header is None:
        raise InputError.at("an empty CSV file has no header line", str(path))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            for number, line in enumerate(file, 1):
                if bad := _NOT_UTF8.search(line):
                    where = Place(str(path), number, bad.start() + 1)
                    raise InputError.at(
                        f"not UTF-8 text (byte 0x{ord(bad[0]) - 0xDC00:02x}); save the file as UTF-8", where
                    )
                yield number, line
    except OSError as error:
        raise InputError.at(f"cannot read the items: {error.strerror}", str(path)) from None
