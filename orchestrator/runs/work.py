"""Working on a run: starting it, going on with it, taking up what failed, settling what is in doubt, following it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from orchestrator.engine.rules import Settings
from orchestrator.errors import JournalError, LockedError, RefusedError
from orchestrator.events import Audience, Observer
from orchestrator.fleet.config import ConfigFile
from orchestrator.fleet.inventory import fold
from orchestrator.journal.base import Reader, Run, Start, Store
from orchestrator.limits import Limits
from orchestrator.report import Report, make_report
from orchestrator.runs.approvals import allowed
from orchestrator.runs.follow import Standing, standing
from orchestrator.runs.hours import hours_of, opening_of, refuse_without_room
from orchestrator.runs.planning import Fleet, plan_of
from orchestrator.runs.signatures import Signature
from orchestrator.status import RESUMABLE, Status
from orchestrator.text.units import Share, parse_share

if TYPE_CHECKING:
    from orchestrator.engine.hours import Hours
    from orchestrator.engine.runner import Approve, Runner
    from orchestrator.plan.steps import Plan

R = TypeVar("R", bound=Run)
LEAST_FILES = 20  # a run file, its log, its lock, the event loop, and a few requests
MOST_FILES = 65_536


@dataclass(frozen=True)
class Choices:
    """What whoever works on a run chooses for one session.

    Attributes:
        in_flight, rate, max_failed: limits; the run keeps them until others are given.
        window: the name of one, or a day with two times; the run keeps it. At its end the run stops, and can be resumed.
        until: a time of day at which the run stops, or a day with one; the run keeps it until it is over.
        wait: for the window to open.
        takes: seconds that every batch, and every step that must not be cut, takes at most.
        break_glass: why windows, freezes and approvals do not hold this time.
        force: even while another run changes the same hosts.
        take_over: from a process on another machine, which the operator knows to be gone.
        ask: before each step that changes something.
    """

    in_flight: int | None = None
    rate: float | None = None
    max_failed: str | None = None
    window: str | None = None
    until: str | None = None
    wait: bool = False
    takes: float | None = None
    break_glass: str = ""
    force: bool = False
    take_over: bool = False
    ask: bool = False

    def __post_init__(self) -> None:
        """Refuse limits that are none, with a ValueError."""
        if self.window and self.until:
            raise ValueError("give either --window or --until")
        self.share()
        Limits(in_flight=self.in_flight, rate=self.rate)

    @property
    def limits(self) -> dict[str, Any]:
        """The limits that were given, by name."""
        named = {name: getattr(self, name) for name in KEPT}
        return {name: value for name, value in named.items() if value is not None}

    def with_kept(self, reader: Reader) -> Choices:
        """These, with the limits that a run keeps where none were given."""
        kept = reader.limits()
        if self.window or self.until or self.break_glass:  # one of them replaces the other
            kept = {name: value for name, value in kept.items() if name not in HOURS}
        return replace(self, **{**kept, **self.limits})

    def share(self) -> Share | None:
        """How many operations of a step may fail; None when that was not said."""
        return None if self.max_failed is None else parse_share(self.max_failed)

    def settings(self, file: ConfigFile) -> Settings:
        """What a configuration says, with what these say otherwise."""
        said = {name: value for name, value in self.limits.items() if name in {"in_flight", "rate"}}
        return Settings(file.limits.model_copy(update=said), file.retry, self.share())


HOURS = ("window", "until")
KEPT = ("in_flight", "rate", "max_failed", *HOURS)
NOTHING_SAID = Choices()


class Control:
    """Stops a run from outside: give one to the call that works on it. For the thread of that call's event loop."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._interrupted = ""
        self._impatient = False

    def interrupt(self, why: str) -> None:
        """Send nothing more, let answers come, run `finally`, end; the run can be resumed."""
        self._interrupted = self._interrupted or why
        if self._runner:
            self._runner.interrupt(why)

    def cancel(self) -> None:
        """Wait for no answer any more, and leave `finally` to whoever resumes the run."""
        self._impatient = True
        if self._runner:
            self._runner.cancel()

    def attach(self, runner: Runner) -> None:
        """What is to be stopped; an order that came before is given now."""
        self._runner = runner
        if self._interrupted:
            runner.interrupt(self._interrupted)
        if self._impatient:
            runner.cancel()


class How(TypedDict, total=False):
    """How a run is worked on; everything may be left out.

    Attributes:
        choices: limits for this session.
        observers: who is told what happens; they are closed when the call ends.
        approve: answers the questions of the playbook's pauses; without it every answer is no, and the run stops there.
        control: stops the run from outside.
        signatures: approvals of a plan that is to be started.
    """

    choices: Choices
    observers: Iterable[Observer]
    approve: Approve
    control: Control
    signatures: Iterable[Signature]


