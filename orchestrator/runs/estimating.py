"""How long a plan takes, by what runs of this state directory took and by what was just seen of the fleet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from orchestrator.dovecot import catalog, mail_servers
from orchestrator.dovecot.jsontext import loads
from orchestrator.engine.estimate import Estimate, Known, Requests, is_quick
from orchestrator.engine.past import Past, timed
from orchestrator.engine.rules import Settings
from orchestrator.errors import OrchestratorError
from orchestrator.journal.base import Reader, Run, SessionRecord, Store
from orchestrator.journal.timing import StepTiming
from orchestrator.plan.steps import Plan, PlannedStep

LOOKED_AT = 20  # the newest runs of the same playbook, and as many others: what was longer ago may not be so any more
MOST_STEPS = 20_000  # of all of them: a few runs of hundreds of batches tell enough
_ONE_OF_SEVERAL = re.compile(r"(-\d+|-[0-9a-f]{4})$")


class Earlier(NamedTuple):
    """A run from which it is known how long things take.

    Attributes:
        rate: requests a second that its command line allowed; None for any.
    """

    run: str
    playbook: str
    steps: Sequence[StepTiming]
    sessions: Sequence[SessionRecord]
    rate: float | None


def earlier_runs(run_id: str, playbook: str, others: Iterable[Run]) -> list[Earlier]:
    """The newest runs of a playbook and, of those of other playbooks, as many; what cannot be read is left out.

    Args:
        run_id: of a run of the playbook, which is not among them.
        playbook: its name.
        others: all runs of the state directory, oldest first.
    """
    alike: list[Run] = []
    different: list[Run] = []
    for run in reversed([*others]):
        found = alike if _playbook_in(run.id) == _playbook_in(run_id) else different
        if run.id != run_id and len(found) < LOOKED_AT:
            found.append(run)
    read: list[Earlier] = []
    for run in (*alike, *different):
        if sum(len(earlier.steps) for earlier in read) > MOST_STEPS:
            break
        with suppress(OrchestratorError):
            read.append(run.glance(as_earlier))
    same = [earlier for earlier in read if earlier.playbook == playbook]
    return same[:LOOKED_AT] + [earlier for earlier in read if earlier.playbook != playbook]


def _playbook_in(run_id: str) -> str:
    """What a run's id has of its playbook's name: behind day and time, before what tells runs of the same second apart."""
    return _ONE_OF_SEVERAL.sub("", run_id.split("-", 2)[-1])


def as_earlier(reader: Reader) -> Earlier:
    """What a run tells those that come after it."""
    rate = reader.limits().get("rate")
    return Earlier(reader.run_id, reader.playbook, reader.timings(), reader.sessions(), rate)


def expected(plan: Plan, reader: Reader, settings: Settings, store: Store[Any]) -> Estimate:
    """How long a plan takes, for those who look at it: without the runs of a state directory that cannot be read.

    Args:
        plan: the plan, with what a look at the fleet saw, if there was one.
        reader: of its run.
        settings: of configuration and command line.
        store: whose runs tell how long things take.
    """
    others: Sequence[Run] = ()
    with suppress(OrchestratorError):
        others = store.runs()
    return estimate_of(plan, reader, settings, earlier_runs(reader.run_id, reader.playbook, others))


def estimate_of(plan: Plan, reader: Reader, settings: Settings, earlier: Iterable[Earlier]) -> Estimate:
    """How long what is left of a run takes.

    Args:
        plan: the run's, with what a look at the fleet saw, if there was one.
        reader: of the run.
        settings: of configuration and command line.
        earlier: runs from which it is known how long things take.
    """
    past = Past(step for run in earlier for step in timed(*run))
    seen = plan.seen or {}
    rows = {mail_servers.COMMAND: seen.get("mail_servers", [])}
    known = Known(past, _seconds(seen.get("took", [])), rows, _Requests(reader, seen.get("requests", {})))
    return Estimate(plan, known, settings)


def _seconds(took: Iterable[tuple[str, str, float]]) -> dict[str, list[float]]:
    """How long hosts took for questions that cost no more than any request."""
    found: dict[str, list[float]] = {}
    for host, command, seconds in took:
        if is_quick(command):
            found.setdefault(host, []).append(seconds)
    return found


class _Requests:
    """The requests of a run's steps, those included that are known thanks to a look at the fleet."""

    def __init__(self, reader: Reader, seen: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        self._reader, self._seen = reader, seen

    def __call__(self, step: PlannedStep) -> Requests | None:
        state, first, _ = self._reader.step(step.index)
        if state in {"skipped", "done"}:
            return Requests({}, {})
        if first is None:
            return _drafted(self._seen.get(step.key))
        entry = catalog.find(step.command)
        operation = next(self._reader.operations(step=step.index), None) if entry and entry.takes else None
        return Requests(self._reader.open_counts(step.index), operation.parameters if operation else {})


def _drafted(requests: Sequence[tuple[str, str]] | None) -> Requests | None:
    if requests is None:
        return None
    return Requests(Counter(host for host, _ in requests), loads(requests[0][1]) if requests else {})
