"""A JSON object a line, for programs: every step, every attempt's end, and the report at last."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from orchestrator.outcome import State
from orchestrator.views.watch import Ended, Progress, View


class JsonLines(View):
    """Writes JSON lines.

    Args:
        write: takes one line.
    """

    interval = 5.0

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def _emit(self, event: str, **fields: Any) -> None:
        self._write(json.dumps({"event": event, **fields}, ensure_ascii=False))

    def step_started(self, key: str, name: str, command: str, hosts: str, total: int) -> None:
        """A step begins."""
        self._emit("step_started", step=key, name=name, command=command, hosts=hosts, operations=total)

    def attempt_ended(self, ended: Ended) -> None:
        """An attempt ended."""
        self._emit(
            "attempt",
            id=ended.id,
            step=ended.step,
            host=ended.host,
            command=ended.command,
            parameters=json.loads(ended.parameters),
            attempt=ended.attempt,
            outcome=ended.outcome.kind.value,
            exit_code=ended.outcome.exit_code,
            error=ended.outcome.error,
            changed=ended.outcome.changed,
            state=ended.state.word,
            pause=round(ended.pause, 3),
            seconds=round(ended.seconds, 4),
        )

    def step_ended(
        self, key: str, name: str, state: str, reason: str, counts: dict[State, int], seconds: float
    ) -> None:
        """A step ended."""
        by_word = {which.word: number for which, number in counts.items()}
        self._emit(
            "step_ended", step=key, name=name, state=state, reason=reason, counts=by_word, seconds=round(seconds, 3)
        )

    def progress(self, progress: Progress) -> None:
        """How the step stands."""
        self._emit(
            "progress",
            step=progress.name,
            done=progress.done,
            total=progress.total,
            failed=progress.failed,
            in_flight=progress.in_flight,
            rate=round(progress.rate, 1),
            left=progress.left,
            waiting_for=progress.reason,
        )

    def note(self, text: str) -> None:
        """A note for the operator."""
        self._emit("note", text=text)
