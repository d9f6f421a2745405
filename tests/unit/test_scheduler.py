"""What is sent next, and why not yet: as dialogues, and as whole steps in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orchestrator.engine.pace import LATENESS, Pace
from orchestrator.engine.retry import FREE_RETRIES, RetryPolicy
from orchestrator.engine.scheduler import (
    BREAKER_AFTER,
    DEFAULT,
    WINDOW,
    Decision,
    Operation,
    Polling,
    Rules,
    Scheduler,
    Wait,
)
from orchestrator.outcome import BAD_STATES, Effect, Kind, Outcome, State

DONE, FAILED, TEMPORARY, UNREACHABLE, UNKNOWN = Kind.DONE, Kind.FAILED, Kind.TEMPORARY, Kind.UNREACHABLE, Kind.UNKNOWN
UNREPEATABLE = Effect.UNREPEATABLE
ALL_MAY_FAIL = 10**9
UNSHRUNK = (Phase.explicit, Phase.generate)  # a world is small; making it smaller takes a minute


def numbered(hosts: Mapping[str, int]) -> dict[str, list[Operation]]:
    """Operations as a run file has them: numbered throughout, ascending within each host."""
    found: dict[str, list[Operation]] = {host: [] for host in hosts}
    seq = 0
    for turn in range(max(hosts.values(), default=0)):
        for host, count in hosts.items():
            if turn < count:
                seq += 1
                found[host].append(Operation(seq, host, "{}", 0))
    return found


class Dialogue:
    """A conversation with a scheduler at times that the test names; the run file is a list in memory."""

    def __init__(
        self,
        hosts: Mapping[str, int],
        *,
        ended: Mapping[State, int] | None = None,
        rate: float | None = None,
        **rules: Any,
    ) -> None:
        rules.setdefault("in_flight", 100)
        rules.setdefault("allowed_failures", ALL_MAY_FAIL)
        self.pending = numbered(hosts)
        self.rate = rate
        self.scheduler = Scheduler(Rules(**rules), hosts, ended=ended, pace=Pace(rate))
        self.wire: dict[int, tuple[Operation, float]] = {}
        self.now = 0.0

    def feed(self) -> list[tuple[str, int, int]]:
        """Give the scheduler what it asks for."""
        asks = self.scheduler.hungry()
        for host, after, asked in asks:
            self.scheduler.feed(host, [op for op in self.pending[host] if op.seq > after][:asked], asked=asked)
        return asks

    def sent(self, now: float | None = None) -> list[int]:
        """All that is sent at a time."""
        self.now = self.now if now is None else now
        self.feed()
        found = []
        while isinstance(operation := self.scheduler.next(self.now), Operation):
            self.wire[operation.seq] = operation, self.now
            found.append(operation.seq)
            self.feed()
        return found

    def due(self, now: float) -> float | None:
        """Until when to wait, at a time when nothing can be sent."""
        wait = self.scheduler.next(now)
        assert isinstance(wait, Wait)
        return wait.until

    def hear(
        self,
        seq: int,
        kind: Kind = DONE,
        *,
        now: float | None = None,
        recorded: bool = True,
        rows: Any = (),
        wait: float = 0.0,
    ) -> Decision:
        """An attempt ends."""
        self.now = self.now if now is None else now
        operation, started = self.wire.pop(seq)
        decision = self.scheduler.heard(operation, Outcome(kind, rows, error="trouble", wait=wait), started, self.now)
        if recorded:
            self.scheduler.recorded(1)
        return decision


class Simulation(Dialogue):
    """A whole step in virtual time: answers take a while, commits take a while, and every promise is watched.

    Args:
        answer: operation and time -> what comes of this attempt, and after how many seconds.
        commit: seconds until an attempt's end, or a giving up, is durable.
    """

    def __init__(
        self,
        hosts: Mapping[str, int],
        answer: Callable[[Operation, float], tuple[Kind, float]],
        *,
        commit: float = 0.001,
        **rules: Any,
    ) -> None:
        super().__init__(hosts, **rules)
        self.answer, self.commit = answer, commit
        self.total = sum(hosts.values())
        self.host_of = {op.seq: op.host for ops in self.pending.values() for op in ops}
        self.final: dict[int, State] = {}
        self.ended: dict[int, float] = {}
        self.sends: list[tuple[float, int]] = []
        self.kinds: dict[int, list[Kind]] = {seq: [] for seq in self.host_of}
        self.unrecorded = 0
        self.unreachable: set[str] = set()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0

    def later(self, delay: float, what: Callable[[], None]) -> None:
        """Have something happen."""
        self.count += 1
        heapq.heappush(self.events, (self.now + delay, self.count, what))

    def run(self) -> Simulation:
        """Until the scheduler says that all is done."""
        for _ in range(200_000):
            for seq in self.sent():
                self.on_wire(seq)
            self.check()
            if self.scheduler.done:
                return self
            due = self.due(self.now)
            assert due is None or due > self.now, "the driver would spin"
            times = [time for time in (due, self.events[0][0] if self.events else None) if time is not None]
            assert times, "nothing will ever happen again"
            self.now = min(times)
            while self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
        raise AssertionError("it does not end")

    def on_wire(self, seq: int) -> None:
        """An operation is sent."""
        operation, _ = self.wire[seq]
        assert seq not in self.final, "sent after its end"
        assert operation.host not in self.unreachable, "sent to a host that is unreachable"
        assert operation.attempts == len(self.kinds[seq]), "attempts are miscounted"
        self.sends.append((self.now, seq))
        self.unrecorded += 1
        kind, seconds = self.answer(operation, self.now)
        self.later(seconds, lambda: self.on_answer(seq, operation.host, kind))

    def on_answer(self, seq: int, host: str, kind: Kind) -> None:
        """Its answer is there."""
        self.kinds[seq].append(kind)
        decision = self.hear(seq, kind, recorded=False)
        if decision.state is not State.PENDING:
            self.end(seq, decision.state)
        self.later(self.commit, self.on_commit)
        if decision.unreachable:
            self.unreachable.add(host)
            self.later(self.commit, lambda: self.on_breaker_open(host))

    def on_commit(self) -> None:
        """Its end is durable."""
        self.unrecorded -= 1
        self.scheduler.recorded(1)

    def on_breaker_open(self, host: str) -> None:
        """A host's rest is recorded as unreachable."""
        rest = [seq for seq, where in self.host_of.items() if where == host and seq not in self.final]
        for seq in rest:
            self.end(seq, State.UNREACHABLE)
        self.scheduler.marked_unreachable(host, len(rest))

    def end(self, seq: int, state: State) -> None:
        """An operation has its final state."""
        assert seq not in self.final, "ended twice"
        self.final[seq], self.ended[seq] = state, self.now

    def check(self) -> None:
        """What holds at every moment."""
        scheduler, rules = self.scheduler, self.scheduler.rules
        on_hosts = Counter(self.host_of[seq] for seq in self.wire)
        assert self.unrecorded <= rules.in_flight
        assert all(count <= rules.per_host.get(host, DEFAULT) for host, count in on_hosts.items())
        assert scheduler.in_flight == len(self.wire)
        assert scheduler.unrecorded == self.unrecorded
        assert scheduler.left == self.total - len(self.final)
        assert sum(scheduler.counts.values()) == self.total
        assert all(len(lane.queue) + lane.waiting <= WINDOW + lane.limit for lane in scheduler._lanes.values())

    def last_send(self, host: str) -> float:
        """When a host was sent the last request."""
        return max(time for time, seq in self.sends if self.host_of[seq] == host)

    def states(self, host: str | None = None) -> dict[State, int]:
        """How many operations ended how."""
        return dict(Counter(state for seq, state in self.final.items() if host in {None, self.host_of[seq]}))


