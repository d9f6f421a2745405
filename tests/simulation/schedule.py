"""One schedule: a run with limits, troubles, kills and interruptions from one seed, and what must hold all the time."""

from __future__ import annotations

import asyncio
import hashlib
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

import orchestrator.engine.meter
import orchestrator.engine.runner
import orchestrator.engine.sending
import orchestrator.journal.sqlite.statements
from orchestrator.engine.concurrency import CEILING
from orchestrator.engine.hours import Hours
from orchestrator.engine.lane import BREAKER_AFTER
from orchestrator.engine.pace import LATENESS
from orchestrator.engine.rules import Settings
from orchestrator.engine.runner import Runner, World
from orchestrator.engine.scheduler import Scheduler
from orchestrator.engine.sending import Sending
from orchestrator.errors import JournalError, LockedError
from orchestrator.events import AttemptEnded, Audience, Event, StepStarted
from orchestrator.fleet.inventory import Host, Inventory
from orchestrator.journal.base import Start, Verdict
from orchestrator.journal.sqlite.lock import lock_path
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.journal.sqlite.session import FileSession
from orchestrator.journal.sqlite.store import FileRun
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import BAD_STATES, OPEN_STATES, Effect, State
from orchestrator.plan.kept import Kept, recall
from orchestrator.plan.steps import Plan
from orchestrator.report import make_report
from orchestrator.runs.planning import differences
from orchestrator.runs.work import Control
from orchestrator.status import OVER, Ending, Status
from orchestrator.text.units import Share
from orchestrator.windows import Opening
from tests.simulation.database import in_memory
from tests.simulation.held import Holds
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.servers import OURS, Habits, Servers
from tests.simulation.templates import KINDS, TIMEOUT, scratch, template
from tests.simulation.writer import VirtualWriter

REAL = 20  # one schedule of so many has its run file in a file, the others in memory
MOST_SESSIONS = 30
FAULTY = 3  # sessions; after them the servers are OK, and nobody interrupts
SETTLED = 60.0  # seconds after which nothing of a dead session is under way any more
NOTICED = 0.6  # seconds within which the end of a window is noticed
PATIENCE = 9.0  # seconds within which the other hosts are done while one is dead

_OFTEN = [kind for kind in KINDS for _ in range(1 if kind in {"several", "expanded"} else 3)]  # those take longer
_TROUBLES = (
    "temporary",
    "temporary, done",
    "lost before",
    "lost after",
    "refused",
    "slow",
    "failed",
    "cut",
    "wrong tag",
    "hangs",
    "turned away",
    "proxy error",
)


class Broken(AssertionError):
    """Something that must always hold did not."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What a seed decides before anything runs."""

    kind: str
    hosts: int
    items: int
    limits: Limits
    retry: Retry
    max_failed: Share
    habits: Habits
    commit: float  # greatest latency of a commit, seconds
    clock: float  # seconds between two readings of the clock
    starving: bool  # one host is dead, all others are OK, and must not wait for it


