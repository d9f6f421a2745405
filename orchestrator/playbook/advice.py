"""What a reviewer would ask of a valid playbook: what takes each change back, and what shows that it happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from orchestrator.dovecot import catalog
from orchestrator.errors import Problem
from orchestrator.outcome import Effect
from orchestrator.playbook.action import effect_of, irreversible_of
from orchestrator.playbook.model import Step
from orchestrator.playbook.source import Source
from orchestrator.text.expression import is_template

Path = tuple[str | int, ...]


def advice(source: Source) -> Iterator[Problem]:
    """Warnings about a playbook, each with its place.

    Args:
        source: valid.
    """
    playbook = source.playbook
    changes = chain(_changes(("steps",), playbook.steps), _changes(("finally",), playbook.finally_))
    for path, step, later in changes:
        named = f"the step {step.name!r} ({step.command})"
        taken_back = step.undo or step.irreversible or irreversible_of(step) or path[0] == "finally"
        if not taken_back:
            message = f"{named} has neither undo nor irreversible: {_how_to_undo(step)}"
            yield source.document.problem((*path, "command"), message)
        checked = step.verify or step.verified or step.until is not None or _checked_by(later)
        if not checked and (shows := _what_shows(step)):
            message = f"{named} has no verify, and no polled step checks it before the next change: {shows}"
            yield source.document.problem((*path, "command"), message)


def _changes(path: Path, steps: Sequence[Step]) -> Iterator[tuple[Path, Step, Sequence[Step]]]:
    """The steps of a list that change something, each with those that follow it there; of batches those within."""
    for number, step in enumerate(steps):
        if step.batches:
            yield from _changes((*path, number, "batches", "steps"), step.batches.steps)
        elif _changes_something(step):
            yield (*path, number), step, steps[number + 1 :]


def _changes_something(step: Step) -> bool:
    return step.command is not None and effect_of(step, step.parameters) is not Effect.READ


def _checked_by(later: Sequence[Step]) -> bool:
    """Whether a question that follows, before the next change, is polled until something holds."""
    for step in later:
        if step.batches or _changes_something(step):
            return False
        if is_template(step.until):
            return True
    return False


def _how_to_undo(step: Step) -> str:
    entry = catalog.find(step.command or "")
    if entry and entry.inverse:
        note = f" ({entry.inverse.note})" if entry.inverse.note else ""
        return f"{entry.inverse.command}{note} would undo it; if nothing is to, say in `irreversible` what remains"
    return "say in `irreversible` what remains when a later step fails"


def _what_shows(step: Step) -> str:
    """What would check a step; empty where the catalogue knows no command that shows its effect."""
    entry = catalog.find(step.command or "")
    if entry is None:
        return "say in `verified` how its effect is checked"
    return f"{entry.verify} shows its effect; if it is checked otherwise, `verified` says how" if entry.verify else ""
