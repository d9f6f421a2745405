"""A plan as JSON texts, and back: what was planned stands in the run, and going on never lays it out again.

Hosts are kept by name, numbers with the text that they were written as, lists of items by the file that they were read from,
whose content the run keeps beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.fleet.inventory import Host, Inventory
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import Effect
from orchestrator.plan.steps import (
    CommandStep,
    Origin,
    PauseStep,
    Plan,
    PlannedCondition,
    PlannedStep,
    RequireStep,
    Terms,
)
from orchestrator.playbook.action import Probe
from orchestrator.playbook.conditions import Affects, Ask, Condition, Keep
from orchestrator.playbook.items import ItemList, Lists
from orchestrator.playbook.model import CsvSource, FileSource, Pause, Requirement
from orchestrator.text.document import Strict, parse
from orchestrator.text.scalar import Written, read_number

_HOST, _ITEMS, _WRITTEN, _MODEL = "\0host", "\0items", "\0written", "\0model"  # no key of a playbook begins so
_MODELS: Mapping[str, type[Strict]] = {
    model.__name__: model
    for model in (Affects, Ask, Condition, CsvSource, FileSource, Keep, Limits, Pause, Probe, Requirement, Retry)
}
_KINDS: Mapping[str, type[CommandStep | RequireStep | PauseStep]] = {
    "command": CommandStep,
    "require": RequireStep,
    "pause": PauseStep,
}


@dataclass(frozen=True)
class Kept:
    """What a run keeps of its plan besides its hosts and its operations.

    Attributes:
        terms, origin, values: JSON objects.
        limited: the hosts of --limit, a JSON list, or null.
        warnings: a JSON list.
        conditions: a JSON list of objects.
        seen: a JSON object, or null.
        steps: a JSON object a step, in order.
        lists: the files of items: path -> content.
    """

    terms: str
    origin: str
    values: str
    limited: str
    warnings: str
    conditions: str
    seen: str
    steps: tuple[str, ...]
    lists: Mapping[str, bytes]


def keep(plan: Plan) -> Kept:
    """A plan as texts."""
    origin = {"source": plan.origin.source, "folder": str(plan.origin.folder), "text": plan.origin.text}
    return Kept(
        terms=_json({"name": plan.terms.name, "limits": plan.terms.limits, "retry": plan.terms.retry}),
        origin=_json(origin),
        values=_json(dict(plan.values)),
        limited=_json(sorted(plan.limited) if plan.limited is not None else None),
        warnings=_json(plan.warnings),
        conditions=_json([_parts(condition) for condition in plan.conditions]),
        seen=_json(plan.seen),
        steps=tuple(map(_step, plan.steps)),
        lists=plan.lists.contents,
    )


def recall(kept: Kept, inventory: Inventory) -> Plan:
    """The plan again.

    Args:
        kept: its texts.
        inventory: the fleet that it was made for.

    Raises:
        KeyError: a host of the plan is not in the inventory.
    """
    reader = _Reader(inventory, Lists(kept.lists))
    origin = reader.read(kept.origin)
    limited = reader.read(kept.limited)
    return Plan(
        terms=Terms(**reader.read(kept.terms)),
        origin=Origin(origin["source"], Path(origin["folder"]), origin["text"]),
        inventory=inventory,
        values=reader.read(kept.values),
        steps=tuple(reader.step(text, index) for index, text in enumerate(kept.steps)),
        limited=None if limited is None else frozenset(limited),
        lists=reader.lists,
        warnings=tuple(reader.read(kept.warnings)),
        conditions=tuple(PlannedCondition(**parts) for parts in reader.read(kept.conditions)),
        seen=json.loads(kept.seen),
    )


class Outline(NamedTuple):
    """What a report says of a planned step; without the fleet, which is not what it was, or is not there any more.

    Attributes:
        owner: the key of the step that it verifies or takes back, or empty.
        user_impact: what users notice of it, or empty.
    """

    owner: str
    user_impact: str


def outlines(kept: Kept) -> dict[str, Outline]:
    """The steps by key."""
    found = map(json.loads, kept.steps)
    return {step["key"]: Outline(step.get("owner", ""), step.get("user_impact", "")) for step in found}


def description(kept: Kept) -> str:
    """What the playbook is for, in its author's words."""
    origin = json.loads(kept.origin)
    value = parse(origin["text"], source=origin["source"], folder=Path(origin["folder"])).value
    return str(value.get("description", "")).strip() if isinstance(value, dict) else ""


def _step(step: PlannedStep) -> str:
    kind = next(kind for kind, made in _KINDS.items() if type(step) is made)
    return _json({"kind": kind, **{name: value for name, value in _parts(step).items() if name != "index"}})


def _parts(value: PlannedStep | PlannedCondition) -> dict[str, Any]:
    """What a value says that is not said anyway."""
    parts = {part.name: getattr(value, part.name) for part in fields(value)}
    usual = {part.name: _default(part) for part in fields(value)}
    return {name: found for name, found in parts.items() if found != usual[name]}


def _default(part: Field[Any]) -> Any:
    """What a step has where nothing else is said; MISSING, which equals nothing, where something is always said."""
    return part.default if part.default_factory is MISSING else part.default_factory()


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value in JSON's own terms."""
    if isinstance(value, Host):
        return {_HOST: value.name}
    if isinstance(value, ItemList):
        return {_ITEMS: [value.source, value.kind]}
    if isinstance(value, Written):
        return {_WRITTEN: value.text}
    if isinstance(value, Effect):
        return value.value
    if isinstance(value, Strict):
        said = {name: getattr(value, name) for name in type(value).model_fields if name in value.model_fields_set}
        aliases = {name: found.alias or name for name, found in type(value).model_fields.items()}
        return {_MODEL: type(value).__name__, **{aliases[name]: _plain(part) for name, part in said.items()}}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)  # a share: "5%"


class _Reader:
    def __init__(self, inventory: Inventory, lists: Lists) -> None:
        self.inventory = inventory
        self.lists = lists

    def read(self, text: str) -> Any:
        """A value from its JSON."""
        return json.loads(text, object_hook=self._object)

    def step(self, text: str, index: int) -> PlannedStep:
        """A step from its JSON."""
        parts = self.read(text)
        made = _KINDS[parts.pop("kind")]
        for name in ("path", "accept", "require"):
            if name in parts:
                parts[name] = tuple(parts[name])
        if "effect" in parts:
            parts["effect"] = Effect(parts["effect"])
        return made(index=index, **parts)

    def _object(self, parts: dict[str, Any]) -> Any:
        if _HOST in parts:
            return self.inventory.hosts[parts[_HOST]]
        if _ITEMS in parts:
            return self.lists.read(*parts[_ITEMS])
        if _WRITTEN in parts:
            return read_number(parts[_WRITTEN])
        if _MODEL in parts:
            return _MODELS[parts.pop(_MODEL)].model_validate(parts)
        return parts