def scenario(random: Random, rates: Sequence[float] | None = None) -> Scenario:
    """Draw one; with one of some rates, when they are given."""
    kind = random.choice(_OFTEN)
    large = random.random() < 0.1  # what goes wrong at all goes wrong with few, and few are quick to play
    hosts = random.choice((5, 8) if large else (1, 2, 2, 3))
    items = random.choice((4, 7) if large else (1, 2, 3))
    commit = random.choice((0.0, 0.0, 0.001, 0.02, 0.3))
    if random.random() < 0.08 and rates is None:
        return _starving(random, items, commit)
    share = random.choice((0.0, 0.05, 0.05, 0.2, 0.6))
    chosen = random.sample(_TROUBLES, random.randint(1, 4))
    dead = {}
    if random.random() < 0.3:
        begin = random.choice((0.0, 0.0, random.uniform(0.0, 1.0)))
        dead = {f"b{random.randint(1, hosts)}": (begin, begin + random.choice((0.5, 5.0, 1e9)))}
    return Scenario(
        kind=kind,
        hosts=hosts,
        items=items,
        limits=Limits(
            in_flight=random.choice((1, 2, 3, 8, 20, 100)),
            per_host=random.choice((1, 1, 2, 4, 4, "auto")),
            rate=random.choice((None, None, 3.0, 40.0, 300.0)) if rates is None else random.choice(rates),
        ),
        retry=Retry(
            attempts=random.choice((1, 2, 3, 6, 6, 40)),
            base=random.choice((0.001, 0.1, 1.0)),
            max=random.choice((0.01, 2.0, 30.0)),
            deadline=random.choice((5.0, 600.0, 600.0)),
            budget=random.choice((0.01, 2.0, 2.0)),
        ),
        max_failed=random.choice((Share(0), Share(1), Share(3), Share(10, percent=True), Share(100, percent=True))),
        habits=Habits(
            latency=random.choice(((0.001, 0.002), (0.01, 0.1), (0.05, 0.05))),
            trouble={kind: share / len(chosen) for kind in chosen},
            dead=dead,
            hangs=random.random() < 0.5,
        ),
        commit=commit,
        clock=random.choice((0.0, 1e-7, 1e-6, 5e-6)),
        starving=False,
    )


def _starving(random: Random, items: int, commit: float) -> Scenario:
    hosts, per_host = random.choice((2, 3, 5)), random.choice((1, 2, 4))
    narrow = random.random() < 0.3  # the dead host can take every place in flight for as long as its requests last
    in_flight = random.randint(1, hosts * per_host - 1) if narrow else hosts * per_host + random.choice((0, 50))
    return Scenario(
        kind="repeatable",
        hosts=hosts,
        items=items,
        limits=Limits(in_flight=in_flight, per_host=per_host, rate=None),
        retry=Retry(attempts=random.choice((2, 6)), base=0.1, max=5.0, deadline=600.0, budget=100.0),
        max_failed=Share(100, percent=True),
        habits=Habits(
            latency=(0.01, 0.1), dead={f"b{random.randint(1, hosts)}": (0.0, 1e9)}, hangs=random.random() < 0.7
        ),
        commit=min(commit, 0.02),
        clock=0.0,
        starving=True,
    )


