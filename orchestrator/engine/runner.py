"""Runs a plan: step after step, then what is to be undone, then `finally`. What follows from what, `course` and `rules` say.

A run that was interrupted is run by the very same code: what is done is done, what is pending is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

import anyio

from orchestrator.dovecot.ask import Asker, Wire
from orchestrator.engine.course import Sent, Stop, after, after_finally, after_undo, failed_before, to_undo
from orchestrator.engine.gate import Gate
from orchestrator.engine.hours import Hours, Piece, pieces
from orchestrator.engine.keeping import Keeper
from orchestrator.engine.known import Known
from orchestrator.engine.looking import Fetch, Looker, no_pages
from orchestrator.engine.meter import Meter
from orchestrator.engine.pace import Pace
from orchestrator.engine.preflight import Preflight
from orchestrator.engine.probing import ask
from orchestrator.engine.rules import Settings, rate, rules
from orchestrator.engine.scheduler import Polling, Scheduler
from orchestrator.engine.sending import Edge, Sending, now_ms
from orchestrator.engine.shift import Shift
from orchestrator.engine.waiting import Waiting
from orchestrator.errors import ExpressionError, InputError
from orchestrator.events import Audience, StepEnded, StepStarted
from orchestrator.fleet.inventory import fold
from orchestrator.journal.base import Reader, Session
from orchestrator.outcome import Effect, State
from orchestrator.plan.expand import expand
from orchestrator.plan.steps import CommandStep, PauseStep, Plan, PlannedStep, RequireStep
from orchestrator.status import OVER, Ending, Status
from orchestrator.text.expression import truth
from orchestrator.text.units import format_duration

Approve = Callable[[str], Awaitable[bool]]


async def nobody(_question: str) -> bool:
    """Answers every question with no."""
    return False


@dataclass(frozen=True)
class World:
    """What a run needs besides its plan and its journal.

    Attributes:
        wire: sends.
        audience: who watches.
        settings: of configuration and command line.
        approve: asks the operator.
        hours: in which it may work; None for any.
        wall: the wall clock, seconds since the epoch.
        fetch: reads pages of other services, for conditions.
        ask: whether the operator is asked before each step that changes something.
    """

    wire: Wire
    audience: Audience
    settings: Settings
    approve: Approve = nobody
    hours: Hours | None = None
    wall: Callable[[], float] = time.time
    fetch: Fetch = no_pages
    ask: bool = False


class Runner:
    """One session of a run.

    Args:
        plan: the run's.
        reader: of the run.
        session: of the run, open.
        world: the rest.
    """

    def __init__(self, plan: Plan, reader: Reader, session: Session, world: World) -> None:
        self._plan = plan
        self._reader = reader
        self._session = session
        self._world = world
        self._audience = world.audience
        self._pace = Pace(rate(None, plan.terms, world.settings))
        self._asker = Asker(world.wire, self._pace)
        self._preflight = Preflight(self._asker, plan.inventory.hosts)
        self._halted: Ending | None = None
        self._interruption = anyio.Event()
        self._impatience = anyio.Event()
        self._sending: Sending | None = None
        self._held = ""  # why nothing is sent at the moment
        self._good_until = inf  # when nothing is sent any more unless somebody looks again
        self._shift = Shift(world.hours, plan, reader, world.audience, self.halt, world.wall)
        self._known = Known(plan, reader)
        looker, waiting = Looker(plan, self._asker, world.fetch), Waiting(self._interruption, self._stop)
        keeper = Keeper(plan, reader, session, looker, self._known.scope, waiting)
        self._gate = Gate(plan, reader, session, world.audience, looker, self, waiting, keeper)
        self._changed_ms: int | None = None  # when the last step began that is no look at an earlier one
        self._meter = Meter(len(plan.of("step", "verify")))

    # asked from outside

    def interrupt(self, why: str) -> None:
        """Send nothing more, let answers come, run `finally`, end."""
        self.halt(Ending(Status.INTERRUPTED, why))

    def cancel(self) -> None:
        """Wait for no answer any more, and leave `finally` to whoever resumes the run."""
        self.interrupt("stopped")
        self._impatience.set()
        if self._sending:
            self._sending.cancel()

    def halt(self, ending: Ending) -> bool:
        """End before all is done; the first reason is the one that is told. Whether it is this one."""
        self._halted = self._halted or ending
        self._interruption.set()
        if self._sending:
            self._sending.stop(self._halted.reason)
        return self._halted is ending

    def hold(self, reason: str) -> None:
        """Send nothing until `release`; answers come in."""
        self._held = reason
        if self._sending:
            self._sending.hold(reason)

    def release(self, until: float = inf) -> None:
        """Go on with what was held, until a moment of the event loop's clock."""
        self._held, self._good_until = "", until
        if self._sending:
            self._sending.release(until)

    def _stop(self) -> Stop:
        """What ends a step because the run is ending."""
        halted = self._halted or Ending(Status.INTERRUPTED)
        return Stop(halted.status, halted.reason)

    # the run

    async def run(self) -> Ending:
        """Work through the plan until it is done, stopped or interrupted.

        Raises:
            JournalError: the run could not be written; what was recorded until then is true.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._tick)
            group.start_soon(self._shift.watch)
            group.start_soon(self._gate.watch)
            if doubtful := self._session.doubtful:
                self._audience.note(f"{doubtful} operations were being sent when the run was interrupted")
            ending = await self._main()
            if ending.status is not Status.NOT_STARTED:  # else there is nothing to do after it either
                ending = await self._finally(ending)
            self._end_of_steps()
            if ending.status in OVER:
                await self._session.skip_rest("the run ended before it")
            await self._session.end(ending)
            group.cancel_scope.cancel()
        return ending

    async def _main(self) -> Ending:
        if failed := self._reader.undoing():  # an earlier session was cut short while it undid
            return await self._undo(failed)
        try:
            await self._shift.begin(self._interruption)
            await self._gate.begin()
            for piece in pieces(self._plan.of("step", "verify")):
                await self._do(piece)
        except Stop as stop:
            in_doubt = stop.ending.status is Status.IN_DOUBT  # what may still happen cannot be taken back
            if in_doubt or not (stop.takes_back or self._undoes):
                return stop.ending
            await self._session.undoing(stop.ending)
            return await self._undo(stop.ending)
        return Ending(Status.FAILED if self._reader.any_bad("step", "verify") else Status.DONE)

    @property
    def _undoes(self) -> bool:
        """Whether what was done is undone because of what ended the run from outside."""
        return self._shift.undoes or self._gate.undoes

    async def _do(self, piece: Piece) -> None:
        if not self._interruption.is_set():
            await self._gate.enter(piece)
        self._shift.enter(piece)
        for step in piece.steps:
            await self._step(step)
        self._shift.leave()

    def _end_of_steps(self) -> None:
        """What comes now is done whatever the time is, and whatever conditions say."""
        self._shift.end()
        self._gate.end()

    async def _undo(self, failed: Ending) -> Ending:
        """Take back, last first, what was begun. One that cannot be undone does not keep the others from it."""
        self._end_of_steps()
        self._audience.note(f"{failed.reason}; undoing what was done")
        wanted, not_needed = to_undo(self._plan.of("undo"), self._reader.begun())
        for step in not_needed:
            await self._session.mark(step.index, "skipped", "its step was not started")
        stops = []
        for step in wanted:
            try:
                await self._step(step)
            except Stop as stop:
                stops.append(stop.ending)
                if stop.ending.status is Status.INTERRUPTED:
                    break
        return after_undo(failed, stops, bad=self._reader.any_bad("undo"))

    async def _finally(self, ending: Ending) -> Ending:
        self._end_of_steps()
        stops = []
        for step in self._plan.of("finally"):
            if self._impatience.is_set():
                stops.append(Ending(Status.INTERRUPTED, self._stop().ending.reason))
                break
            try:
                await self._step(step)
            except Stop as stop:
                stops.append(stop.ending)
        return after_finally(ending, stops, bad=self._reader.any_bad("finally"))

    # one step

    def _end_of_waiting(self, step: PlannedStep) -> anyio.Event:
        """What ends every wait of a step: the first signal; of a step that is run after it, the second."""
        after_it = step.role == "finally" or (step.role == "undo" and self._undoes)
        return self._impatience if after_it else self._interruption

    async def _step(self, step: PlannedStep) -> None:
        if self._end_of_waiting(step).is_set():
            raise self._stop()
        state, first, total = self._reader.step(step.index)
        again = step.role == "finally" and state == "done" and step.effect is not Effect.UNREPEATABLE
        if state in {"done", "skipped"} and not again:
            return
        try:
            if not self._wanted(step):
                await self._end(step, "skipped", "its condition is false")
                return
            if step.role in {"step", "verify"}:
                await self._gate.before(step)
                self._shift.before()
            if isinstance(step, CommandStep):
                if again and first is not None:
                    await self._session.reopen(step.index)
                if first is None:
                    total = await self._expand(step)
                await self._command(step, total or 0)
            else:
                await self._without_command(step)
            await self._gate.after(step)
        except (ExpressionError, InputError) as error:
            await self._end(step, "failed", error.message)
            raise Stop(Status.REFUSED, f"step {step.key} ({step.name}): {error.message}", step) from None

    def _wanted(self, step: PlannedStep) -> bool:
        """Whether the step's `when` holds; a verify goes with its step."""
        if step.owner and step.role != "undo":
            return self._reader.step(self._known.number(step.owner))[0] != "skipped"
        if step.when is None or step.per_item_condition:
            return True
        return truth(self._known.value(step, step.when))

    async def _expand(self, step: CommandStep) -> int:
        scope = self._known.scope(step, frozenset(step.depends_on))
        return await self._session.expand(step.index, expand(step, self._plan, scope))

    async def _command(self, step: CommandStep, total: int) -> None:
        self._pace.rate = rate(step, self._plan.terms, self._world.settings)
        waiting = Waiting(self._end_of_waiting(step), self._stop)
        await waiting.do(lambda: self._look_ahead(step))
        await waiting.do(lambda: self._probe_doubtful(step))
        if self._world.ask and step.role == "step" and step.effect is not Effect.READ:
            await self._ask_first(step, total, waiting)
        scheduler = self._scheduler(step, total)
        if scheduler.failed > scheduler.rules.allowed_failures:
            raise failed_before(step, len(self._reader.doubtful(step.index)))
        await self._send(step, scheduler)

    async def _ask_first(self, step: CommandStep, total: int, waiting: Waiting) -> None:
        """Ask the operator before a step that changes something.

        Raises:
            Stop: the answer is no.
        """
        where = fold(self._reader.open_counts(step.index))
        requests = "1 request" if total == 1 else f"{total} requests"
        question = f"step {step.key} ({step.name}): {step.command} on {where}, {requests}. Go on?"
        await self._confirm(step, question, waiting)

    async def _confirm(self, step: PlannedStep, question: str, waiting: Waiting) -> None:
        if not await waiting.do(lambda: self._world.approve(question)):
            raise Stop(Status.STOPPED, f"step {step.key} ({step.name}) was not confirmed")

    async def _look_ahead(self, step: CommandStep) -> None:
        """Refuse a step whose command some of its hosts do not have, before any of them is sent it."""
        hosts = list(self._reader.open_counts(step.index))
        if problems := await self._preflight.problems(step.command, iter(step.parameters), hosts):
            raise ExpressionError("; ".join(problems))

    async def _probe_doubtful(self, step: CommandStep) -> None:
        """Ask the step's probe about what an earlier session left in doubt.

        A command goes on when its client is gone (seen on 2.3.19.1), so what has no effect yet may have one soon: nothing
        is asked before no host can still be executing it.
        """
        doubtful = self._reader.doubtful(step.index)
        if step.probe is None or not doubtful:
            return
        since = time.time_ns() // 1_000_000 - self._reader.last_doubt_ms(step.index)
        left = min(step.probe.after, step.probe.after - since / 1000)  # a clock that was set back makes it no longer
        if left > 0:
            self._audience.note(f"waiting {format_duration(left)}: the host may still be executing what is in doubt")
            await anyio.sleep(left)
        scope = self._known.scope(step, step.read_later)
        for seq, host, parameters in doubtful:
            verdict = await ask(step.probe, self._plan.inventory.hosts[host], parameters, scope, self._asker)
            if verdict is not None:
                await self._session.decide([seq], verdict, "by the step's probe")

    async def _send(self, step: CommandStep, scheduler: Scheduler) -> None:
        edge = Edge(
            reader=self._reader,
            session=self._session,
            wire=self._world.wire,
            asker=self._asker,
            preflight=self._preflight,
            hosts=self._plan.inventory.hosts,
            audience=self._audience,
            clock=asyncio.get_running_loop().time,
        )
        sending = Sending(
            edge,
            step,
            scheduler,
            first=self._reader.step(step.index)[1] or 0,
            scope=self._known.scope(step, step.read_later),
            timeout=self._known.seconds(step, step.timeout),
            since=self._changed_ms if step.role == "verify" else None,
        )
        if step.role != "verify":
            self._changed_ms = now_ms()
        await self._session.mark(step.index, "running", ended=False)
        where, total = fold(self._reader.open_counts(step.index)), sum(scheduler.counts.values())
        self._audience.tell(StepStarted(step.key, step.name, step.command, where, total))
        begun = time.monotonic()
        if self._end_of_waiting(step).is_set():
            scheduler.stop(self._stop().ending.reason)
        self._meter.begin(step, scheduler, sending.awaited)
        self._sending = sending
        if step.role in {"step", "verify"}:
            sending.release(self._good_until)
            if self._held:
                sending.hold(self._held)
        await sending.run()
        self._sending = None
        self._meter.end()
        if self._session.failure:
            raise self._session.failure
        await self._conclude(step, scheduler, time.monotonic() - begun)

    async def _conclude(self, step: CommandStep, scheduler: Scheduler, seconds: float) -> None:
        sent = Sent(
            left=scheduler.left,
            failed=scheduler.failed,
            allowed=scheduler.rules.allowed_failures,
            doubtful=len(self._reader.doubtful(step.index)),
            stopped=scheduler.stopped,
            halted=self._halted if self._halted and scheduler.stopped == self._halted.reason else None,
        )
        await self._end(step, sent.state, sent.reason, scheduler.counts, seconds, ended=not sent.left)
        if stop := after(step, sent):
            raise stop

    async def _without_command(self, step: RequireStep | PauseStep) -> None:
        self._audience.tell(StepStarted(step.key, step.name, "", "", 0))
        if isinstance(step, PauseStep):
            await self._pause(step)
        else:
            self._known.require(step)
            await self._session.mark(step.index, "running", ended=False)
        await self._end(step, "done")

    async def _pause(self, step: PauseStep) -> None:
        """Wait, or ask; a pause that was interrupted starts again when the run is resumed."""
        await self._session.mark(step.index, "running", ended=False)
        waiting, pause = Waiting(self._end_of_waiting(step), self._stop), step.pause
        if pause.for_ is not None:
            self._audience.note(f"waiting {format_duration(pause.for_)}")
            await waiting.sleep(pause.for_)
        else:
            await self._confirm(step, str(self._known.value(step, pause.confirm)), waiting)
        await self._session.event("confirmed" if pause.confirm else "waited", step.key)

    async def _end(
        self,
        step: PlannedStep,
        state: str,
        reason: str = "",
        counts: dict[State, int] | None = None,
        seconds: float = 0.0,
        *,
        ended: bool = True,
    ) -> None:
        await self._session.mark(step.index, state, reason, ended=ended)
        self._known.forget(step.key)
        self._audience.tell(StepEnded(step.key, step.name, state, reason, counts or {}, seconds))

    # values

    def _scheduler(self, step: CommandStep, total: int) -> Scheduler:
        pending = self._reader.open_counts(step.index)
        untouched = sum(pending.values()) == total  # then there is no need to count what has ended
        ended = {} if untouched else self._reader.ended(step.index)
        hosts, polling = self._plan.inventory.hosts, self._polling(step)
        found = rules(step, self._plan.terms, self._world.settings, hosts, total, polling)
        return Scheduler(found, pending, ended=ended, pace=self._pace)

    def _polling(self, step: CommandStep) -> Polling | None:
        if step.until is None:
            return None
        within = self._known.seconds(step, step.within)
        return Polling(
            every=1.0 if step.every is None else step.every,
            within=60.0 if within is None else within,
            stall=self._known.seconds(step, step.stall),
        )

    # who watches

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(self._audience.interval)
            if progress := self._meter.read(time.monotonic()):
                self._audience.tell(progress)
