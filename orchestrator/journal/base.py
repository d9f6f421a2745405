"""What a journal must do, whoever keeps it: the protocols, and the values that pass through them.

A `Store` knows runs, a `Run` can be read by anybody and worked on by one owner at a time, a `Session` is that owner's. Each
commit of a session holds only while the session owns the run: a process that was taken for dead, and was not, cannot write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeVar

from orchestrator.answers import Answer
from orchestrator.errors import JournalError
from orchestrator.found import Found
from orchestrator.journal.details import Details
from orchestrator.operation import Operation
from orchestrator.outcome import Outcome, State
from orchestrator.plan.kept import Kept
from orchestrator.plan.steps import Draft, Plan, Planning
from orchestrator.sighting import Sighting
from orchestrator.status import Ending, Status

T = TypeVar("T")


class Verdict(Enum):
    """What becomes of an operation of which nobody knows whether it was executed."""

    RETRY = "retry"  # it was not executed, or may be executed twice: send it (again)
    DONE = "done"  # it was executed
    FAILED = "failed"  # it was not, and shall not be


@dataclass(frozen=True)
class Header:
    """What a run says of itself when it is planned.

    Attributes:
        created: milliseconds since the epoch.
        given: the texts of the playbook's parameters.
        config_path: the configuration that it was planned with.
        limit: the selection of --limit, or empty.
        ticket, reason: the change that it belongs to, in the operator's words.
    """

    created: int
    given: Mapping[str, str]
    config_path: str
    limit: str = ""
    ticket: str = ""
    reason: str = ""


@dataclass(frozen=True)
class PlannedHost:
    """A host as it was when the plan was made; what the plan rests on."""

    name: str
    url: str
    groups: tuple[str, ...]
    tags: tuple[str, ...]
    protected: bool


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as it stands.

    Attributes:
        counts: operations by state.
        operations: how many it has; None while that is not known.
    """

    number: int
    key: str
    role: str
    name: str
    command: str
    effect: str
    state: str
    reason: str
    first: int | None
    operations: int | None
    started: int | None
    finished: int | None
    counts: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """An operation as it stands, for exports and lists. Times are milliseconds since the epoch."""

    id: str
    step: str
    host: str
    command: str
    parameters: Mapping[str, Any]
    state: State
    exit_code: int | None
    error: str
    attempts: int
    changed: bool | None
    started_at: int | None
    finished_at: int | None


class Attempt(NamedTuple):
    """One attempt of an operation."""

    number: int
    started: int
    finished: int | None
    kind: str
    exit_code: int | None
    error: str


class SessionRecord(NamedTuple):
    """One session of work on a run.

    Attributes:
        began, ended: milliseconds since the epoch; `ended` is None while it lasts, and when its process died.
        status, reason: how it ended; RUNNING while it lasts.
        who: the operator and the machine.
    """

    began: int
    ended: int | None
    status: Status
    reason: str
    who: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Operations of a step that failed for the same reason; the first host, what one logged about it, and all hosts."""

    step: str
    state: State
    error: str
    count: int
    host: str
    evidence: str
    hosts: tuple[str, ...] = ()


class Totals(NamedTuple):
    """Attempts of all operations, those beyond each one's first, and when the last of them ended."""

    attempts: int
    retries: int
    finished: int | None


class AttemptResult(NamedTuple):
    """An attempt's end.

    Attributes:
        seq: the operation.
        attempt: its number, from 1.
        started, finished: milliseconds since the epoch.
        outcome: without its rows.
        state: the operation's new state; PENDING when it will be retried.
        answer: the answer's rows as they are kept, JSON; empty when there are none.
        left_out: how many rows of the answer are not kept.
    """

    seq: int
    attempt: int
    started: int
    finished: int
    outcome: Outcome
    state: State
    answer: str = ""
    left_out: int = 0


class Intent(NamedTuple):
    """An unrepeatable operation is about to be sent."""

    seq: int
    attempt: int
    started: int


