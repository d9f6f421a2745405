"""One schedule: a run with limits, troubles, kills and interruptions from one seed, and what must hold all the time."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import orchestrator.engine.runner
import orchestrator.journal.session
from orchestrator.dovecot.client import Client
from orchestrator.engine.concurrency import CEILING
from orchestrator.engine.pace import LATENESS
from orchestrator.engine.runner import OVER, End, Ending, Runner
from orchestrator.engine.scheduler import TROUBLE, Scheduler
from orchestrator.events import AttemptEnded, Audience, Event, StepStarted
from orchestrator.journal.decide import Verdict, decide, reopen
from orchestrator.journal.run_file import RunFile
from orchestrator.journal.schema import in_transaction
from orchestrator.journal.session import Session
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import BAD_STATES, OPEN_STATES, Repeatability, State
from orchestrator.report import make_report
from orchestrator.text.units import Share
from tests.simulation.database import in_memory
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.servers import OURS, Habits, Servers
from tests.simulation.templates import KINDS, TIMEOUT, scratch, template
from tests.simulation.writer import VirtualWriter

REAL = 20  # one schedule of so many has its run file in a file, the others in memory
MOST_SESSIONS = 30
DISTURBED = 3  # sessions; after them the servers are well, and nobody interrupts
SETTLED = 60.0  # seconds after which nothing of a dead session is under way any more
PATIENCE = 9.0  # seconds within which hosts that are well are through while another is dead

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
    starving: bool  # one host is dead, all others are well, and must not wait for it


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
    file: RunFile
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

    def request(self, host: str, tag: str) -> None:
        """A request is about to go out."""
        limit = self.scenario.limits.per_host
        if self.servers.active[host] > (CEILING if limit == "auto" else limit):
            raise Broken(f"{self.servers.active[host]} requests at a time on {host}, and {limit} may")
        in_flight = self.scenario.limits.in_flight or 100
        if self.servers.active.total() > in_flight:
            raise Broken(f"{self.servers.active.total()} requests at a time, and {in_flight} may")
        self._pace()
        if tag not in OURS:
            self._operation(tag)

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
        careful = rules.effect is Repeatability.UNREPEATABLE
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
        if over and not self.step.startswith("finally"):
            raise Broken(f"{tag} is sent after {self.failures} failures, and {self.allowed} may be")
        again = self.servers.sent.total() - len(self.servers.sent)
        free = 100 + int(len(self.scheduler._lanes) * self.scenario.items * (self.scenario.retry.budget or 2))
        if rules.polling is None and again > free + (self.scenario.limits.in_flight or 100):
            raise Broken(f"{again} further attempts, and about {free} may be")

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


def _attempts(file: RunFile) -> int:
    """How many attempts a run file knows of."""
    return int(file._connection.execute("SELECT coalesce(sum(attempts), 0) FROM operation").fetchone()[0])


@dataclass
class _Schedule:
    seed: int
    loop: VirtualLoop
    scheduler: type[Scheduler]
    cancels: bool
    path: Path
    rates: Sequence[float] | None = None

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

    async def go(self) -> None:
        """Session after session until the run is over."""
        with RunFile(self.path) as self.witness:
            await self._sessions()
            await asyncio.sleep(SETTLED)
            self._check_end()

    async def _sessions(self) -> None:
        retried = False
        while True:
            self.sessions += 1
            if self.sessions > MOST_SESSIONS:
                raise Broken("the run does not come to its end")
            if self.sessions > DISTURBED:
                self.servers.habits = Habits(latency=self.scenario.habits.latency)
            ending = await self._session()
            self._check_file(ending)
            if ending is None:
                if self.scenario.kind == "probed":
                    await asyncio.sleep(SETTLED)
                continue
            if ending.end is End.IN_DOUBT:
                await self._decide()
            elif ending.end in OVER or ending.end is End.STOPPED:
                again = ending.end is End.STOPPED or (ending.end is End.FAILED and not retried)
                reopened = again and in_transaction(self.path, reopen)
                if ending.end in OVER and not reopened:
                    break
                if not reopened:  # what a person decided to be failed stays so; only more patience helps
                    self.max_failed = Share(100, percent=True)
                retried = retried or ending.end is End.FAILED

    # one session

    async def _session(self) -> Ending | None:
        """The session's ending; None when it was killed."""
        with RunFile(self.path) as file:
            watch = _Watch(self.loop, self.servers, self.scenario, file, self.max_failed)
            self.servers.watch = watch.request
            self.servers.active.clear()
            self.loop.idle = lambda: self._watchdog(watch)
            runner = self._runner(file, watch)
            task = self.loop.create_task(runner.run())
            killed = self._disturb(runner, watch, task)
            try:
                ending = await task
            except asyncio.CancelledError:
                if not killed:
                    raise
                return None
            finally:
                for timer in self._timers:
                    timer.cancel()
            if watch.broken:
                raise watch.broken
            if self.scenario.starving and self.sessions == 1:
                self._check_starving(watch)
            return ending

    def _runner(self, file: RunFile, watch: _Watch) -> Runner:
        def make(*args: Any, **kwargs: Any) -> Scheduler:
            watch.scheduler = self.scheduler(*args, **kwargs)
            return watch.scheduler

        def session(path: Path) -> Session:
            def writer(*args: Any) -> VirtualWriter:
                return VirtualWriter(*args, latency=self._latency, born=self.writers.append)

            return Session(path, writer=cast("Any", writer))

        orchestrator.engine.runner.Scheduler = make  # type: ignore[assignment, misc]
        return Runner(
            self.template.plan,
            file,
            cast("Client", self.servers),
            Audience([watch]),
            self.scenario.limits,
            self.scenario.retry,
            max_failed=self.max_failed,
            session=session,
        )

    def _watchdog(self, watch: _Watch) -> None:
        """When only a timer can go on while work is left, there is one; operators and displays do not count."""
        scheduler = watch.scheduler
        if watch.dead or scheduler is None or scheduler.done:
            return
        ours = {id(timer) for timer in self._timers}
        soon = self.loop.time() + watch.interval / 2
        if not any(timer.when() < soon and id(timer) not in ours for timer in self.loop.timers()):
            raise Stuck(f"{scheduler.left} operations are left, nothing is on the wire, and nobody set a timer")

    def _latency(self) -> float:
        return self.random.uniform(0.0, self.scenario.commit) if self.scenario.commit else 0.0

    def _disturb(self, runner: Runner, watch: _Watch, task: asyncio.Task[Ending]) -> list[bool]:
        """Perhaps have this session killed or interrupted at some moment; the list is filled when it was killed."""
        killed: list[bool] = []
        self._timers: list[asyncio.TimerHandle] = []
        if self.sessions > DISTURBED or self.scenario.starving:
            return killed
        dice, now = self.random.random(), self.loop.time()
        moment = now + self.random.random() ** 3 * self.random.choice((0.3, 3.0, 30.0))

        def kill() -> None:
            killed.append(True)
            watch.dead = True
            self.writers[-1].kill()
            task.cancel()

        if dice < 0.35:
            self._timers.append(self.loop.call_at(moment, kill))
        elif dice < 0.6:
            self._timers.append(self.loop.call_at(moment, runner.interrupt, "interrupted"))
            if self.cancels and dice < 0.5:
                later = moment + self.random.choice((0.0, 0.01, 1.0))
                self._timers.append(self.loop.call_at(later, runner.cancel))
        return killed

    async def _decide(self) -> None:
        """Settle what is in doubt by what the servers executed."""
        await asyncio.sleep(SETTLED)
        with RunFile(self.path) as file:
            doubtful = [(record.id, file.seq_of(record.id)) for record in file.operations((State.IN_DOUBT,))]
        for operation, seq in doubtful:
            verdict = (
                Verdict.DONE
                if self.servers.executed[operation]
                else self.random.choice((Verdict.RETRY, Verdict.FAILED))
            )
            in_transaction(self.path, lambda c, seq=seq, verdict=verdict: decide(c, [seq], verdict, "by the record"))

    # what must hold

    def _check_starving(self, watch: _Watch) -> None:
        patience, limits = PATIENCE, self.scenario.limits
        if (limits.in_flight or 100) < self.scenario.hosts * cast("int", limits.per_host):
            patience += TIMEOUT * (
                TROUBLE + (self.scenario.retry.attempts or 6) + 1
            )  # then it is given up at the latest
        well = {host: end for host, end in watch.last_end.items() if host not in self.scenario.habits.dead}
        if len(well) != self.scenario.hosts - 1 or max(well.values(), default=0.0) > patience:
            raise Broken(f"hosts that are well had to wait for a dead one: {well}")

    def _check_file(self, ending: Ending | None) -> None:
        report = make_report(self.witness)  # asserts that what was planned is the sum of the states
        if ending is not None and report.counts.get(State.RUNNING):
            raise Broken(f"{report.counts[State.RUNNING]} operations are running after the session's end")
        for operation, effect, state in _states(self.witness):
            executed = self.servers.executed[operation]
            if state is State.DONE and not self.servers.answered[operation] and not executed:
                raise Broken(f"{operation} is recorded as done and was not executed")
            if effect == "unrepeatable" and executed > 1:
                raise Broken(f"{operation} was executed {executed} times")

    def _check_end(self) -> None:
        for operation, effect, state in _states(self.witness):
            executed = self.servers.executed[operation]
            if state in OPEN_STATES:
                raise Broken(f"{operation} is {state.word} though the run is over")
            if state is State.DONE and not executed:
                raise Broken(f"{operation} is recorded as done and was not executed")
            unsure = effect != "unrepeatable" or state is State.IN_DOUBT
            if not unsure and executed != (state is State.DONE):
                raise Broken(f"{operation} is {state.word} and was executed {executed} times")