async def work(
    run: Run,
    fleet: Fleet,
    start: Start,
    others: Iterable[Run] = (),
    *,
    choices: Choices = NOTHING_SAID,
    observers: Iterable[Observer] = (),
    approve: Approve | None = None,
    control: Control | None = None,
    signatures: Iterable[Signature] = (),
) -> Report:
    """Work on a run until it is done or stopped.

    Args:
        run: the run.
        fleet: the one that it was planned for.
        start: what is to hold, and to be done first; its limits are those of `choices`.
        others: runs that may be changing the same hosts at this moment.
        choices: see `How`.
        observers: see `How`.
        approve: see `How`.
        control: see `How`.
        signatures: see `How`.

    Raises:
        RefusedError: it is not as expected or not allowed, the fleet has changed, or another run changes the same hosts.
        LockedError: somebody else works on it.
        JournalError: it cannot be read or written; what was recorded is true.
        SecretError: a secret cannot be had; nothing was begun.
    """
    from orchestrator.dovecot.client import Client
    from orchestrator.engine.runner import Runner, World, nobody
    from orchestrator.runs.pages import fetch

    allow_open_files()
    with Audience(observers) as audience:
        with run.read() as reader:
            _check(reader)
            if reader.resumable and not reader.sessions():
                reader.verify()
            plan = plan_of(reader, fleet)
            if not choices.force:
                refuse_overlap(run, reader, others)
            choices = choices.with_kept(reader)
            approvals = allowed(reader, plan, choices, fleet, signatures)
            hours, choices = _hours(reader, plan, fleet, choices, others)
        start = start._replace(limits=choices.limits, take_over=choices.take_over, approvals=approvals)
        async with (
            Client(host.endpoint for host in plan.inventory.hosts.values()) as client,
            run.work(start) as session,
        ):
            settings = choices.settings(fleet.config.file)
            world = World(client, audience, settings, approve or nobody, hours, fetch=fetch, ask=choices.ask)
            if choices.break_glass:
                await session.event("break glass", choices.break_glass)
                audience.note(f"windows, freezes and approvals are ignored: {choices.break_glass}")
            with run.read() as reader:
                runner = Runner(plan, reader, session, world)
                if control:
                    control.attach(runner)
                await runner.run()
        with run.read() as reader:
            return make_report(reader, name=run.name)


def _hours(
    reader: Reader, plan: Plan, fleet: Fleet, choices: Choices, others: Iterable[Run]
) -> tuple[Hours | None, Choices]:
    """The hours of a session, and the choices as the run keeps them: a time of day with its day."""
    if choices.break_glass or not plan.changes_anything:
        return None, choices
    opening = opening_of(choices, fleet.config.file, time.time())
    if opening is None:
        return None, choices
    hours = hours_of(opening, choices, plan, reader, choices.settings(fleet.config.file), others)
    refuse_without_room(plan, hours)
    return hours, replace(choices, until=opening.text()) if choices.until else choices


async def start(run: Run, store: Store[Any], fleet: Fleet, *, digest: str = "", **how: Unpack[How]) -> Report:
    """Work on a run that was planned and not started.

    Args:
        run: the run.
        store: its runs are looked at, so that two that change the same hosts are not worked on at a time.
        fleet: the one that it was planned for.
        digest: of the plan that somebody was shown; another one is refused.
        how: see `How`.

    Raises:
        as `work`.
    """
    expected = Start({}, expected=frozenset({Status.PLANNED}), digest=digest)
    return await work(run, fleet, expected, store.runs(), **how)


async def resume(run: Run, store: Store[Any], fleet: Fleet, **how: Unpack[How]) -> Report:
    """Go on with a run exactly where it stopped; see `start`."""
    status = left(run, take_over=how.get("choices", NOTHING_SAID).take_over).status
    with run.read() as reader:
        refuse_resume(reader, status)
    return await work(run, fleet, Start({}, expected=RESUMABLE), store.runs(), **how)


async def retry(run: Run, store: Store[Any], fleet: Fleet, **how: Unpack[How]) -> Report:
    """Send again what failed or was unreachable in a run, and go on; see `start`."""
    status = left(run, take_over=how.get("choices", NOTHING_SAID).take_over).status
    with run.read() as reader:
        refuse_retry(reader, status)
    expected = Start({}, retry=True, expected=frozenset({status}))
    return await work(run, fleet, expected, store.runs(), **how)


async def begin(run: Run, store: Store[Any], fleet: Fleet, **how: Unpack[How]) -> Report:
    """The same as `start`, for a run that was just made: one that is refused before anything was begun is not kept."""
    with fresh(run):
        return await start(run, store, fleet, **how)


