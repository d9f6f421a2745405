"""An operation that is to be sent: one command to one host."""

from __future__ import annotations

from typing import NamedTuple


class Operation(NamedTuple):
    """An operation that is to be sent.

    Attributes:
        seq: its number in the run; ascending within a host.
        host: the host's name.
        parameters: JSON.
        attempts: made so far.
    """

    seq: int
    host: str
    parameters: str
    attempts: int


def operation_id(step_key: str, seq: int, first: int) -> str:
    """An operation's id: its step's key and its number in the step, such as "5.17"; it is the tag that Dovecot echoes.

    Args:
        step_key: of its step.
        seq: its number in the run.
        first: the number of the step's first operation.
    """
    return f"{step_key}.{seq - first + 1}"
