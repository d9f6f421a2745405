"""Plain lines for terminals that cannot move the cursor, for files and for the journal of a job."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator.outcome import BAD_STATES, State
from orchestrator.units import format_duration
from orchestrator.views.watch import Ended, Progress, View
from orchestrator.views.words import count, safe, states

SHOWN_PER_STEP = 5  # failures of a step that are shown as they happen; all are in the report


class Lines(View):
    """Writes a line for each step, for the first failures, and every few seconds of a long step.

    Args:
        write: takes one line.
        verbose: 0; 1 shows retries; 2 shows every attempt.
        interval: seconds between two lines of a long step.
    """

    def __init__(self, write: Callable[[str], None], *, verbose: int = 0, interval: float = 5.0) -> None:
        self.interval = interval
        self._write = write
        self._verbose = verbose
        self._shown = 0

    def _line(self, text: str) -> None:
        self._write(f"{time.strftime('%H:%M:%S')}  {text}")

    def step_started(self, key: str, name: str, command: str, hosts: str, total: int) -> None:
        """Announce the step."""
        self._shown = 0
        what = f"  {command} on {hosts}, {count(total, 'request')}" if command else ""
        self._line(f"step {key:<9} {name}{what}")

    def attempt_ended(self, ended: Ended) -> None:
        """Show failures, and with -v or -vv retries and everything."""
        bad = ended.state in BAD_STATES
        retried = ended.state is State.PENDING
        if bad:
            self._shown += 1
        show = self._verbose >= 2 or (self._verbose == 1 and retried) or (bad and self._shown <= SHOWN_PER_STEP)
        if not show:
            return
        what = ended.state.word.replace("_", " ") if not retried else f"again in {format_duration(ended.pause)}"
        reason = f": {safe(ended.outcome.error)}" if ended.outcome.error else ""
        text = f"  {ended.id} {ended.command} on {ended.host} {safe(ended.parameters, 120)}: {what}{reason}"
        self._line(text)
        if bad and self._shown == SHOWN_PER_STEP:
            self._line("  further failures of this step are in the report")

    def step_ended(
        self, key: str, name: str, state: str, reason: str, counts: dict[State, int], seconds: float
    ) -> None:
        """Say how it ended."""
        about = states(counts)
        took = f" in {format_duration(seconds)}" if seconds else ""
        why = f": {safe(reason)}" if reason else ""
        self._line(
            f"     {key:<9} {'stopped' if state == 'running' else state}{why}{f'  ({about}{took})' if about else ''}"
        )

    def progress(self, progress: Progress) -> None:
        """A line about a long step."""
        left = f", {format_duration(progress.left)} left" if progress.left else ""
        failed = f", {progress.failed} failed" if progress.failed else ""
        waiting = f", {progress.waiting} to be tried again" if progress.waiting else ""
        why = f"; {progress.reason}" if progress.reason else ""
        self._line(
            f"  {progress.done}/{progress.total} done{failed}, {progress.in_flight} in flight{waiting},"
            f" {progress.rate:.0f}/s{left}{why}"
        )

    def note(self, text: str) -> None:
        """A line for the operator."""
        self._line(safe(text))
