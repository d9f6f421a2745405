"""What a reviewer should know of a list: items that stand in it twice, masks for many users, blanks within names."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from orchestrator.text.names import NoNameError, is_plain, mask_meaning, shown, user_name

Numbered = Iterator[tuple[int, Any]]  # items, each with its line

WIDE = "for more than one user"


def wide_masks(source: str, masks: Iterable[tuple[int, Any]], *, addresses: bool) -> Iterator[str]:
    """A warning of the masks, given with their lines, that mean more than one user."""
    few = Few(source, WIDE)
    for line, mask in masks:
        few.add(line, mask, mask_meaning(str(mask), addresses=addresses) or None)
    return few.warning()


def no_names(source: str, masks: Iterable[tuple[int, Any]]) -> Iterator[str]:
    """A warning of masks, given with their lines, that are headers, columns or output rather than names."""
    few = Few(source, "that look like a header, columns or output, and not like names")
    for number, (line, mask) in enumerate(masks):
        if number and is_plain(str(mask)):
            continue
        try:
            user_name(str(mask), first=not number, masks=True)
        except NoNameError:
            few.add(line, str(mask), "")
    return few.warning()


class Few:
    """The lines of a kind that a reviewer should know of: how many there are, and the first three."""

    def __init__(self, source: str, words: str) -> None:
        self.source = source
        self.words = words
        self.count = 0
        self.examples: list[str] = []

    def add(self, line: int, item: str, meaning: str | None) -> None:
        """Count a line, and what it means; None is not of this kind."""
        if meaning is None:
            return
        self.count += 1
        if self.count <= 3:
            self.examples.append(f"line {line}: {shown(item)}{meaning and f' is {meaning}'}")

    def warning(self) -> Iterator[str]:
        """One sentence, or none."""
        if self.count:
            how = "1 line" if self.count == 1 else f"{self.count} lines"
            more = "; …" if self.count > 3 else ""
            yield f"{self.source}: {how} {self.words}: {'; '.join(self.examples)}{more}"


class Doubles:
    """Items that stand in a list more than once. By hash first: a set of a million names would need 150 MB."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.hashes = array("q")

    def add(self, key: str) -> None:
        """Count an item."""
        self.hashes.append(hash(key))

    def warning(self, items: Numbered) -> Iterator[str]:
        """One sentence, or none; the items are read again only if there is something to tell."""
        twice = {one for one, other in pairwise(sorted(self.hashes)) if one == other}
        if not twice:
            return
        lines: dict[str, int] = {}
        count, example = 0, ""
        for line, item in items:
            key = _key(item)
            if hash(key) in twice and lines.setdefault(key, line) != line:
                count += 1
                example = example or f"{shown(key)} on lines {lines[key]} and {line}"
        if count:
            again = "1 line repeats an earlier one" if count == 1 else f"{count} lines repeat earlier ones"
            yield f"{self.source}: {again}, the first {example}; each is sent again"


def _key(item: Any) -> str:
    """What makes two items the same: the user, where there is a column of that name."""
    if isinstance(item, str):
        return item
    return str(item["user"]) if "user" in item else "\t".join(item.values())
