"""The live display on a terminal: the step at hand with a bar, above it what is over."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.outcome import BAD_STATES, State
from orchestrator.units import format_duration
from orchestrator.views.lines import SHOWN_PER_STEP
from orchestrator.views.watch import Ended, Progress, View
from orchestrator.views.words import safe, states

_MARKS = {"done": ("✓", "green"), "skipped": ("-", "dim"), "failed": ("✗", "red"), "running": ("…", "yellow")}


class Live(View):
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
        self._live = RichLive(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()

    def step_started(self, key: str, name: str, command: str, hosts: str, total: int) -> None:
        """Begin the bar."""
        self._step = (key, name, f"{command} on {hosts}" if command else "")
        self._shown, self._progress = 0, None
        self._refresh()

    def attempt_ended(self, ended: Ended) -> None:
        """Print the first failures above the bar."""
        if ended.state not in BAD_STATES:
            return
        self._shown += 1
        if self._shown <= SHOWN_PER_STEP:
            text = f"    {ended.id} {ended.command} on {ended.host} {safe(ended.parameters, 100)}: {safe(ended.outcome.error)}"
            self._console.print(Text(text, style="red"))

    def step_ended(
        self, key: str, name: str, state: str, reason: str, counts: dict[State, int], seconds: float
    ) -> None:
        """Print the step's line."""
        mark, style = _MARKS.get(state, ("·", ""))
        line = Text.assemble((f"{mark} ", style), (f"{key:<10}", "dim"), name)
        about = states(counts)
        if about:
            line.append(f"  {about}, {format_duration(seconds)}", style="dim")
        if reason:
            line.append(f"  {safe(reason)}", style=style)
        self._console.print(line)
        self._step, self._progress = ("", "", ""), None
        self._refresh()

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        self._progress = progress
        self._refresh()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(Text(f"  {safe(text)}", style="yellow"))

    def close(self) -> None:
        """Take the bar away."""
        self._live.update(Text(""))
        self._live.stop()

    def _refresh(self) -> None:
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
            parts.append(f"{progress.waiting} to be tried again")
        if progress.left:
            parts.append(f"{format_duration(progress.left)} left")
        parts.append(f"step {progress.step} of {progress.steps}, {time.strftime('%H:%M:%S')}")
        return "  ".join(parts)
