"""What mistakes are made of a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.inner import apart
from tests.mutants.operators import mutants
from tests.mutants.verdicts import Equivalents


def afters(line: str, path: str = "orchestrator/a.py") -> set[str]:
    """What becomes of a line of a function."""
    return {
        mutant.after.strip()
        for mutant in mutants(path, f"def f(a, b):\n    if a:\n        b()\n    {line}\n")
        if mutant.line == 4
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return a < b", {"return a <= b"}),
        ("return a is not b", {"return a is b"}),
        ("return a and b.c", {"return (b.c)", "return (a)"}),
        ("return not a", {"return (a)"}),
        ("return a if b else 5", {"return a if True else 5", "return a if False else 5", "return a if b else 6"}),
        ("return [c for c in a if c]", {"return [c for c in a if True]"}),
        ("return a in {1.5, b}", {"return a not in {1.5, b}", "return a in {b}", "return a in {1.5}", "return a in {3.0, b}"}),
        ("a.b(c=True)", {"a.b()", "a.b(c=False)", "pass"}),
        ("return min(a, key=b)", {"return max(a, key=b)", "return min(a)"}),
        ("return a.strip()", {"return (a)"}),
        ("raise ValueError(a + b, 5)", {"pass"}),
        ("return f'{a + b} of {5}'", set()),
        ("return 'all of them'", set()),
        ("return {'a': 1, 'b': a}", {"return {'b': a}", "return {'a': 1}", "return {'a': 2, 'b': a}"}),
        ("return Problem(a, hint=b)", set()),
        ("a.close()", set()),
    ],
)  # fmt: skip
def test_mistakes_are_those_of_a_tired_person(line: str, expected: set[str]) -> None:
    """Each sort of mistake is made once where it can be, and none in what is written for people."""
    assert afters(line) == expected


def test_sql_is_changed_in_run_files_alone() -> None:
    """Conditions, orders and numbers of a statement are changed, and no assignment."""
    line = 'a.run("UPDATE t SET b = ? WHERE c < 2 AND d IS NULL ORDER BY e")'
    assert afters(line) == {"pass"}
    assert afters(line, "orchestrator/journal/sqlite/a.py") == {
        "pass",
        line.replace(" < ", " <= "),
        line.replace("2", "3"),
        line.replace("AND", "OR"),
        line.replace("IS NULL", "IS NOT NULL"),
        line.replace("ORDER BY e", "ORDER BY e DESC"),
    }


def test_a_mistake_is_known_again_wherever_it_moves() -> None:
    """What stands elsewhere in the module changes neither its key nor the order; what stands in its function does."""
    text = "def f(a):\n    return a < 1\n"
    [first, second] = mutants("a.py", text)
    assert [mutant.key for mutant in mutants("a.py", f"import os\n\n\n{text}")] == [first.key, second.key]
    assert {first.key, second.key}.isdisjoint(mutant.key for mutant in mutants("a.py", text.replace("1", "2")))


def test_equivalents_are_told_by_their_lines(tmp_path: Path) -> None:
    """A mistake is one of the list's by module and lines; an entry that is none any more is named."""
    path = tmp_path / "equivalent.toml"
    entry = '[[equivalent]]\npath = "a.py"\nbefore = "return a < 1"\nafter = "{}"\nreason = "r"\n'
    path.write_text(entry.format("return a <= 1") + entry.format("return a == 1"))
    equivalents = Equivalents(path)
    assert sorted(mutant in equivalents for mutant in mutants("a.py", "def f(a):\n    return a < 1\n")) == [False, True]
    assert list(equivalents.unused(["a.py"])) == ["a.py: return a < 1 -> return a == 1"]


FORKING = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns where there are threads


@FORKING
@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda tell: tell({"a": 1}), ([{"a": 1}], True)),
        (lambda _tell: 1 / 0, ([], True)),
        (lambda _tell: bytearray(1 << 40), ([], True)),
    ],
    ids=["told", "raised", "too large"],
)
def test_a_trial_ends_whatever_happens_in_it(work: Callable[..., Any], told: tuple[list[Any], bool]) -> None:
    """A process of its own takes errors, and memory without end, with it."""
    assert apart(work, seconds=60) == told


@FORKING
def test_a_trial_that_does_not_end_is_ended() -> None:
    """After its time it is killed, and what it told is kept."""

    def work(tell: Callable[[dict[str, Any]], None]) -> None:
        tell({"a": 1})
        while True:
            pass

    assert apart(work, seconds=0.5) == ([{"a": 1}], False)
