"""`validate` warns of changes that nothing takes back or that nothing checks, and of no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.playbook.advice import advice
from tests.strategies import playbook, steps

UPDATE = "hosts: d1, command: directorUpdate, parameters: {host: 10.0.0.1, vhostCount: '0'}"
UNDO = "undo: {command: directorUpdate, parameters: {host: 10.0.0.1, vhostCount: '100'}}"
VERIFY = "verify: {command: directorStatus, until: '{{ rows }}'}"
KICK = "hosts: b1, command: kick, parameters: {mask: [jane]}"
LOOK = "hosts: b1, command: who, until: '{{ not rows }}'"
PLUGIN = "hosts: b1, command: strange, effect: repeatable"
NO_UNDO, NO_CHECK = "has neither undo nor irreversible", "has no verify"


def warnings(text: str) -> list[str]:
    """What is said of a playbook."""
    return [problem.message for problem in advice(playbook(text))]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([UPDATE], [NO_UNDO, NO_CHECK]),
        ([f"{UPDATE}, {UNDO}"], [NO_CHECK]),
        ([f"{UPDATE}, {VERIFY}"], [NO_UNDO]),
        ([f"{UPDATE}, {UNDO}, {VERIFY}"], []),
        ([f"{UPDATE}, irreversible: It stays, verified: the ring tells"], []),
        ([f"{UPDATE}, {UNDO}, until: '{{{{ rows }}}}'"], []),
        ([KICK], [NO_CHECK]),  # that a kick cannot be undone the catalogue says
        ([KICK, LOOK], []),
        ([KICK, "pause: 1s", LOOK], []),
        ([KICK, "hosts: b1, command: who, until: true"], [NO_CHECK]),  # any answer will do
        ([KICK, "hosts: b1, command: who"], [NO_CHECK]),  # nothing is made of it
        ([KICK, f"{KICK}, verified: yes indeed", LOOK], [NO_CHECK]),  # that look is at the second one
        (["hosts: b1, command: stop"], []),  # no command shows it, and nothing starts it: the catalogue says both
        ([PLUGIN], [NO_UNDO, NO_CHECK]),
        ([LOOK, "hosts: b1, command: who", "pause: 1s"], []),
    ],
)
def test_what_is_missing(lines: list[str], said: list[str]) -> None:
    """An undo or a sentence; a check of its own, a sentence, or a polled question before the next change."""
    found = warnings(steps(*lines))
    assert len(found) == len(said), found
    assert all(part in text for part, text in zip(said, found, strict=True))


def test_a_warning_names_what_would_do() -> None:
    """The command that takes it back, and the one that shows it, where the catalogue knows them."""
    undo, check = warnings(steps(UPDATE))
    assert "directorUpdate (with the old vhostCount, so read directorStatus before) would undo it" in undo
    assert "directorStatus shows its effect" in check


def test_batches_and_final_steps() -> None:
    """Steps of batches are looked at each beside its own; what comes last need not be taken back, but checked."""
    text = f"""
name: P
steps:
  - name: Batches
    batches:
      hosts: backends
      steps:
        - {{name: Inner, {KICK.removeprefix("hosts: b1, ")}}}
  - {{name: Look, {LOOK}}}
finally:
  - {{name: Last, {UPDATE}}}
"""
    found = list(advice(playbook(text)))
    assert [(problem.place.line, NO_CHECK in problem.message) for problem in found] == [(8, True), (11, True)]
    assert "'Inner'" in found[0].message


def test_validate_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning has its place, goes to stderr, and changes neither the exit code nor what is valid."""
    path = tmp_path / "p.yaml"
    path.write_text(steps(UPDATE))
    assert run(["validate", str(path)]) == 0
    out, err = capsys.readouterr()
    assert ": valid (P)" in out
    assert err.count("WARNING: ") == 2
    assert f"{path}:3:" in err
    assert run(["validate", str(path), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["problems"], len(found["warnings"])) == (True, [], 2)
    path.write_text("name: P\nsteps: []\n")
    assert run(["validate", str(path), "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["warnings"] == []