@dataclass
class _Watch:
    """Sees every request and every attempt's end, and says at once when something is wrong."""

    loop: VirtualLoop
    servers: Servers
    scenario: Scenario
    file: FileReader
    max_failed: Share
    scheduler: Scheduler | None = None
    dead: bool = False
    step: str = ""
    begun: float = 0.0
    first: int = 0
    requests: int = 0
    attempts: int = 0
    failures: int = 0
    allowed: int = 0
    exceeded: float | None = None
    broken: Broken | None = None
    ended: Counter[str] = field(default_factory=Counter)
    last_end: dict[str, float] = field(default_factory=dict)
    closes: float = math.inf  # when the session's window does
    holds: Holds | None = None
    interval = 1e6

    def tell(self, event: Event) -> None:
        """Something happened; what is wrong about it ends the schedule."""
        try:
            if isinstance(event, AttemptEnded):
                self.attempt_ended(event)
            elif isinstance(event, StepStarted):
                self.step_started(event.step)
        except Broken as broken:
            self.broken = self.broken or broken

    def close(self) -> None:
        """Nothing is left behind."""

    def step_started(self, key: str) -> None:
        """Begin to count."""
        self.step, self.exceeded = key, None
        self.ended.clear()
        self.servers.sent.clear()
        self.attempts = _attempts(self.file)
        step = next(step for step in self.file.steps() if step.key == key)
        self.first = step.first or 0
        self.failures = sum(step.counts.get(state, 0) for state in BAD_STATES)
        self.allowed = self.max_failed.of(step.operations or 0)

    def attempt_ended(self, ended: AttemptEnded) -> None:
        """An operation has one end."""
        if self.dead:
            return
        self.last_end[ended.host] = self.loop.time()
        if ended.state in OPEN_STATES:
            return
        self.ended[ended.id] += 1
        if self.ended[ended.id] > 1:
            raise Broken(f"{ended.id} ended twice")
        if ended.state in BAD_STATES:
            self.failures += 1
            if self.failures > self.allowed and self.exceeded is None:
                self.exceeded = self.loop.time()

    def request(self, host: str, tag: str, command: str) -> None:
        """A request is about to go out."""
        limit = self.scenario.limits.per_host
        if self.servers.active[host] > (CEILING if limit == "auto" else limit):
            raise Broken(f"{self.servers.active[host]} requests at a time on {host}, and {limit} may")
        in_flight = self.scenario.limits.in_flight or 100
        if self.servers.active.total() > in_flight:
            raise Broken(f"{self.servers.active.total()} requests at a time, and {in_flight} may")
        self._pace()
        if tag not in OURS:
            if self.holds and self.holds.held:
                raise Broken(f"{tag} is sent while the run is held")
            if self.loop.time() > self.closes + NOTICED and not self.step.endswith(".undo") and self.step[0].isdigit():
                raise Broken(f"step {self.step} sends after its window has closed")
            self._planned(host, tag, command)
            self._operation(tag)

    def _planned(self, host: str, tag: str, command: str) -> None:
        """What is sent is what was planned under this id."""
        found = (
            "SELECT s.command, h.name FROM operation o JOIN step s ON s.number = o.step JOIN host h ON h.number = o.host"
            " WHERE s.key = ? AND o.seq = s.first + ? - 1"
        )
        key, _, number = tag.rpartition(".")
        planned = self.file._connection.execute(found, (key, int(number))).fetchone()
        if planned != (command, host):
            raise Broken(f"{tag} is {command} to {host}, and was planned as {planned}")

    def _pace(self) -> None:
        """All requests of a session, questions included, share one rate."""
        now, rate = self.loop.time(), self.scenario.limits.rate
        self.begun = self.begun if self.requests else now
        self.requests += 1
        if rate and self.requests > 1 + rate * (now - self.begun + LATENESS) + 1e-6:
            raise Broken(f"{self.requests} requests within {now - self.begun:.3f} s, and {rate} a second may be sent")

    def _operation(self, tag: str) -> None:
        assert self.scheduler is not None
        rules, now = self.scheduler.rules, self.loop.time()
        careful = rules.effect is Effect.UNREPEATABLE
        found = "SELECT state FROM operation WHERE seq = ?"
        seq = self.first + int(tag.rpartition(".")[2]) - 1
        state = State(self.file._connection.execute(found, (seq,)).fetchone()[0])
        if state is not (State.RUNNING if careful else State.PENDING):
            raise Broken(f"{tag} is sent while the run file says that it is {state.word}")
        self._unrecorded(careful=careful)
        if careful and self.servers.executed[tag]:
            raise Broken(f"{tag} must not be repeated, was executed, and is sent again")
        attempts = self.scenario.retry.attempts or 6
        if rules.polling is None and self.servers.sent[tag] > attempts:
            raise Broken(f"{tag} is sent for the {self.servers.sent[tag]}th time, and {attempts} may be")
        over = self.exceeded is not None and now > self.exceeded + (5.0 if careful else 0.0)
        if over and not self.step.startswith("finally") and not self.step.endswith(".undo"):
            raise Broken(f"{tag} is sent after {self.failures} failures, and {self.allowed} may be")
        again = self.servers.sent.total() - len(self.servers.sent)
        free = 100 + int(len(self.scheduler._lanes) * self.scenario.items * (self.scenario.retry.budget or 2))
        if rules.polling is None and again > free + (self.scenario.limits.in_flight or 100):
            raise Broken(f"{again} retries, and about {free} may be")

    def _unrecorded(self, *, careful: bool) -> None:
        """What a crash could repeat, or leave in doubt, is bounded: sent, and not durably recorded."""
        execute = self.file._connection.execute
        if careful:  # what is to be sent is durable before
            (open_ended,) = execute("SELECT count(*) FROM operation WHERE state = ?", (int(State.RUNNING),)).fetchone()
        else:
            open_ended = self.servers.sent.total() - (_attempts(self.file) - self.attempts)
        in_flight = self.scenario.limits.in_flight or 100
        if open_ended > in_flight:
            raise Broken(f"{open_ended} requests are sent and not recorded, and {in_flight} may be")


