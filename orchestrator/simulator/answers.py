"""What a command answers, and its exact bytes by version."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal

Value = str | int | Decimal
Row = dict[str, Value]

_CONTROL = re.compile(r"(?<!\\)((?:\\\\)*)\\u00([0-9a-f]{2})")


class Died(Exception):  # noqa: N818 - not an error of ours: the doveadm process ends, and with it the connection
    """The process died: the client gets zero bytes.

    Args:
        text: What the host's log keeps of it.
        after: Dovecot's seconds until the connection is closed.
    """

    def __init__(self, text: str, *, after: float = 0.0) -> None:
        super().__init__(text)
        self.text = text
        self.after = after


class Held(Exception):  # noqa: N818 - a wait, not an error
    """The ring does not take changes now: nothing has happened yet, try again in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class BadPayload(Exception):  # noqa: N818 - the client's error
    """The request is no list of commands: HTTP 400 with this text, whatever ran before."""


@dataclass(slots=True)
class Reply:
    """A command's answer.

    Attributes:
        rows: A list of rows, or the one object that `user` answers.
        code: The exit code; 0 is success and shows the rows.
        after: Seconds (of this fleet, scaled) until the command ends.
        misnested: Rows after the first stand beside the list, as in 2.3's grouped `who`.
        stops: The host ends with this answer.
        linger: Seconds (scaled) that its sessions outlive it.
        reason: What the log says of a failure.
    """

    rows: list[Row] | dict[str, object] | None = None
    code: int = 0
    after: float = 0.0
    misnested: bool = False
    stops: bool = False
    linger: float = 0.0
    reason: str = ""


OK = Reply()


def failed(code: int, reason: str = "") -> Reply:
    """The answer of a command that ran and did not succeed; only the host's log knows the reason."""
    return Reply(code=code, reason=reason)


def to_json(value: object, version: str) -> str:
    """JSON as Dovecot prints it: no blanks, non-ASCII raw; 2.4 writes control characters in upper case."""
    text = _ENCODER.encode(value)
    for mark, number in _marked(value):
        text = text.replace(mark, number)
    if version == "2.4" and "\\u00" in text:
        text = _CONTROL.sub(lambda found: f"{found[1]}\\u00{found[2].upper()}", text)
    return text


def _number(value: object) -> str:
    return f"\x00{value}"


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_number)


def _marked(value: object) -> list[tuple[str, str]]:
    # statsDump prints averages as 4244.00: a Decimal keeps its digits, which a float would not
    rows = value if isinstance(value, list) else []
    numbers = [cell for row in rows if isinstance(row, dict) for cell in row.values() if isinstance(cell, Decimal)]
    return [(f'"\\u0000{number}"', str(number)) for number in numbers]


def success(reply: Reply, tag: str, version: str) -> str:
    """``["doveadmResponse", rows, tag]``."""
    quoted = to_json(tag, version)
    rows = [] if reply.rows is None else reply.rows
    if reply.misnested and isinstance(rows, list) and len(rows) > 1:
        siblings = ",".join(to_json(row, version) for row in rows[1:])
        return f'["doveadmResponse",{to_json(rows[:1], version)},{siblings},{quoted}]'
    return f'["doveadmResponse",{to_json(rows, version)},{quoted}]'


def error(kind: str, code: int, tag: str, version: str) -> str:
    """``["error", {...}, tag]``; 2.3 prints a blank after the comma, and there is never a message."""
    blank = " " if version == "2.3" else ""
    return f'["error",{{"type":"{kind}",{blank}"exitCode":{code}}},{to_json(tag, version)}]'
