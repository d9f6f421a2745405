"""Lines that fit a terminal."""

from __future__ import annotations

import pytest

from orchestrator.cli.output import folded


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("short", ["short"]),
        ("   a step that is told in many words", ["   a step that is", "     told in many", "     words"]),
        ("a-word-that-is-longer-than-the-terminal x", ["a-word-that-is-longer-than-the-terminal", "  x"]),
        ("   = doveadm director update 127.0.0.1 0", None),
        ("   doveadm director update 127.0.0.1 0", None),
        ('   b1: [["kick",{"mask":["a very long name"]},"1"]]', None),
        ("next: orchestrator resume 20261128-052239-once", None),
        ("to undo: orchestrator run restore-backend -e backend=b1", None),
        ("run 20261128-052239-once; `orchestrator report 20261128-052239-once` shows all of it", None),
    ],
)
def test_prose_is_folded_between_words_and_commands_are_not(line: str, lines: list[str] | None) -> None:
    """Words stay whole and go on further in; what is copied from the screen stays one line."""
    assert folded(line, 20).split("\n") == (lines or [line])
    assert folded(line, 10_000) == line
