"""Makes mistakes: `python -m tests.mutants [--most 40] [orchestrator/engine/scheduler.py ...]`. Leaves the working tree as it is.

Each mistake is tried in a process of its own, which loads the one module with the mistake in it. Verdicts are kept in `.mutants`. A mistake is tried again
when its function was changed, when the test that noticed it is gone, and, if none did, when a file of tests that reach it was changed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mutants.inner import ROOT, apart, load_libraries, try_out
from tests.mutants.operators import Mutant, mutants
from tests.mutants.reach import Reach, digest, measure
from tests.mutants.verdicts import Equivalents, Kept, Table, Verdict

HERE = Path(__file__).parent
STORE = ROOT / ".mutants"
PATIENCE = (20.0, 6.0)  # seconds for a trial, and how many times as long as its tests take

Files = Sequence[tuple[str, dict[str, float]]]


def _files(patterns: Sequence[str]) -> list[str]:
    found = [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return list(dict.fromkeys(found))


def _trial(path: str, text: str, files: Files) -> tuple[str, str]:
    seconds = PATIENCE[0] + PATIENCE[1] * sum(sum(tests.values()) for _, tests in files)
    told, in_time = apart(try_out(path, text, files), seconds=seconds)
    if told:
        return told[0]["verdict"], told[0]["by"]
    return ("killed", "the process died") if in_time else ("timeout", "")


class Work:
    """One run of the tool."""

    def __init__(self, scope: dict[str, Any], reach: Reach, *, most: int | None, again: bool) -> None:
        self._scope = scope
        self._reach = reach
        self._most = most
        self._again = again
        self._kept = Kept(STORE / "verdicts.jsonl")
        self._digests = {file: digest(ROOT / file) for file in _files(scope["tests"])}
        self.equivalents = Equivalents(HERE / "equivalent.toml")
        self.table = Table()

    def module(self, path: str) -> list[Mutant]:
        """Make a module's mistakes; returns those that nobody noticed."""
        text = (ROOT / path).read_text()
        made = mutants(path, text)
        unnoticed = []
        checked = False
        for number, mutant in enumerate(made):
            if mutant in self.equivalents:
                self.table.add(path, "equivalent")
                continue
            if self._most is not None and number >= self._most:
                self.table.add(path, "left out")
                continue
            files = self._files(path, _lines(mutant))
            verdict = self._known(mutant, files)
            if verdict is None and not files:
                verdict = Verdict("unreached", "", self._tests(files))
            if verdict is None:
                if not checked:
                    self._check(path, text)
                    checked = True
                verdict = self._new(mutant, files)
            self.table.add(path, verdict.verdict)
            if not verdict.noticed:
                unnoticed.append(mutant)
        return unnoticed

    def _files(self, path: str, lines: range) -> Files:
        return self._reach.files(path, lines, self._scope["longest_test"])[: self._scope["most_files"]]

    def _check(self, path: str, text: str) -> None:
        """Without a mistake nothing may fail, or no verdict means anything."""
        lines = range(1, text.count("\n") + 2)
        found = _trial(path, text, self._files(path, lines))
        if found[0] != "survived":
            raise SystemExit(f"{path}: without a mistake {found[1]} was {found[0]}")

    def _tests(self, files: Files) -> str:
        return " ".join(sorted(self._digests[file] for file, _ in files))

    def _known(self, mutant: Mutant, files: Files) -> Verdict | None:
        """What became of it before: noticed, if the test that noticed is still there; unnoticed, if all the tests are the same."""
        found = None if self._again else self._kept[mutant]
        if found is None:
            return None
        if found.noticed:
            return found if "::" not in found.by or found.by in self._reach.seconds else None
        return found if found.tests == self._tests(files) else None

    def _new(self, mutant: Mutant, files: Files) -> Verdict:
        begun = time.monotonic()
        word, by = _trial(mutant.path, mutant.text, files)
        verdict = Verdict(word, by, self._tests(files))
        self._kept.add(mutant, verdict)
        print(f"{word:9} {mutant.path}:{mutant.line} {mutant.kind} {time.monotonic() - begun:.1f} s {by}", flush=True)
        return verdict


def _lines(mutant: Mutant) -> range:
    return range(mutant.line, mutant.line + mutant.before.count("\n") + 1)


def main() -> int:
    """The command line."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # the same examples and orders in each trial
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.mutants", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"}
        )
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Does a test notice each small mistake?"
    )
    parser.add_argument("modules", nargs="*", help="of these alone")
    parser.add_argument(
        "--most", type=int, metavar="N", help="a sample: at most so many of a module, always the same ones"
    )
    parser.add_argument("--again", action="store_true", help="whatever became of them before")
    given = parser.parse_args()
    os.chdir(ROOT)
    os.nice(10)
    scope = tomllib.loads((HERE / "scope.toml").read_text())
    load_libraries()
    reach = measure(_files(scope["tests"]), STORE / "reach")
    work = Work(scope, reach, most=given.most, again=given.again)
    modules = given.modules or _files(scope["modules"])
    unnoticed = [mutant for path in modules for mutant in work.module(path)]
    print("\nnot noticed:\n", *unnoticed, sep="\n")
    for entry in work.equivalents.unused(modules):
        print(f"equivalent.toml names a mistake that is not made any more: {entry}")
    print(f"\n{work.table}")
    return 0 if work.table.share >= scope["least"] else 1


if __name__ == "__main__":
    sys.exit(main())