def always(kind: Kind, seconds: float = 0.01) -> Callable[[Operation, float], tuple[Kind, float]]:
    """Every attempt ends alike."""
    return lambda _operation, _now: (kind, seconds)


# limits


def test_hosts_take_turns() -> None:
    """Operations go to the hosts in turn, in the order of the inventory and of each host's operations."""
    talk = Dialogue({f"host{n}": 3 for n in range(12)} | {"last": 1})
    assert talk.sent() == list(range(1, 38))


@pytest.mark.parametrize(
    ("rules", "sent"),
    [
        ({}, 2 * DEFAULT),
        ({"per_host": {"a": 1}}, 1 + DEFAULT),
        ({"per_host": {"a": 2, "b": 3}}, 5),
        ({"in_flight": 3}, 3),
        ({"in_flight": 1}, 1),
        ({"rate": 10.0}, 1),
    ],
)
def test_limits_hold_from_the_start(rules: dict[str, Any], sent: int) -> None:
    """No more is sent at once than the run, the host and the rate allow."""
    assert len(Dialogue({"a": 20, "b": 20}, **rules).sent()) == sent


def test_a_slot_is_free_when_the_end_is_recorded() -> None:
    """An operation counts as under way until its end is durable, not only until its answer is there."""
    talk = Dialogue({"a": 9}, in_flight=1)
    assert talk.sent() == [1]
    talk.hear(1, recorded=False)
    assert talk.sent() == []
    talk.scheduler.recorded(1)
    assert talk.sent() == [2]


