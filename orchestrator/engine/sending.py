"""Sends the operations of one step. Tasks exist only for requests on the wire; what comes next the scheduler says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio import get_cancelled_exc_class
from anyio.abc import TaskGroup

from orchestrator.answers import HostAnswer
from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker, Wire
from orchestrator.dovecot.catalog import LONG_TIMEOUT
from orchestrator.dovecot.classify import classify
from orchestrator.dovecot.command import request_body
from orchestrator.dovecot.exchange import ASLEEP, Exchange, NotSent
from orchestrator.dovecot.jsontext import dumps
from orchestrator.engine.awaited import Awaited
from orchestrator.engine.host_log import HostLog
from orchestrator.engine.preflight import Preflight
from orchestrator.engine.probing import ask
from orchestrator.engine.scheduler import Scheduler, Wait
from orchestrator.errors import ExpressionError
from orchestrator.events import AttemptEnded, Audience
from orchestrator.fleet.inventory import Host
from orchestrator.journal.base import AttemptResult, Intent, Reader, Session, Verdict
from orchestrator.operation import Operation, operation_id
from orchestrator.outcome import Effect, Kind, Outcome
from orchestrator.plan.steps import CommandStep, Scope
from orchestrator.text.expression import compile_value, truth
from orchestrator.text.watched import seen

GRACE = 30.0  # seconds that answers may still take after a stop was asked for
KEPT = 64 * 1024  # characters kept of an answer that nobody registered
KEPT_REGISTERED = 64 * 1024 * 1024
_STILL_RUNNING = (
    "the host may still be executing it, so it is not retried at once; retry the run when it has ended, "
    "and give the step a longer timeout"
)
_STILL_FALSE = "condition still false"
_NOT_WAITED_FOR = Outcome(Kind.CANCELLED, error="not waited for: the run was stopped")


@dataclass(frozen=True, kw_only=True)
class Edge:
    """All that one step's sending touches.

    Attributes:
        clock: seconds, of the event loop; all waiting and all decisions go by it, never by the time of day.
    """

    reader: Reader
    session: Session
    wire: Wire
    asker: Asker
    preflight: Preflight
    hosts: Mapping[str, Host]
    audience: Audience
    clock: Callable[[], float]


class Sending:
    """One step's operations, from the run file to the hosts and back.

    Args:
        edge: run file, client, audience.
        step: a step with a command.
        scheduler: of this step.
        first: the step's first operation.
        scope: names for the step's `until`.
        timeout: seconds for each answer, or None for each host's own.
        since: when the change began that this step looks at, milliseconds since the epoch; None where it is this step.

    Attributes:
        awaited: what is being waited for.
    """

    def __init__(
        self,
        edge: Edge,
        step: CommandStep,
        scheduler: Scheduler,
        *,
        first: int,
        scope: Scope,
        timeout: float | None,
        since: int | None = None,
    ) -> None:
        self._edge = edge
        self._step = step
        self._scheduler = scheduler
        self._first = first
        self._scope = scope
        self._timeout = timeout
        self._since = since
        self._command = step.command
        self._entry = catalog.find(self._command)
        self._accept = frozenset(step.accept)
        self._until = compile_value(step.until) if step.until is not None else None
        self._unrepeatable = scheduler.rules.effect is Effect.UNREPEATABLE
        doveadm = self._entry.doveadm if self._entry else ""
        self._log = HostLog(edge.asker, edge.wire, edge.clock, self._command, doveadm)
        self._parked: list[asyncio.Future[Operation | None]] = []
        self._wake = anyio.Event()
        self._cancel = anyio.CancelScope()
        self._patient_until: float | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.awaited = Awaited(scheduler.rules)

    # asked from outside

    def stop(self, reason: str) -> None:
        """Send nothing more; answers may still come for a while."""
        self._scheduler.stop(reason)
        self._wake.set()

    def hold(self, reason: str) -> None:
        """Send nothing for a while; answers come in."""
        self._scheduler.hold(reason, self._edge.clock())

    def release(self, until: float) -> None:
        """Go on with what was held, until a moment of the clock."""
        self._scheduler.release(self._edge.clock(), until)
        self._wake.set()

    def cancel(self) -> None:
        """Wait for no answer any more."""
        self._cancel.cancel()

    async def run(self) -> None:
        """Until nothing is left, or the scheduler was stopped, and all is heard and recorded."""
        session = self._edge.session
        session.recorded, session.failed = self._recorded, self._write_failed
        with self._cancel:
            async with anyio.create_task_group() as group:
                await self._drive(group)
        if self._patience:
            self._patience.cancel()
        while self._scheduler.unrecorded > 0 and session.failure is None:  # also what was cancelled is recorded
            self._wake = anyio.Event()
            await self._wake.wait()

    async def _drive(self, group: TaskGroup) -> None:
        scheduler = self._scheduler
        while not scheduler.done:
            self._wake = wake = anyio.Event()
            self._feed()
            wait = await self._start(group)
            if scheduler.stopped and self._patient_until is None:
                self._be_patient(GRACE)
            if not scheduler.done:
                await self._pause(wake, wait)
        while self._hand_over(None):
            pass

    def _be_patient(self, seconds: float) -> None:
        """Wait for answers that are under way for so long, of which time that this program stood still is no part."""
        loop = asyncio.get_running_loop()
        self._patient_until = loop.time() + seconds

        def over() -> None:
            late = loop.time() - (self._patient_until or 0.0)
            if late > ASLEEP:  # what came meanwhile is read first
                self._be_patient(min(late, GRACE))
            else:
                self._cancel.cancel()

        self._patience = loop.call_at(self._patient_until, over)

    async def _pause(self, wake: anyio.Event, wait: Wait) -> None:
        """Until something happened, or until the scheduler may have something to send all by itself."""
        with anyio.move_on_after(None if wait.until is None else max(0.0, wait.until - self._edge.clock())):
            await wake.wait()

    def _feed(self) -> None:
        for host, after, asked in self._scheduler.hungry():
            operations = self._edge.reader.pending(self._step.index, host, after, asked)
            self._scheduler.feed(host, operations, asked=asked)

    async def _start(self, group: TaskGroup) -> Wait:
        """Start all that may be started now; the intents of unrepeatable operations first, in one commit."""
        now = self._edge.clock()
        batch = []
        while not isinstance(found := self._scheduler.next(now), Wait):
            if self._unrepeatable:
                batch.append(found)
            elif not self._hand_over(found):
                group.start_soon(self._chain, found)
        if batch:
            await self._begin(batch, group)
        return found

    async def _begin(self, batch: Sequence[Operation], group: TaskGroup) -> None:
        """Send unrepeatable operations once it is durable that they are sent, unless the run was stopped or held meanwhile."""
        with anyio.CancelScope(shield=True):  # else nobody would hear of what was taken from the scheduler
            await self._edge.session.intend(_intents(batch))
            if self._scheduler.quiet(self._edge.clock()):
                await self._withdraw(batch)
                return
        for operation in batch:
            group.start_soon(self._attempt, operation)

    async def _withdraw(self, operations: Sequence[Operation]) -> None:
        """The run was stopped or held before these were sent: they are pending, as if the scheduler had not given them."""
        if self._unrepeatable:
            with anyio.CancelScope(shield=True):
                await self._edge.session.withdraw(_intents(operations))
        self._scheduler.withdraw(operations)
        self._wake.set()

    async def _chain(self, operation: Operation | None) -> None:
        """Send an operation, and then whatever the scheduler says is next: one task serves many operations."""
        while operation is not None:
            await self._attempt(operation)
            found = self._scheduler.next(self._edge.clock())
            self._feed()
            if isinstance(found, Wait):
                if self._scheduler.awaits_journal:
                    self._edge.session.flush()
                self._wake.set()
                operation = await self._park()
            else:
                operation = found

    def _hand_over(self, operation: Operation | None) -> bool:
        """Give an operation to a task that waits for one; False when there is none."""
        while self._parked:
            place = self._parked.pop()
            if not place.done():  # else it was cancelled
                place.set_result(operation)
                return True
        return False

    async def _park(self) -> Operation | None:
        """Wait for another operation, which costs less than a new task; None when there is none any more."""
        if self._scheduler.done:  # nobody would come for it any more
            return None
        place: asyncio.Future[Operation | None] = asyncio.get_running_loop().create_future()
        self._parked.append(place)
        return await place

    # one attempt

    async def _attempt(self, operation: Operation) -> None:
        if self._scheduler.quiet(self._edge.clock()):
            await self._withdraw([operation])
            return
        host = operation.host
        tag = operation_id(self._step.key, operation.seq, self._first)
        body = request_body(self._command, operation.parameters, tag)
        timeout = self._seconds(operation)
        started, moment = self._edge.clock(), now_ms()
        if reason := self._edge.preflight.too_large(host, operation.parameters):
            self._heard(operation, tag, Outcome(Kind.FAILED, error=reason), started, moment)
            return
        self.awaited.sent(operation, started)
        outcome = _NOT_WAITED_FOR
        try:
            exchange = await self._edge.wire.post(host, body, timeout)
            outcome = self._outcome(exchange, tag, host)
            if self._until is not None and not outcome.error:
                outcome = self._judged(outcome, operation)
            if outcome.kind is Kind.NOT_YET and self._scheduler.ends_poll(
                operation, outcome, started, self._edge.clock()
            ):
                outcome = await self._log.since(outcome, operation.host, self._since or moment)
            elif self._worth_asking(outcome.kind, operation):
                outcome = await self._log.about(outcome, operation, started, moment)
            if self._unrepeatable and outcome.kind in {Kind.UNKNOWN, Kind.LATE, Kind.TEMPORARY}:
                outcome = await self._probed(outcome, operation)
            elif outcome.kind is Kind.LATE and self._may_run_long(operation):
                outcome = replace(outcome, kind=Kind.FAILED, error=f"{outcome.error}; {_STILL_RUNNING}")
        except get_cancelled_exc_class():
            self._heard(operation, tag, outcome, started, moment)
            raise
        unreachable = self._heard(operation, tag, outcome, started, moment)
        if unreachable:
            await self._mark_unreachable(host, outcome.error)
        if self._unrepeatable:
            self._wake.set()

    def _outcome(self, exchange: Exchange, tag: str, host: str) -> Outcome:
        if isinstance(exchange, NotSent) and exchange.local:
            self._scheduler.stop(exchange.reason)
        return classify(exchange, self._entry, tag, self._accept, listed=self._edge.preflight.listed(host))

    def _worth_asking(self, kind: Kind, operation: Operation) -> bool:
        """Whether the host's log is to be read: after a failure, a lost answer, or the last of many 75s."""
        if kind is Kind.TEMPORARY:
            return self._unrepeatable or operation.attempts + 1 >= self._scheduler.rules.retry.attempts
        return kind in {Kind.FAILED, Kind.UNKNOWN, Kind.LATE}

    def _may_run_long(self, operation: Operation) -> bool:
        """Whether a command that was not answered in time may go on for as long as there is mail."""
        entry = self._entry
        if entry is None or not entry.ever_long:
            return False
        return entry.long or entry.may_run_long(json.loads(operation.parameters))

    def _seconds(self, operation: Operation) -> float:
        """How long to wait for an answer: as the step says, or as the host's settings do, or long where that is needed."""
        if self._timeout:
            return self._timeout
        usual = self._edge.hosts[operation.host].endpoint.request_timeout
        return max(usual, LONG_TIMEOUT) if self._may_run_long(operation) else usual

    async def _probed(self, outcome: Outcome, operation: Operation) -> Outcome:
        """What the step's probe says of an operation whose answer was lost."""
        probe = self._step.probe
        if probe is None:
            return outcome
        host = self._edge.hosts[operation.host]
        verdict = await ask(probe, host, operation.parameters, self._scope, self._edge.asker)
        if verdict is Verdict.DONE:
            return replace(outcome, kind=Kind.DONE, error=f"{outcome.error}; the probe says that it was executed")
        if verdict is Verdict.RETRY and outcome.kind is Kind.LATE:  # what is not there yet may come
            return replace(
                outcome, error=f"{outcome.error}; the probe sees no effect, but the host may still be executing it"
            )
        if verdict is Verdict.RETRY:
            return replace(
                outcome, kind=Kind.NOT_EXECUTED, error=f"{outcome.error}; the probe says that it was not executed"
            )
        return outcome

    def _judged(self, outcome: Outcome, operation: Operation) -> Outcome:
        """Whether the step's `until` holds for this host's answer."""
        assert self._until is not None  # noqa: S101
        rows: list[Any] = list(outcome.rows)
        answer = HostAnswer(ok=True, rows=rows, exit_code=outcome.exit_code, error="")
        try:
            local = {"rows": rows, "answer": answer, "host": self._edge.hosts[operation.host]}
            local["parameters"] = json.loads(operation.parameters)
            holds = truth(self._until({**self._scope, **local}))
        except ExpressionError as error:
            return replace(outcome, kind=Kind.FAILED, error=error.message)
        if holds:
            return outcome
        last = seen(self._step.until, {**self._scope, **local})
        self.awaited.looked(operation.host, last)
        return replace(
            outcome, kind=Kind.NOT_YET, error=f"{_STILL_FALSE}; last answer: {last}" if last else _STILL_FALSE
        )

    def _heard(self, operation: Operation, tag: str, outcome: Outcome, started: float, moment: int) -> bool:
        """Tell scheduler, journal and views; returns whether the host's other operations become unreachable."""
        now = self._edge.clock()
        self.awaited.heard(operation, outcome.kind)
        decision = self._scheduler.heard(operation, outcome, started, now)
        attempt = operation.attempts + 1
        answer, left_out = "", 0
        if outcome.rows:  # as text they take a tenth of the memory, for as long as they are not written
            answer, left_out = as_kept(outcome.rows, KEPT_REGISTERED if self._step.register else KEPT)
            outcome = replace(outcome, rows=())
        self._edge.session.record(
            AttemptResult(operation.seq, attempt, moment, now_ms(), outcome, decision.state, answer, left_out)
        )
        self._edge.audience.tell(
            AttemptEnded(
                id=tag,
                step=self._step.key,
                host=operation.host,
                command=self._command,
                parameters=operation.parameters,
                attempt=attempt,
                outcome=outcome,
                state=decision.state,
                pause=decision.pause,
                seconds=now - started,
            )
        )
        return decision.unreachable

    async def _mark_unreachable(self, host: str, reason: str) -> None:
        """Record the rest of a silent host's operations as unreachable, together."""
        count = await self._edge.session.mark_unreachable(self._step.index, host, f"circuit breaker open: {reason}")
        self._scheduler.marked_unreachable(host, count)
        self._edge.audience.note(
            f"circuit breaker open for {host}: its remaining {count} operations are marked unreachable"
        )
        self._wake.set()

    # the journal

    def _recorded(self, count: int) -> None:
        self._scheduler.recorded(count)
        self._wake.set()

    def _write_failed(self) -> None:
        self._scheduler.stop("the run file cannot be written")
        self._scheduler.unrecorded = 0  # nothing will be recorded any more
        self._wake.set()


def now_ms() -> int:
    """The wall clock, in milliseconds since the epoch; for the record only, never for decisions."""
    return time.time_ns() // 1_000_000


def as_kept(rows: Sequence[Any], limit: int) -> tuple[str, int]:
    """An answer's rows as JSON of no more than `limit` characters, and how many rows were left out for that."""
    fit = list(rows[: limit // 3 + 1])  # {}, is the shortest row
    text = dumps(fit)
    if len(text) <= limit and len(fit) == len(rows):
        return text, 0
    kept: list[Any] = []
    size = 2
    for row in fit:
        size += len(dumps(row)) + 1
        if size > limit:
            break
        kept.append(row)
    return dumps(kept), len(rows) - len(kept)


def _intents(operations: Sequence[Operation]) -> list[Intent]:
    moment = now_ms()
    return [Intent(operation.seq, operation.attempts + 1, moment) for operation in operations]
