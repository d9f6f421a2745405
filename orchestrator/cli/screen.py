"""What shows a run while it goes on, and asks its questions; what becomes of the display is nothing to the run."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO, cast

from orchestrator.cli.output import is_terminal, message
from orchestrator.cli.question import ask_meanwhile
from orchestrator.events import Audience, Observer, Question
from orchestrator.views.outlet import Outlet


class Screen:
    """JSON lines on stdout, or a display on stderr, or nothing.

    Args:
        form: "text" or "json".
        verbose: 0, 1 or 2.
        quiet: show nothing.
        yes: every question is answered with yes.

    Attributes:
        audience: who is to be told what happens.
    """

    def __init__(self, form: str, verbose: int, *, quiet: bool, yes: bool) -> None:
        self._form, self._verbose, self._yes = form, verbose, yes
        self._outlet = Outlet(cast("Any", sys.stdout if form == "json" else sys.stderr))
        self.audience = Audience([] if quiet and form == "text" else [self._observer()])

    def _observer(self) -> Observer:
        out = cast("TextIO", self._outlet)
        if self._form == "json":
            from orchestrator.views.jsonl import JsonLines

            return JsonLines(out)
        if self._outlet.isatty() and not self._verbose and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            from orchestrator.views.live import Live

            return Live(Console(file=out, highlight=False, force_terminal=True, force_interactive=True))
        from orchestrator.views.lines import Lines

        return Lines(out, verbose=self._verbose)

    async def approve(self, question: str) -> bool:
        """Ask the operator; --yes is a yes to all, and where nobody can be asked the run stops, to be resumed."""
        if self._yes:
            return True
        if not is_terminal() or self._form == "json":
            self.audience.note(f"waiting for confirmation: {question}  (resume at a terminal, or with --yes)")
            return False
        self.audience.tell(Question(question))
        self._outlet.drain()
        return await ask_meanwhile(question, self._show)

    def _show(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody will answer, which is a no
            self._outlet.write(text)

    def finish(self) -> None:
        """The run is over; says so when a part of it could not be shown."""
        self.audience.close()
        self._outlet.finish()
        lost = self.audience.lost[0] if self.audience.lost else self._outlet.failure
        if lost is not None:
            message(f"warning: some output was lost ({lost}); everything done is recorded")
        elif self._outlet.left_out:
            message("warning: some output was lost, since nobody read it; everything done is recorded")
