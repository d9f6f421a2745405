"""A playbook's page: what it is for, what it is given, and its steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.playbook.model import Parameter, Playbook, Step


def playbook_page(name: str, playbook: Playbook) -> Iterator[str]:
    """The page, line by line."""
    yield f"{name}: {playbook.name}"
    yield from (f"  {line}".rstrip() for line in playbook.description.strip().splitlines())
    if playbook.parameters:
        yield "  parameters:"
    yield from (f"    {_parameter(given, spec)}" for given, spec in playbook.parameters.items())
    yield "  steps:"
    yield from _steps(playbook.steps, "", "    ")
    if playbook.finally_:
        yield "  finally:"
    yield from _steps(playbook.finally_, "", "    ")


def to_give(playbook: Playbook) -> str:
    """The options without which it cannot be planned, as they are typed."""
    return " ".join(f"-e {name}={_KINDS.get(spec.type, name.upper())}" for name, spec in _required(playbook))


_KINDS = {"host": "HOST", "hosts": "HOSTS", "file": "FILE", "integer": "N", "number": "N"}


def _required(playbook: Playbook) -> Iterator[tuple[str, Parameter]]:
    yield from ((name, spec) for name, spec in playbook.parameters.items() if spec.required)


def _parameter(name: str, spec: Parameter) -> str:
    of = f" of {spec.group}" if spec.group else ""
    default = "" if spec.default in {None, ""} else f", default {_written(spec.default)}"
    return f"{name} ({spec.type}{of}{', required' if spec.required else default})  {spec.help}".rstrip()


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _steps(steps: list[Step], prefix: str, indent: str) -> Iterator[str]:
    for number, step in enumerate(steps, 1):
        yield f"{indent}{prefix}{number}  {step.name}{_what(step)}"
        if step.batches:
            yield from _steps(step.batches.steps, f"{prefix}{number}.", indent + "  ")


def _what(step: Step) -> str:
    """In brackets: the command, and what else there is to it."""
    parts = [step.command] if step.command else []
    parts += [f"verified by {step.verify.command}"] if step.verify else []
    parts += [f"undone by {step.undo.command}"] if step.undo else []
    parts += ["asks first"] if step.pause and step.pause.confirm else []
    return f"  ({', '.join(parts)})" if parts else ""
