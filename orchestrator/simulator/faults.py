"""Scripted trouble: rules that make hosts misbehave as real ones do.

A rule is one line of text, for the command line and for tests::

    host=b1,command=kick,rate=0.3,exit=75
    command=dictInc,first=2,empty=after
    host=b3,refuse
    command=kick,first=2,http=429,retry_after=1

Before the action stand the conditions, all of which must hold; the first rule that fits a command decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# action -> what its value is: None for no value, "" for an optional one
_ACTIONS: dict[str, str] = {
    "exit": "an exit code, such as exit=75",
    "empty": "",
    "reset": "",
    "hang": "",
    "slow": "seconds, such as slow=1.5",
    "drip": "",
    "truncate": "",
    "wrong_tag": "",
    "huge": "megabytes, such as huge=8",
    "http": "an HTTP status, such as http=503",
    "refuse": "",
    "echo_auth": "",
}
_CONDITIONS = ("host", "command", "rate", "first", "after", "seed", "applied", "retry_after")
_ALWAYS_APPLIED = frozenset({"slow", "drip", "truncate", "wrong_tag", "huge"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When trouble comes, and which.

    Attributes:
        host: Pattern of host names, such as ``b*``.
        command: Pattern of command names.
        rate: Share of the fitting commands that are hit, by dice of their own.
        first: Only the first so many fitting commands.
        after: Only when so many fitting commands have passed unharmed.
        action: What happens.
        value: The action's number.
        applied: Whether the command takes effect all the same.
        retry_after: The seconds that an HTTP error asks to wait.
    """

    action: str
    host: str = "*"
    command: str = "*"
    rate: float = 1.0
    first: int | None = None
    after: int = 0
    seed: int = 1
    value: float = 0.0
    applied: bool = False
    retry_after: int | None = None


@dataclass(slots=True)
class _Armed:
    rule: Rule
    dice: random.Random
    seen: int = 0


@dataclass(slots=True)
class Faults:
    """The rules of a fleet, in order, and how often each was tried."""

    rules: tuple[Rule, ...]
    _armed: list[_Armed] = field(init=False)

    def __post_init__(self) -> None:
        """Give each rule its own counter and dice, so that rules do not interfere with each other."""
        acting = (rule for rule in self.rules if rule.action != "refuse")
        self._armed = [_Armed(rule, random.Random(rule.seed)) for rule in acting]

    def refuses(self, host: str) -> bool:
        """Whether this host's port is closed from the start."""
        return any(rule.action == "refuse" and fnmatchcase(host, rule.host) for rule in self.rules)

    def strike(self, host: str, command: str) -> Rule | None:
        """The trouble for this command, if any; counts it for every rule that is asked."""
        for armed in self._armed:
            rule = armed.rule
            if not (fnmatchcase(host, rule.host) and fnmatchcase(command, rule.command)):
                continue
            armed.seen += 1
            if armed.seen <= rule.after or (rule.first is not None and armed.seen > rule.after + rule.first):
                continue
            if rule.rate >= 1.0 or armed.dice.random() < rule.rate:
                return rule
        return None


def parse_faults(texts: Iterable[str]) -> Faults:
    """Read rules; raises ValueError that names the rule and what is wrong with it."""
    return Faults(tuple(parse_rule(text) for text in texts))


def parse_rule(text: str) -> Rule:
    """Read one rule, such as ``host=b1,command=kick,rate=0.3,exit=75``."""
    conditions: dict[str, str] = {}
    action: tuple[str, str] | None = None
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key in _ACTIONS:
            if action is not None:
                raise _wrong(text, f"has two actions, {action[0]} and {key}")
            action = (key, value)
        elif key in _CONDITIONS:
            if key in conditions:
                raise _wrong(text, f"says {key} twice")
            conditions[key] = value if equals else "true"
        else:
            known = ", ".join((*_CONDITIONS, *_ACTIONS))
            raise _wrong(text, f"has {key or 'an empty part'!r}, which is none of: {known}")
    if action is None:
        raise _wrong(text, "has no action; one of: " + ", ".join(_ACTIONS))
    return _rule(text, conditions, *action)


def _rule(text: str, conditions: dict[str, str], action: str, value: str) -> Rule:
    applied = conditions.get("applied", "false")
    if applied not in ("true", "false"):
        raise _wrong(text, f"has applied={applied}; it is true or false")
    if action in ("empty", "reset", "hang") and value in ("before", "after"):
        applied, value = ("true" if value == "after" else "false"), ""
    rate = _number(text, "rate", conditions.get("rate", "1"))
    if not 0 <= rate <= 1:
        raise _wrong(text, f"has rate={conditions['rate']}; it is a share from 0 to 1")
    first, wait = conditions.get("first"), conditions.get("retry_after")
    if wait is not None and action != "http":
        raise _wrong(text, "has retry_after, which goes with http")
    return Rule(
        action=action,
        host=conditions.get("host", "*"),
        command=conditions.get("command", "*"),
        rate=rate,
        first=None if first is None else _count(text, "first", first),
        after=_count(text, "after", conditions.get("after", "0")),
        seed=_count(text, "seed", conditions.get("seed", "1")),
        value=_value(text, action, value),
        applied=applied == "true" or action in _ALWAYS_APPLIED,
        retry_after=None if wait is None else _count(text, "retry_after", wait),
    )


def _value(text: str, action: str, value: str) -> float:
    wanted = _ACTIONS[action]
    if not wanted:
        if value and action != "drip":
            raise _wrong(text, f"has {action}={value}; {action} takes no such value")
        return _number(text, action, value) if value else 1.0
    if not value:
        raise _wrong(text, f"has {action} without a value; it wants {wanted}")
    if action in ("exit", "http"):
        number = _count(text, action, value)
        low, high = (1, 255) if action == "exit" else (100, 599)
        if not low <= number <= high:
            raise _wrong(text, f"has {action}={value}; it is a number from {low} to {high}")
        return number
    return _number(text, action, value)


def _number(text: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise _wrong(text, f"has {key}={value}, which is no number")
    return number


def _count(text: str, key: str, value: str) -> int:
    if not value.isdecimal():
        raise _wrong(text, f"has {key}={value}; it is a whole number")
    return int(value)


def _wrong(text: str, what: str) -> ValueError:
    return ValueError(f"fault {text!r} {what}")