def _attempts(file: FileReader) -> int:
    """How many attempts a run file knows of."""
    return int(file._connection.execute("SELECT coalesce(sum(attempts), 0) FROM operation").fetchone()[0])


@dataclass
class _Fails:
    """An observer that raises at some moment, as one whose output is gone does."""

    random: Random
    interval = 1e6

    def __post_init__(self) -> None:
        self.left = self.random.choice((0, 3, 30, 10**6))

    def tell(self, event: Event) -> None:
        """Perhaps raise."""
        self.left -= 1
        if self.left < 0:
            raise OSError("the output is gone")

    def close(self) -> None:
        """Raise, too."""
        if self.left < 0:
            raise OSError("the output is gone")


def _changed(random: Random, inventory: Inventory) -> Inventory:
    """A fleet that is like another one but for one thing."""
    hosts, groups = dict(inventory.hosts), dict(inventory.groups)
    name = random.choice(list(hosts))
    host: Host = hosts[name]
    what = random.choice(("tags", "address", "protected", "gone", "new", "group", "order"))
    if what == "tags":
        hosts[name] = replace(host, tags=(*host.tags, "more"))
    elif what == "address":
        hosts[name] = replace(host, endpoint=replace(host.endpoint, address="10.9.9.9"))
    elif what == "protected":
        hosts[name] = replace(host, protected=not host.protected)
    elif what == "gone":
        del hosts[name]
    elif what == "group" or len(hosts) == 1:
        groups["more"] = (name,)
    elif what == "order":
        hosts = dict(reversed(hosts.items()))
    else:
        hosts["new"] = replace(host, name="new")
    return Inventory(hosts, groups)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What went wrong, without the task groups that wrapped it."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


@dataclass(frozen=True)
class Parts:
    """What of the product a schedule runs with: its own, or one that was broken on purpose."""

    scheduler: type[Scheduler] = Scheduler
    sending: type[Sending] = Sending
    runner: type[Runner] = Runner
    writer: type[VirtualWriter] = VirtualWriter
    recall: Callable[[Kept, Inventory], Plan] = recall