def test_a_host_is_free_when_its_answer_is_there() -> None:
    """A host's own limit counts requests on the wire, and does not wait for the disk."""
    talk = Dialogue({"a": 9}, per_host={"a": 1})
    assert talk.sent() == [1]
    talk.hear(1, recorded=False)
    assert talk.sent() == [2]


def test_a_rate_is_kept_and_not_saved_up() -> None:
    """Requests are spread evenly, and a pause does not buy a burst."""
    talk = Dialogue({"a": 9}, rate=10.0, per_host={"a": 9})
    assert [talk.sent(now) for now in (0.0, 0.05, 0.1, 0.15, 5.0, 5.05, 5.1)] == [[1], [], [2], [], [3], [], [4]]
    assert talk.due(5.1) == pytest.approx(5.2)
    assert "10 requests per second" in talk.scheduler.reason(5.15)


def test_no_moment_lies_between_not_yet_and_too_late() -> None:
    """Whoever is told to wait is told until when, whatever small time passes between two readings of the clock."""
    talk = Dialogue({"a": 3}, rate=10.0)
    assert talk.sent(0.0) == [1]
    for early in (0.1 - 1e-3, 0.1 - 1e-6, 0.1 - 1e-9):
        assert talk.due(early) == pytest.approx(0.1)
    assert talk.sent(0.1 + 1e-9) == [2]


def test_a_rate_holds_from_step_to_step() -> None:
    """A step goes on with the pace of the one before it: its first request waits for its turn."""
    pace = Pace(10.0)
    sent = []
    for number in range(5):
        scheduler = Scheduler(Rules(in_flight=9), {"a": 1}, pace=pace)
        scheduler.feed("a", [Operation(number, "a", "{}", 0)], asked=9)
        now = number * 0.001
        wait = scheduler.next(now)
        if isinstance(wait, Wait):
            assert wait.until is not None
            now = wait.until
            assert isinstance(scheduler.next(now), Operation)
        sent.append(now)
    assert sent == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_step_may_have_a_slower_pace_of_its_own() -> None:
    """A pace that changes counts from the last request: the next one leaves when the new rate allows it."""
    pace = Pace(10.0)
    pace.take(0.0)
    pace.rate = 1.0
    assert pace.free_at(0.1) == 1.0
    pace.rate = None
    assert pace.free_at(0.1) == 0.1


def test_being_late_by_a_moment_does_not_add_up() -> None:
    """A sender that wakes some milliseconds late each time sends as many as the rate says, and never more."""
    pace, now = Pace(100.0), 0.0
    for _ in range(1000):
        now = max(now, pace.free_at(now)) + 0.003
        pace.take(now)
    assert now == pytest.approx(10.0, abs=0.02)


def test_nothing_may_fail_unless_somebody_says_so() -> None:
    """Rules that say nothing of failures allow none."""
    assert Rules(in_flight=1).allowed_failures == 0


@pytest.mark.parametrize(
    ("sent", "heard", "in_flight", "waits"),
    [
        (4, 1, 100, False),  # most is on the wire
        (4, 2, 100, False),  # there is room
        (4, 2, 4, True),
        (4, 3, 4, True),
        (4, 4, 100, True),  # nothing is on the wire
    ],
)
def test_the_journal_is_awaited_when_nothing_else_can_help(sent: int, heard: int, in_flight: int, waits: bool) -> None:
    """A full `in_flight`, or an idle wire, of which most waits for the disk is a reason to wait for the disk."""
    talk = Dialogue({"a": sent}, per_host={"a": sent}, in_flight=in_flight)
    for seq in talk.sent()[:heard]:
        talk.hear(seq, recorded=False)
    assert talk.scheduler.awaits_journal is waits


def test_being_late_by_more_than_a_moment_costs_a_turn() -> None:
    """A request that leaves 20 ms late or less does not delay the next one; one that is later does."""
    for late, following in ((0.019, 0.2), (0.021, 0.221)):
        pace = Pace(10.0)
        pace.take(0.0)
        pace.take(0.1 + late)
        assert pace.free_at(0.1 + late) == pytest.approx(following)


def test_a_retry_waits_without_a_slot() -> None:
    """While an operation waits for its next attempt, others take its place; then it is the first of its host."""
    talk = Dialogue({"a": 9}, in_flight=1, retry=RetryPolicy(base=8.0, max=8.0))
    assert talk.sent() == [1]
    decision = talk.hear(1, TEMPORARY, now=1.0)
    assert (decision.state, decision.unreachable, talk.scheduler.waiting) == (State.PENDING, False, 1)
    assert talk.sent() == [2]
    talk.hear(2)
    assert talk.sent(1.0 + decision.pause) == [1]
    assert (talk.wire[1][0].attempts, talk.scheduler.waiting) == (1, 0)


