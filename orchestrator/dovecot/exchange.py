"""How far a request came, as a value: not sent, sent without an answer, or answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Obstacle(Enum):
    """Why nothing was sent, as far as it makes a difference to what an operator can do."""

    REFUSED = auto()
    CERTIFICATE = auto()
    TLS = auto()
    NAME = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left: refused, unreachable, no such name, TLS failure, connect timeout.

    Attributes:
        local: the cause is this machine (no file descriptors left), not the host.
        obstacle: what to look at.
    """

    reason: str
    local: bool = False
    obstacle: Obstacle = Obstacle.OTHER


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have been executed: it was sent, wholly or in part, and no complete answer came.

    Attributes:
        late: nobody closed the connection; the time was over or the way is cut, and the host may still be at it.
    """

    reason: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A complete HTTP answer.

    Attributes:
        status: HTTP status.
        body: the whole body.
        offered: the schemes of authentication that a 401 offers.
    """

    status: int
    body: bytes
    offered: tuple[str, ...] = ()


Exchange = NotSent | NoAnswer | Answered
