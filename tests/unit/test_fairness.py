"""A slow or hung host costs its own requests' places and nothing else: whole fleets, in virtual time."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping

import pytest

from orchestrator.engine.retry import RetryPolicy
from orchestrator.engine.scheduler import DEFAULT, HELD, WINDOW, Operation, Rules, Scheduler
from orchestrator.outcome import Kind, Outcome, State

HOSTS = 100
HUNG = "h050"  # in the middle of the turns
COMMIT = 1_000  # microseconds until an end is durable
FOREVER = 10**12
ROOMY = HOSTS * DEFAULT * 8  # never a reason to wait
DONE, LOST = Outcome(Kind.DONE), Outcome(Kind.UNKNOWN, error="no answer in time")


def speeds() -> dict[str, int]:
    """Microseconds that each host's answers take: a hundredfold between the quickest and the slowest."""
    return {f"h{n:03}": 1_000 * (1 + n * 37 % HOSTS) for n in range(HOSTS)}


class Fleet:
    """A step against a fleet. Virtual time is counted in whole microseconds, so that times can be compared exactly.

    Operations are numbered as a file that is sorted by host has them: all of the first host, then all of the second.

    Args:
        speeds: host -> microseconds for each of its answers.
        operations: of each host.
        in_flight: of the whole run.
        hung: hosts whose requests end without an answer, after `speeds`.
        retry: for them.
    """

    def __init__(
        self,
        speeds: Mapping[str, int],
        operations: int,
        *,
        in_flight: int = ROOMY,
        hung: frozenset[str] = frozenset(),
        retry: RetryPolicy | None = None,
    ) -> None:
        self.speeds, self.operations, self.hung = speeds, operations, hung
        rules = Rules(in_flight=in_flight, allowed_failures=10**9, retry=retry or RetryPolicy())
        self.scheduler = Scheduler(rules, dict.fromkeys(speeds, operations))
        self.first = {host: number * operations for number, host in enumerate(speeds)}
        self.healthy = len(speeds) - len(hung)
        self.finished: dict[str, int] = {}
        self.sent: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.fed: Counter[str] = Counter()
        self.wire: Counter[str] = Counter()
        self.held = self.most_held = self.most_of_a_host = 0
        self.below = set(speeds) - hung  # healthy hosts with something to send and fewer than their limit on the wire
        self.now = 0
        self.answers: list[tuple[int, int, Operation, int]] = []
        self.commits: deque[int] = deque()
        self.unreachable: dict[str, int] = {}

    def run(self) -> Fleet:
        """Until all operations of the healthy hosts are done; also to the end, when the hung ones can become unreachable."""
        stuck = any(self.speeds[host] == FOREVER for host in self.hung)
        while len(self.finished) < self.healthy or (self.scheduler.left and not stuck):
            self.send()
            full = self.scheduler.unrecorded >= self.scheduler.rules.in_flight
            assert full or not self.below, f"{self.below} could be sent something"
            self.advance()
        return self

    def send(self) -> None:
        """Send all that may be sent."""
        self.feed()
        while isinstance(operation := self.scheduler.next(self.now), Operation):
            host = operation.host
            self.wire[host] += 1
            assert self.wire[host] <= DEFAULT
            if not operation.attempts:
                self.sent[host] += 1
                self.held -= 1
            if self.wire[host] == DEFAULT or self.sent[host] == self.operations:
                self.below.discard(host)
            heapq.heappush(self.answers, (self.now + self.speeds[host], operation.seq, operation, self.now))
            self.feed()
        self.wait = operation

    def feed(self) -> None:
        """Give the scheduler what it asks for, as a run file does."""
        for host, after, asked in self.scheduler.hungry():
            first = self.first[host]
            begin = max(after, first) + 1
            seqs = range(begin, min(begin + asked, first + self.operations + 1))
            self.scheduler.feed(host, [Operation(seq, host, "{}", 0) for seq in seqs], asked=asked)
            self.fed[host] += len(seqs)
            self.held += len(seqs)
            self.most_of_a_host = max(self.most_of_a_host, self.fed[host] - self.sent[host])
        self.most_held = max(self.most_held, self.held)

    def advance(self) -> None:
        """On to the next moment at which something happens."""
        due = self.wait.until
        times = [self.answers[0][0]] if self.answers else []
        times += [self.commits[0]] if self.commits else []
        times += [int(due) + 1] if due is not None else []
        self.now = min(times)
        while self.answers and self.answers[0][0] == self.now:
            _, _, operation, started = heapq.heappop(self.answers)
            self.hear(operation, started)
        while self.commits and self.commits[0] <= self.now:
            self.commits.popleft()
            self.scheduler.recorded(1)

    def hear(self, operation: Operation, started: int) -> None:
        """A request ends."""
        host = operation.host
        self.wire[host] -= 1
        decision = self.scheduler.heard(operation, LOST if host in self.hung else DONE, started, self.now)
        self.commits.append(self.now + COMMIT)
        if decision.state is not State.PENDING:
            self.done[host] += 1
        if decision.unreachable:
            self.unreachable[host] = self.now
            self.scheduler.marked_unreachable(host, self.operations - self.done[host])
        if host in self.hung:
            return
        if self.sent[host] < self.operations:
            self.below.add(host)
        if self.done[host] == self.operations:
            self.finished[host] = self.now


def check_memory(fleet: Fleet) -> None:
    """Each host's operations in memory are a window, all together about as many as the docs say."""
    assert fleet.most_of_a_host <= WINDOW
    assert fleet.most_held <= HELD


def test_a_hung_host_among_a_hundred() -> None:
    """One host never answers: every other one finishes 1000 operations, at the very moment it would alone."""
    operations = 1_000
    fleet = Fleet(speeds() | {HUNG: FOREVER}, operations, hung=frozenset({HUNG})).run()
    alone = {host: -(-operations // DEFAULT) * speed for host, speed in speeds().items() if host != HUNG}
    assert fleet.finished == alone
    assert (fleet.wire[HUNG], fleet.done[HUNG]) == (DEFAULT, 0)
    check_memory(fleet)


@pytest.mark.parametrize("in_flight", [DEFAULT * 2, 100])
def test_a_hung_host_costs_its_own_places(in_flight: int) -> None:
    """Where places are scarce the others finish no later than with as many fewer places and without the hung host.

    A little earlier, in fact: it takes a few turns until the hung host has all its places.
    """
    operations = 1_000
    here = speeds()
    fleet = Fleet(here | {HUNG: FOREVER}, operations, in_flight=in_flight, hung=frozenset({HUNG})).run()
    without = Fleet(
        {host: speed for host, speed in here.items() if host != HUNG}, operations, in_flight=in_flight - DEFAULT
    ).run()
    assert fleet.finished.keys() == without.finished.keys()
    for host, at in without.finished.items():
        assert fleet.finished[host] <= at + here[host], host  # within one operation
    check_memory(fleet)


def test_a_host_that_times_out_again_and_again() -> None:
    """While a host's requests time out, are retried and are marked unreachable in the end, no other host waits for it."""
    operations = 1_000
    seconds = 1_000_000
    policy = RetryPolicy(attempts=6, base=float(seconds), max=30.0 * seconds, deadline=600.0 * seconds)
    fleet = Fleet(speeds() | {HUNG: seconds}, operations, hung=frozenset({HUNG}), retry=policy).run()
    assert fleet.finished == {host: operations // DEFAULT * speed for host, speed in speeds().items() if host != HUNG}
    assert fleet.unreachable.keys() == {HUNG}
    assert fleet.scheduler.ended[State.DONE] == operations * (HOSTS - 1)
    check_memory(fleet)
