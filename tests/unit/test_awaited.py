"""What a step waits for, in the words of its display."""

from __future__ import annotations

from orchestrator.engine.awaited import SLOW, Awaited
from orchestrator.engine.retry import RetryPolicy
from orchestrator.engine.scheduler import Polling, Rules
from orchestrator.operation import Operation
from orchestrator.outcome import Kind

SENT = Rules(in_flight=10, retry=RetryPolicy(attempts=6))
POLLED = Rules(in_flight=10, polling=Polling(every=1.0, within=30.0, stall=None))


def operation(seq: int, host: str, attempts: int = 0) -> Operation:
    """An operation."""
    return Operation(seq, host, "{}", attempts)


def test_a_slow_answer_is_waited_for_by_name() -> None:
    """Host, time and attempt stand there once an answer is slow; when it came, no more."""
    awaited = Awaited(SENT)
    awaited.sent(operation(1, "b3", attempts=1), 10.0)
    awaited.sent(operation(2, "b1"), 80.0)
    assert awaited.words(10.0 + SLOW / 2) == ""
    assert awaited.words(82.0) == "waiting for b3, 1m12s, attempt 2/6"
    awaited.heard(operation(1, "b3"), Kind.LATE)
    assert awaited.words(82.0) == ""


def test_many_hosts_are_few_words() -> None:
    """Each host is named once, and of many the first."""
    awaited = Awaited(SENT)
    for seq in range(20):
        awaited.sent(operation(seq, f"b{seq // 2}"), float(seq))
    assert awaited.words(100.0) == "waiting for b0, b1, b2 and 7 more, 1m40s, attempt 1/6"


def test_a_condition_is_waited_for_with_what_it_looks_at() -> None:
    """The value that is compared stands there, with its host, and since when it is asked for."""
    awaited = Awaited(POLLED)
    for seq, host in enumerate(["d1", "d2"]):
        awaited.sent(operation(seq, host), 5.0)
        awaited.looked(host, "users=13")
        awaited.heard(operation(seq, host), Kind.NOT_YET)
    assert awaited.words(5.2) == "users=13 on d1, d2; polled for 0s of 30s"
    awaited.looked("d2", "users=8")
    assert awaited.words(17.4) == "users=13 on d1; users=8 on d2; polled for 12s of 30s"
    awaited.heard(operation(0, "d1"), Kind.DONE)
    assert awaited.words(17.4) == "users=8 on d2; polled for 12s of 30s"
    awaited.looked("d2", "")
    assert awaited.words(17.4).startswith("condition still false on d2; ")
    awaited.sent(operation(1, "d2", attempts=9), 18.0)
    assert awaited.words(25.0) == "waiting for d2, 7s"
