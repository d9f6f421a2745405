"""The live display on a terminal: the step at hand with a bar, above it what is over."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.events import AttemptEnded, Event, Note, Progress, Question, StepEnded, StepStarted
from orchestrator.outcome import BAD_STATES
from orchestrator.text.units import format_duration
from orchestrator.views.lines import SHOWN_PER_STEP
from orchestrator.views.words import safe, states

_MARKS = {"done": ("✓", "green"), "skipped": ("-", "dim"), "failed": ("✗", "red"), "running": ("…", "yellow")}


class Live:
    """Shows a run on a terminal.

    Args:
        console: on stderr.
    """

    interval = 0.2

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ("", "", "")
        self._shown = 0
        self._progress: Progress | None = None
        self._live = RichLive(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def tell(self, event: Event) -> None:
        """Show an event."""
        match event:
            case AttemptEnded():
                self._attempt_ended(event)
            case StepStarted():
                self._step_started(event)
            case StepEnded():
                self._step_ended(event)
            case Progress():
                self._progress = event
                self._refresh()
            case Note():
                self._console.print(Text(f"  {safe(event.text)}", style="yellow"))
            case Question():
                self.close()  # the bar comes back with the next step

    def close(self) -> None:
        """Take the bar away."""
        if self._live.is_started:
            self._live.update(Text(""))
            self._live.stop()

    def _step_started(self, event: StepStarted) -> None:
        where = f" on {event.hosts}" if event.hosts else ""
        self._step = (event.step, event.name, f"{event.command}{where}" if event.command else "")
        self._shown, self._progress = 0, None
        self._refresh()

    def _attempt_ended(self, event: AttemptEnded) -> None:
        """Print the first failures above the bar."""
        if event.state not in BAD_STATES:
            return
        self._shown += 1
        if self._shown <= SHOWN_PER_STEP:
            what = f"{event.id} {event.command} on {event.host} {safe(event.parameters, 100)}"
            self._console.print(Text(f"    {what}: {safe(event.outcome.error)}", style="red"))

    def _step_ended(self, event: StepEnded) -> None:
        mark, style = _MARKS.get(event.state, ("·", ""))
        line = Text.assemble((f"{mark} ", style), (f"{event.step:<10}", "dim"), event.name)
        about = states(event.counts)
        if about:
            line.append(f"  {about}, {format_duration(event.seconds)}", style="dim")
        if event.reason:
            line.append(f"  {safe(event.reason)}", style=style)
        self._console.print(line)
        self._step, self._progress = ("", "", ""), None
        self._refresh()

    def _refresh(self) -> None:
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._display(), refresh=True)

    def _display(self) -> Table | Text:
        key, name, what = self._step
        if not key:
            return Text("")
        table = Table.grid(padding=(0, 1))
        progress = self._progress
        head = Text.assemble(("▶ ", "cyan"), (f"{key:<10}", "dim"), (name, "bold"), (f"  {what}", "dim"))
        table.add_row(head)
        if progress is None:
            return table
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            total=max(1, progress.total), completed=progress.total and progress.done + progress.failed, width=32
        )
        row.add_row("           ", bar, Text(self._numbers(progress)))
        table.add_row(row)
        if progress.reason:
            table.add_row(Text(f"            {safe(progress.reason)}", style="yellow"))
        return table

    def _numbers(self, progress: Progress) -> str:
        parts = [f"{progress.done}/{progress.total}"]
        if progress.failed:
            parts.append(f"{progress.failed} failed")
        parts += [f"{progress.in_flight} in flight", f"{progress.rate:.0f}/s"]
        if progress.waiting:
            parts.append(f"{progress.waiting} waiting to retry")
        if progress.left:
            parts.append(f"{format_duration(progress.left)} left")
        parts.append(f"step {progress.number} of {progress.steps}, {time.strftime('%H:%M:%S')}")
        return "  ".join(parts)
