"""The values of a review, for people who decide about a change and do not know this program.

What is known stands there as a value: from the playbook and its parameters, and from the look at the fleet when the plan was
made. Of what only the run will know, it is said from which step's answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.ranges import Range


class Request(NamedTuple):
    """A request, and what does the same without this program.

    Attributes:
        id: of the operation; empty for one that is known from the look at the fleet alone.
        doveadm: the command line on the host itself.
        curl: the command line from anywhere; empty where a part of the request is not known.
    """

    id: str
    host: str
    doveadm: str
    curl: str


class Target(NamedTuple):
    """A value of the playbook: a name, and the value as people write it.

    Attributes:
        short: the same for a headline; empty for what is no headline: only hosts and lists of names are.
        names: how many names it lists; 0 for anything else.
    """

    name: str
    text: str
    short: str = ""
    names: int = 0


class OnHosts(NamedTuple):
    """How many requests of a step go to hosts of a group: at least and at most to each of them."""

    group: str
    hosts: str
    number: int
    requests: int
    least: int
    most: int


@dataclass(frozen=True, kw_only=True)
class ReviewedStep:
    """A step as a reviewer sees it.

    Attributes:
        key, role, owner: of the plan.
        name: without the batch.
        command: what it sends; "require" or "pause" for one that sends nothing.
        does: what that is, in words.
        changes: whether it changes something.
        repeatable: whether sending it twice does no harm.
        batch, batch_hosts: the batch that it belongs to ("4[2]") and its hosts, folded; or empty.
        hosts: folded; in words where only the run will know them.
        through: it is sent once, through its first host, for all of these; or empty.
        total: how many requests; None where only the run will know.
        on: the requests by group of hosts.
        listed: all requests, or the first and the last ones.
        left_out: how many are not listed.
        now: whether `listed` is what the look at the fleet made known.
        later: what only the run will know: its name, and what it is, in words.
        later_from: the keys of the steps whose answers tell; empty where all is known.
        skipped: why it is not done, or empty.
        when: the condition without which it is skipped, in words, or empty.
        impact: what users notice, or empty.
        affected: how many notice it.
        bound: how these numbers differ from what happens ("at most: ..."), or empty.
        untold: why a number of those who notice it is missing, or empty.
        irreversible: what of it cannot be undone, or empty.
        waits: seconds that it waits for each answer, that it is polled, or that it pauses; None where that is not known.
        polled: whether it asks until a condition holds.
        follows: what follows when it fails.
    """

    key: str
    name: str
    role: str
    owner: str
    command: str
    does: str
    changes: bool
    repeatable: bool
    batch: str
    batch_hosts: str = ""
    hosts: str = ""
    through: str = ""
    total: int | None = 0
    on: Sequence[OnHosts] = ()
    listed: Sequence[Request] = ()
    left_out: int = 0
    now: bool = False
    later: Sequence[tuple[str, str]] = ()
    later_from: str = ""
    skipped: str = ""
    when: str = ""
    impact: str = ""
    affected: Mapping[str, int]
    bound: str = ""
    untold: str = ""
    irreversible: str = ""
    waits: float | None = 0.0
    polled: bool = False
    follows: str = ""


class Check(NamedTuple):
    """What must hold.

    Attributes:
        moment: when it is looked at, in words.
        name: what it is about.
        what: what must hold, in words.
        asked: the question that it rests on; empty where that is an earlier step.
        now: what was seen when the plan was made; empty when nobody looked.
        holds: whether it held then; None when that could not be told, or nobody looked.
        otherwise: what follows when it does not hold.
        batch: of which batch it is, or empty.
    """

    moment: str
    name: str
    what: str
    asked: str
    now: str
    holds: bool | None
    otherwise: str
    batch: str = ""


class Backout(NamedTuple):
    """What takes a step back.

    Attributes:
        step: the step.
        by: its undo; None where the playbook has none.
        restores: parameter, value that the step sets, value that its undo sets.
        inverse: the command that takes it back by hand, and a note; empty for none.
        automatic: whether the run does so by itself when a step fails.
    """

    step: ReviewedStep
    by: ReviewedStep | None
    restores: Sequence[tuple[str, str, str]]
    inverse: str
    automatic: bool


class BatchImpact(NamedTuple):
    """How many notice a batch: its key, its hosts folded, users and sessions where that is known."""

    batch: str
    hosts: str
    affected: Mapping[str, int]


class Room(NamedTuple):
    """A backend that takes users of those that are emptied.

    Attributes:
        before, after: its users, before the others are emptied and while they are empty.
        capacity: users that it can serve; None where the configuration does not say.
        batch: while which batch is worked on; empty for the whole run.
        moving: how many users move then.
    """

    host: str
    before: int
    after: int
    capacity: int | None
    batch: str
    moving: int

    @property
    def is_full(self) -> bool:
        """Whether it gets more users than it can serve."""
        return self.capacity is not None and self.after > self.capacity


class Schedule(NamedTuple):
    """How long it takes.

    Attributes:
        whole: all of it, when nothing fails.
        pieces: of each step, or batch, that takes a while: its key and how long it takes.
    """

    whole: Range
    pieces: Sequence[tuple[str, Range]] = ()


class Approvals(NamedTuple):
    """Who has to approve it, and who has.

    Attributes:
        needed: how many people.
        command: what an approver types.
        verified: who approved it.
        lacking: why that is not enough, and what is wrong with other signatures; empty for nothing.
    """

    needed: int
    command: str
    verified: Sequence[str] = ()
    lacking: str = ""


class Verdict(NamedTuple):
    """What the look at the fleet said.

    Attributes:
        at: milliseconds since the epoch.
        sent: how many read-only requests.
        stops: whether the run would stop before its first change.
    """

    at: int
    sent: int
    stops: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Review:
    """A plan for those who decide about it.

    Attributes:
        name: the playbook's.
        file: what one types for the plan.
        about: what the playbook is for, in its author's words.
        targets: the values of its parameters.
        verdict: of the look at the fleet; None when nobody looked.
        affected: how many users and sessions notice it; a kind is left out where that is not known.
        by_batch: how many notice each batch.
        fleet_users: users on all backends; None when not known.
        emptied: the backends that lose their users, folded; empty for none.
        rooms: the backends that their users go to.
        changed: the hosts that get changing requests, folded, and how many they are.
        steps: in the order of running; then what takes back, then what comes last.
        pace: how many requests are sent at a time, in words.
        checks: in the order of their moments.
        unchecked: what the program cannot check, a sentence each.
        header_files: host -> the file with which `curl` authenticates there.
        planned: milliseconds since the epoch.
        playbook: where it was read.
        authors: who made the plan, where that is known.
        version: of the program that made it, where that is known.
        applied: as which run, and where, it was applied; empty when it was not.
        schedule, approvals: where they are known.
    """

    name: str
    file: str
    digest: str
    about: str
    targets: Sequence[Target]
    verdict: Verdict | None
    affected: Mapping[str, int]
    by_batch: Sequence[BatchImpact]
    fleet_users: int | None
    emptied: str
    rooms: Sequence[Room]
    changed: tuple[str, int]
    hosts: int
    pace: str
    steps: Sequence[ReviewedStep]
    checks: Sequence[Check]
    backouts: Sequence[Backout]
    warnings: Sequence[str]
    unchecked: Sequence[str]
    header_files: Mapping[str, str]
    planned: int
    playbook: str
    config: str
    limit: str
    ticket: str
    reason: str
    applied: str
    authors: Sequence[str] = ()
    version: str = ""
    schedule: Schedule | None = None
    approvals: Approvals | None = None

    @property
    def main(self) -> list[ReviewedStep]:
        """What is done if nothing fails: steps, their checks, and what comes last."""
        return [step for step in self.steps if step.role != "undo"]

    @property
    def requests(self) -> int:
        """How many requests are known."""
        return sum(step.total or 0 for step in self.main)

    @property
    def longest(self) -> float | None:
        """Seconds that it takes if each answer and each check takes as long as it may, without retries; None if unknown."""
        waits = [step.waits for step in self.main if not step.skipped]
        return None if None in waits else sum(seconds or 0.0 for seconds in waits)
