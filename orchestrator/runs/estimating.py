"""How long a plan takes, by what runs of this state directory took and by what was just seen of the fleet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.dovecot import catalog
from orchestrator.dovecot.jsontext import loads
from orchestrator.engine.estimate import Estimate, Known, Requests, is_quick
from orchestrator.engine.past import Past, timed
from orchestrator.engine.rules import Settings
from orchestrator.errors import OrchestratorError
from orchestrator.journal.base import Reader, Run, SessionRecord, Store
from orchestrator.journal.timing import StepTiming
from orchestrator.plan.steps import Draft, Plan, PlannedStep

if TYPE_CHECKING:
    from orchestrator.engine.live_plan import LivePlan

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


def expected(
    plan: Plan, reader: Reader, settings: Settings, store: Store[Any], seen: LivePlan | None = None
) -> Estimate:
    """How long a plan takes, for those who look at it: without the runs of a state directory that cannot be read.

    Args:
        plan: the plan.
        reader: of its run.
        settings: of configuration and command line.
        store: whose runs tell how long things take.
        seen: what a look at the fleet found, if there was one.
    """
    others: Sequence[Run] = ()
    with suppress(OrchestratorError):
        others = store.runs()
    return estimate_of(plan, reader, settings, earlier_runs(reader.run_id, reader.playbook, others), seen)


def estimate_of(
    plan: Plan, reader: Reader, settings: Settings, earlier: Iterable[Earlier], seen: LivePlan | None = None
) -> Estimate:
    """How long what is left of a run takes.

    Args:
        plan: the run's.
        reader: of the run.
        settings: of configuration and command line.
        earlier: runs from which it is known how long things take.
        seen: what a look at the fleet found, if there was one.
    """
    past = Past(step for run in earlier for step in timed(*run))
    if seen is None:
        return Estimate(plan, Known(past, requests=_Requests(reader, {})), settings)
    known = Known(past, _seconds(seen), _rows(plan, seen), _Requests(reader, seen.drafts))
    return Estimate(plan, known, settings)


def _seconds(seen: LivePlan) -> dict[str, list[float]]:
    """How long hosts took for questions that cost no more than any request."""
    found: dict[str, list[float]] = {}
    for host, command, seconds in seen.took:
        if is_quick(command):
            found.setdefault(host, []).append(seconds)
    return found


def _rows(plan: Plan, seen: LivePlan) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}  # each row once: a batch of hundreds asks what the others asked
    for index, answer in seen.answers.items():
        rows = found.setdefault(plan.steps[index].command, {})
        rows |= {str(row): row for row in answer.answered.rows}
    return {command: list(rows.values()) for command, rows in found.items()}


class _Requests:
    """The requests of a run's steps, those included that are known thanks to a look at the fleet."""

    def __init__(self, reader: Reader, drafts: Mapping[int, list[Draft]]) -> None:
        self._reader, self._drafts = reader, drafts

    def __call__(self, step: PlannedStep) -> Requests | None:
        state, first, _ = self._reader.step(step.index)
        if state in {"skipped", "done"}:
            return Requests({}, {})
        if first is None:
            return _drafted(self._drafts.get(step.index))
        entry = catalog.find(step.command)
        operation = next(self._reader.operations(step=step.index), None) if entry and entry.takes else None
        return Requests(self._reader.open_counts(step.index), operation.parameters if operation else {})


def _drafted(drafts: Sequence[Draft] | None) -> Requests | None:
    if drafts is None:
        return None
    sent = [draft for draft in drafts if not draft.skipped]
    return Requests(Counter(draft.host for draft in sent), loads(sent[0].parameters) if sent else {})
