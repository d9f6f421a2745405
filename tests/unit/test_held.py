"""A step that is held: nothing is sent, nothing is lost, and the time counts for no deadline."""

from __future__ import annotations

from orchestrator.engine.retry import RetryPolicy
from orchestrator.engine.scheduler import BREAKER_AFTER, UNSEEN, Polling, Wait
from orchestrator.outcome import Kind, State
from tests.unit.test_scheduler import TEMPORARY, Dialogue, silences


def test_nothing_is_sent_while_it_is_held() -> None:
    """Neither what was never sent nor what waits to be sent again; all of it follows when it is released."""
    talk = Dialogue({"a": 3}, per_host={"a": 1}, retry=RetryPolicy(base=1.0, max=1.0))
    assert talk.sent(0.0) == [1]
    talk.scheduler.hold("the condition does not hold", 0.0)
    talk.hear(1, TEMPORARY, now=0.1)
    assert talk.sent(100.0) == []
    assert talk.scheduler.reason(100.0) == "held: the condition does not hold"
    talk.scheduler.release(100.0)
    assert talk.sent(100.0) == [1]
    assert talk.hear(1).state is State.DONE
    assert talk.sent() == [2]


def test_what_was_seen_counts_for_a_while_only() -> None:
    """Unless somebody says again that it may go on, nothing is sent after that moment."""
    talk = Dialogue({"a": 3}, per_host={"a": 1})
    talk.scheduler.release(0.0, until=10.0)
    assert talk.sent(9.9) == [1]
    talk.hear(1, now=10.0)
    assert talk.scheduler.next(10.0) == Wait(None)
    assert talk.scheduler.reason(10.0) == f"held: {UNSEEN}"
    talk.scheduler.release(12.0, until=20.0)
    assert talk.sent(12.0) == [2]


def test_a_poll_has_all_its_time() -> None:
    """Polls in a held step are as late as it was held for; how long an answer has not changed is counted likewise."""
    talk = Dialogue({"a": 1}, polling=Polling(every=1.0, within=10.0, stall=5.0))
    talk.sent(0.0)
    talk.hear(1, Kind.NOT_YET)
    talk.scheduler.hold("the condition does not hold", 1.0)
    talk.scheduler.release(101.0)
    for now in range(101, 105):
        assert talk.sent(now) == [1]
        assert talk.hear(1, Kind.NOT_YET).state is State.PENDING
    talk.sent(105.0)
    assert talk.hear(1, Kind.NOT_YET).state is State.FAILED


def test_a_silent_host_has_all_its_time() -> None:
    """A host is not marked unreachable because of the time in which it was sent nothing."""
    talk = Dialogue({"a": 50}, per_host={"a": 1}, retry=RetryPolicy(attempts=99, base=0.0, max=0.0, deadline=100.0))
    assert not silences(talk, BREAKER_AFTER).unreachable
    talk.scheduler.hold("the condition does not hold", 10.0)
    talk.scheduler.release(1010.0)
    assert not silences(talk, 1, now=1100.0).unreachable
    assert silences(talk, 1, now=1100.5).unreachable
