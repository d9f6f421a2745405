"""What a step waits for, for displays: answers that are long in coming, and conditions that are not true yet. Pure."""

from __future__ import annotations

from orchestrator.engine.scheduler import Rules
from orchestrator.operation import Operation
from orchestrator.outcome import Kind
from orchestrator.text.units import format_duration

SLOW = 3.0  # seconds after which a request that is not answered is worth a word
NAMED = 3  # hosts that are named


class Awaited:
    """The requests of one step that are on the wire, and what its `until` looked at last.

    Args:
        rules: of the step.
    """

    def __init__(self, rules: Rules) -> None:
        self._polling = rules.polling
        self._attempts = rules.retry.attempts
        self._on_wire: dict[int, tuple[float, str, int]] = {}
        self._first: dict[str, float] = {}
        self._looked: dict[str, str] = {}

    def sent(self, operation: Operation, now: float) -> None:
        """A request is sent."""
        self._on_wire[operation.seq] = (now, operation.host, operation.attempts + 1)
        if self._polling:
            self._first.setdefault(operation.host, now)

    def looked(self, host: str, text: str) -> None:
        """What a condition saw that is not true yet, in short."""
        self._looked[host] = text

    def heard(self, operation: Operation, kind: Kind) -> None:
        """It was answered, or is waited for no more."""
        self._on_wire.pop(operation.seq, None)
        if kind is not Kind.NOT_YET:
            self._looked.pop(operation.host, None)

    def words(self, now: float) -> str:
        """For whom and how long, or what it looks at; empty when nothing is worth a word."""
        slow = sorted(found for found in self._on_wire.values() if now - found[0] >= SLOW)
        if slow:
            since, _, attempt = slow[0]
            often = "" if self._polling else f", attempt {attempt}/{self._attempts}"
            return f"waiting for {_named([host for _, host, _ in slow])}, {_whole(now - since)}{often}"
        if self._polling and self._looked:
            first = min(self._first[host] for host in self._looked)
            polled = f"polled for {_whole(now - first)} of {format_duration(self._polling.within)}"
            return f"{self._saw()}; {polled}"
        return ""

    def _saw(self) -> str:
        """The hosts by what was seen of them: users=13 on d1, d2."""
        hosts: dict[str, list[str]] = {}
        for host, text in self._looked.items():
            hosts.setdefault(text, []).append(host)
        shown = [f"{text or 'condition still false'} on {_named(names)}" for text, names in list(hosts.items())[:NAMED]]
        return "; ".join([*shown, *(["…"] if len(hosts) > NAMED else [])])


def _whole(seconds: float) -> str:
    return format_duration(int(seconds)) if seconds >= 1 else "0s"


def _named(hosts: list[str]) -> str:
    names = list(dict.fromkeys(hosts))
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