@dataclass
class _Schedule:
    seed: int
    loop: VirtualLoop
    cancels: bool
    path: Path
    rates: Sequence[float] | None = None
    parts: Parts = field(default_factory=Parts)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.scenario = scenario(self.random, self.rates)
        self.loop.step = self.scenario.clock
        self.template = template(self.scenario.kind, self.scenario.hosts, self.scenario.items)
        users = tuple(f"user{number}" for number in range(self.scenario.items))
        self.servers = Servers(self.random, self.scenario.habits, users)
        self.max_failed = self.scenario.max_failed
        self.sessions = 0
        self.writers: list[VirtualWriter] = []
        self.rivals: list[asyncio.Task[None]] = []

    async def go(self) -> None:
        """Session after session until the run is over."""
        with FileReader(self.path) as self.witness:
            await self._sessions()
            await asyncio.sleep(SETTLED)
            await self._rivals_gone()
            self._check_end()

    async def _rivals_gone(self) -> None:
        while self.rivals:
            await self.rivals.pop()

    async def _sessions(self) -> None:
        retried, start = False, Start({})
        while True:
            self.sessions += 1
            if self.sessions > MOST_SESSIONS:
                raise Broken("the run does not come to its end")
            if self.sessions > FAULTY:
                self.servers.habits = Habits(latency=self.scenario.habits.latency)
            ending = await self._session(start)
            await self._rivals_gone()  # else the next session would be refused, and rightly
            start = Start({})
            self._check_file(ending)
            if ending is None:
                if self.scenario.kind == "probed":
                    await asyncio.sleep(SETTLED)
                continue
            if ending.status is Status.IN_DOUBT:
                await self._decide()
            elif ending.status in OVER or ending.status is Status.STOPPED:
                again = ending.status is Status.STOPPED or (ending.status is Status.FAILED and not retried)
                reopened = again and self.witness.retryable()
                if ending.status in OVER and not reopened:
                    break
                start = Start({}, retry=bool(reopened))
                windowed = "the window w" in ending.reason
                if (
                    not reopened and not windowed
                ):  # what a person decided to be failed stays so; only more patience helps
                    self.max_failed = Share(100, percent=True)
                retried = retried or ending.status is Status.FAILED

    # one session

    async def _session(self, start: Start) -> Ending | None:
        """The session's ending; None when it was killed, or the run was taken over."""
        with FileReader(self.path) as file:
            self._check_changed(file)
            watch = _Watch(self.loop, self.servers, self.scenario, file, self.max_failed)
            self.servers.watch = watch.request
            self.servers.active.clear()
            self.loop.idle = lambda: self._watchdog(watch)
            control = Control()
            task = self.loop.create_task(self._work(file, start, watch, control))
            lost = self._interfere(control, watch, task)
            try:
                ending = await task
            except asyncio.CancelledError:
                if not lost:
                    raise
                return None
            except (JournalError, BaseExceptionGroup) as error:
                if lost and all(isinstance(leaf, JournalError) for leaf in _leaves(error)):
                    self._check_untouched(lost)
                    return None
                raise
            finally:
                for timer in self._timers:
                    timer.cancel()
            if lost:
                self._check_untouched(lost)
            if watch.broken:
                raise watch.broken
            if self.scenario.starving and self.sessions == 1:
                self._check_starving(watch)
            return ending

    async def _work(self, file: FileReader, start: Start, watch: _Watch, control: Control) -> Ending:
        def make(*args: Any, **kwargs: Any) -> Scheduler:
            watch.scheduler = self.parts.scheduler(*args, **kwargs)
            return watch.scheduler

        orchestrator.engine.runner.Scheduler = make  # type: ignore[assignment, misc]
        orchestrator.engine.runner.Sending = self.parts.sending  # type: ignore[misc]
        plan = self.parts.recall(file.kept(), self.template.plan.inventory)
        settings = Settings(self.scenario.limits, self.scenario.retry, self.max_failed)
        async with FileSession(self.path, start, writer=cast("Any", self._writer)) as session:
            hours = self._hours()
            watch.closes = hours.opening.end if hours else math.inf
            audience = Audience([watch, _Fails(self.random)])
            world = World(self.servers, audience, settings, hours=hours, wall=self.loop.time)
            runner = self.parts.runner(plan, file, session, world)
            control.attach(runner)
            if self.rates is None and self.sessions <= FAULTY and not self.scenario.starving:
                watch.holds = Holds(self.loop, runner, Random(f"holds {self.seed} {self.sessions}"))
                self._timers.extend(watch.holds.timers)
            return await runner.run()

    def _hours(self) -> Hours | None:
        """Perhaps a window, which closes soon, where no rate is tried; by dice of its own, so that seeds stay what they are."""
        dice = Random(f"window {self.seed} {self.sessions}")
        if self.rates is not None or self.sessions > FAULTY or self.scenario.starving or dice.random() > 0.2:
            return None
        now = self.loop.time()
        return Hours(Opening("w", now, now + dice.random() ** 3 * dice.choice((0.3, 3.0, 30.0))), takes=0.1)

    def _writer(self, *args: Any) -> VirtualWriter:
        return self.parts.writer(*args, latency=self._latency, born=self.writers.append)

    def _watchdog(self, watch: _Watch) -> None:
        """When only a timer can go on while work is left, there is one; operators and displays do not count."""
        scheduler = watch.scheduler
        if watch.dead or scheduler is None or scheduler.done or (watch.holds and watch.holds.held):
            return
        ours = {id(timer) for timer in self._timers}
        soon = self.loop.time() + watch.interval / 2
        if not any(timer.when() < soon and id(timer) not in ours for timer in self.loop.timers()):
            raise Stuck(f"{scheduler.left} operations are left, nothing is on the wire, and nobody set a timer")

    def _latency(self) -> float:
        return self.random.uniform(0.0, self.scenario.commit) if self.scenario.commit else 0.0

    def _interfere(self, control: Control, watch: _Watch, task: asyncio.Task[Ending]) -> list[str]:
        """Perhaps have something happen to this session at some moment.

        The list is filled when it lost the run: with nothing when it was killed, with the run's content when another
        process took it over.
        """
        lost: list[str] = []
        self._timers: list[asyncio.TimerHandle] = []
        if self.sessions > FAULTY or self.scenario.starving:
            return lost
        dice, now = self.random.random(), self.loop.time()
        moment = now + self.random.random() ** 3 * self.random.choice((0.3, 3.0, 30.0))

        def kill() -> None:
            lost.append("")
            watch.dead = True
            if self.writers:
                self.writers[-1].kill()
            task.cancel()
            self._own("", owned=True)

        def take_over() -> None:
            if self._own("another process", owned=True):
                watch.dead = True
                lost.append(self._content())

        def rival() -> None:
            if self._owned():
                self.rivals.append(self.loop.create_task(self._rival()))

        if dice < 0.3:
            self._timers.append(self.loop.call_at(moment, kill))
        elif dice < 0.5:
            self._timers.append(self.loop.call_at(moment, control.interrupt, "interrupted"))
            if self.cancels and dice < 0.42:
                later = moment + self.random.choice((0.0, 0.01, 1.0))
                self._timers.append(self.loop.call_at(later, control.cancel))
        elif dice < 0.57:
            self._timers.append(self.loop.call_at(moment, take_over))
        elif dice < 0.62:
            self._timers.append(self.loop.call_at(moment, rival))
        return lost

    # other processes

    def _owned(self) -> bool:
        return bool(self.witness._connection.execute("SELECT token FROM owner").fetchone()[0])

    def _own(self, token: str, *, owned: bool) -> bool:
        """Have the run belong to somebody else, if it belongs to anybody; whether it did."""
        run = FileRun(self.path, "simulated")
        if owned is not self._owned():
            return False
        run._change(lambda connection: connection.execute("UPDATE owner SET token = ?", (token,)))
        return True

    def _content(self) -> str:
        execute = self.witness._connection.execute
        tables = ("operation", "attempt", "remark", "answer", "step", "session", "event")
        return repr([execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables])

    def _check_untouched(self, lost: list[str]) -> None:
        """Whoever lost a run to another process has not written to it since; then the other one is gone, too."""
        if lost[0] and self._content() != lost[0]:
            raise Broken("a process wrote to a run that another one had taken over")
        self._own("", owned=True)

    async def _rival(self) -> None:
        """A second process at any moment, that finds no lock file: it is told that somebody works on the run."""
        lock_path(self.path).unlink(missing_ok=True)
        if not self._owned():
            return
        execute = self.witness._connection.execute
        (number,) = execute("SELECT max(number) FROM session").fetchone()
        try:
            async with FileSession(self.path, Start({}), writer=cast("Any", self._writer)):
                (ended,) = execute("SELECT ended FROM session WHERE number = ?", (number,)).fetchone()
        except LockedError:
            return
        if ended is None:  # else the other one came to its end in this very moment
            raise Broken("two processes work on one run")

    def _check_changed(self, file: FileReader) -> None:
        """A fleet that is otherwise than the plan's is found to be so, whatever it is that differs."""
        inventory = self.template.plan.inventory
        if list(differences(file, inventory)):
            raise Broken("the plan's own fleet is taken for another one")
        changed = _changed(self.random, inventory)
        if not list(differences(file, changed)):
            raise Broken(f"a fleet that has changed is taken for the plan's: {changed}")

    async def _decide(self) -> None:
        """Settle what is in doubt by what the servers executed."""
        await asyncio.sleep(SETTLED)
        with FileReader(self.path) as file:
            doubtful = [(record.id, file.seq_of(record.id)) for record in file.operations((State.IN_DOUBT,))]
        for operation, seq in doubtful:
            verdict = (
                Verdict.DONE
                if self.servers.executed[operation]
                else self.random.choice((Verdict.RETRY, Verdict.FAILED))
            )
            FileRun(self.path, "simulated").settle([cast("int", seq)], verdict, "by the record")

    # what must hold

    def _check_starving(self, watch: _Watch) -> None:
        patience, limits = PATIENCE, self.scenario.limits
        if (limits.in_flight or 100) < self.scenario.hosts * cast("int", limits.per_host):
            patience += TIMEOUT * (
                BREAKER_AFTER + (self.scenario.retry.attempts or 6) + 1
            )  # then its circuit breaker is open for good
        well = {host: end for host, end in watch.last_end.items() if host not in self.scenario.habits.dead}
        if len(well) != self.scenario.hosts - 1 or max(well.values(), default=0.0) > patience:
            raise Broken(f"hosts that are OK had to wait for a dead one: {well}")

    def _check_file(self, ending: Ending | None) -> None:
        report = make_report(self.witness)  # asserts that what was planned is the sum of the states
        for session in self.witness.sessions():
            took = 0.0 if session.ended is None else (session.ended - session.began) / 1000
            if not 0.0 <= took <= self.loop._now + 0.002:  # two times that were cut to milliseconds
                raise Broken(f"a session took {took:g} s of {self.loop._now:g}")
        if ending is not None and report.counts.get(State.RUNNING):
            raise Broken(f"{report.counts[State.RUNNING]} operations are running after the session's end")
        for operation, effect, state in _states(self.witness):
            executed = self.servers.executed[operation]
            if state is State.DONE and not self.servers.answered[operation] and not executed:
                raise Broken(f"{operation} is recorded as done and was not executed")
            if effect == "unrepeatable" and executed > 1:
                raise Broken(f"{operation} was executed {executed} times")

    def _check_undone(self) -> None:
        """Of a run that was undone, each step that was begun was taken back."""
        if self.witness.sessions()[-1].status is not Status.UNDONE:
            return
        steps = {step.key: step for step in self.witness.steps()}
        for key, step in steps.items():
            if step.role == "undo" and steps[key.removesuffix(".undo")].started and step.state != "done":
                raise Broken(f"the run was undone, and {key} is {step.state}")

    def _check_done(self) -> None:
        """A run that is done has nothing that failed, in its steps or in `finally`."""
        counts = make_report(self.witness).counts
        if self.witness.sessions()[-1].status is Status.DONE and any(counts.get(state) for state in BAD_STATES):
            raise Broken(f"the run is done, and {counts}")

    def _check_end(self) -> None:
        self._check_undone()
        self._check_done()
        for operation, effect, state in _states(self.witness):
            executed = self.servers.executed[operation]
            if state in OPEN_STATES:
                raise Broken(f"{operation} is {state.word} though the run is over")
            if state is State.DONE and not executed:
                raise Broken(f"{operation} is recorded as done and was not executed")
            unsure = effect != "unrepeatable" or state is State.IN_DOUBT
            if not unsure and executed != (state is State.DONE):
                raise Broken(f"{operation} is {state.word} and was executed {executed} times")


