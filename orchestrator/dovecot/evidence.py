"""Why a request failed, in the host's own words: the lines that `logErrors` has of it. Pure.

A doveadm process that dies of a request answers nothing, but the log's ring buffer survives it: its last Fatal or Panic
line says what was wrong (seen on 2.3.19.1 and 2.4.1; the prefix is "doveadm(<client's address>)").

The log is read from some seconds before the request on, for the clocks' sake; what is another request's is left out by
what the line says, and by what was in the log before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.dovecot.command import encode_parameters

COMMAND = "logErrors"
TAG = "evidence"
SKEW = 2  # seconds that the host's clock may be behind ours
MOST = 3  # lines
LONGEST = 300  # characters of a line
_OURS = "/log-errors) failed: "  # a reused process that could not read the log for us
_CONSEQUENCES = ("Raw backtrace: ", "master: service(")  # of a Panic; the Panic itself says what was wrong


# Lines that name their command in the words of the command line; all three forms on both versions but the last, of 2.4
_COMMAND = re.compile(
    r"Client sent invalid command\. Usage: (?P<usage>[a-z][a-z -]*?)(?: [\[<].*)?$"
    r"|(?:cmd [a-z -]+: )?Command (?P<failed>[a-z][a-z -]*) failed$"
    r"|cmd (?P<cmd>[a-z][a-z -]*): ",
    re.DOTALL,
)


class Readings:
    """What was read of one host's log, so that a line is not taken for a later request's."""

    def __init__(self) -> None:
        self._read: list[tuple[float, Counter[str]]] = []

    def new(self, rows: Sequence[Mapping[str, Any]], started: float, now: float) -> list[Mapping[str, Any]]:
        """The rows that were not in the log yet when a request was sent, as far as earlier readings tell.

        Args:
            rows: this reading, which is remembered.
            started: when the request was sent.
            now: when this reading came; of the same clock.
        """
        old: Counter[str] = Counter()
        for read, seen in self._read:
            if read <= started:  # else the request may have written some of it
                old |= seen
        self._read.append((now, Counter(map(str, rows))))
        fresh = []
        for row in rows:
            old[str(row)] -= 1
            if old[str(row)] < 0:
                fresh.append(row)
        return fresh


def question(started_ms: int) -> str:
    """The parameters that ask for what a host logged since just before a moment, JSON.

    Args:
        started_ms: when the failed attempt began, milliseconds since the epoch.
    """
    return encode_parameters({"since": started_ms // 1000 - SKEW})


def lines(rows: Iterable[Mapping[str, Any]], parameters: str, words: str = "") -> str:
    """What the host logged about a request: the lines that name its user, or else doveadm's own lines of that moment.

    Args:
        rows: the answer of `logErrors`.
        parameters: the request's parameters, JSON.
        words: the command's on the command line, such as "director update"; empty when not known.
    """
    doveadms = (row for row in rows if str(row.get("prefix", "")).startswith("doveadm"))
    own = [(row, _users(str(row["prefix"]))) for row in doveadms if not _of_another(str(row.get("text", "")), words)]
    named = [row for row, users in own if any(f'"{user}"' in parameters for user in users)]
    nobodys = [row for row, users in own if not users and row.get("type") in {"Fatal", "Panic", "Error"}]
    chosen = named or nobodys
    telling = [row for row in chosen if not str(row.get("text", "")).startswith(_CONSEQUENCES)] or chosen
    texts = (f"{row.get('type', '')}: {row.get('text', '')}"[:LONGEST] for row in reversed(telling))
    return " | ".join(reversed(list(dict.fromkeys(texts))[:MOST]))  # the newest; one that came again is as new as that


def of_host(rows: Iterable[Mapping[str, Any]]) -> str:
    """What went wrong on a host as a whole: the newest lines that are about no user, of any service.

    A reload with a bad configuration is answered "ok", and the master's line is all there is (seen on 2.4.1 and 2.4.5; on
    2.3.19.1 what the master says is in its log file alone).

    Args:
        rows: the answer of `logErrors`.
    """
    serious = (row for row in rows if row.get("type") in {"Fatal", "Panic", "Error"})
    own = [row for row in serious if not _users(str(row.get("prefix", ""))) and _OURS not in str(row.get("text", ""))]
    telling = [row for row in own if not str(row.get("text", "")).startswith(_CONSEQUENCES)] or own
    texts = (f"{row.get('prefix', '')}: {row['type']}: {row.get('text', '')}"[:LONGEST] for row in reversed(telling))
    return " | ".join(reversed(list(dict.fromkeys(texts))[:MOST]))


def _of_another(text: str, words: str) -> bool:
    """Whether a line names a command, and not this one, or tells of the reading of the log itself."""
    if _OURS in text:
        return True
    found = _COMMAND.match(text)
    named = next(filter(None, found.groups()), "") if found else ""
    return bool(words and named) and not f"{named} ".startswith(f"{words} ")


def _users(prefix: str) -> list[str]:
    """The user that a line is about: prefixes are doveadm(<client>), doveadm(<client>,<user>), doveadm(<user>)<pid>...

    A number is a process, an address is the client.
    """
    words = prefix.partition("(")[2].partition(")")[0].split(",")
    return [word for word in words if _is_name(word)]


def _is_name(word: str) -> bool:
    address = ":" in word or word.replace(".", "").isdigit()
    return bool(word) and not address
