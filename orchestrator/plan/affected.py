"""How many users and sessions notice a plan, in all: the number that prompt, plan and review say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

KINDS = ("users", "sessions")


def in_all(affected: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The sum over a plan's batches; the steps of one, and all that stand in none, cut off the same users.

    Args:
        affected: key of a step -> "users" and "sessions", where that could be told, in the order of running.
    """
    found: dict[str, int] = {}
    for _, keys in groupby(affected, batch_of):
        steps = [affected[key] for key in keys]
        for kind in KINDS:
            if counts := [step[kind] for step in steps if kind in step]:
                found[kind] = found.get(kind, 0) + max(counts)
    return found


def batch_of(key: str) -> str:
    """The batch that a step belongs to, such as "4[2]"; empty for one that stands by itself."""
    head, bracket, _ = key.partition("]")
    return head + bracket if bracket else ""