class Reader(Details, AbstractContextManager["Reader"], Protocol):
    """Reads a run. What is read in one call is of one moment."""

    run_id: str
    playbook: str
    digest: str
    header: Header
    resumable: bool  # of this format; what an older version wrote can only be read

    def check(self) -> None:
        """Look for damage; DamagedRunError."""

    def hosts(self) -> list[PlannedHost]:
        """The fleet as planned, in order."""

    def groups(self) -> dict[str, list[str]]:
        """Group -> its members, as planned."""

    def kept(self) -> Kept:
        """The plan's texts."""

    def changes(self) -> set[str]:
        """The hosts that the run may change."""

    def limits(self) -> dict[str, Any]:
        """The limits that the command line gave last: in_flight, rate, max_failed, those that were given."""

    def moment(self) -> AbstractContextManager[None]:
        """What is read within is of one moment, whoever writes meanwhile."""

    def holder(self) -> str:
        """Who works on it now, or empty."""

    def status(self) -> tuple[Status, str]:
        """How the run stands, and why, when nobody works on it."""

    def counts(self) -> dict[State, int]:
        """Operations by state."""

    def sessions(self) -> list[SessionRecord]:
        """All sessions, in order."""

    def applied(self) -> str:
        """As which run, and where, this saved plan was applied; empty when it was not."""

    def emergencies(self) -> list[tuple[int, str]]:
        """When, in milliseconds since the epoch, and why windows and freezes did not hold."""

    def conditions(self) -> list[Sighting]:
        """What was seen of conditions, in order."""

    def undoing(self) -> Ending | None:
        """Why what was done is being undone; once that was begun a run goes no further forward."""

    def steps(self) -> list[StepRecord]:
        """All steps in order, with their counts."""

    def step(self, number: int) -> tuple[str, int | None, int | None]:
        """A step's state, first operation and number of operations."""

    def begun(self) -> set[str]:
        """The keys of the steps of which something was sent, or that were passed."""

    def open_counts(self, step: int) -> dict[str, int]:
        """Host -> how many of a step's operations are to be sent."""

    def ended(self, step: int) -> dict[State, int]:
        """A step's operations that have ended, by state."""

    def pending(self, step: int, host: str, after: int, limit: int) -> list[Operation]:
        """The next operations of a step on a host, in order, after an operation."""

    def doubtful(self, step: int | None = None) -> list[tuple[int, str, str]]:
        """What is in doubt, of a step or of all: number, host, parameters."""

    def last_doubt_ms(self, step: int) -> int:
        """When the last attempt of a step that is in doubt was made; 0 without one."""

    def any_bad(self, *roles: str) -> bool:
        """Whether any operation of steps of these roles failed, was unreachable, or is in doubt."""

    def retryable(self) -> int:
        """How many operations `retry` would send again."""

    def started_ms(self) -> int:
        """When the run was first started; when it was planned, if it was not."""

    def answer(self, step: int) -> Answer:
        """What the hosts of a step answered."""

    def operations(self, states: tuple[State, ...] = ..., *, step: int | None = None) -> Iterator[OperationRecord]:
        """Operations in order, of some states, lazily; of a step or of all."""

    def operation(self, operation: str) -> tuple[int, OperationRecord] | None:
        """An operation by its id, with its number."""

    def attempts(self, seq: int) -> list[Attempt]:
        """All attempts of an operation, in order."""

    def answer_rows(self, seq: int) -> tuple[list[dict[str, Any]], int]:
        """The kept rows of an operation's answer, and how many more there were."""

    def evidence(self, seq: int) -> str:
        """What the host logged about an operation, or empty."""

    def causes(self, limit: int = 10) -> list[Cause]:
        """Failures by cause, the most frequent first."""

    def found(self, step: int) -> Found:
        """Of how many of a step's items anything was changed."""

    def totals(self) -> Totals:
        """Attempts in all."""


