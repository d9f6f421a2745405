"""When an operation is retried: attempt number and age in, seconds to wait (or "give up") out.

Exponential backoff with full jitter. The vocabulary is tenacity's; the waiting is not: a waiting operation is state in
the scheduler and holds no slot. Jitter is a hash of operation and attempt, so that a replay gives the same times.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast
from zlib import crc32

from tenacity import RetryCallState, stop_after_attempt, wait_exponential

from orchestrator.limits import Retry

FREE_RETRIES = 100  # of every step, so that a short one does not exhaust its budget with a few


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long.

    Attributes:
        attempts: in all.
        base: seconds; the longest wait after the first attempt, doubled after each further one.
        max: seconds; the longest wait ever.
        deadline: seconds after the first attempt; no attempt starts later.
        budget: retries for each operation of a step, on average; more of them stop the step.
    """

    attempts: int = 6
    base: float = 1.0
    max: float = 30.0
    deadline: float = 600.0
    budget: float = 2.0

    def wait(self, operation: int, attempt: int, age: float, at_least: float = 0.0) -> float | None:
        """Seconds until the next attempt, or None when there is none.

        Args:
            operation: its number, for the jitter.
            attempt: how many were made.
            age: seconds since the first of them started.
            at_least: seconds before which the host wants no retry.
        """
        if stop_after_attempt(self.attempts)(_after(attempt)):
            return None
        pause = max(at_least, self.longest(attempt) * _fraction(operation, attempt))
        return pause if age + pause <= self.deadline else None

    def allowance(self, operations: int) -> int:
        """How many retries a step of so many operations may make in all."""
        return FREE_RETRIES + int(operations * Fraction(str(self.budget)))  # as it was written: 0.57 of 10 000 are 5700

    def longest(self, attempt: int) -> float:
        """The longest wait after so many attempts, in seconds."""
        return float(wait_exponential(multiplier=self.base, max=self.max)(_after(attempt)))


def _after(attempt: int) -> RetryCallState:
    state: RetryCallState = cast("Any", RetryCallState)(None, None, (), {})
    state.attempt_number = attempt
    return state


def _fraction(operation: int, attempt: int) -> float:
    """A number between 0 and 1 that looks like chance."""
    return crc32(f"{operation}/{attempt}".encode()) / 2**32


def policy(*layers: Retry) -> RetryPolicy:
    """The policy that settings make together; the first one that says something decides."""
    plain = RetryPolicy()

    def pick(name: str) -> Any:
        return next((v for layer in layers if (v := getattr(layer, name)) is not None), getattr(plain, name))

    return RetryPolicy(pick("attempts"), pick("base"), pick("max"), pick("deadline"), pick("budget"))