def _states(file: FileReader) -> Iterator[tuple[str, str, State]]:
    """Every operation: its id, the effect of its command, its state."""
    for step in file.steps():
        if step.first is None:
            continue
        rows = file._connection.execute("SELECT seq, state FROM operation WHERE step = ?", (step.number,))
        yield from ((f"{step.key}.{seq - step.first + 1}", step.effect, State(state)) for seq, state in rows.fetchall())


@dataclass(frozen=True)
class Story:
    """What came of a schedule that held.

    Attributes:
        digest: of every request's time, host and operation; the same for the same seed.
    """

    scenario: Scenario
    sessions: int
    requests: int
    seconds: float
    digest: str


_LOOPS: list[VirtualLoop] = []
_PLAYS = count()  # a schedule that failed may still hold its run's lock


def play(
    seed: int,
    *,
    parts: Parts | None = None,
    cancels: bool = False,
    real: bool | None = None,
    rates: Sequence[float] | None = None,
) -> Story:
    """Run one schedule.

    Args:
        seed: decides everything.
        parts: the product's, or some that were broken on purpose.
        cancels: whether an operator loses patience too, and sends a second signal.
        real: whether the run file is a file; it is for one seed of some when nothing is said.
        rates: one of them is the schedule's rate, requests a second.

    Raises:
        Broken, or whatever the product raises.
    """
    loop = _LOOPS.pop() if _LOOPS else VirtualLoop()
    loop.rewind()
    schedule = _Schedule(seed, loop, cancels, scratch() / f"{seed}-{next(_PLAYS)}.run", rates, parts or Parts())
    originals = orchestrator.engine.runner.Scheduler, orchestrator.engine.runner.Sending
    try:
        with (
            _clocks(loop, Random(f"clocks {seed}")),
            _database(schedule, real=seed % REAL == 0 if real is None else real),
        ):
            loop.run_until_complete(schedule.go())
    except BaseException:
        _discard(loop)
        raise
    finally:
        orchestrator.engine.runner.Scheduler, orchestrator.engine.runner.Sending = originals  # type: ignore[misc]
    _LOOPS.append(loop)
    trace = schedule.servers.trace
    digest = hashlib.blake2b(repr(trace).encode(), digest_size=8).hexdigest()
    return Story(schedule.scenario, schedule.sessions, len(trace), loop.time(), digest)


