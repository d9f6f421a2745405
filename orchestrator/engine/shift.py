"""A session's hours: waits until they begin, gives each piece of work its room, and ends the run when they are over."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from orchestrator.engine.course import Stop
from orchestrator.engine.hours import Closing, Hours, Piece, need, no_room
from orchestrator.engine.past import kind_of
from orchestrator.events import Audience
from orchestrator.journal.base import Reader
from orchestrator.plan.steps import Plan
from orchestrator.status import Ending, Status
from orchestrator.windows import span

TICK = 0.5  # seconds between two looks at the clocks, which may be set at any time
TOLD = (3600, 1800, 600, 300, 60, 10)  # seconds before the opening at which somebody who waits is told again


class Shift:
    """The hours of one session of a run; without hours everything may begin at any time.

    Args:
        hours: they.
        plan: the run's.
        reader: of the run.
        audience: who is told.
        over: called when the hours end in the midst of something that is cut there; says whether nothing else was ending the run.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        hours: Hours | None,
        plan: Plan,
        reader: Reader,
        audience: Audience,
        over: Callable[[Ending], bool],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._hours, self._plan, self._reader, self._audience = hours, plan, reader, audience
        self._over, self._wall = over, wall
        self._closing: Closing | None = None
        self._took: dict[str, float] = {}
        self._piece: Piece | None = None
        self._begun = 0.0
        self._fresh = False
        self._ending: Ending | None = None
        self._cut = False

    @property
    def undoes(self) -> bool:
        """Whether what was done is to be undone because the hours ended."""
        return bool(self._cut and self._piece and self._piece.overrun == "undo")

    async def begin(self, ended_by: anyio.Event) -> None:
        """Wait until the hours begin.

        Args:
            ended_by: ends the wait.
        """
        if self._hours is None:
            return
        opening = self._hours.opening
        told = float("inf")
        while (left := opening.start - self._wall()) > 0 and not ended_by.is_set():
            if left <= told:
                what = f"the window {opening.window} opens" if opening.window else "the freeze ends"
                when = opening.clock(opening.start, self._wall())
                self._audience.note(f"waiting until {what}: {when}, in {span(left)}")
                told = next((mark for mark in TOLD if mark < left), 0.0)
            with anyio.move_on_after(min(left, TICK)):
                await ended_by.wait()
        self._closing = Closing(opening, self._wall(), anyio.current_time())

    async def watch(self) -> None:
        """End the run when the hours are over; what must not be cut is let end first."""
        while self._hours is not None and self._ending is None:
            await anyio.sleep(TICK)
            if self._left() <= 0:
                self._close(self._hours)

    def end(self) -> None:
        """What comes now is done whatever the time is: what is taken back, and what comes last."""
        self._closing = None

    def _close(self, hours: Hours) -> None:
        self._ending = Ending(Status.STOPPED, hours.over)
        if self._piece is None or self._piece.stops_at_once:
            self._cut = self._over(self._ending)
        else:
            self._audience.note(f"{hours.over}; finishing {self._piece.words}, which must not be interrupted")

    def _left(self) -> float:
        return self._closing.left(self._wall(), anyio.current_time()) if self._closing else float("inf")

    def enter(self, piece: Piece) -> None:
        """A piece of work is about to begin, or goes on.

        Raises:
            Stop: there is no time for it.
        """
        states = [self._reader.step(step.index)[0] for step in piece.steps]
        self._fresh = all(state == "pending" for state in states)
        if self._hours and self._fresh and piece.needs_room:
            self._require_room(piece, self._hours)
        self._piece, self._begun = piece, anyio.current_time()

    def before(self) -> None:
        """A step of the piece is about to begin, perhaps after a wait for something else.

        Raises:
            Stop: it is the first one, and there is no time for the piece any more.
        """
        if self._hours is None or self._piece is None or not self._untouched(self._piece):
            return
        if self._ending:
            raise Stop(self._ending.status, self._ending.reason)
        if self._fresh and self._piece.needs_room:
            self._require_room(self._piece, self._hours)
        self._begun = anyio.current_time()

    def _untouched(self, piece: Piece) -> bool:
        return all(self._reader.step(step.index)[0] in {"pending", "skipped"} for step in piece.steps)

    def _require_room(self, piece: Piece, hours: Hours) -> None:
        needed = need(piece, self._plan, hours, self._took)
        if reason := no_room(piece, needed, hours, self._left()):
            raise Stop(Status.STOPPED, reason)

    def leave(self) -> None:
        """The piece is done.

        Raises:
            Stop: the hours ended meanwhile.
        """
        if self._piece and self._fresh:
            kind = kind_of(self._piece.key)
            self._took[kind] = max(self._took.get(kind, 0.0), anyio.current_time() - self._begun)
        self._piece = None
        if self._ending:
            raise Stop(self._ending.status, self._ending.reason)
