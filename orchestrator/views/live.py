"""The live display on a terminal: the step at hand with a bar, above it what is over. No line is wider than the terminal."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.text import Text

from orchestrator.events import AttemptEnded, Event, Note, Progress, Question, StepEnded, StepStarted
from orchestrator.outcome import BAD_STATES
from orchestrator.text.units import format_duration
from orchestrator.views.lines import SHOWN_PER_STEP
from orchestrator.views.words import safe, states

# The terminal's own colours, which whoever chose its background can read; never black, white or a shade of grey.
_MARKS = {
    "done": ("✓", "green"),
    "partly": ("!", "yellow"),
    "skipped": ("-", ""),
    "failed": ("✗", "red"),
    "running": ("…", "yellow"),
}
_PLAIN = str.maketrans("✓✗…·▶━╌", "+x.->=-")  # where the locale has no such characters
BAR = 32  # columns of the bar at most
INDENT = 12  # columns before what belongs to a step


class Live:
    """Shows a run on a terminal.

    Args:
        console: on stderr.
    """

    interval = 0.2

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = not console.encoding.lower().startswith("utf")
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
                self._console.print(Text(f"  {self._written(event.text)}", style="yellow"))
            case Question():
                self.close()  # the bar comes back with the next step

    def close(self) -> None:
        """Take the bar away."""
        if self._live.is_started:
            self._live.update(Text(""))
            self._live.stop()

    def _written(self, text: str, limit: int = 400) -> str:
        """A text in the characters that this terminal has; how wide it is must be known before it is laid out."""
        shown = safe(text, limit)
        if not self._plain:
            return shown
        return shown.translate(_PLAIN).encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)

    def _line(self, *parts: str | tuple[str, str]) -> Text:
        """A line of the display, which never goes on in the next one."""
        line = Text.assemble(*parts, no_wrap=True, overflow="crop" if self._plain else "ellipsis")
        line.truncate(self._console.width)
        return line

    def _step_started(self, event: StepStarted) -> None:
        where = f" on {event.hosts}" if event.hosts else ""
        self._step = (
            self._written(event.step),
            self._written(event.name),
            self._written(f"{event.command}{where}" if event.command else ""),
        )
        self._shown, self._progress = 0, None
        self._refresh()

    def _attempt_ended(self, event: AttemptEnded) -> None:
        """Print the first failures above the bar."""
        if event.state not in BAD_STATES:
            return
        self._shown += 1
        if self._shown <= SHOWN_PER_STEP:
            what = f"{event.id} {event.command} on {event.host} {safe(event.parameters, 100)}"
            self._console.print(Text(f"    {self._written(f'{what}: {safe(event.outcome.error)}', 800)}", style="red"))

    def _step_ended(self, event: StepEnded) -> None:
        failed = any(event.counts.get(state) for state in BAD_STATES)
        mark, style = _MARKS.get("partly" if event.state == "done" and failed else event.state, ("·", ""))
        line = Text.assemble(
            (self._written(f"{mark} "), style), f"{self._written(event.step):<9} ", self._written(event.name)
        )
        about = states(event.counts)
        if about:
            line.append(f"  {about}, {format_duration(event.seconds)}")
        if event.reason:
            line.append(f"  {self._written(event.reason)}", style=style)
        self._console.print(line)
        self._step, self._progress = ("", "", ""), None
        self._refresh()

    def _refresh(self) -> None:
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._display(), refresh=True)

    def _display(self) -> Group:
        key, name, what = self._step
        if not key:
            return Group()
        lines = [self._line((self._written("▶ "), "cyan"), f"{key:<9} ", (name, "bold"), f"  {what}")]
        if progress := self._progress:
            lines.append(self._bar(progress))
            if progress.reason:
                lines.append(self._line(" " * INDENT, (self._written(progress.reason), "yellow")))
            where = f"{progress.number - 1} of {progress.steps} steps and checks done, {time.strftime('%H:%M:%S')}"
            lines.append(self._line(" " * INDENT, where))
        return Group(*lines)

    def _bar(self, progress: Progress) -> Text:
        """The bar and its numbers; what is done is told apart by its shape too, for terminals without colours."""
        ended = progress.done + progress.failed + progress.skipped
        numbers = _numbers(progress)
        width = max(8, min(BAR, self._console.width - INDENT - len(numbers) - 3))
        done = width * ended // progress.total if progress.total else 0
        bar = (self._written("━" * done), "green"), self._written("╌" * (width - done))
        return self._line(" " * INDENT, *bar, f"  {numbers}")


def _numbers(progress: Progress) -> str:
    parts = [f"{progress.done}/{progress.total}"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    parts.append(f"{progress.in_flight} in flight")
    if progress.waiting:
        parts.append(f"{progress.waiting} waiting to retry")
    if progress.rate >= 1:
        parts.append(f"{progress.rate:.0f}/s")
    if progress.left:
        parts.append(f"{format_duration(int(progress.left))} left")
    if progress.of_step >= 1:
        parts.append(format_duration(int(progress.of_step)))
    return "  ".join(parts)