def test_a_waiting_retry_is_announced() -> None:
    """When nothing else is left, the scheduler says when to ask again, and why nothing happens."""
    talk = Dialogue({"a": 1}, retry=RetryPolicy(base=8.0, max=8.0))
    talk.sent()
    pause = talk.hear(1, TEMPORARY, now=1.0).pause
    assert talk.due(1.0) == 1.0 + pause
    assert talk.scheduler.reason(1.0) == f"the next retry on a in {pause:.0f} s"


def test_a_host_that_asks_to_wait_is_left_alone() -> None:
    """Nothing is sent to a host before the time that it asked for, whatever else it answers; others go on."""
    talk = Dialogue({"a": 4, "b": 8}, in_flight=4, per_host={"a": 2, "b": 2}, retry=RetryPolicy(base=0.0))
    hosts = {op.seq: op.host for ops in talk.pending.values() for op in ops}
    first = talk.sent()
    assert sorted(hosts[seq] for seq in first) == ["a", "a", "b", "b"]
    turned_away, *others = sorted(first, key=lambda seq: hosts[seq])
    assert talk.hear(turned_away, Kind.NOT_EXECUTED, now=1.0, wait=20.0).pause == 20.0
    for seq in others:
        talk.hear(seq, now=1.0)
    assert [hosts[seq] for seq in talk.sent(1.0)] == ["b", "b"]
    assert talk.scheduler.reason(2.0) == "a asked to wait (Retry-After): nothing is sent to it for 19 s"
    assert talk.due(2.0) == 21.0
    assert talk.sent(20.9) == []
    again = talk.sent(21.0)
    assert turned_away in again
    assert [hosts[seq] for seq in again] == ["a", "a"]


def test_a_host_that_asks_to_wait_too_long_is_not_waited_for() -> None:
    """A wait beyond the deadline ends the operation, and holds back no other one."""
    talk = Dialogue({"a": 2}, per_host={"a": 1}, retry=RetryPolicy(deadline=60.0), allowed_failures=1)
    talk.sent()
    assert talk.hear(1, Kind.NOT_EXECUTED, wait=61.0).state is State.FAILED
    assert talk.sent() == [2]


# ends


@pytest.mark.parametrize(
    ("kind", "effect", "state"),
    [
        (DONE, Effect.READ, State.DONE),
        (Kind.UNCHANGED, Effect.READ, State.DONE),
        (FAILED, Effect.READ, State.FAILED),
        (TEMPORARY, Effect.READ, State.PENDING),
        (UNREACHABLE, Effect.READ, State.PENDING),
        (UNKNOWN, Effect.REPEATABLE, State.PENDING),
        (UNREACHABLE, UNREPEATABLE, State.PENDING),
        (Kind.NOT_EXECUTED, UNREPEATABLE, State.PENDING),
        (TEMPORARY, UNREPEATABLE, State.IN_DOUBT),
        (UNKNOWN, UNREPEATABLE, State.IN_DOUBT),
    ],
)
def test_what_becomes_of_an_operation(kind: Kind, effect: Effect, state: State) -> None:
    """The first attempt's kind decides whether there is another, and what the operation is otherwise."""
    talk = Dialogue({"a": 1}, effect=effect)
    talk.sent()
    assert talk.hear(1, kind).state is state


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_attempts_are_counted(attempts: int) -> None:
    """An operation is tried as often as the policy says, and is failed then."""
    step = Simulation({"a": 1}, always(TEMPORARY), retry=RetryPolicy(attempts=attempts)).run()
    assert (len(step.sends), step.states()) == (attempts, {State.FAILED: 1})


@pytest.mark.parametrize(("allowed", "failures", "stopped"), [(0, 0, False), (0, 1, True), (3, 3, False), (3, 4, True)])
def test_max_failed_is_exact(allowed: int, failures: int, stopped: bool) -> None:
    """As many may fail as are allowed; one more stops the step, and nothing is sent after it."""
    bad = set(range(1, failures + 1))
    step = Simulation(
        {"a": 20},
        lambda op, _now: (FAILED if op.seq in bad else DONE, 0.01),
        allowed_failures=allowed,
        per_host={"a": 1},
    ).run()
    assert bool(step.scheduler.stopped) is stopped
    assert len(step.sends) == (failures if stopped else 20)


