"""The values of a plan: steps that send a command, steps that ask for a condition, pauses; and the plan that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from orchestrator.errors import Place
from orchestrator.fleet.inventory import Inventory
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import Effect
from orchestrator.playbook.action import Probe
from orchestrator.playbook.conditions import Affects, Ask, Condition, Keep
from orchestrator.playbook.items import Lists
from orchestrator.playbook.model import CsvSource, FileSource, OnFailure, Overrun, Pause, Requirement
from orchestrator.text.document import Document, parse
from orchestrator.text.expression import names_in

Role = Literal["step", "verify", "undo", "finally"]
Scope = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What all steps have.

    Attributes:
        index: place in the plan, from 0; the run file's key.
        key: how people and operation ids call it: "3", "3.verify", "4[2].1", "3.undo", "finally.1".
        role: what it is there for.
        name: as reports show it.
        owner: the key of the step that it verifies or takes back; empty for one that stands by itself.
        path: where it stands in the playbook.
        when: the condition without which it is skipped; None for none.
        on_failure: what follows when more of it fail than may.
        limits: of its own.
        takes: seconds that it, or its batch, takes at most, as the playbook says; None when that was not said.
        overrun: what becomes of it, or its batch, at the end of a window.
        effect: what doing it twice means; READ where nothing is sent.
        user_impact: what users notice of it, in a sentence; empty for nothing.
        registered: names that earlier steps register -> the keys of those steps.
        local: names that it alone knows: `batch`, `batch_number`.
    """

    index: int = -1
    key: str
    role: Role
    name: str
    owner: str = ""
    path: tuple[str | int, ...]
    when: Any = None
    on_failure: OnFailure = "stop"
    limits: Limits = field(default_factory=Limits)
    takes: float | None = None
    overrun: Overrun | None = None
    effect: Effect = Effect.READ
    user_impact: str = ""
    registered: Mapping[str, str] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that it sends, "require" or "pause"."""
        raise NotImplementedError

    @property
    def per_item_condition(self) -> bool:
        """Whether `when` is decided for each operation."""
        return bool(names_in(self.when) & {"item", "host"})

    @property
    def condition_depends_on(self) -> dict[str, str]:
        """Registered names that its `when` depends on, with the keys of the steps that give them."""
        return {name: self.registered[name] for name in sorted(names_in(self.when) & set(self.registered))}


@dataclass(frozen=True, kw_only=True)
class PauseStep(Step):
    """A wait, or a question to the operator."""

    pause: Pause

    @property
    def command(self) -> str:
        """The word for it."""
        return "pause"


@dataclass(frozen=True, kw_only=True)
class RequireStep(Step):
    """Conditions without which the run stops."""

    require: tuple[Requirement, ...]

    @property
    def command(self) -> str:
        """The word for it."""
        return "require"


@dataclass(frozen=True, kw_only=True)
class CommandStep(Step):
    """One command to some hosts, for each of some items.

    Attributes:
        sends: the doveadm command.
        hosts: a selection, or an expression.
        run_once: sent once, through the first of the hosts, for all of them.
        parameters: with expressions.
        for_each: where its items come from; None for one operation a host.
        timeout: seconds for each answer, or an expression; None for each host's own.
        accept: exit codes that count as done.
        retry: when its operations are retried.
        until, every, within, stall: how long it is polled; `until` is None for one that is not.
        register: the name under which later expressions find the answer; empty for none.
        probe: asks what became of an operation whose answer was lost.
        affects: how many notice it.
        irreversible: what of it cannot be undone, in a sentence: the playbook's, or, of a step without undo, the catalogue's.
        verified: how its effect is checked where it has no verify, in a sentence.
        keep: what it sets and nobody else may change.
        keep_until: the key of the step from which on that may change; empty for the end of its batch, or of the run.
    """

    sends: str
    hosts: str
    run_once: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    for_each: Any = None
    timeout: Any = None
    accept: tuple[int, ...] = ()
    retry: Retry = field(default_factory=Retry)
    until: Any = None
    every: float | None = None
    within: Any = None
    stall: Any = None
    register: str = ""
    probe: Probe | None = None
    affects: Affects | None = None
    irreversible: str = ""
    verified: str = ""
    keep: Keep | None = None
    keep_until: str = ""

    @property
    def command(self) -> str:
        """The doveadm command."""
        return self.sends

    @property
    def depends_on(self) -> dict[str, str]:
        """Registered names that its operations depend on, with the keys of the steps that give them."""
        needed = names_in([self.hosts, self.parameters]) | names_of_items(self.for_each)
        if self.per_item_condition:
            needed |= names_in(self.when)
        return {name: self.registered[name] for name in sorted(needed & set(self.registered))}

    @property
    def read_later(self) -> frozenset[str]:
        """Names that are read when its answers come."""
        probe = [self.probe.parameters, self.probe.done] if self.probe else []
        return names_in([self.until, *probe])


PlannedStep = CommandStep | RequireStep | PauseStep

ConditionSource = Literal["playbook", "configuration", "policy"]


@dataclass(frozen=True, kw_only=True)
class PlannedCondition:
    """What must hold besides what steps require.

    Attributes:
        condition: as it is written.
        source: who wants it.
        number: its place among those of its source, from 0.
        seen: whether somebody looked when the plan was reviewed, so that `reviewed` is known.
        reviewed: the value that it had then; a text, a number, a truth value, or a list or mapping of them.
    """

    condition: Condition
    source: ConditionSource
    number: int
    seen: bool = False
    reviewed: Any = None

    @property
    def name(self) -> str:
        """What it is about."""
        return self.condition.name

    def question(self) -> CommandStep:
        """Its question as a step, which is expanded as steps are."""
        return question_of(self.condition.ask, ("conditions", self.number, "ask"), self.name)


def question_of(ask: Ask, path: tuple[str | int, ...], name: str) -> CommandStep:
    """A read-only question as a step that stands in no plan.

    Args:
        ask: a question to hosts.
        path: where it stands in the playbook.
        name: of what it belongs to.
    """
    return CommandStep(
        key="condition",
        role="step",
        name=name,
        path=path,
        sends=ask.command or "",
        hosts=ask.hosts or "",
        run_once=ask.run_once,
        parameters=ask.parameters,
        timeout=ask.timeout,
        accept=tuple(ask.accept),
    )


def names_of_items(source: Any) -> frozenset[str]:
    """The names that a `for_each` reads."""
    if isinstance(source, FileSource):
        return names_in(source.file)
    if isinstance(source, CsvSource):
        return names_in(source.csv)
    return names_in(source)


class Draft(NamedTuple):
    """An operation to be: the host's name, the parameters as JSON, and whether its `when` already says no."""

    host: str
    parameters: str
    skipped: bool


