"""Plain lines for terminals that cannot move the cursor, for files and for the journal of a job."""

from __future__ import annotations

import time
from typing import TextIO

from orchestrator.events import AttemptEnded, Event, Note, Progress, Question, StepEnded, StepStarted
from orchestrator.outcome import BAD_STATES, State
from orchestrator.text.units import format_duration
from orchestrator.views.words import count, harmless, safe, states

SHOWN_PER_STEP = 5  # failures of a step that are shown as they happen; all are in the report


class Lines:
    """Writes a line for each step, for the first failures, and every few seconds of a long step.

    Args:
        out: where to.
        verbose: 0; 1 shows retries; 2 shows every attempt.
        interval: seconds between two lines of a long step.
    """

    def __init__(self, out: TextIO, *, verbose: int = 0, interval: float = 5.0) -> None:
        self.interval = interval
        self._out = out
        self._verbose = verbose
        self._shown = 0

    def tell(self, event: Event) -> None:
        """Write the lines of an event."""
        match event:
            case AttemptEnded():
                self._attempt_ended(event)
            case StepStarted():
                self._step_started(event)
            case StepEnded():
                self._step_ended(event)
            case Progress():
                self._progress(event)
            case Note():
                self._line(safe(event.text))
            case Question():
                pass  # it stands where the lines do

    def close(self) -> None:
        """Nothing is left behind."""

    def _line(self, text: str) -> None:
        self._out.write(f"{time.strftime('%H:%M:%S')}  {harmless(text)}\n")

    def _step_started(self, event: StepStarted) -> None:
        self._shown = 0
        where = f" on {event.hosts}, {count(event.total, 'request')}" if event.hosts else ""
        what = f"  {event.command}{where}" if event.command else ""
        self._line(f"step {event.step:<9} {safe(event.name)}{what}")

    def _attempt_ended(self, event: AttemptEnded) -> None:
        bad = event.state in BAD_STATES
        retried = event.state is State.PENDING
        if bad:
            self._shown += 1
        show = self._verbose >= 2 or (self._verbose == 1 and retried) or (bad and self._shown <= SHOWN_PER_STEP)
        if not show:
            return
        what = event.state.word.replace("_", " ") if not retried else f"retry in {format_duration(event.pause)}"
        reason = f": {safe(event.outcome.error)}" if event.outcome.error else ""
        self._line(f"  {event.id} {event.command} on {event.host} {safe(event.parameters, 120)}: {what}{reason}")
        if bad and self._shown == SHOWN_PER_STEP:
            self._line("  further failures of this step are in the report")

    def _step_ended(self, event: StepEnded) -> None:
        about = states(event.counts)
        took = f" in {format_duration(event.seconds)}" if event.seconds else ""
        why = f": {safe(event.reason)}" if event.reason else ""
        state = "stopped" if event.state == "running" else event.state
        self._line(f"     {event.step:<9} {state}{why}{f'  ({about}{took})' if about else ''}")

    def _progress(self, event: Progress) -> None:
        left = f", {format_duration(event.left)} left" if event.left else ""
        failed = f", {event.failed} failed" if event.failed else ""
        waiting = f", {event.waiting} waiting to retry" if event.waiting else ""
        rate = f", {event.rate:.0f}/s" if event.rate >= 1 else ""
        why = f"; {safe(event.reason)}" if event.reason else ""
        self._line(f"  {event.done}/{event.total} done{failed}, {event.in_flight} in flight{waiting}{rate}{left}{why}")
