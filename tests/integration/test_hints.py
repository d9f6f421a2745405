"""Whoever types a word that is not there is told what to type instead, and it works as it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.command_line import CommandLine


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("plna x", "did you mean `orchestrator plan`?"),
        ("status", "did you mean `orchestrator show`?"),
        ("xyzzy", "`orchestrator --help` lists the verbs"),
        ("kick.yaml -e a=b", "a verb comes first: orchestrator plan kick.yaml"),
        ("stop", "a run is stopped with Ctrl-C where it runs"),
        ("undo", "`orchestrator playbooks NAME` shows it"),
        ("run drain-backend --dry-run", "`orchestrator plan` shows all that would be done, and sends nothing"),
        ("run drain-backend --forks 5", "did you mean --in-flight?"),
        ("run drain-backend -c fleet.yaml -e backend=b1", "orchestrator -c fleet.yaml run drain-backend -e backend=b1"),
        ("run x --state-dir=/srv/s", "orchestrator --state-dir=/srv/s run x"),
        ("plan drain-backend -e parallel=5 backend=b1", "given with -e: -e backend=b1"),
        ("playbooks drain", "did you mean 'drain-backend'?"),
        ("show 2.41", "`orchestrator show last 2.41` shows the operation 2.41"),
        ("show '1[2].3.verify.1'", "`orchestrator show last '1[2].3.verify.1'` shows"),
        ("exec b1 who --verbos", "did you mean one of: '--verbose'"),
    ],
)
def test_a_mistyped_word_has_a_hint(tmp_path: Path, typed: str, hint: str) -> None:
    """Verbs, options, values and playbooks that are not there: exit code 2, one message, and what was meant."""
    result = CommandLine(tmp_path, tmp_path / "config.yaml")(*shlex.split(typed))
    assert result.code == 2
    assert hint.lower() in result.err.lower()
    assert "Traceback" not in result.err
