"""Runs a plan from its run file: step after step, then what is to be undone, then `finally`.

A run that was interrupted is run by the very same code: what is done is done, what is pending is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import anyio

from orchestrator.answers import Answer
from orchestrator.dovecot.ask import Asker
from orchestrator.dovecot.client import Client
from orchestrator.errors import ExpressionError, InputError
from orchestrator.events import Audience, Progress, StepEnded, StepStarted
from orchestrator.expression import compile_value, names_in, truth
from orchestrator.inventory import fold
from orchestrator.journal.run_file import RunFile
from orchestrator.journal.session import Session, now_ms
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import Repeatability, State
from orchestrator.pace import Pace
from orchestrator.plan import Plan, PlannedStep, Scope
from orchestrator.playbook import Action, OnFailure, Pause
from orchestrator.preflight import Preflight
from orchestrator.probing import ask
from orchestrator.retry import policy
from orchestrator.scheduler import DEFAULT, Polling, Rules, Scheduler
from orchestrator.sending import Edge, Sending
from orchestrator.tuning import CEILING
from orchestrator.units import Share, format_duration, parse_duration

RATE_OVER = 10.0  # seconds over which the shown rate is taken


class End(Enum):
    """How a session of a run ended."""

    DONE = "done"
    FAILED = "finished with failures"
    UNDONE = "failed, and undone"
    STOPPED = "stopped with work left"
    IN_DOUBT = "stopped with operations in doubt"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


OVER = (End.DONE, End.FAILED, End.UNDONE, End.REFUSED)  # nothing is left to resume


@dataclass(frozen=True)
class Ending:
    """The end and, when it was not a good one, the reason."""

    end: End
    reason: str = ""


class _Stop(Exception):  # noqa: N818 - how a step ends the steps after it, inside this file
    """The run goes no further."""

    def __init__(self, end: End, reason: str, step: PlannedStep | None = None) -> None:
        super().__init__(reason)
        self.ending = Ending(end, reason)
        self.step = step  # whose `on_failure` decides what follows


class Runner:
    """One session of a run. The caller holds the run's lock.

    Args:
        plan: the run's plan, made again from what the run file keeps.
        file: the run file.
        client: open.
        audience: who watches.
        limits, retry: of the command line and the configuration.
        max_failed: the operator's word, which goes before that of playbook and step.
        approve: asks the operator; without one every question is answered with no.
        session: opens the writing side of the run file.
    """

    def __init__(
        self,
        plan: Plan,
        file: RunFile,
        client: Client,
        audience: Audience,
        limits: Limits,
        retry: Retry,
        *,
        max_failed: Share | None = None,
        approve: Callable[[str], Awaitable[bool]] | None = None,
        session: Callable[[Path], Session] = Session,
    ) -> None:
        self._plan = plan
        self._file = file
        self._client = client
        self._pace = Pace()
        self._asker = Asker(client, self._pace)
        self._preflight = Preflight(self._asker, plan.inventory.hosts)
        self._audience = audience
        self._limits = limits
        self._retry = retry
        self._max_failed = max_failed
        self._approve = approve or _nobody
        self._open_session = session
        self._numbers = {step.key: step.index for step in plan.steps}
        self._answers: dict[str, Answer] = {}
        self._interrupted = ""
        self._interruption = anyio.Event()
        self._sending: Sending | None = None
        self._meter = _Meter(len(plan.of("step", "verify")))

    # asked from outside

    def interrupt(self, why: str) -> None:
        """Send nothing more, let answers come, run `finally`, end."""
        self._interrupted = self._interrupted or why
        self._interruption.set()
        if self._sending:
            self._sending.stop(why)

    def cancel(self) -> None:
        """Wait for no answer any more."""
        if self._sending:
            self._sending.cancel()

    # the run

    async def run(self) -> Ending:
        """Work through the plan until it is done, stopped or interrupted.

        Raises:
            JournalError: the run file could not be written; what was recorded until then is true.
        """
        async with self._open_session(self._file.path) as self._session, anyio.create_task_group() as group:
            group.start_soon(self._tick)
            if doubtful := await self._session.recover():
                self._audience.note(f"{doubtful} operations were being sent when the last session ended")
            await self._session.event("started", "")
            ending = await self._finally(await self._main())
            await self._session.event("ended", ": ".join(filter(None, (ending.end.value, ending.reason))))
            group.cancel_scope.cancel()
        return ending

    async def _main(self) -> Ending:
        if failed := self._file.undoing():  # an earlier session was cut short while it undid
            end, _, reason = failed.partition(": ")
            return await self._undo(Ending(End(end), reason))
        try:
            for step in self._plan.of("step", "verify"):
                await self._step(step)
        except _Stop as stop:
            if stop.step is not None and self._on_failure(stop.step) == "undo":
                await self._session.event("undoing", f"{stop.ending.end.value}: {stop.ending.reason}")
                return await self._undo(stop.ending)
            return stop.ending
        return Ending(End.FAILED if self._file.any_bad() else End.DONE)

    async def _undo(self, ending: Ending) -> Ending:
        """Take back, last first, what was begun."""
        self._audience.note(f"{ending.reason}; undoing what was done")
        begun = self._file.begun()
        for step in self._plan.of("undo"):
            if step.key.removesuffix(".undo") not in begun:
                await self._session.mark(step.index, "skipped", "its step was not begun")
                continue
            try:
                await self._step(step)
            except _Stop as stop:
                return Ending(stop.ending.end, f"{ending.reason}; and the undo stopped: {stop.ending.reason}")
        return Ending(End.REFUSED if ending.end is End.REFUSED else End.UNDONE, ending.reason)

    async def _finally(self, ending: Ending) -> Ending:
        for step in self._plan.of("finally"):
            try:
                await self._step(step, final=True)
            except _Stop as stop:
                if ending.end is End.DONE:
                    ending = stop.ending
        if ending.end in OVER:
            await self._session.skip_rest("the run ended before it")
        return ending

    # one step

    async def _step(self, step: PlannedStep, *, final: bool = False) -> None:
        if self._interrupted and not final:
            raise _Stop(End.INTERRUPTED, self._interrupted)
        state, first, total = self._file.step(step.index)
        again = final and state == "done" and step.effect is not Repeatability.UNREPEATABLE
        if state in {"done", "skipped"} and not again:
            return
        try:
            if not self._wanted(step):
                await self._end(step, "skipped", "its condition does not hold")
                return
            if step.action is None:
                await self._without_command(step)
                return
            if first is None:
                total = await self._session.expand(
                    step, self._plan, self._scope(step, frozenset(step.needs)), self._file
                )
                first = self._file.step(step.index)[1]
            elif again:
                await self._session.reopen(step.index)
            self._pace.rate = self._rate(step)
            await self._look_ahead(step)
            await self._probe_doubtful(step)
            scheduler = self._scheduler(step, total or 0)
            timeout = self._seconds(step, step.action.timeout)
            read_later = [getattr(step.action, "until", None), *self._probe_parts(step)]
            scope = self._scope(step, names_in(read_later))
        except (ExpressionError, InputError) as error:
            await self._end(step, "failed", error.message)
            raise _Stop(End.REFUSED, f"step {step.key} ({step.name}): {error.message}", step) from None
        if scheduler.failed > scheduler.rules.allowed_failures:
            self._stop_for_doubt(step)
            raise _Stop(End.STOPPED, f"step {step.key} ({step.name}) failed in an earlier session", step)
        await self._send(step, scheduler, first=first or 0, scope=scope, timeout=timeout, final=final)

    async def _look_ahead(self, step: PlannedStep) -> None:
        """Refuse a step whose command some of its hosts do not have, before any of them is sent it."""
        assert step.action is not None  # noqa: S101
        hosts = list(self._file.open_counts(step.index))
        problems = await self._preflight.problems(step.command, iter(step.action.parameters), hosts)
        if problems:
            raise ExpressionError("; ".join(problems))

    def _probe_parts(self, step: PlannedStep) -> list[Any]:
        probe = step.step.probe
        return [probe.parameters, probe.done] if probe else []

    async def _probe_doubtful(self, step: PlannedStep) -> None:
        """Ask the step's probe about what an earlier session left in doubt."""
        probe = step.step.probe if step.action is step.step else None
        if probe is None:
            return
        if not await self._settled(step, probe.after):
            return
        scope = self._scope(step, names_in(self._probe_parts(step)))
        for seq, host, parameters in self._file.doubtful(step.index):
            verdict = await ask(probe, self._plan.inventory.hosts[host], parameters, scope, self._asker)
            if verdict is not None:
                await self._session.decide(seq, verdict, "by the step's probe")

    async def _settled(self, step: PlannedStep, after: float) -> bool:
        """Wait until no host can still be executing what is in doubt; no, when the run is interrupted meanwhile.

        A command goes on when its client is gone (seen on 2.3.19.1), so what has no effect yet may have one soon.
        """
        last = self._file.last_doubt_ms(step.index)
        left = min(after, after - (now_ms() - last) / 1000) if last else 0.0
        if left > 0:
            self._audience.note(f"waiting {format_duration(left)}: the host may still be executing what is in doubt")
            with anyio.move_on_after(left):
                await self._interruption.wait()
        return not self._interrupted

    def _wanted(self, step: PlannedStep) -> bool:
        """Whether the step's `when` holds; a verify goes with its step."""
        if step.role == "verify":
            owner = self._numbers[step.key.removesuffix(".verify")]
            return self._file.step(owner)[0] != "skipped"
        when = step.condition
        if when is None or step.per_item_condition:
            return True
        return truth(compile_value(when)(self._scope(step, names_in(when))))

    async def _without_command(self, step: PlannedStep) -> None:
        self._audience.tell(StepStarted(step.key, step.name, "", "", 0))
        if step.step.pause:
            await self._pause(step, step.step.pause)
        else:
            self._require(step)
        await self._end(step, "done")

    async def _pause(self, step: PlannedStep, pause: Pause) -> None:
        """Wait, or ask; a pause that was interrupted begins anew when the run is resumed."""
        await self._session.mark(step.index, "running", ended=False)
        if pause.for_ is not None:
            self._audience.note(f"waiting {format_duration(pause.for_)}")
            with anyio.move_on_after(pause.for_):
                await self._interruption.wait()
        else:
            question = str(compile_value(pause.confirm)(self._scope(step, names_in(pause.confirm))))
            confirmed = await self._asked(question)
            if not confirmed and not self._interrupted:
                raise _Stop(End.STOPPED, f"step {step.key} ({step.name}) was not confirmed")
        if self._interrupted:
            raise _Stop(End.INTERRUPTED, self._interrupted)
        await self._session.event("confirmed" if pause.confirm else "waited", step.key)

    async def _asked(self, question: str) -> bool:
        """The operator's answer; no, when the run is interrupted meanwhile."""
        confirmed = False
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                await self._interruption.wait()
                group.cancel_scope.cancel()

            group.start_soon(give_up)
            confirmed = await self._approve(question)
            group.cancel_scope.cancel()
        return confirmed

    def _require(self, step: PlannedStep) -> None:
        for requirement in step.step.require:
            scope = self._scope(step, names_in([requirement.that, requirement.message]))
            if not truth(compile_value(requirement.that)(scope)):
                raise ExpressionError(str(compile_value(requirement.message)(scope)))

    async def _send(
        self, step: PlannedStep, scheduler: Scheduler, *, first: int, scope: Scope, timeout: float | None, final: bool
    ) -> None:
        hosts = dict(self._plan.inventory.hosts)
        edge = Edge(
            file=self._file,
            session=self._session,
            client=self._client,
            asker=self._asker,
            preflight=self._preflight,
            hosts=hosts,
            audience=self._audience,
            clock=asyncio.get_running_loop().time,
        )
        sending = Sending(edge, step, scheduler, first=first, scope=scope, timeout=timeout)
        await self._session.mark(step.index, "running", ended=False)
        where, total = fold(self._file.open_counts(step.index)), sum(scheduler.counts.values())
        self._audience.tell(StepStarted(step.key, step.name, step.command, where, total))
        begun = time.monotonic()
        if self._interrupted and not final:
            scheduler.stop(self._interrupted)
        self._meter.begin(step, scheduler)
        self._sending = sending
        await sending.run()
        self._sending = None
        self._meter.end()
        if self._session.failure:
            raise self._session.failure
        await self._conclude(step, scheduler, time.monotonic() - begun)

    async def _conclude(self, step: PlannedStep, scheduler: Scheduler, seconds: float) -> None:
        left = scheduler.left
        over = scheduler.failed > scheduler.rules.allowed_failures
        reason = scheduler.stopped if over or left else ""
        failed = over and not self._interrupted  # what an interruption leaves in doubt is no failure of the step
        doubtful = bool(scheduler.ended[State.IN_DOUBT])
        state = "failed" if failed else "running" if left or over or doubtful else "done"
        await self._end(step, state, reason, scheduler.counts, seconds, ended=not left)
        self._stop_for_doubt(step)
        if over:
            raise _Stop(End.STOPPED, f"step {step.key} ({step.name}): {reason}", step)
        if left:
            raise _Stop(End.INTERRUPTED if self._interrupted else End.STOPPED, self._interrupted or reason)

    def _stop_for_doubt(self, step: PlannedStep) -> None:
        """What is in doubt is for a person to decide, before anything is built upon it."""
        if doubtful := len(self._file.doubtful(step.index)):
            raise _Stop(End.IN_DOUBT, f"step {step.key} ({step.name}): {doubtful} in doubt")

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
        self._answers.pop(step.key, None)
        self._audience.tell(StepEnded(step.key, step.name, state, reason, counts or {}, seconds))

    # rules

    def _on_failure(self, step: PlannedStep) -> OnFailure:
        return step.step.on_failure or self._plan.source.playbook.on_failure

    def _scheduler(self, step: PlannedStep, total: int) -> Scheduler:
        assert step.action is not None  # noqa: S101
        pending = self._file.open_counts(step.index)
        untouched = sum(pending.values()) == total  # then there is no need to count what has ended
        ended = {} if untouched else self._file.ended(step.index)
        return Scheduler(self._rules(step, step.action, total), pending, ended=ended, pace=self._pace)

    def _rate(self, step: PlannedStep) -> float | None:
        """Requests a second while a step is at work: the least of configuration, playbook and step."""
        layers = [self._limits, self._plan.source.playbook.limits, step.step.limits]
        return min([limit.rate for limit in layers if limit.rate], default=None)

    def _rules(self, step: PlannedStep, action: Action, total: int) -> Rules:
        """Limits: the least of configuration, playbook and step; the failures allowed: the most particular word."""
        playbook = self._plan.source.playbook
        own = [playbook.limits, step.step.limits]
        layers = [self._limits, *own]
        ceiling = min([limit.per_host for limit in own if isinstance(limit.per_host, int)], default=None)
        per_host = self._limits.per_host or DEFAULT
        hosts = {host.name: host.per_host or per_host for host in self._plan.inventory.hosts.values()}
        said = [self._max_failed, *(limit.max_failed for limit in reversed(layers))]
        allowed: Share = next((share for share in said if share is not None), Share(0))
        if step.role in {"undo", "finally"} or self._on_failure(step) == "continue":
            allowed = Share(100, percent=True)
        return Rules(
            in_flight=min([limit.in_flight for limit in layers if limit.in_flight] or [100]),
            per_host={name: _lower(limit, ceiling) for name, limit in hosts.items() if limit != "auto"},
            tuned={name: ceiling or CEILING for name, limit in hosts.items() if limit == "auto"},
            allowed_failures=allowed.of(total),
            retry=policy(action.retry, playbook.retry, self._retry),
            effect=step.effect,
            polling=self._polling(step, action),
        )

    def _polling(self, step: PlannedStep, action: Any) -> Polling | None:
        if getattr(action, "until", None) is None:
            return None
        return Polling(
            every=action.every if action.every is not None else 1.0,
            within=self._seconds(step, action.within) or 60.0,
            stall=self._seconds(step, action.stall),
        )

    def _seconds(self, step: PlannedStep, value: Any) -> float | None:
        return None if value is None else parse_duration(compile_value(value)(self._scope(step, names_in(value))))

    # values

    def _scope(self, step: PlannedStep, names: frozenset[str]) -> Scope:
        """What a step's expressions may read: what was known at planning, and the answers among `names`."""
        scope = self._plan.scope(step)
        for name in names & set(step.givers):
            scope[name] = self._given(name, step.givers[name])
        return scope

    def _given(self, name: str, key: str) -> Any:
        if name == "run":
            return {"id": self._file.run_id, "started": self._file.started_ms() // 1000}
        if key not in self._answers:
            self._answers[key] = self._file.answer(self._numbers[key])
        return self._answers[key]

    # who watches

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(self._audience.interval)
            if progress := self._meter.read():
                self._audience.tell(progress)


def _lower(limit: int, ceiling: int | None) -> int:
    return limit if ceiling is None else min(limit, ceiling)


async def _nobody(_question: str) -> bool:
    return False


class _Meter:
    """How the current step stands, for displays."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._begun = time.monotonic()
        self._step: PlannedStep | None = None
        self._marks: deque[tuple[float, int]] = deque()

    def begin(self, step: PlannedStep, scheduler: Scheduler) -> None:
        self._step, self._scheduler = step, scheduler
        self._marks = deque([(time.monotonic(), scheduler.ended.total())])

    def end(self) -> None:
        self._step = None

    def read(self) -> Progress | None:
        if self._step is None:
            return None
        now, scheduler = time.monotonic(), self._scheduler
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
            reason=scheduler.reason(now),
        )