def _states(file: RunFile) -> Iterator[tuple[str, str, State]]:
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


def play(
    seed: int,
    *,
    scheduler: type[Scheduler] = Scheduler,
    cancels: bool = False,
    real: bool | None = None,
    rates: Sequence[float] | None = None,
) -> Story:
    """Run one schedule.

    Args:
        seed: decides everything.
        scheduler: the product's, or one that was broken on purpose.
        cancels: whether an operator loses patience too, and sends a second signal.
        real: whether the run file is a file; it is for one seed of some when nothing is said.
        rates: one of them is the schedule's rate, requests a second.

    Raises:
        Broken, or whatever the product raises.
    """
    loop = _LOOPS.pop() if _LOOPS else VirtualLoop()
    loop.rewind()
    schedule = _Schedule(seed, loop, scheduler, cancels, scratch() / f"{seed}.run", rates)
    original: Callable[..., Scheduler] = orchestrator.engine.runner.Scheduler
    try:
        with _wall_clock(loop), _database(schedule, real=seed % REAL == 0 if real is None else real):
            loop.run_until_complete(schedule.go())
    except BaseException:
        _discard(loop)
        raise
    finally:
        orchestrator.engine.runner.Scheduler = original  # type: ignore[assignment, misc]
    _LOOPS.append(loop)
    trace = schedule.servers.trace
    digest = hashlib.blake2b(repr(trace).encode(), digest_size=8).hexdigest()
    return Story(schedule.scenario, schedule.sessions, len(trace), loop.time(), digest)


@dataclass(frozen=True)
class _Time:
    """The time of day of a schedule, for the record."""

    loop: VirtualLoop

    def time_ns(self) -> int:
        """Nanoseconds since an epoch of its own."""
        return int((1e9 + self.loop.time()) * 1e9)


@contextmanager
def _wall_clock(loop: VirtualLoop) -> Iterator[None]:
    """The time of day goes with the schedule's time, so that a replay is the same."""
    module: Any = orchestrator.journal.session
    original, module.time = module.time, _Time(loop)
    try:
        yield
    finally:
        module.time = original


@contextmanager
def _database(schedule: _Schedule, *, real: bool) -> Iterator[None]:
    """The schedule's run file: in memory, or a real one."""
    if not real:
        with in_memory(schedule.template.path):
            yield
        return
    shutil.copyfile(schedule.template.path, schedule.path)
    try:
        yield
    finally:
        for path in schedule.path.parent.glob(f"{schedule.path.name}*"):
            path.unlink()


def _discard(loop: VirtualLoop) -> None:
    """A loop whose tasks wait for ever: they are told to go, and it is not used again."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