def test_earlier_failures_count() -> None:
    """Failures of an earlier session count towards what may fail."""
    talk = Dialogue(
        {"a": 5}, allowed_failures=3, ended={State.FAILED: 1, State.UNREACHABLE: 1, State.IN_DOUBT: 1, State.DONE: 9}
    )
    talk.sent()
    talk.hear(1, FAILED)
    assert talk.scheduler.stopped == "4 operations failed, 3 allowed (max_failed)"


def test_what_is_in_doubt_counts_as_failed() -> None:
    """An operation in doubt is one that did not work."""
    talk = Dialogue({"a": 5}, allowed_failures=0, effect=UNREPEATABLE)
    talk.sent()
    talk.hear(1, UNKNOWN)
    assert talk.scheduler.stopped == "1 operation failed, 0 allowed (max_failed)"


def test_a_stop_lets_answers_come() -> None:
    """After a stop nothing is sent, and the step is done when all that was sent is heard and recorded."""
    talk = Dialogue({"a": 9})
    sent = talk.sent()
    talk.scheduler.stop("Ctrl-C")
    talk.scheduler.stop("another reason")
    for seq in sent:
        assert (talk.sent(), talk.scheduler.done) == ([], False)
        talk.hear(seq, recorded=False)
    assert not talk.scheduler.done
    talk.scheduler.recorded(len(sent))
    assert (talk.scheduler.done, talk.scheduler.reason(0)) == (True, "stopping: Ctrl-C")
    assert talk.due(0) is None


def test_a_storm_of_retries_stops_the_step() -> None:
    """When retries exceed the budget the step stops, and the last error is named."""
    step = Simulation(
        {f"h{n}": 100 for n in range(10)}, always(TEMPORARY), retry=RetryPolicy(budget=0.1, attempts=50)
    ).run()
    assert step.scheduler.stopped.startswith(
        f"retry budget exhausted: {FREE_RETRIES + 101} retries for 1000 operations"
    )
    assert step.scheduler.stopped.endswith("trouble")


# a host in trouble


def test_a_silent_host_gets_one_request_at_a_time() -> None:
    """After some attempts without an answer a host's circuit breaker opens: one request at a time, with growing pauses."""
    talk = Dialogue({"a": 50}, per_host={"a": 4}, retry=RetryPolicy(attempts=99, base=1.0, max=30.0))
    for seq in talk.sent() + talk.sent():
        talk.hear(seq, UNREACHABLE, now=0.0)
    for seq in talk.sent(0.0):
        talk.hear(seq, UNREACHABLE, now=0.0)
    assert talk.sent(0.5) == []
    due = talk.due(0.5)
    assert due is not None
    assert "circuit breaker open for a; one request at a time" in talk.scheduler.reason(0.5)
    assert len(talk.sent(60.0)) == 1


@pytest.mark.parametrize("kind", [DONE, FAILED, TEMPORARY])
def test_any_answer_closes_the_circuit_breaker(kind: Kind) -> None:
    """A host that answers at all, be it with an error, gets its full share at once."""
    talk = Dialogue({"a": 50}, per_host={"a": 4}, retry=RetryPolicy(attempts=99, base=60.0, max=60.0))
    while not (reason := talk.scheduler.reason(talk.now)) or "circuit breaker" not in reason:
        for seq in talk.sent():
            talk.hear(seq, UNREACHABLE)
    [seq] = talk.sent(100.0)
    talk.hear(seq, kind)
    assert len(talk.sent()) == 4


def test_a_dead_host_is_marked_unreachable_and_others_go_on() -> None:
    """A host that never answers: all its operations become unreachable; the others' end is not delayed by it."""

    def answer(operation: Operation, _now: float) -> tuple[Kind, float]:
        return (UNREACHABLE, 5.0) if operation.host == "dead" else (DONE, 0.01)

    step = Simulation({"dead": 500, "a": 400, "b": 400}, answer, in_flight=20).run()
    assert step.states("dead") == {State.UNREACHABLE: 500}
    assert step.states("a") == step.states("b") == {State.DONE: 400}
    assert max(step.ended[seq] for seq, host in step.host_of.items() if host != "dead") < 3.0
    assert len([seq for _, seq in step.sends if step.host_of[seq] == "dead"]) < 30


@pytest.mark.parametrize("per_host", [1, 4, 16, 64])
def test_a_host_is_not_unreachable_for_one_bad_moment(per_host: int) -> None:
    """Requests that fail at the same moment are one sign of trouble: a host that restarts gets time to come back."""

    def answer(_operation: Operation, now: float) -> tuple[Kind, float]:
        return (UNREACHABLE if now < 3.0 else DONE), 0.001

    step = Simulation({"a": 200}, answer, per_host={"a": per_host}).run()
    assert step.states() == {State.DONE: 200}


