"""Asks a host whether an operation whose answer was lost was executed; the question is the playbook's `probe`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestrator.answers import HostAnswer
from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker
from orchestrator.dovecot.command import ParameterError, checker, encode_parameters
from orchestrator.errors import ExpressionError
from orchestrator.fleet.inventory import Host
from orchestrator.journal.base import Verdict
from orchestrator.outcome import Kind
from orchestrator.plan.steps import Scope
from orchestrator.playbook.action import Probe
from orchestrator.text.expression import compile_value, truth


async def ask(probe: Probe, host: Host, parameters: str, scope: Scope, asker: Asker) -> Verdict | None:
    """What became of an operation: DONE, RETRY (it had no effect), or None when that cannot be told.

    Args:
        probe: the question.
        host: where the operation was sent.
        parameters: the operation's, JSON.
        scope: what the probe's expressions may read besides.
        asker: of the run.
    """
    local: Scope = {**scope, "host": host, "parameters": json.loads(parameters)}
    command, entry = probe.command or "", catalog.find(probe.command or "")
    try:
        values: Mapping[str, object] = checker(entry, probe.parameters)(compile_value(probe.parameters)(local))
        timeout = probe.timeout if isinstance(probe.timeout, float) else host.endpoint.request_timeout
        question = encode_parameters(dict(values))
        _, outcome = await asker.ask(
            host.name, command, question, tag="probe", timeout=timeout, entry=entry, accept=probe.accept
        )
        if outcome.kind not in {Kind.DONE, Kind.UNCHANGED}:
            return None
        rows = list(outcome.rows)
        answer = HostAnswer(ok=True, rows=list(rows), exit_code=outcome.exit_code, error="")
        executed = truth(compile_value(probe.done)({**local, "rows": rows, "answer": answer}))
    except (ExpressionError, ParameterError):
        return None
    return Verdict.DONE if executed else Verdict.RETRY