class Session(AbstractAsyncContextManager["Session"], Protocol):
    """One owner's work on a run. What is awaited is durable when it returns; a cancellation waits for that.

    Attributes:
        failure: why nothing can be written any more, or None.
        recorded: called with the number of attempts that became durable.
        failed: called when writing failed.
        doubtful: how many operations were being sent when the last session died.
    """

    doubtful: int
    failure: JournalError | None
    recorded: Callable[[int], None]
    failed: Callable[[], None]

    def record(self, finished: AttemptResult) -> None:
        """Queue an attempt's end; `recorded` tells when it is durable."""

    def flush(self) -> None:
        """Wait for no further records before the next commit."""

    async def intend(self, intents: Sequence[Intent]) -> None:
        """Make durable that unrepeatable operations are about to be sent."""

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        """Take back intents of operations that were not sent after all."""

    async def mark_unreachable(self, step: int, host: str, error: str) -> int:
        """Record all pending operations of a step on a host as unreachable; returns how many."""

    async def decide(self, seqs: Sequence[int], verdict: Verdict, why: str) -> int:
        """Settle operations that are in doubt; returns how many."""

    async def expand(self, step: int, drafts: Iterator[Draft]) -> int:
        """Write a step's operations in one transaction; returns how many."""

    async def mark(self, step: int, state: str, reason: str = "", *, ended: bool = True) -> None:
        """Record where a step stands."""

    async def reopen(self, step: int) -> None:
        """Have a step's operations sent again, as if none had been."""

    async def event(self, kind: str, text: str) -> None:
        """Record something that happened to the run as a whole."""

    async def condition(self, seen: Sighting) -> None:
        """Record what was seen of a condition."""

    async def undoing(self, ending: Ending) -> None:
        """Record that what was done is being undone from now on, and why."""

    async def skip_rest(self, reason: str) -> None:
        """A run that is over leaves nothing pending."""

    async def end(self, ending: Ending) -> None:
        """Record how the session ended, and give the run back."""


class Start(NamedTuple):
    """What is done to a run before a session's work, in the transaction that makes it the owner's.

    Attributes:
        limits: of the command line, kept with the run.
        retry: have what failed sent again.
        expected: the only statuses in which it may be begun; another one is refused.
        digest: of the plan that was shown, or empty: another one is refused.
        take_over: from a process on another machine, which the operator knows to be gone.
    """

    limits: Mapping[str, Any]
    retry: bool = False
    expected: frozenset[Status] | None = None
    digest: str = ""
    take_over: bool = False


class Run(Protocol):
    """A run, or a saved plan, wherever it is kept."""

    id: str
    name: str  # as one types it

    @property
    def place(self) -> str:
        """What it is called, and where, for those who look from elsewhere."""

    def read(self) -> Reader:
        """Open it for reading; DamagedRunError, JournalError."""

    def work(self, start: Start) -> Session:
        """Own it; LockedError where somebody else works on it, RefusedError where it is not as expected."""

    def glance(self, question: Callable[[Reader], T]) -> T:
        """The answer to a short question, of thousands of runs; DamagedRunError, JournalError."""

    def holder(self) -> str:
        """Who works on it now, or empty."""

    def is_there(self) -> bool:
        """Whether it exists."""

    def is_over(self) -> bool:
        """Whether nothing is left to resume, as far as that is cheap to see; False where it is not."""

    def is_locked(self) -> bool:
        """Whether somebody works on it; cheaper than to ask who."""

    def settle(self, seqs: Sequence[int], verdict: Verdict, why: str) -> int:
        """Settle operations that are in doubt; LockedError while somebody works on it."""

    def discard(self) -> bool:
        """Remove it, if nobody has ever begun it; returns whether that is so."""


R = TypeVar("R", bound=Run)


class Store(Protocol[R]):
    """Where runs are kept."""

    def runs(self) -> Sequence[R]:
        """All runs, oldest first; JournalError."""

    def find(self, name: str | None) -> R:
        """The run that a name means; the newest for None and "last"; RunNotFoundError."""

    def create(self, plan: Plan, header: Header, planned: Planning = ...) -> R:
        """Write a plan as a new run, wholly or not at all; JournalError, and what the plan's expansion raises."""

    def save(self, target: str, plan: Plan, header: Header, planned: Planning = ...) -> R:
        """Write a plan to a place of its own, to be applied later; FileExistsError, JournalError."""

    def adopt(self, saved: R) -> R:
        """Make a run of a saved plan, once; the run itself, when it is there and never begun; RefusedError, JournalError."""
