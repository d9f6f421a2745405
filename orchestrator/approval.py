"""Who has approved a plan, and whether that is enough: decisions from facts. Pure.

An approval is an SSH signature of the plan's manifest, made by the approver with `ssh-keygen -Y sign`. People are known by the
names that the signers file gives their keys: a login, or login@domain.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.limits import Limits
from orchestrator.policy import ApprovalTerms
from orchestrator.text.units import format_duration

NAMESPACE = "orchestrator-plan"
AHEAD = 300.0  # seconds that the clock of whoever planned may be ahead of this one


@dataclass(frozen=True)
class Approval:
    """An approval that was verified.

    Attributes:
        people: the names that the signers file has for the key, the first of them for words.
        key: the fingerprint of the key.
        signature: as it was given.
        at: when it was verified, milliseconds since the epoch.
    """

    people: tuple[str, ...]
    key: str
    signature: str
    at: int = 0

    def to_json(self) -> str:
        """As a run keeps it."""
        return json.dumps({"people": self.people, "key": self.key, "signature": self.signature}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, at: int) -> Approval:
        """As a run kept it, and when."""
        kept = json.loads(text)
        return cls(tuple(kept["people"]), kept["key"], kept["signature"], at)

    def __str__(self) -> str:
        return f"{self.people[0]} ({self.key})"


def logins(people: Iterable[str]) -> set[str]:
    """The logins in names such as alice or alice@example.com."""
    return {person.partition("@")[0].casefold() for person in people}


def distinct(approvals: Iterable[Approval]) -> list[Approval]:
    """The first approval of each person: nobody counts twice, by another key or another name."""
    found: list[Approval] = []
    for approval in approvals:
        if not any(approval.key == other.key or logins(approval.people) & logins(other.people) for other in found):
            found.append(approval)
    return found


def count(terms: ApprovalTerms, approvals: Iterable[Approval], authors: Iterable[str]) -> tuple[list[Approval], str]:
    """The approvals that count, and why they are not enough, or empty.

    Args:
        terms: of the policy.
        approvals: that were verified.
        authors: the logins of whoever made the plan.
    """
    people = distinct(approvals)
    own = [one for one in people if terms.not_by_author and logins(one.people) & logins(authors)]
    counted = [one for one in people if one not in own]
    if len(counted) >= terms.needed:
        return counted, ""
    by = f" ({', '.join(one.people[0] for one in counted)})" if counted else ""
    words = f"approved by {len(counted)} of {terms.needed}{by}"
    if own:
        words += f"; {own[0].people[0]} made the plan, and does not approve it (not_by_author)"
    return counted, words


def too_old(terms: ApprovalTerms, age: float) -> str:
    """Why a plan of some age, in seconds, is not started any more, or empty."""
    if age < -AHEAD:
        return f"the plan says that it was made {format_duration(-age)} from now; look at the clocks"
    if age > terms.valid_for:
        return f"the plan was made {_span(age)} ago; it could be started for {_span(terms.valid_for)} (valid_for)"
    return ""


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:.0f} days" if seconds >= 2 * 86_400 else format_duration(seconds)


def changed(then: Mapping[str, str], now: Mapping[str, str], signers: str) -> str:
    """What a plan rests on and is otherwise now, in a sentence; or empty.

    Args:
        then: `policy` and `settings` as JSON, `version`: of the plan.
        now: the same, of this machine.
        signers: the path of the signers file.
    """
    if then["version"] != now["version"]:
        return f"the plan was made with version {then['version']}, and this is version {now['version']}"
    if then["policy"] != now["policy"]:
        policies: Sequence[Any] = [json.loads(each["policy"]) or {} for each in (then, now)]
        hashes = [each.get("approvals", {}).pop("signers_sha256", "") for each in policies]
        if policies[0] == policies[1] and hashes[0] != hashes[1]:
            return f"{signers} has changed since the plan was made"
        return "the policy has changed since the plan was made"
    if then["settings"] != now["settings"]:
        old, new = (json.loads(each["settings"]) for each in (then, now))
        parts = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return f"the configuration has changed since the plan was made: {', '.join(parts)}"
    return ""


def loosened(approved: Limits, in_flight: int | None, rate: float | None) -> str:
    """Which limit of the command line allows more than the plan's, in a sentence; or empty.

    Args:
        approved: of the configuration, as the plan has them.
        in_flight: that was given.
        rate: that was given.
    """
    for name, given, limit in (("in-flight", in_flight, approved.in_flight), ("rate", rate, approved.rate)):
        if given is not None and limit is not None and given > limit:
            return f"--{name} {given:g} allows more than the {limit:g} of the plan"
    return ""


def signing_command(plan: str, program: str = "orchestrator") -> str:
    """What an approver types to sign a saved plan.

    Args:
        plan: the plan's file.
        program: how this program is called.
    """
    sign = f"ssh-keygen -Y sign -n {NAMESPACE} -f ~/.ssh/id_ed25519"
    return f"{program} show {shlex.quote(plan)} --manifest | {sign} > {shlex.quote(plan)}.$USER.sig"
