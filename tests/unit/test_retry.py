"""When an operation is retried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.retry import FREE_RETRIES, RetryPolicy, policy
from orchestrator.limits import Retry

seconds = st.floats(0, 1000)


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (50, 30), (5000, 30)]
)
def test_waits_double_up_to_a_cap(attempt: int, longest: float) -> None:
    """The longest wait doubles with each attempt and stops at the cap, whatever the first one is."""
    assert RetryPolicy(attempts=10_000).longest(attempt) == longest
    assert RetryPolicy(base=0.25, max=7.5).longest(attempt) == longest / 4


@given(st.integers(0, 10**9), st.integers(1, 200), seconds, seconds)
def test_jitter_is_full_and_bounded(operation: int, attempt: int, base: float, cap: float) -> None:
    """A wait is between nothing and the cap of its attempt, and the same each time."""
    rules = RetryPolicy(attempts=1000, base=base, max=cap, deadline=1e12)
    wait = rules.wait(operation, attempt, 0)
    assert wait is not None
    assert 0 <= wait <= rules.longest(attempt) <= cap
    assert wait == rules.wait(operation, attempt, 0)


def test_jitter_spreads() -> None:
    """A thousand operations that fail together come back spread over the whole wait."""
    waits = [RetryPolicy().wait(operation, 3, 0) or 0.0 for operation in range(1000)]
    tenths = {int(wait / 0.4) for wait in waits}
    assert tenths == set(range(10))
    assert len(set(waits)) > 990
    assert 1.8 < sum(waits) / 1000 < 2.2


@pytest.mark.parametrize(("attempts", "made", "again"), [(1, 1, False), (6, 5, True), (6, 6, False), (6, 7, False)])
def test_attempts_are_bounded(attempts: int, made: int, again: bool) -> None:
    """`attempts` counts all of them, the first included."""
    assert (RetryPolicy(attempts=attempts).wait(1, made, 0) is not None) is again


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0, 100), st.floats(0, 100))
def test_no_attempt_starts_after_the_deadline(operation: int, attempt: int, age: float, deadline: float) -> None:
    """A wait that would end after the deadline is no wait: there is no retry."""
    wait = RetryPolicy(deadline=deadline).wait(operation, attempt, age)
    free = RetryPolicy(deadline=1e9).wait(operation, attempt, age)
    assert free is not None
    assert wait == (free if age + free <= deadline else None)


def test_an_attempt_may_start_at_the_deadline() -> None:
    """The deadline is the last moment at which an attempt may start."""
    rules = RetryPolicy(base=0.0, deadline=5.0)
    assert (rules.wait(1, 1, 5.0), rules.wait(1, 1, 5.001)) == (0.0, None)


@pytest.mark.parametrize(
    ("at_least", "age", "wait"), [(50.0, 0.0, 50.0), (50.0, 50.0, 50.0), (50.0, 51.0, None), (1e5, 0.0, None)]
)
def test_a_host_that_asks_to_wait_is_waited_for(at_least: float, age: float, wait: float | None) -> None:
    """No attempt starts before the host wants it, nor after the deadline: then there is none."""
    assert RetryPolicy(deadline=100.0).wait(1, 1, age, at_least) == wait


@pytest.mark.parametrize(
    ("budget", "operations", "allowed"),
    [(2, 0, 0), (2, 1000, 2000), (0.5, 1000, 500), (0.5, 1, 0), (0.57, 10_000, 5700)],
)
def test_a_step_has_a_budget(budget: float, operations: int, allowed: int) -> None:
    """A step may make some retries for each of its operations, and a hundred for free."""
    assert FREE_RETRIES == 100
    assert RetryPolicy(budget=budget).allowance(operations) == FREE_RETRIES + allowed


def test_the_first_layer_that_speaks_decides() -> None:
    """Each setting comes from the nearest layer that says it, and else is the default."""
    made = policy(Retry(attempts=1), Retry(attempts=9, base=0.0, budget=0.1), Retry(max=5.0, deadline=7.0))
    assert made == RetryPolicy(attempts=1, base=0.0, max=5.0, deadline=7.0, budget=0.1)
    assert policy() == policy(Retry()) == RetryPolicy()
