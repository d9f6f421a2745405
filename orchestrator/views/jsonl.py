"""A JSON object a line, for programs: every step, every attempt's end, and the report at last."""

from __future__ import annotations

import json
from typing import Any, TextIO

from orchestrator.events import AttemptEnded, Event, Note, Progress, Question, StepEnded, StepStarted
from orchestrator.views.words import json_text


class JsonLines:
    """Writes JSON lines.

    Args:
        out: where to.
    """

    interval = 5.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def tell(self, event: Event) -> None:
        """Write an event's line."""
        self._out.write(json_text(_object(event), self._out.encoding) + "\n")

    def close(self) -> None:
        """Nothing is left behind."""


def _object(event: Event) -> dict[str, Any]:
    match event:
        case AttemptEnded():
            return _attempt(event)
        case StepStarted():
            return {
                "event": "step_started",
                "step": event.step,
                "name": event.name,
                "command": event.command,
                "hosts": event.hosts,
                "operations": event.total,
            }
        case StepEnded():
            return {
                "event": "step_ended",
                "step": event.step,
                "name": event.name,
                "state": event.state,
                "reason": event.reason,
                "counts": {state.word: number for state, number in event.counts.items()},
                "seconds": round(event.seconds, 3),
            }
        case Progress():
            return {
                "event": "progress",
                "step": event.name,
                "done": event.done,
                "total": event.total,
                "failed": event.failed,
                "in_flight": event.in_flight,
                "rate": round(event.rate, 1),
                "left": event.left,
                "waiting_for": event.reason,
            }
        case Note():
            return {"event": "note", "text": event.text}
        case Question():
            return {"event": "question", "text": event.text}


def _attempt(event: AttemptEnded) -> dict[str, Any]:
    outcome = event.outcome
    return {
        "event": "attempt",
        "id": event.id,
        "step": event.step,
        "host": event.host,
        "command": event.command,
        "parameters": json.loads(event.parameters),
        "attempt": event.attempt,
        "outcome": outcome.kind.value,
        "exit_code": outcome.exit_code,
        "error": outcome.error,
        "changed": outcome.changed,
        "state": event.state.word,
        "pause": round(event.pause, 3),
        "seconds": round(event.seconds, 4),
    }