def test_a_host_that_is_unreachable_is_sent_nothing_more() -> None:
    """Between giving a host up and having that on the disk, nothing more goes to it, also without pauses."""
    policy = RetryPolicy(base=0.0, max=0.0, attempts=3, deadline=600)
    step = Simulation({"a": 100}, always(UNREACHABLE), retry=policy, per_host={"a": 1}, commit=0.05).run()
    assert step.unreachable == {"a"}
    assert step.states() == {State.UNREACHABLE: 100}


def test_a_host_is_not_tried_for_longer_than_an_operation_would_be() -> None:
    """A host that lets each request hang becomes unreachable after the deadline of retries, however many attempts are left."""
    policy = RetryPolicy(base=0.0, max=0.0, attempts=100, deadline=600, budget=100)
    step = Simulation({"a": 500}, always(UNKNOWN, 60.0), retry=policy, per_host={"a": 1}).run()
    assert step.states() == {State.FAILED: 1, State.UNREACHABLE: 499}
    assert 600 < max(step.ended.values()) < 800


def test_giving_up_counts_towards_max_failed() -> None:
    """All operations of a host that is unreachable are failures."""
    step = Simulation(
        {"dead": 20, "a": 2000}, lambda op, _now: (UNREACHABLE if op.host == "dead" else DONE, 0.5), allowed_failures=19
    ).run()
    assert step.scheduler.stopped == "20 operations failed, 19 allowed (max_failed)"


def silences(talk: Dialogue, count: int, *, now: float = 0.0) -> Decision:
    """So many attempts in a row have no answer, one after the other; returns what follows from the last."""
    decision = Decision(State.PENDING)
    for _ in range(count):
        talk.sent(now)
        decision = talk.hear(min(talk.wire), UNREACHABLE, now=now)
    return decision


PATIENT = RetryPolicy(attempts=99, base=60.0, max=60.0, deadline=1e6)


def test_a_few_silences_are_no_reason_for_the_circuit_breaker() -> None:
    """Until the fifth attempt in a row without an answer a host gets its full share; after it nothing for a while."""
    talk = Dialogue({"a": 50}, per_host={"a": 4}, retry=PATIENT)
    silences(talk, BREAKER_AFTER - 1)
    talk.sent()
    assert (BREAKER_AFTER, len(talk.wire)) == (5, 4)
    silences(talk, 1)
    assert (talk.sent(), len(talk.wire)) == ([], 3)


@pytest.mark.parametrize("kind", [DONE, FAILED, TEMPORARY])
def test_an_answer_begins_the_count_anew(kind: Kind) -> None:
    """Silences before an answer do not count towards the circuit breaker any more, and the answer is none of them."""
    talk = Dialogue({"a": 50}, per_host={"a": 2}, retry=PATIENT)
    silences(talk, BREAKER_AFTER - 1)
    talk.sent()
    talk.hear(min(talk.wire), kind)
    silences(talk, BREAKER_AFTER - 1)
    talk.sent()
    assert len(talk.wire) == 2