@contextmanager
def fresh(run: R) -> Iterator[R]:
    """A run that was just made; it is not kept when the context ends with an error and nobody has begun it."""
    try:
        yield run
    except BaseException:
        run.discard()
        raise


def left(run: Run, *, take_over: bool = False) -> Standing:
    """How a run stands that nobody works on.

    Args:
        run: the run.
        take_over: whether it is to be taken from a process on another machine; whether that may be, `Run.work` knows.

    Raises:
        LockedError: somebody does; says who.
    """
    found = standing(run)
    if not found.holder:
        return found
    if take_over:
        with run.read() as reader:
            status, reason = reader.status()
            return found._replace(status=status, reason=reason)
    raise LockedError(
        f"the run {run.id} is being worked on by {found.holder}",
        hint="wait for it, or stop it with Ctrl-C or SIGTERM there; it can be resumed then; "
        f"only if that is another machine, and is gone for good: orchestrator resume --take-over {run.id}",
    )


def refuse_resume(reader: Reader, status: Status) -> None:
    """Refuse to resume what cannot be.

    Raises:
        RefusedError: there is nothing to resume; says what can be done.
    """
    if status in RESUMABLE:
        return
    hint = f"`orchestrator show {reader.run_id}` shows it; to do the same again, make a new plan"
    if status is Status.PLANNED:
        hint = f"it was planned and never started: `orchestrator apply {reader.run_id}` shows the plan and asks"
    raise RefusedError(f"run {reader.run_id} is {status.word}; there is nothing to resume", hint=hint)


def refuse_retry(reader: Reader, status: Status) -> None:
    """Refuse to retry what cannot be.

    Raises:
        RefusedError: nothing failed that can be sent again, or the run is being undone.
    """
    if reader.undoing() and status in RESUMABLE:
        raise RefusedError(
            f"run {reader.run_id} is {status.word}, and is being undone",
            hint=f"`orchestrator resume {reader.run_id}` goes on with that",
        )
    if not reader.retryable() or status in {Status.UNDONE, Status.REFUSED}:
        hint = f"`orchestrator resume {reader.run_id}` goes on with it" if status in RESUMABLE else ""
        raise RefusedError(f"run {reader.run_id} is {status.word}; nothing in it can be retried", hint=hint)


def refuse_replaced(saved: Run, run_id: str, digest: str) -> None:
    """Refuse a plan that is not the one that was shown.

    Raises:
        RefusedError: it was replaced meanwhile.
    """
    with saved.read() as reader:
        if (reader.run_id, reader.digest) != (run_id, digest):
            raise RefusedError("the plan is not the one that was shown: it was replaced meanwhile", hint="look again")


def refuse_applied(saved: Reader, target: Run | None = None) -> None:
    """Refuse a plan that was applied before; one whose run is there, and was never begun, can be gone on with.

    Args:
        saved: the plan.
        target: the run that it became or becomes here; None when it is a run itself.

    Raises:
        RefusedError: it was applied before; names the run.
    """
    where = saved.applied() or (saved.run_id if saved.sessions() else "")
    hint = "to do the same again, make a new plan"
    if target is not None and where in {"", target.place} and target.is_there():
        status = standing(target).status
        if status is Status.PLANNED:
            return
        hint = f"`orchestrator resume {target.id}` goes on with it" if status in RESUMABLE else hint
        where = target.place
    if where:
        raise RefusedError(f"this plan was already applied, as run {where}", hint=hint)


def refuse_overlap(run: Run, reader: Reader, others: Iterable[Run]) -> None:
    """Two runs that change the same hosts at a time spoil each other's checks and undo.

    Raises:
        RefusedError: names the other run and who works on it.
    """
    for other in others:
        if other.id == run.id or not other.is_locked():
            continue
        with ExitStack() as stack:
            try:
                shared = sorted(reader.changes() & stack.enter_context(other.read()).changes())
            except JournalError:
                continue
        if shared:
            raise RefusedError(
                f"run {other.id} is changing {fold(shared)} at this moment ({other.holder()})",
                hint="wait for it, stop it with Ctrl-C there, or give --force if the two do not interfere with each other",
            )


def _check(reader: Reader) -> None:
    """Look for damage, and meanwhile import what the work needs: both take long, and have no use for the same core."""
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(reader.check)
        import_module("orchestrator.dovecot.client")
        checked.result()


def allow_open_files() -> None:
    """As many open files as the system lets this process have: each request on the wire is one.

    Raises:
        JournalError: they are too few to begin with.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < LEAST_FILES:
        words = f"the limit on open files is {soft}, and at least {LEAST_FILES} are needed"
        raise JournalError(words, hint="ulimit -n 1024")
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
