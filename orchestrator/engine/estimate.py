"""How long a plan takes: a range for each step, for each piece and for the whole, with how that is known. Pure.

What is known comes from earlier runs, from answers that were seen just now, or from the catalogue's model of a command. Retries
are in it only as far as earlier runs had some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import ceil
from statistics import fmean
from typing import Any, NamedTuple

from orchestrator.dovecot import catalog
from orchestrator.engine.past import FEW, Past, Timed, kind_of, piece_of
from orchestrator.engine.rules import Settings, rate, rules
from orchestrator.plan.steps import CommandStep, PauseStep, Plan, PlannedStep
from orchestrator.ranges import Moment, Part, Range, Span, together

POLLED = 60.0  # seconds that a check is polled where its `within` is not given
ONCE_MORE = 0.05  # seconds to begin and to record a step


class Requests(NamedTuple):
    """The requests of a step as far as they are known: how many for each host, and the parameters of the first."""

    counts: Mapping[str, int]
    parameters: Mapping[str, Any]


def _nothing(_step: PlannedStep) -> None:
    """No request is known."""


@dataclass(frozen=True)
class Known:
    """What an estimate rests on.

    Attributes:
        past: steps of earlier runs.
        seen: host -> seconds that it just took to answer, each time.
        rows: command -> rows that were just answered.
        requests: of a step; None where only the run will know them.
    """

    past: Past = field(default_factory=Past)
    seen: Mapping[str, Sequence[float]] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    requests: Callable[[PlannedStep], Requests | None] = _nothing


@dataclass(frozen=True)
class Estimate:
    """How long a plan takes.

    Args:
        plan: the plan.
        known: what is known.
        settings: of configuration and command line.
    """

    plan: Plan
    known: Known = field(default_factory=Known)
    settings: Settings = field(default_factory=Settings)
    _parts: dict[int, Part] = field(default_factory=dict)
    _shared: dict[Any, Part | None] = field(default_factory=dict)  # of steps that do the same: all batches of thousands
    _ranges: dict[int, Range] = field(default_factory=dict)
    _asked: dict[int, Requests | None] = field(default_factory=dict)
    _many_now: dict[int, int | None] = field(default_factory=dict)

    def step(self, step: PlannedStep) -> Range:
        """Of one step."""
        part = self._part(step)
        if id(part) not in self._ranges:
            self._ranges[id(part)] = together([part])
        return self._ranges[id(part)]

    def prepare(self, steps: Iterable[PlannedStep]) -> None:
        """Look up what is asked about these steps later, when nobody may read the run any more."""
        for step in steps:
            self._part(step)

    def over(self, steps: Iterable[PlannedStep]) -> Range:
        """Of steps that belong together: a batch, or a step with its check."""
        return together([self._part(step) for step in steps])

    @cached_property
    def whole(self) -> Range:
        """Of all that is done when nothing fails."""
        parts: list[Part] = []
        for _, group in groupby(self.plan.of("step", "verify", "finally"), lambda step: piece_of(step.key)):
            steps = list(group)
            of_piece = [self._part(step) for step in steps]
            said = next((step.takes for step in steps if step.takes is not None), None)
            if said is not None and any(part.span[1] is None or part.answers for part in of_piece):
                of_piece = [Part(span=(min(said, together(of_piece).low), said), basis="what the playbook says")]
            parts += of_piece
        return together(parts, by_run=True)

    # a step

    def _part(self, step: PlannedStep) -> Part:
        if step.index not in self._parts:
            self._parts[step.index] = self._made(step)
        return self._parts[step.index]

    def _made(self, step: PlannedStep) -> Part:
        if isinstance(step, PauseStep):
            wait = step.pause.for_
            return Part(answers=1) if wait is None else Part(exact=wait, basis="its pauses")
        if not isinstance(step, CommandStep):
            return Part()
        requests = self._requests(step)
        if requests is not None and not requests.counts:
            return Part()
        load = self._load(step, requests)
        part = self._by_model(step, requests) or self._by_past(step, load) or self._by_look(step, load)
        return part or Part(exact=load.paced if load else 0.0, span=(0.0, None), missing=step.command)

    def _requests(self, step: PlannedStep) -> Requests | None:
        if step.index not in self._asked:
            self._asked[step.index] = self.known.requests(step)
        return self._asked[step.index]

    def _load(self, step: CommandStep, requests: Requests | None) -> _Load | None:
        if requests is None:
            return None
        total = sum(requests.counts.values())
        found = rules(step, self.plan.terms, self.settings, self.plan.inventory.hosts, total)
        places = {host: found.per_host.get(host) or found.tuned.get(host, 1) for host in requests.counts}
        allowed = rate(step, self.plan.terms, self.settings)
        return _Load(requests.counts, places, found.in_flight, (total - 1) / allowed if allowed else 0.0)

    def _by_model(self, step: CommandStep, requests: Requests | None) -> Part | None:
        """What the catalogue says of its command, where it was just seen for how many of what."""
        entry = catalog.find(step.command)
        if entry is None or entry.takes is None or requests is None or step.until is not None:
            return None
        many = self._many(step, requests, entry.takes)
        if many is None:
            return None
        seconds = entry.takes.seconds(requests.parameters, *many)
        quick, slow = self._latency(requests.counts) or (0.0, 1.0)
        span = seconds[0] + quick, seconds[1] + slow + ONCE_MORE
        return Part(span=span, basis=f"the model of {step.command}")

    def _many(self, step: CommandStep, requests: Requests, takes: catalog.Takes) -> tuple[int, int] | None:
        """For how many at least and at most: those of now, and those that the same command sends there from elsewhere before.

        These spread evenly, more or less: there may be twice as many as that.
        """
        now = self._now(step, requests, takes)
        if now is None:
            return None
        before = [other for other in self.plan.steps[: step.index] if other.command == step.command]
        asked = [(other, self._requests(other)) for other in before]
        moved = sum(self._now(other, found, takes) or 0 for other, found in asked if found)
        others = max(1, takes.shared_by(self.known.rows.get(takes.of, ())) - 1)
        return now, now + ceil(2 * moved / others)

    def _now(self, step: PlannedStep, requests: Requests, takes: catalog.Takes) -> int | None:
        """For how many it would be now."""
        if step.index not in self._many_now:
            rows = self.known.rows.get(takes.of, ())
            self._many_now[step.index] = takes.many(requests.parameters, rows)
        return self._many_now[step.index]

    def _by_past(self, step: CommandStep, load: _Load | None) -> Part | None:
        kind, polled = kind_of(step.key), step.until is not None
        own = self.known.past.own(self.plan.terms.name, kind, step.command, polled=polled)
        hosts = frozenset(load.counts) if load is not None and not own else None
        key = kind, step.command, polled, load.size if load else None, hosts
        if key not in self._shared:
            self._shared[key] = self._learned(own or self._alike(step, hosts), step, load)
        return self._shared[key]

    def _learned(self, alike: Iterable[Timed], step: CommandStep, load: _Load | None) -> Part | None:
        found: dict[Moment, list[Span]] = {}
        for earlier in alike:
            found.setdefault((earlier.run, earlier.batch), []).append(_scaled(earlier, load, step))
        if not found:
            return None
        paced = load.paced if load else 0.0
        past = {
            moment: (max(0.0, fmean(low for low, _ in spans) - paced), max(0.0, fmean(h for _, h in spans) - paced))
            for moment, spans in found.items()
        }
        return Part(exact=paced, past=past)

    def _alike(self, step: CommandStep, hosts: frozenset[str] | None) -> list[Timed]:
        """Steps of earlier runs that tell most: the same command to the same hosts, to hosts of the same group, or to any."""
        if hosts is None or step.until is not None or not is_quick(step.command):
            return []
        groups = [frozenset(group) for group in self.plan.inventory.groups.values() if hosts <= frozenset(group)]
        sent = self.known.past.sent(step.command, polled=False)
        nearest = (
            [t for t in sent if t.hosts == hosts],
            [t for t in sent if any(t.hosts <= group for group in groups)],
            sent,
        )
        return next(filter(None, nearest), [])

    def _by_look(self, step: CommandStep, load: _Load | None) -> Part | None:
        """From how quickly hosts answered anything; most commands cost a host what any request does."""
        if load is None or (latency := self._latency(load.counts)) is None:
            return None
        quick, slow = latency
        if step.until is not None:
            settled = self._settled(step, slow)
            missing = step.command if settled is None else ""
            return Part(span=(quick, settled), basis=self._looked_at, missing=missing)
        if not is_quick(step.command):
            return None
        # nobody has seen whether a host does several at a time any faster than one after the other
        low, high = load.rounds * quick, max(load.busiest, load.rounds) * slow + ONCE_MORE
        span = max(0.0, low - load.paced), max(0.0, high - load.paced)
        return Part(exact=load.paced, span=span, basis=self._looked_at if span[1] else "its rate")

    @property
    def _looked_at(self) -> str:
        return "answers seen just now" if self.known.seen else "other commands of earlier runs"

    @cached_property
    def _seconds(self) -> Mapping[str, Span]:
        """Host -> least and most seconds that it took for a request, just now, or else in earlier runs; of any, for ""."""
        found: dict[str, list[float]] = {host: list(seconds) for host, seconds in self.known.seen.items()}
        for earlier in () if found else self.known.past.steps:
            if earlier.attempt and is_quick(earlier.command):
                for host in earlier.hosts:
                    found.setdefault(host, []).append(earlier.attempt)
        found[""] = [seconds for taken in found.values() for seconds in taken]
        return {host: (min(seconds), max(seconds)) for host, seconds in found.items() if seconds}

    def _latency(self, hosts: Iterable[str]) -> Span | None:
        """How quickly and how slowly the slowest of some hosts answers; one of which nothing is known may be like any."""
        if "" not in self._seconds:
            return None
        each = [self._seconds.get(host, self._seconds[""]) for host in hosts]
        return max(least for least, _ in each), 2 * max(most for _, most in each)

    @cached_property
    def _commands(self) -> Mapping[str, str]:
        return {step.key: step.command for step in self.plan.steps}

    def _settled(self, step: CommandStep, slow: float) -> float | None:
        """After how many seconds at most a check is true: when what it checks has settled, or when its time is over."""
        within = POLLED if step.within is None else step.within
        most = float(within) if isinstance(within, int | float) else None
        entry = catalog.find(self._commands.get(step.owner, ""))
        if entry is None or entry.settles is None:
            return most
        settled = entry.settles + (1.0 if step.every is None else step.every) + 2 * slow + ONCE_MORE
        return settled if most is None else min(settled, most)


def is_quick(command: str) -> bool:
    """Whether a command costs a host no more than any request."""
    entry = catalog.find(command)
    return entry is not None and not entry.takes and not entry.ever_long


@dataclass(frozen=True)
class _Load:
    """What a step is to send.

    Attributes:
        counts: host -> operations.
        places: host -> requests at a time.
        in_flight: of all hosts together.
        paced: seconds that its rate makes it take at least.
    """

    counts: Mapping[str, int]
    places: Mapping[str, int]
    in_flight: int
    paced: float

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self.counts.values())

    @property
    def busiest(self) -> int:
        """Operations of the host that has most."""
        return max(self.counts.values(), default=0)

    @property
    def at_a_time(self) -> int:
        """Requests at a time, of all hosts together."""
        return max(1, min(self.in_flight, sum(min(self.places[host], count) for host, count in self.counts.items())))

    @property
    def size(self) -> tuple[int, int, int, int, int, float]:
        """All of it that makes a difference to how long it takes, whatever the hosts are called."""
        return self.total, self.busiest, self.at_a_time, self.rounds, min(self.places.values()), self.paced

    @property
    def rounds(self) -> int:
        """How many requests one after the other there are at least."""
        of_host = max((ceil(count / self.places[host]) for host, count in self.counts.items()), default=0)
        return max(of_host, ceil(self.total / self.in_flight))


def _scaled(earlier: Timed, load: _Load | None, step: CommandStep) -> Span:
    """How long a step of an earlier run would take for what is to be sent now, at least and at most."""
    seconds, one = earlier.seconds, earlier.attempt
    if load is None or not earlier.operations or step.until is not None:
        return seconds, seconds
    few, now = earlier.busiest, load.busiest
    if (earlier.operations, few) == (load.total, now):
        found = [seconds]
    elif few > FEW:
        found = [one + (seconds - one) * (now - 1) / (few - 1)]
    else:  # as many at a time as may be, or one after the other
        at_once = ceil(few / min(load.places.values()))
        found = [seconds * max(1.0, load.rounds / at_once), seconds * max(1.0, now / few)]
    least = one * load.total / load.at_a_time  # each request takes its time, and so many are sent at a time
    return max(least, min(found)), max(least, *found)
