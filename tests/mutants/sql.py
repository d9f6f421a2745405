"""Mistakes in SQL that stands in a string."""

from __future__ import annotations

import re
from collections.abc import Iterator

_IS_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|WHERE|ORDER BY|JOIN|AND)\b")
_CLAUSE = re.compile(r"\b(SET|WHERE|ON|WHEN|SELECT)\b")
_EDITS = [
    (r" AND ", " OR "),
    (r" OR (?!REPLACE|IGNORE)", " AND "),
    (r"(?<=[\w)\]]) = ", " != "),
    (r" != ", " = "),
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"IS NOT NULL", "IS NULL"),
    (r"IS NULL", "IS NOT NULL"),
    (r" NOT IN ", " IN "),
    (r"(?<!NOT) IN ", " NOT IN "),
    (r" DESC", ""),
    (r"ORDER BY [\w.]+(?![\w.]| DESC)", r"\g<0> DESC"),
    (r"OR (REPLACE|IGNORE) ", ""),
    (r"\bmax\(", "min("),
    (r"\bmin\(", "max("),
    (r"DISTINCT ", ""),
    (r"LEFT JOIN", "JOIN"),
    (r" UNIQUE", ""),
    (r"= FULL", "= OFF"),
    (r"IMMEDIATE", "DEFERRED"),
    (r"EXCLUSIVE", "DEFERRED"),
    (r"(?<!SELECT )(?<![\w{'?:])\d+(?![\w}])", None),  # a number: one more
]


def sql_edits(text: str) -> Iterator[tuple[int, int, str]]:
    """Edits of a string's source text, if it is SQL: from, to, and what stands there instead."""
    if not _IS_SQL.search(text):
        return
    code = [found.span() for found in re.finditer(r"\{[^}]*\}", text)] if text.startswith(("f", "F")) else []
    for pattern, new in _EDITS:
        for found in re.finditer(pattern, text):
            assigns = new == " != " and _CLAUSE.findall(text, 0, found.start())[-1:] == ["SET"]
            if not assigns and not any(start <= found.start() < end for start, end in code):
                yield *found.span(), str(int(found[0]) + 1) if new is None else found.expand(new)
