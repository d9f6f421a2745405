"""Reads hosts' logs for a step: what a host logged about an operation, or since a change; a few times only for each host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from orchestrator.dovecot import evidence
from orchestrator.dovecot.ask import Asker, Wire
from orchestrator.dovecot.exchange import NoAnswer
from orchestrator.operation import Operation
from orchestrator.outcome import Outcome

READINGS = 3  # times that a host's log is read for one step
TIMEOUT = 5.0  # seconds


class HostLog:
    """The logs of a step's hosts.

    Args:
        asker: asks for them.
        wire: redacts secrets.
        clock: of the event loop.
        command: the step's.
        doveadm: the command as `doveadm` has it, or empty.
    """

    def __init__(self, asker: Asker, wire: Wire, clock: Callable[[], float], command: str, doveadm: str) -> None:
        self._asker, self._wire, self._clock = asker, wire, clock
        self._command, self._doveadm = command, doveadm
        self._left: dict[str, int] = {}
        self._readings: dict[str, evidence.Readings] = {}

    async def about(self, outcome: Outcome, operation: Operation, started: float, moment: int) -> Outcome:
        """The outcome with what the host logged about it; a few times for each host, not for all of a storm.

        Args:
            outcome: of the operation.
            operation: the operation.
            started: when it was sent, by the clock.
            moment: the same, in milliseconds since the epoch.
        """
        host = operation.host
        if not self._may_read(host):
            return outcome
        found = await self._ask(host, moment)
        readings = self._readings.setdefault(host, evidence.Readings())
        rows = readings.new(found.rows, started, self._clock())
        text = evidence.lines(rows, operation.parameters, self._doveadm)
        return replace(outcome, evidence=self._wire.redact(host, text))

    async def since(self, outcome: Outcome, host: str, moment: int) -> Outcome:
        """The outcome of a condition that stayed false, with what went wrong on the host since a moment."""
        if not self._may_read(host):
            return outcome
        found = await self._ask(host, moment)
        return replace(outcome, evidence=self._wire.redact(host, evidence.of_host(found.rows)))

    def _may_read(self, host: str) -> bool:
        left = self._left.setdefault(host, READINGS)
        if not left or self._command == evidence.COMMAND:
            return False
        self._left[host] = left - 1
        return True

    async def _ask(self, host: str, moment: int) -> Outcome:
        """The host's log since just before a moment; asked a second time when no answer comes.

        A reused process of 2.3 that has worked on a user's mail cannot read the log, and dies of the request.
        """
        until, question, left = self._clock() + TIMEOUT, evidence.question(moment), TIMEOUT
        while True:  # the catalogue is not read from the disk while requests are under way: no entry
            exchange, found = await self._asker.ask(host, evidence.COMMAND, question, tag=evidence.TAG, timeout=left)
            first, left = left == TIMEOUT, until - self._clock()
            if not (first and isinstance(exchange, NoAnswer) and left > 0):
                return found