@dataclass(frozen=True)
class Time:
    """The clocks of a schedule; somebody may set the time of day meanwhile, which only the record may show.

    Attributes:
        set_at: when, in seconds of the schedule.
        by: how many seconds.
    """

    loop: VirtualLoop
    set_at: float = 0.0
    by: float = 0.0

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def time_ns(self) -> int:
        """Nanoseconds since an epoch of its own."""
        now = self.loop._now
        return int((1e9 + now + (self.by if now >= self.set_at else 0.0)) * 1e9)

    def monotonic(self) -> float:
        """Seconds."""
        return self.loop._now

    def clock_gettime_ns(self, _clock: int) -> int:
        """Nanoseconds since the boot."""
        return int(self.loop._now * 1e9)


@contextmanager
def _clocks(loop: VirtualLoop, random: Random) -> Iterator[None]:
    """The time of day goes with the schedule's time, so that a replay is the same; in some schedules it is set meanwhile."""
    with showing(Time(loop, random.choice((0.0, 1.0, 10.0)), random.choice((0.0, 0.0, 3600.0, -3600.0, -1e6)))):
        yield


@contextmanager
def showing(clocks: Time) -> Iterator[None]:
    """Within the context, the product sees these clocks."""
    modules: list[Any] = [
        orchestrator.journal.sqlite.statements,
        orchestrator.engine.sending,
        orchestrator.engine.runner,
        orchestrator.engine.meter,
    ]
    originals = [module.time for module in modules]
    for module in modules:
        module.time = clocks
    try:
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            module.time = original


@contextmanager
def _database(schedule: _Schedule, *, real: bool) -> Iterator[None]:
    """The schedule's run file: in memory, or a real one."""
    try:
        if not real:
            with in_memory(schedule.template.path):
                yield
            return
        shutil.copyfile(schedule.template.path, schedule.path)
        yield
    finally:
        for path in schedule.path.parent.glob(f"{schedule.path.name}*"):
            path.unlink()


def _discard(loop: VirtualLoop) -> None:
    """A loop whose tasks wait for ever: they are told to go, and it is not used again."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
