"""What to send next, and why not yet. Pure arithmetic over one step's operations: no clock, no waiting, no sockets.

The runner asks `next`, which gives an operation or says until when to wait, tells `heard` what came of it and `recorded`
when that is durable, and feeds each host's lane from the run file when it runs low. Hosts take turns, so a slow or dead
host holds back nobody else; an operation that waits for its next attempt holds no slot. Memory holds a window of each
host's operations, however many there are.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from orchestrator.engine.concurrency import Tuner
from orchestrator.engine.lane import BREAKER_AFTER, Lane
from orchestrator.engine.pace import Pace
from orchestrator.engine.retry import RetryPolicy
from orchestrator.operation import Operation
from orchestrator.outcome import BAD_STATES, Effect, Kind, Outcome, State, follow

WINDOW = 64  # operations of a host that are held in memory, at most
LEAST_WINDOW = 8
HELD = 8192  # operations of all hosts that are held in memory, about
UNSEEN = "the conditions were not looked at in time"
DEFAULT = 4  # requests at a time on a host


class Wait(NamedTuple):
    """Nothing may be sent now.

    Attributes:
        until: when to ask again, at the latest; None when only an answer or a commit can change anything.
    """

    until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How long to go on asking until a condition holds; seconds."""

    every: float
    within: float
    stall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for a step.

    Attributes:
        in_flight: operations sent and not yet durably recorded.
        per_host: host -> requests at a time; hosts in neither mapping get `DEFAULT`.
        tuned: hosts whose limit is found by trying -> how far it may go.
        allowed_failures: how many operations may fail; one more stops the step.
        effect: what sending an operation twice means.
    """

    in_flight: int
    per_host: Mapping[str, int] = field(default_factory=dict)
    tuned: Mapping[str, int] = field(default_factory=dict)
    allowed_failures: int = 0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    effect: Effect = Effect.READ
    polling: Polling | None = None


class Decision(NamedTuple):
    """What follows from an outcome.

    Attributes:
        state: the operation's new state; PENDING when it will be retried.
        pause: seconds until then.
        unreachable: the host's remaining operations are to be recorded as unreachable.
    """

    state: State
    pause: float = 0.0
    unreachable: bool = False


def _tuner(rules: Rules, host: str) -> Tuner | None:
    return Tuner(rules.tuned[host]) if host in rules.tuned else None


class Scheduler:
    """The operations of one step.

    Args:
        rules: the step's limits and policies.
        pending: host -> how many operations are to be sent.
        ended: the step's operations that ended before (in an earlier session), by state.
        pace: the run's, which all that it sends have in common.
    """

    def __init__(
        self,
        rules: Rules,
        pending: Mapping[str, int],
        *,
        ended: Mapping[State, int] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.rules = rules
        self._pace = pace or Pace()
        self.left = sum(pending.values())  # operations without a final state
        self.ended: Counter[State] = Counter(ended or {})
        self.failed = sum(self.ended[state] for state in BAD_STATES)
        self.in_flight = 0  # requests on the wire
        self.unrecorded = 0  # sent and not durably recorded
        self.retries = 0
        self.stopped = ""  # the reason, once stopped
        self.held = ""  # the reason, while nothing is to be sent
        self._held_at = 0.0
        self._good_until = inf
        self._total = self.left
        self._allowance = rules.retry.allowance(self._total)
        self._lanes: dict[str, Lane] = {
            name: Lane(name, rules.per_host.get(name, DEFAULT), _tuner(rules, name))
            for name, count in pending.items()
            if count
        }
        self._window = max(LEAST_WINDOW, min(WINDOW, HELD // max(1, len(self._lanes))))
        self._ready: deque[Lane] = deque()
        self._timers: list[tuple[float, int, Lane, Operation | None]] = []  # next attempts, and ends of pauses
        self._timer_count = 0
        self._tried: dict[int, tuple[float, int]] = {}  # first attempt's time, and how many; only where there is a next
        self._seen: dict[int, tuple[int, float]] = {}  # polled operation -> (answer's hash, since when)
        self._hungry: dict[str, None] = dict.fromkeys(self._lanes)  # in order, so that a replay is the same

    # feeding

    def hungry(self) -> list[tuple[str, int, int]]:
        """Hosts whose lanes run low: host, the operation after which to go on, how many to feed."""
        asks = []
        for name in self._hungry:
            lane = self._lanes[name]
            room = self._window - len(lane.queue) - lane.waiting
            if room > 0 and not lane.exhausted and not lane.unreachable:
                asks.append((name, lane.after, room))
        self._hungry.clear()
        return asks

    def feed(self, host: str, operations: Sequence[Operation], *, asked: int) -> None:
        """Take a host's next operations; fewer than asked for means that there are no more."""
        lane = self._lanes[host]
        lane.queue.extend(operations)
        if operations:
            lane.after = operations[-1].seq
        lane.exhausted = len(operations) < asked
        self._list(lane)

    # sending

    def next(self, now: float) -> Operation | Wait:
        """The next operation to send at `now`, or until when to wait; see `reason` for why.

        One reading of the clock decides both, so that no moment lies between "not yet" and "too late".
        """
        if self.quiet(now):
            return Wait(None)
        self._fire(now)
        if not self._ready or self.unrecorded >= self.rules.in_flight:
            return self._wait()
        free = self._pace.free_at(now)
        if free > now:
            return self._wait(free)
        for _ in range(len(self._ready)):
            lane = self._ready.popleft()
            lane.listed = False
            if lane.can_send(now):
                return self._send(lane, now)
        return self._wait()

    def _send(self, lane: Lane, now: float) -> Operation:
        operation = lane.queue.popleft()
        lane.in_flight += 1
        self.in_flight += 1
        self.unrecorded += 1
        self._pace.take(now)
        if len(lane.queue) * 2 < self._window and not lane.exhausted:
            self._hungry[lane.name] = None
        self._list(lane)
        return operation

    def _wait(self, until: float = inf) -> Wait:
        if self._timers:
            until = min(until, self._timers[0][0])
        return Wait(None if until == inf else until)

    def reason(self, now: float) -> str:
        """What is being waited for, in words; empty when all is as it should be."""
        if self.stopped:
            return f"stopping: {self.stopped}"
        if self.held:
            return f"held: {self.held}"
        if self._ready and self._pace.free_at(now) > now:
            return f"limited to {self._pace.rate:g} requests per second"
        paused = [lane.name for lane in self._lanes.values() if lane.tripped and not lane.unreachable]
        if paused:
            names = ", ".join(paused[:3]) + (" …" if len(paused) > 3 else "")
            return f"circuit breaker open for {names}; one request at a time"
        held = [lane for lane in self._lanes.values() if lane.held_until > now and not lane.unreachable]
        if held:
            return f"{held[0].name} asked to wait (Retry-After): nothing is sent to it for {held[0].held_until - now:.0f} s"
        if self._timers and not self.in_flight and not self.rules.polling:
            at, _, lane, _ = self._timers[0]
            return f"the next retry on {lane.name} in {max(0.0, at - now):.0f} s"
        return ""

    # what came of it

    def heard(self, operation: Operation, outcome: Outcome, started: float, now: float) -> Decision:
        """Take an attempt's outcome; says what becomes of the operation.

        Args:
            operation: as `next` gave it.
            outcome: of this attempt.
            started: when the attempt began.
            now: when it ended.
        """
        lane = self._lanes[operation.host]
        lane.in_flight -= 1
        self.in_flight -= 1
        self._note_silence(lane, outcome.kind, started, now)
        if lane.tuner:
            lane.tuner.heard(outcome.kind, now)
            lane.limit = lane.tuner.limit
        pause = self._pause(operation, outcome, started, now)
        if pause is None:
            decision = self._finish(operation, lane, outcome.kind)
        else:
            self._count_retry(outcome)
            lane.waiting += 1
            self._timer(now + pause, lane, operation._replace(attempts=operation.attempts + 1))
            if outcome.wait:  # it is the host that wants to be left alone, not this operation
                lane.held_until = max(lane.held_until, now + outcome.wait)
                self._timer(lane.held_until, lane, None)
            decision = Decision(State.PENDING, pause)
        if lane.silent and self._hopeless(lane, now):
            lane.unreachable = True
            decision = decision._replace(unreachable=True)
        self._list(lane)
        return decision

    def withdraw(self, operations: Sequence[Operation]) -> None:
        """Take back operations that `next` gave and that were not sent."""
        for operation in reversed(operations):
            lane = self._lanes[operation.host]
            lane.queue.appendleft(operation)
            lane.in_flight -= 1
            self.in_flight -= 1
            self.unrecorded -= 1
            self._list(lane)

    def recorded(self, count: int) -> None:
        """So many attempts are durable now."""
        self.unrecorded -= count

    def marked_unreachable(self, host: str, count: int) -> None:
        """A host's remaining operations were recorded as unreachable."""
        lane = self._lanes[host]
        lane.queue.clear()
        lane.exhausted = True
        self.left -= count
        self.ended[State.UNREACHABLE] += count
        self._count_failures(count)

    def stop(self, reason: str) -> None:
        """Send nothing more; what is on the wire may still be heard."""
        self.stopped = self.stopped or reason

    def hold(self, reason: str, now: float) -> None:
        """Send nothing until `release`, polls and retries included."""
        if not self.held:
            self._held_at = now
        self.held = reason

    def release(self, now: float, until: float = inf) -> None:
        """Go on until `until`, if nobody says so again; the time in which nothing could be sent counts for no deadline."""
        self._good_until = until
        if not self.held:
            return
        self.held, lost = "", now - self._held_at
        for lane in self._lanes.values():
            lane.silent_since += now - max(self._held_at, lane.silent_since)
        self._tried = {seq: (first + lost, count) for seq, (first, count) in self._tried.items()}
        self._seen = {seq: (answer, since + lost) for seq, (answer, since) in self._seen.items()}

    def quiet(self, now: float) -> bool:
        """Whether nothing may be sent now, whatever there is to send."""
        if now >= self._good_until and not self.held:  # this program stood still, and what it knew has grown old
            self.hold(UNSEEN, self._good_until)
        return bool(self.stopped or self.held)

    @property
    def awaits_journal(self) -> bool:
        """Whether most of what may be under way is not on the wire any more, but waits to be recorded."""
        if self.in_flight * 2 > self.unrecorded:
            return False
        return not self.in_flight or self.unrecorded >= self.rules.in_flight

    @property
    def done(self) -> bool:
        """Whether nothing is left to send, to hear, or to record."""
        if self.unrecorded or self.in_flight:
            return False
        return bool(self.stopped) or self.left == 0

    @property
    def counts(self) -> dict[State, int]:
        """The step's operations by state."""
        return {state: count for state, count in ((State.PENDING, self.left), *self.ended.items()) if count}

    @property
    def waiting(self) -> int:
        """Operations that wait for their next attempt."""
        return sum(lane.waiting for lane in self._lanes.values())

    # inside

    def _finish(self, operation: Operation, lane: Lane, kind: Kind) -> Decision:
        state = follow(kind, self.rules.effect).state
        if state is State.PENDING:
            return Decision(state)
        self.left -= 1
        self.ended[state] += 1
        self._tried.pop(operation.seq, None)
        self._seen.pop(operation.seq, None)
        if not lane.exhausted and len(lane.queue) * 2 < self._window:
            self._hungry[lane.name] = None
        if state in BAD_STATES:
            self._count_failures(1)
        return Decision(state)

    def _count_retry(self, outcome: Outcome) -> None:
        """Stop a storm: when most of a fleet answers 75, trying again only multiplies its load."""
        if self.rules.polling:
            return
        self.retries += 1
        if self.retries > self._allowance:
            self.stop(
                f"retry budget exhausted: {self.retries} retries for {self._total} operations; the last: {outcome.error}"
            )

    def _count_failures(self, count: int) -> None:
        self.failed += count
        allowed = self.rules.allowed_failures
        if self.failed > allowed:
            operations = "1 operation" if self.failed == 1 else f"{self.failed} operations"
            self.stop(f"{operations} failed, {allowed} allowed (max_failed)")

    def _pause(self, operation: Operation, outcome: Outcome, started: float, now: float) -> float | None:
        """Seconds until the next attempt, or None when there is none."""
        if not follow(outcome.kind, self.rules.effect).again:
            return None
        first, attempts = self._tried.get(
            operation.seq, (started, 0)
        )  # of this session: a resumed run starts counting again
        self._tried[operation.seq] = first, attempts + 1
        polling = self.rules.polling
        if polling is None:
            return self.rules.retry.wait(operation.seq, attempts + 1, now - first, outcome.wait)
        if self.ends_poll(operation, outcome, started, now):
            return None
        pause = max(0.0, started + polling.every - now, outcome.wait)
        return None if outcome.wait and now + pause - first > polling.within else pause

    def ends_poll(self, operation: Operation, outcome: Outcome, started: float, now: float) -> bool:
        """Whether the time for an operation's polls is over, or its answer has not changed for too long; as for `heard`.

        The last answer is one that was asked for after that time: this program may have been stopped (Ctrl-Z) between
        question and answer, and what held before says nothing of now. A host that hangs is not waited for once more.
        """
        polling = self.rules.polling
        if polling is None:
            return False
        first, _ = self._tried.get(operation.seq, (started, 0))
        over = (now if outcome.kind is Kind.LATE else started) - first >= polling.within
        return over or self._stalled(operation.seq, outcome, polling, started)

    def _stalled(self, seq: int, outcome: Outcome, polling: Polling, started: float) -> bool:
        if polling.stall is None:
            return False
        answer = hash(repr(outcome.rows))
        seen, since = self._seen.get(seq, (None, started))
        if seen != answer:
            since = started
        self._seen[seq] = (answer, since)
        return started - since >= polling.stall

    def _note_silence(self, lane: Lane, kind: Kind, started: float, now: float) -> None:
        if (
            kind not in {Kind.UNREACHABLE, Kind.UNKNOWN, Kind.LATE, Kind.CANCELLED} or self.rules.polling
        ):  # a poll may wait for a host to come back
            lane.silent, lane.open_until, lane.paused_at = 0, 0.0, 0.0
            return
        if started < lane.paused_at:
            return  # it was on the wire together with those that brought the pause; one bad moment counts once
        if not lane.silent:
            lane.silent_since = now
        lane.silent += 1
        if lane.tripped:
            lane.paused_at = now
            lane.open_until = now + self.rules.retry.longest(lane.silent - BREAKER_AFTER + 1)
            self._timer(lane.open_until, lane, None)

    def _hopeless(self, lane: Lane, now: float) -> bool:
        """Whether a host was silent so often, or for so long, that the rest of its operations is marked unreachable.

        A host whose circuit breaker is open gets as many attempts, with the same pauses, as an operation does.
        """
        if not lane.tripped or lane.in_flight or lane.unreachable:
            return False
        retry = self.rules.retry
        return lane.silent >= BREAKER_AFTER + retry.attempts or now - lane.silent_since > retry.deadline

    def _timer(self, at: float, lane: Lane, operation: Operation | None) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (at, self._timer_count, lane, operation))

    def _fire(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, lane, operation = heapq.heappop(self._timers)
            if operation is not None:
                lane.waiting -= 1
                if not lane.unreachable:
                    lane.queue.appendleft(operation)
                if not lane.exhausted:
                    self._hungry[lane.name] = None
            self._list(lane)

    def _list(self, lane: Lane) -> None:
        if lane.queue and not lane.listed and lane.in_flight < lane.limit:
            lane.listed = True
            self._ready.append(lane)
