"""How far a request came, as a value: not sent, sent without an answer, or answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto

ASLEEP = 0.25  # seconds; a timer that comes so late says that this program stood still


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
        remedy: what to do, where more is known than the obstacle says.
    """

    reason: str
    local: bool = False
    obstacle: Obstacle = Obstacle.OTHER
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have been executed: it was sent, wholly or in part, and no complete answer came.

    Attributes:
        late: nobody closed the connection; the timeout passed or the connection broke, and the host may still be executing it.
    """

    reason: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class Stranger:
    """Another program listens there: it greeted in its own protocol. It executes no doveadm command.

    Attributes:
        protocol: which one, such as "IMAP".
    """

    protocol: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A complete HTTP answer.

    Attributes:
        status: HTTP status.
        body: the whole body.
        offered: the schemes of authentication that a 401 offers.
        retry_after: seconds that the answer asks to wait, where it does; see `retry_after`.
        doubt: with a 401, what is odd about the secret that was sent, or empty.
    """

    status: int
    body: bytes
    offered: tuple[str, ...] = ()
    retry_after: float | None = None
    doubt: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the status says that the body is the answer: 2xx, of which Dovecot uses 200 alone."""
        return 200 <= self.status < 300


Exchange = NotSent | NoAnswer | Stranger | Answered

_GREETINGS = {
    b"* OK": "IMAP",
    b"* PREAUTH": "IMAP",
    b"* BYE": "IMAP",
    b"+OK": "POP3",
    b"-ERR": "POP3",
    b"220 ": "SMTP or LMTP",
    b"220-": "SMTP or LMTP",
    b"421 ": "SMTP or LMTP",
    b"554 ": "SMTP or LMTP",
    b'"IMPLEMENTATION"': "ManageSieve",
    b"SSH-": "SSH",
    b"VERSION\t": "a protocol of Dovecot's own",
}


def stranger(first: bytes) -> Stranger | None:
    """Who greets so, if it is one that is known not to be an HTTP server."""
    name = next((name for greeting, name in _GREETINGS.items() if first.startswith(greeting)), "")
    return Stranger(name) if name else None


LONGEST_WAIT = 86_400.0  # seconds; a host that asks for more is not waited for longer


def retry_after(value: str, now: float) -> float | None:
    """The seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3), or None when it says nothing that can be read.

    Args:
        value: seconds, or a date.
        now: the answer's own Date where it has one, so that clocks need not agree; seconds since the epoch.
    """
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), LONGEST_WAIT)
    moment = http_date(text)
    return None if moment is None else max(0.0, min(moment - now, LONGEST_WAIT))


def http_date(text: str) -> float | None:
    """A date of an HTTP header as seconds since the epoch, or None."""
    try:
        return (
            parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp()
        )  # HTTP dates are GMT, all three forms of them
    except (ValueError, OverflowError):
        return None
