"""What became of mistakes: kept between runs, compared with the list of those that make no difference, counted."""

from __future__ import annotations

import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.operators import Mutant

NOTICED = ("killed", "timeout")


@dataclass(frozen=True)
class Verdict:
    """What became of one mistake.

    Attributes:
        verdict: killed, timeout, survived, or unreached when no test gets there.
        by: the test that noticed.
        tests: digests of the files of tests that were run.
    """

    verdict: str
    by: str
    tests: str

    @property
    def noticed(self) -> bool:
        """Whether a test failed, or never ended."""
        return self.verdict in NOTICED


class Kept:
    """Verdicts in a file, one a line; a run that was stopped goes on with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Verdict] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else ():
            key, verdict, by, tests = json.loads(line)
            self._found[key] = Verdict(verdict, by, tests)

    def __getitem__(self, mutant: Mutant) -> Verdict | None:
        return self._found.get(mutant.key)

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Keep one."""
        self._found[mutant.key] = verdict
        with self._path.open("a") as file:
            file.write(json.dumps([mutant.key, verdict.verdict, verdict.by, verdict.tests]) + "\n")


@dataclass
class Equivalents:
    """The mistakes that make no difference, each with its reason; see `equivalent.toml`."""

    path: Path
    _reasons: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _used: set[tuple[str, str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for entry in tomllib.loads(self.path.read_text())["equivalent"]:
            for after in entry["after"] if isinstance(entry["after"], list) else [entry["after"]]:
                self._reasons[entry["path"], _plain(entry["before"]), _plain(after)] = entry["reason"]

    def __contains__(self, mutant: Mutant) -> bool:
        place = (mutant.path, _plain(mutant.before), _plain(mutant.after))
        if place in self._reasons:
            self._used.add(place)
            return True
        return False

    def unused(self, paths: Iterable[str]) -> Iterator[str]:
        """Entries for which there is no such mistake any more."""
        for path, before, after in sorted(set(self._reasons) - self._used):
            if path in set(paths):
                yield f"{path}: {before} -> {after}"


def _plain(text: str) -> str:
    return " ".join(text.split())


class Table:
    """How many were noticed, for each module."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, path: str, word: str) -> None:
        """Count one."""
        self._counts[path][word] += 1

    @property
    def share(self) -> float:
        """The per cent that were noticed, of those that make a difference."""
        return _share(sum(self._counts.values(), Counter()))

    def __str__(self) -> str:
        words = ("killed", "timeout", "survived", "unreached", "equivalent", "left out")
        lines = [f"{'module':44}" + "".join(f"{word:>11}" for word in words) + "   noticed"]
        for path, counts in [*self._counts.items(), ("all", sum(self._counts.values(), Counter()))]:
            name = path.removeprefix("orchestrator/")
            lines.append(f"{name:44}" + "".join(f"{counts[word]:11}" for word in words) + f"{_share(counts):9.1f}%")
        return "\n".join(lines)


def _share(counts: Counter[str]) -> float:
    noticed = sum(counts[word] for word in NOTICED)
    tried = noticed + counts["survived"] + counts["unreached"]
    return 100.0 * noticed / tried if tried else 100.0
