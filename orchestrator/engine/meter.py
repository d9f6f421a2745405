"""How the current step stands, for displays."""

from __future__ import annotations

import time
from collections import deque

from orchestrator.engine.awaited import Awaited
from orchestrator.engine.scheduler import Scheduler
from orchestrator.events import Progress
from orchestrator.outcome import State
from orchestrator.plan.steps import PlannedStep

RATE_OVER = 10.0  # seconds over which the shown rate is taken


class Meter:
    """Measures how fast the current step goes.

    Args:
        steps: how many there are in all.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._begun = time.monotonic()
        self._step: PlannedStep | None = None
        self._marks: deque[tuple[float, int]] = deque()

    def begin(self, step: PlannedStep, scheduler: Scheduler, awaited: Awaited) -> None:
        """A step begins to send."""
        self._step, self._scheduler, self._awaited = step, scheduler, awaited
        self._step_begun = time.monotonic()
        self._marks = deque([(time.monotonic(), scheduler.ended.total())])

    def end(self) -> None:
        """It sends no more."""
        self._step = None

    def read(self, now: float) -> Progress | None:
        """How the step stands; None between steps.

        Args:
            now: seconds, monotonic.
        """
        if self._step is None:
            return None
        scheduler = self._scheduler
        ended = scheduler.ended.total()
        self._marks.append((now, ended))
        while now - self._marks[0][0] > RATE_OVER and len(self._marks) > 2:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = (ended - before) / (now - then) if now > then else 0.0
        return Progress(
            number=min(self._step.index + 1, self._steps),
            steps=self._steps,
            name=self._step.name,
            total=ended + scheduler.left,
            done=scheduler.ended[State.DONE],
            failed=scheduler.failed,
            skipped=scheduler.ended[State.SKIPPED],
            in_flight=scheduler.in_flight,
            waiting=scheduler.waiting,
            rate=rate,
            left=scheduler.left / rate if rate > 0 and scheduler.left else None,
            elapsed=now - self._begun,
            of_step=now - self._step_begun,
            reason="; ".join(filter(None, [scheduler.reason(now), self._awaited.words(now)])),
        )
