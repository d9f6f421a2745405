"""How two plans differ: in what they were made of, in what they would send, and in what was seen of the fleet.

Whoever approved one of them wants to know what they did not see. Everything is compared as it stands in the run files, so
that a plan of another fleet, or of hosts that are gone, can be compared too.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from orchestrator.journal.base import PlannedHost, Reader
from orchestrator.outcome import State

FEW = 5  # examples of what differs


class Difference(NamedTuple):
    """Something that differs.

    Attributes:
        subject: what it is about: "values", "playbook", "fleet", "lists", "steps", "requests", "conditions" or "fleet as seen".
        text: how it differs, in a sentence or a line of a text comparison.
    """

    subject: str
    text: str


def compare(then: Reader, now: Reader) -> Iterator[Difference]:
    """How two plans differ.

    Args:
        then: the first.
        now: the second.
    """
    for subject, texts in (
        ("values", _values(then, now)),
        ("playbook", _playbook(then, now)),
        ("fleet", fleet_differences(then.hosts(), then.groups(), now.hosts(), now.groups())),
        ("lists", _lists(then, now)),
        ("steps", _steps(then, now)),
        ("requests", _requests(then, now)),
        ("conditions", _conditions(then, now)),
        ("fleet as seen", _seen(then, now)),
    ):
        yield from (Difference(subject, text) for text in texts)


def fleet_differences(
    then: Sequence[PlannedHost],
    groups_then: Mapping[str, Sequence[str]],
    now: Sequence[PlannedHost],
    groups_now: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """What of a fleet that plans rest on is otherwise: hosts, addresses, their order, groups, tags, protection."""
    before, after = ({host.name: host for host in hosts} for hosts in (then, now))
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"the host {name} is gone"
            continue
        if new.url != old.url:
            yield f"{name} was {old.url} and is {new.url}"
        if set(new.tags) != set(old.tags):
            yield f"the tags of {name} were {_named(old.tags)} and are {_named(new.tags)}"
        if new.protected != old.protected:
            yield f"{name} {'is protected now' if new.protected else 'was protected'}"
    yield from (f"the host {name} is new" for name in after if name not in before)
    for group, members in groups_then.items():
        if list(members) != list(groups_now.get(group, ())):
            yield f"the members of the group {group}, or their order, changed"
    yield from (f"the group {group} is new" for group in groups_now if group not in groups_then)
    common = [name for name in after if name in before]
    if common != [name for name in before if name in after]:
        yield "the order of the hosts changed"


def _named(tags: Sequence[str]) -> str:
    return ", ".join(tags) or "none"


def _values(then: Reader, now: Reader) -> Iterator[str]:
    old, new = then.header, now.header
    for name in dict.fromkeys([*old.given, *new.given]):
        yield from _changed(name, old.given.get(name), new.given.get(name))
    for name in ("config_path", "limit", "ticket", "reason"):
        yield from _changed(name.replace("_path", ""), getattr(old, name) or None, getattr(new, name) or None)


def _changed(about: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    if old is None or new is None:
        yield f"{about}: {new if old is None else old} {'was added' if old is None else 'is gone'}"
    else:
        yield f"{about}: was {old}, is {new}"


def _playbook(then: Reader, now: Reader) -> Iterator[str]:
    old, new = (json.loads(reader.kept().origin) for reader in (then, now))
    lines = difflib.unified_diff(
        old["text"].splitlines(), new["text"].splitlines(), old["source"], new["source"], lineterm="", n=1
    )
    yield from lines


def _lists(then: Reader, now: Reader) -> Iterator[str]:
    old, new = (reader.kept().lists for reader in (then, now))
    for path in dict.fromkeys([*old, *new]):
        if path not in old or path not in new:
            yield f"{path} {'is new' if path not in old else 'is not used any more'}"
        elif old[path] != new[path]:
            before, after = (Counter(found[path].decode(errors="replace").splitlines()) for found in (old, new))
            yield f"{path}: {_more_and_less(before, after, 'line')}"


def _more_and_less(before: Counter[str], after: Counter[str], word: str) -> str:
    added, gone = after - before, before - after
    words = []
    for what, found in (("added", added), ("gone", gone)):
        if number := sum(found.values()):
            words.append(f"{number} {word}{'' if number == 1 else 's'} {what}{_few(found)}")
    return "; ".join(words) or "the order changed"


def _few(found: Iterable[str]) -> str:
    names = sorted(found)
    return f" ({', '.join(names[:FEW])}{', …' if len(names) > FEW else ''})"


def _steps(then: Reader, now: Reader) -> Iterator[str]:
    old, new = (_layouts(reader) for reader in (then, now))
    for key in dict.fromkeys([*old, *new]):
        if key not in old or key not in new:
            found = new.get(key, old.get(key, {}))
            yield f"step {key} ({found['name']}) {'is new' if key not in old else 'is gone'}"
            continue
        parts = dict.fromkeys([*old[key], *new[key]])
        different = [part for part in parts if old[key].get(part) != new[key].get(part) and part != "path"]
        if different:
            yield f"step {key} ({new[key]['name']}): {', '.join(different)} changed"


def _layouts(reader: Reader) -> dict[str, dict[str, Any]]:
    return {layout["key"]: layout for layout in map(json.loads, reader.kept().steps)}


def _requests(then: Reader, now: Reader) -> Iterator[str]:
    old, new = ({step.key: step for step in reader.steps()} for reader in (then, now))
    for key in old:
        if key not in new:
            continue
        if old[key].operations is None or new[key].operations is None:
            continue  # only the run will know them
        sides = ((then, old[key].number), (now, new[key].number))
        pairs = zip_longest(*(_of_step(reader, number) for reader, number in sides))
        if any(one != other for one, other in pairs):  # as is usual, nothing is held in memory where nothing differs
            before, after = (Counter(_of_step(reader, number)) for reader, number in sides)
            yield f"step {key} ({new[key].name}): {_more_and_less(before, after, 'request')}"


def _of_step(reader: Reader, step: int) -> Iterator[str]:
    """The requests of a step, by host and parameters."""
    for operation in reader.operations(step=step):
        if operation.state is not State.SKIPPED:
            parameters = json.dumps(dict(operation.parameters), ensure_ascii=False)
            yield f"{operation.host}: {operation.command} {parameters}"


def _conditions(then: Reader, now: Reader) -> Iterator[str]:
    old, new = ({_name(found): found for found in json.loads(reader.kept().conditions)} for reader in (then, now))
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            yield f"{name} {'is new' if name not in old else 'is gone'}"
            continue
        if old[name]["condition"] != new[name]["condition"]:
            yield f"{name}: changed"
        yield from _changed(f"{name}, the value", old[name].get("reviewed"), new[name].get("reviewed"))


def _name(found: Mapping[str, Any]) -> str:
    return str(found["condition"]["name"])


def _seen(then: Reader, now: Reader) -> Iterator[str]:
    old, new = (json.loads(reader.kept().seen) for reader in (then, now))
    if old is None or new is None:
        return
    names = {step.key: step.name for step in now.steps()}
    for key in dict.fromkeys([*old["affected"], *new["affected"]]):
        before, after = (found["affected"].get(key, {}) for found in (old, new))
        for what in dict.fromkeys([*before, *after]):
            yield from _changed(f"step {key} ({names.get(key, '')}), {what}", before.get(what), after.get(what))
    yield from _changed("verdict", old["verdict"], new["verdict"])
