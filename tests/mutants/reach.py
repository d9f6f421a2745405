"""Which tests reach which lines, and how long they take: measured once for a file of tests, as long as it and what it reaches stay the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.mutants.inner import OPTIONS, ROOT, Tell, apart

SECONDS = 900.0  # for one file


def digest(path: Path) -> str:
    """Of a file's content; of nothing for one that is gone."""
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()[:20]


class Reach:
    """What the files of tests reach.

    Attributes:
        seconds: test -> how long it takes.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._lines: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))

    def add(self, file: str, measured: Mapping[str, Any]) -> None:
        """Take what was measured of a file."""
        self.seconds |= measured["seconds"]
        for path, contexts in measured["reached"].items():
            for line, tests in contexts.items():
                self._lines[file][path].add(int(line))
                self._tests[path, int(line)].update(tests)

    def files(self, path: str, lines: Iterable[int], longest: float) -> list[tuple[str, dict[str, float]]]:
        """The tests that reach lines of a module, by file; first those files that are about this module most of all."""
        numbers = list(lines)
        tests = set().union(*(self._tests[path, line] for line in numbers))
        if "" in tests:  # it is executed when the module is loaded: whoever uses the module may notice
            tests = set().union(*(found for (place, _), found in self._tests.items() if place == path))
        by_file: dict[str, dict[str, float]] = defaultdict(dict)
        for test in tests - {""}:
            if self.seconds[test] <= longest:
                by_file[test.partition("::")[0]][test] = self.seconds[test]
        return sorted(by_file.items(), key=lambda entry: (-self._about(entry[0], path), sum(entry[1].values())))

    def _about(self, file: str, path: str) -> float:
        reached = self._lines[file]
        return len(reached[path]) ** 2 / max(1, sum(map(len, reached.values())))


def measure(tests: Sequence[str], store: Path) -> Reach:
    """Measure what is not known yet, or is no longer so."""
    reach = Reach()
    for file in tests:
        kept = store / f"{file.replace('/', '.')}.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        if not found or any(digest(ROOT / path) != then for path, then in found["of"].items()):
            print(f"measuring what {file} reaches", flush=True)
            found = _measured(file)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
        reach.add(file, found)
    return reach


def _measured(file: str) -> dict[str, Any]:
    before = {path: digest(path) for path in [ROOT / file, *(ROOT / "orchestrator").rglob("*.py")]}
    told, _ = apart(lambda tell: _measure(file, tell), seconds=SECONDS)
    if not told or not told[-1]["passed"]:
        raise SystemExit(f"{file} does not pass as it is: {told[-1:]}")
    return {"of": {path: before[ROOT / path] for path in [file, *told[-1]["reached"]]}, **told[-1]}


class _Timed:
    def __init__(self, measuring: coverage.Coverage) -> None:
        self._measuring = measuring
        self.seconds: dict[str, float] = {}

    def pytest_collection_finish(self) -> None:
        self._measuring.switch_context("")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._measuring.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed:
            self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def _measure(file: str, tell: Tell) -> None:
    measuring = coverage.Coverage(data_file=None, source_pkgs=["orchestrator"], messages=False, config_file=False)
    timed = _Timed(measuring)
    measuring.start()
    options = [option for option in OPTIONS if not option.startswith("--timeout")]
    code = pytest.main([*options, file], plugins=[timed])
    measuring.stop()
    data = measuring.get_data()
    reached = {
        os.path.relpath(path, ROOT): {line: sorted(set(tests)) for line, tests in data.contexts_by_lineno(path).items()}
        for path in data.measured_files()
    }
    tell({"passed": code == pytest.ExitCode.OK, "code": int(code), "seconds": timed.seconds, "reached": reached})