def test_the_circuit_breaker_waits_as_a_retry_does() -> None:
    """The first pause is the longest that a first retry may have; each further silence doubles it."""
    talk = Dialogue({"a": 50}, per_host={"a": 1}, retry=RetryPolicy(attempts=99, base=2.0, max=30.0, deadline=1e6))
    silences(talk, BREAKER_AFTER)
    now = 0.0
    for pause in (2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        assert talk.sent(now + pause - 0.001) == []
        now += pause
        [seq] = talk.sent(now)
        talk.hear(seq, UNREACHABLE)


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_host_gets_as_many_attempts_as_an_operation(attempts: int) -> None:
    """After the circuit breaker opened, a host has as many attempts as an operation; the last one's silence is the end."""
    talk = Dialogue({"a": 50}, per_host={"a": 1}, retry=RetryPolicy(attempts=attempts, base=0.0, max=0.0))
    assert not silences(talk, BREAKER_AFTER + attempts - 1).unreachable
    assert silences(talk, 1).unreachable


def test_a_host_gets_the_whole_deadline() -> None:
    """However late in a step a host falls silent, it is marked unreachable when the deadline has passed since its first silence."""
    talk = Dialogue({"a": 50}, per_host={"a": 1}, retry=RetryPolicy(attempts=99, base=0.0, max=0.0, deadline=100.0))
    assert not silences(talk, BREAKER_AFTER, now=5000.0).unreachable
    assert not silences(talk, 1, now=5100.0).unreachable
    assert silences(talk, 1, now=5100.5).unreachable


# polling


def poll(
    kinds: Callable[[float], Kind], rows: Callable[[float], Any] = lambda _now: (), **polling: float
) -> tuple[State, list[float]]:
    """How an operation that is polled ends, and when it was asked."""
    talk = Dialogue({"a": 1}, polling=Polling(**{"every": 1.0, "within": 10.0, **polling}))  # type: ignore[arg-type]
    asked: list[float] = []
    now = 0.0
    while True:
        if talk.sent(now):
            asked.append(now)
            decision = talk.hear(1, kinds(now), now=now + 0.25, rows=rows(now))
            if decision.state is not State.PENDING:
                return decision.state, asked
        due = talk.due(now)
        assert due is not None
        now = due


def test_a_poll_goes_on_until_it_holds() -> None:
    """A polled operation is polled, once each interval, until its condition holds."""
    assert poll(lambda now: DONE if now >= 3 else Kind.NOT_YET) == (State.DONE, [0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("kind", [Kind.NOT_YET, UNREACHABLE, UNKNOWN, TEMPORARY])
def test_a_poll_ends_in_time(kind: Kind) -> None:
    """A condition that does not come true in time fails, and a host may be away meanwhile without becoming unreachable."""
    state, asked = poll(lambda _now: kind)
    assert state in BAD_STATES
    assert asked == [float(second) for second in range(11)]


def test_a_poll_that_stalls_ends_early() -> None:
    """When the answer does not change for a while there is no use in going on; while it changes there is."""
    state, asked = poll(
        lambda _now: Kind.NOT_YET, lambda now: [{"users": str(max(0, 5 - int(now)))}], stall=3.0, within=60.0
    )
    assert (state, asked[-1]) == (State.FAILED, 8.0)


@pytest.mark.parametrize(
    ("kind", "state"), [(Kind.NOT_YET, State.PENDING), (UNKNOWN, State.PENDING), (Kind.LATE, State.FAILED)]
)
def test_a_poll_asks_once_more_after_a_long_sleep(kind: Kind, state: State) -> None:
    """Who was stopped between question and answer asks once more before saying no; a host that hangs has had its time."""
    talk = Dialogue({"a": 1}, polling=Polling(every=1.0, within=10.0, stall=5.0))
    talk.sent()
    assert talk.hear(1, kind, now=500.0).state is state
    if state is State.PENDING:
        assert talk.sent(500.0) == [1]
        assert talk.hear(1, kind, now=500.25).state is State.FAILED


@pytest.mark.parametrize(("wait", "pause"), [(4.0, 4.0), (11.0, None)])
def test_a_poll_waits_as_long_as_the_host_asks_for(wait: float, pause: float | None) -> None:
    """A poll that was turned away comes back when the host wants it, unless that is after its time."""
    talk = Dialogue({"a": 1}, polling=Polling(every=1.0, within=10.0))
    talk.sent()
    decision = talk.hear(1, Kind.NOT_EXECUTED, now=0.5, wait=wait)
    assert (decision.pause or None, decision.state) == (pause, State.PENDING if pause else State.FAILED)


def test_a_poll_that_fails_is_failed() -> None:
    """An error that no repetition heals ends a poll at once."""
    assert poll(lambda _now: FAILED) == (State.FAILED, [0.0])


def test_a_slow_poll_is_asked_again_at_once() -> None:
    """An answer that took longer than the interval is followed by the next question, not by a further pause."""
    talk = Dialogue({"a": 1}, polling=Polling(every=1.0, within=60.0))
    talk.sent()
    assert talk.hear(1, Kind.NOT_YET, now=5.0).pause == 0.0
    assert talk.sent(5.0) == [1]


def test_polls_do_not_count_as_retries() -> None:
    """Asking again is what a poll is for; it never looks like a storm."""
    kinds = Simulation(
        {"a": 4, "b": 4}, always(Kind.NOT_YET), polling=Polling(every=0.1, within=60.0), retry=RetryPolicy(budget=0.001)
    )
    assert kinds.run().scheduler.retries == 0
    assert kinds.states() == {State.FAILED: 8}


# feeding


def test_memory_holds_a_window() -> None:
    """However many operations a host has, a window of them is asked for, and more when it runs low."""
    talk = Dialogue({"a": 100_000})
    assert talk.feed() == [("a", 0, WINDOW)]
    assert talk.feed() == []
    step = Simulation({"a": 1000}, always(DONE)).run()
    assert step.states() == {State.DONE: 1000}


def test_many_hosts_share_the_memory() -> None:
    """With thousands of hosts each holds a small window."""
    talk = Dialogue({f"h{n}": 10 for n in range(5000)})
    assert sum(asked for _, _, asked in talk.feed()) <= 8 * 5000


def test_a_small_window_does_not_hold_a_host_back() -> None:
    """A host that bears more at a time than a window holds is fed before any answer comes."""
    talk = Dialogue({f"h{n}": 40 for n in range(1100)}, in_flight=100_000, per_host={"h0": 20})
    talk.sent()
    assert sum(operation.host == "h0" for operation, _ in talk.wire.values()) == 20


def test_nothing_to_do_is_done() -> None:
    """A step without operations is done at once."""
    talk = Dialogue({"a": 0})
    assert (talk.sent(), talk.scheduler.done) == ([], True)


# whole steps at random


@st.composite
def worlds(draw: st.DrawFn) -> Simulation:
    """A step with random limits, and hosts that behave at random."""
    hosts = {f"h{n}": draw(st.integers(0, 90)) for n in range(draw(st.integers(1, 4)))}
    dice = random.Random(draw(st.integers(0, 10**6)))
    moods = {host: draw(st.sampled_from(["good", "good", "mixed", "bad", "dead", "late"])) for host in hosts}
    weights = {
        "good": [97, 1, 1, 1, 0],
        "mixed": [60, 10, 10, 10, 10],
        "bad": [10, 10, 30, 30, 20],
        "dead": [0, 0, 0, 9, 1],
        "late": [97, 1, 1, 1, 0],
    }

    def answer(operation: Operation, _now: float) -> tuple[Kind, float]:
        mood = moods[operation.host]
        [kind] = dice.choices([DONE, FAILED, TEMPORARY, UNREACHABLE, UNKNOWN], weights[mood])
        return kind, dice.choice([0.0, 0.001, 0.01, 2.0 if mood == "late" else 0.1])

    return Simulation(
        hosts,
        answer,
        commit=draw(st.sampled_from([0.0, 0.001, 0.5])),
        in_flight=draw(st.sampled_from([1, 2, 7, 100])),
        per_host={host: draw(st.sampled_from([1, 2, 4, 16])) for host in hosts},
        rate=draw(st.sampled_from([None, None, 20.0, 1000.0])),
        allowed_failures=draw(st.sampled_from([0, 5, ALL_MAY_FAIL, ALL_MAY_FAIL])),
        effect=draw(st.sampled_from(Effect)),
        retry=RetryPolicy(
            attempts=draw(st.sampled_from([1, 3, 6])),
            base=draw(st.sampled_from([0.0, 0.1, 1.0])),
            max=draw(st.sampled_from([1.0, 30.0])),
            deadline=draw(st.sampled_from([0.0, 5.0, 600.0])),
            budget=draw(st.sampled_from([0.01, 2.0])),
        ),
    )


@settings(max_examples=120, phases=UNSHRUNK)
@given(worlds())
def test_all_promises_hold_in_any_world(step: Simulation) -> None:
    """Limits are never exceeded, each operation ends once, nothing unrepeatable is sent twice, and it ends."""
    step.run()
    scheduler, rules = step.scheduler, step.scheduler.rules
    if not scheduler.stopped:
        assert len(step.final) == step.total
    times = [time for time, _ in step.sends]
    if step.rate:
        assert all(later - earlier >= 1 / step.rate - LATENESS for earlier, later in pairwise(times))
        assert all(number <= 1 + step.rate * (time + LATENESS) + 1e-6 for number, time in enumerate(times, 1))
    assert all(len(kinds) <= rules.retry.attempts for kinds in step.kinds.values())
    if rules.effect is UNREPEATABLE:
        assert all(kind not in {UNKNOWN, TEMPORARY} for kinds in step.kinds.values() for kind in kinds[:-1])
    failed = sum(state in BAD_STATES for state in step.final.values())
    assert scheduler.ended == Counter(step.final.values())
    assert scheduler.failed == failed
    assert failed <= rules.allowed_failures or scheduler.stopped


@settings(max_examples=30, phases=UNSHRUNK)
@given(worlds())
def test_a_replay_is_the_same(step: Simulation) -> None:
    """With the same answers at the same times, the same is sent at the same times."""
    step.run()
    script = {(seq, attempt): kind for seq, kinds in step.kinds.items() for attempt, kind in enumerate(kinds)}
    rules = {
        name: getattr(step.scheduler.rules, name)
        for name in ("in_flight", "per_host", "allowed_failures", "effect", "retry")
    }
    hosts = {host: len(operations) for host, operations in step.pending.items()}
    replays = [
        Simulation(
            hosts,
            lambda op, _now: (script.get((op.seq, op.attempts), DONE), 0.01),
            commit=step.commit,
            rate=step.rate,
            **rules,
        ).run()
        for _ in range(2)
    ]
    assert replays[0].sends == replays[1].sends
    assert replays[0].final == replays[1].final