@dataclass(frozen=True)
class Origin:
    """The playbook's text, for the places of errors and for files that it names.

    Attributes:
        source: the file's name as errors show it.
        folder: relative paths in the playbook are relative to this.
        text: the whole text.
    """

    source: str
    folder: Path
    text: str

    @cached_property
    def _document(self) -> Document:
        return parse(self.text, source=self.source, folder=self.folder)

    def place(self, *path: str | int) -> Place:
        """Where something stands in it."""
        return self._document.place(path)


@dataclass(frozen=True)
class Terms:
    """What a playbook says of the run as a whole."""

    name: str
    limits: Limits = field(default_factory=Limits)
    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True)
class Plan:
    """All that a run will do, as far as it can be known.

    Attributes:
        terms: of the playbook.
        origin: the playbook's text.
        inventory: the fleet.
        values: of the playbook's parameters.
        steps: in the order of running: steps with their verifies, then undo steps (last first), then finally.
        limited: the only hosts that may be used, or None for all.
        lists: the files that its steps take items from.
        warnings: what a reviewer should know of these, a sentence each.
        conditions: what must hold besides what steps require.
        seen: what a look at the fleet saw for the review, in JSON's terms (`engine.live_plan`); None when nobody looked.
    """

    terms: Terms
    origin: Origin
    inventory: Inventory
    values: Mapping[str, Any]
    steps: tuple[PlannedStep, ...]
    limited: frozenset[str] | None = None
    lists: Lists = field(default_factory=Lists)
    warnings: tuple[str, ...] = ()
    conditions: tuple[PlannedCondition, ...] = ()
    seen: Mapping[str, Any] | None = None

    def of(self, *roles: Role) -> list[PlannedStep]:
        """The steps of some roles, in order."""
        return [step for step in self.steps if step.role in roles]

    def scope(self, step: Step | None = None) -> Scope:
        """The names that are known without asking any host; with those that a step alone knows."""
        return {**self.values, "groups": self._groups, **(step.local if step else {})}

    @cached_property
    def _groups(self) -> Mapping[str, Any]:
        return {name: [self.inventory.hosts[host] for host in hosts] for name, hosts in self.inventory.groups.items()}

    @property
    def changes_anything(self) -> bool:
        """Whether any step is more than a question, those included that come last or take back."""
        return any(step.effect is not Effect.READ for step in self.steps)


Planning = Callable[[int], object]  # told now and then how many operations a long planning has so far
