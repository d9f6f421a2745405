"""What follows from how a step ended: whether the run goes on, takes back, or stops, and how it stands at last. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.plan.steps import CommandStep, PlannedStep
from orchestrator.status import OVER, Ending, Status


class Stop(Exception):  # noqa: N818 - how a step ends those after it, inside the engine
    """The run goes no further.

    Attributes:
        ending: how it stands.
        step: whose `on_failure` decides what follows; None when nothing failed.
        undo: whether what was done is to be undone, whatever a step says.
    """

    def __init__(self, status: Status, reason: str, step: PlannedStep | None = None, *, undo: bool = False) -> None:
        super().__init__(reason)
        self.ending = Ending(status, reason)
        self.step = step
        self.undo = undo

    @property
    def takes_back(self) -> bool:
        """Whether what was done is to be undone."""
        if self.undo:
            return True
        return self.step is not None and self.step.on_failure == "undo" and self.step.role in {"step", "verify"}


@dataclass(frozen=True)
class Sent:
    """How the sending of a step ended.

    Attributes:
        left: operations that have no final state.
        failed: operations that failed, were unreachable, or are in doubt; of all sessions.
        allowed: how many may.
        doubtful: operations that are in doubt now.
        stopped: why nothing more was sent, or empty.
        halted: how the run was ended from outside while it was sent, or None.
    """

    left: int
    failed: int
    allowed: int
    doubtful: int
    stopped: str
    halted: Ending | None

    @property
    def over(self) -> bool:
        """Whether more failed than may."""
        return self.failed > self.allowed

    @property
    def state(self) -> str:
        """The step's state; what an interruption leaves in doubt is no failure of the step."""
        if self.over and not self.halted:
            return "failed"
        return "running" if self.left or self.over or self.doubtful else "done"

    @property
    def reason(self) -> str:
        """Why the step is not done."""
        return self.stopped if self.over or self.left else ""


def after(step: CommandStep, sent: Sent) -> Stop | None:
    """Why the run goes no further after a step, or None when it goes on."""
    about = f"step {step.key} ({step.name})"
    if sent.doubtful:
        return Stop(Status.IN_DOUBT, f"{about}: {sent.doubtful} in doubt")
    if sent.over and not sent.halted:
        return Stop(Status.STOPPED, f"{about}: {sent.reason}", step)
    if sent.left or sent.over:
        ending = sent.halted or Ending(Status.STOPPED, sent.reason)
        return Stop(ending.status, ending.reason)
    return None


def failed_before(step: CommandStep, doubtful: int) -> Stop:
    """A step of which more failed in an earlier session than may: nobody has said that it is to be retried."""
    about = f"step {step.key} ({step.name})"
    if doubtful:
        return Stop(Status.IN_DOUBT, f"{about}: {doubtful} in doubt")
    return Stop(Status.STOPPED, f"{about} failed earlier", step)


def to_undo(steps: Sequence[PlannedStep], begun: Collection[str]) -> tuple[list[PlannedStep], list[PlannedStep]]:
    """The undo steps whose steps were begun, and those that are not needed."""
    wanted = [step for step in steps if step.owner in begun]
    return wanted, [step for step in steps if step.owner not in begun]


def after_undo(failed: Ending, stops: Sequence[Ending], *, bad: bool) -> Ending:
    """How a run stands when what was done was taken back, as far as it could be.

    Args:
        failed: why it was taken back.
        stops: why undo steps could not be done, in order; the others were done all the same.
        bad: whether any undo operation failed.
    """
    for stop in stops:
        if stop.status in {Status.INTERRUPTED, Status.IN_DOUBT}:
            return Ending(stop.status, f"{failed.reason}; and the undo stopped: {stop.reason}")
    if stops:
        return Ending(Status.STOPPED, f"{failed.reason}; and not all could be undone: {stops[0].reason}")
    words = f"{failed.reason}; and some of the undo failed" if bad else failed.reason
    return Ending(Status.REFUSED if failed.status is Status.REFUSED else Status.UNDONE, words)


def after_finally(main: Ending, stops: Sequence[Ending], *, bad: bool) -> Ending:
    """How a run stands at last.

    Args:
        main: after its steps.
        stops: why steps of `finally` stopped, in order.
        bad: whether any operation of `finally` failed.
    """
    for status in (Status.INTERRUPTED, Status.IN_DOUBT):
        stop = next((stop for stop in stops if stop.status is status), None)
        if stop is not None and (main.status in OVER or status is Status.IN_DOUBT):
            return stop
    if main.status is not Status.DONE:
        return main
    if stops:
        return stops[0]
    return Ending(Status.FAILED, "an operation of `finally` failed") if bad else main
