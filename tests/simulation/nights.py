"""Nights of a fleet, in a time that only jumps: the shipped playbooks against the simulator, each night faster or slower than another.

What is left to chance is how fast: each host has hardware of its own, each night its load, each request its luck. A night is
estimated from the run files of the nights before it, as the product does, and then really run.

    python -m tests.simulation.nights --nights 100 --kicks 100000
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

from orchestrator.dovecot.ask import Asker
from orchestrator.dovecot.exchange import Answered, Exchange, NoAnswer, NotSent
from orchestrator.engine.live_plan import look, reviewed
from orchestrator.engine.rules import Settings
from orchestrator.engine.runner import Runner, World
from orchestrator.events import Audience
from orchestrator.fleet.config import load_config
from orchestrator.fleet.inventory import build_inventory
from orchestrator.journal.base import Header, Start
from orchestrator.journal.sqlite.store import FileRun, FileStore
from orchestrator.plan.layout import build_plan
from orchestrator.plan.steps import Plan
from orchestrator.playbook.source import Source, load_playbook
from orchestrator.playbook.values import given_values
from orchestrator.ranges import Range
from orchestrator.runs.estimating import earlier_runs, estimate_of
from orchestrator.simulator.execution import Simulation, execute
from orchestrator.simulator.faults import Faults
from orchestrator.simulator.fleet import Fleet
from orchestrator.simulator.record import Recorder
from orchestrator.simulator.spec import FleetSpec
from orchestrator.status import Status
from orchestrator.text.document import parse
from tests.simulation.loop import VirtualLoop
from tests.simulation.schedule import Time, showing
from tests.simulation.writer import VirtualWriter

FIRST = 5  # nights that are not estimated: of them there is too little to tell coverage from chance
LEAST, MOST, WIDEST = 0.80, 0.97, 3.0  # share of nights within the range, and its high end by its low end
TYPICAL = 0.015  # seconds of a request on a stock host of 2.3.19.1
KICK = """
name: Kick many
steps:
  - name: Kick each of them
    hosts: backends
    for_each: {file: users.txt}
    command: kick
    parameters: {mask: ["{{ item }}"]}
"""


@dataclass(frozen=True)
class Work:
    """What is done each night.

    Attributes:
        name: for people.
        playbook: a shipped one, or a text.
        given: its values in a night.
        directors, backends, users: of the fleet; how many users there are differs from night to night.
    """

    name: str
    playbook: str
    given: Callable[[int], Mapping[str, str]]
    backends: int
    users: int
    directors: int = 2


def works(kicks: int) -> dict[str, Work]:
    """The work that is estimated; so many kicks."""
    return {
        "drain": Work(
            "drain a backend",
            "drain-backend",
            lambda night: {"backend": f"b{night % 4 + 1}", "parallel": "10"},
            backends=4,
            users=600,
        ),
        "reload": Work(
            "reload ten backends, one after the other",
            "rolling-reload",
            lambda _night: {"parallel": "10"},
            backends=10,
            users=400,
        ),
        "kick": Work(f"{kicks} kicks", KICK, lambda _night: {}, backends=4, users=40),
    }


@dataclass
class Speed:
    """How long requests take in a night.

    Attributes:
        hardware: how each host is slower than another, every night.
        load: how the night is slower than another.
    """

    random: Random
    hardware: Mapping[str, float]
    load: float

    def seconds(self, host: str) -> float:
        """Of one request."""
        return TYPICAL * self.load * self.hardware[host] * self.random.lognormvariate(0.0, 0.4)


@dataclass
class Wire:
    """The simulator's hosts without sockets, with the methods of the product's client."""

    site: Simulation
    speed: Speed

    async def post(self, host: str, body: bytes, timeout: float) -> Exchange:
        """One request."""
        await asyncio.sleep(self.speed.seconds(host))
        answer = execute(self.site, self.site.fleet.hosts[host], body, [])
        took = 0.0
        while True:
            try:
                seconds = next(answer)
            except StopIteration as stop:
                return Answered(stop.value.status, stop.value.body)
            took += seconds
            if took > timeout:
                return NoAnswer(f"no complete answer within {timeout:g} s", late=True)
            await asyncio.sleep(seconds)

    async def command_list(self, host: str, timeout: float) -> Exchange:
        """No list can be had."""
        await asyncio.sleep(min(timeout, self.speed.seconds(host)))
        return NotSent("connection refused")

    def redact(self, host: str, text: str) -> str:
        """There are no secrets."""
        return text


class Night(NamedTuple):
    """What was expected of a night, and what it was; seconds."""

    seed: int
    expected: Range
    took: float

    @property
    def within(self) -> bool:
        """Whether reality lay within the range."""
        return self.expected.high is not None and self.expected.low <= self.took <= self.expected.high

    @property
    def width(self) -> float:
        """How many times its low end the high end is."""
        return (self.expected.high or float("inf")) / max(self.expected.low, 1e-9)


@dataclass
class Fleets:
    """One fleet, and its state directory, over many nights.

    Args:
        folder: for configuration, lists and runs.
        work: what is done.
        kicks: how many, where it is that.
        live: estimate from a look at the fleet, without any earlier run.
        first: estimate the first nights too, of which nobody can say much.
    """

    folder: Path
    work: Work
    kicks: int
    live: bool = False
    first: bool = False
    runs: list[FileRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = VirtualLoop()
        dice = Random(f"hardware of {self.work.name}")
        names = {f"d{n}": f"10.0.0.{n}" for n in range(1, self.work.directors + 1)}
        names |= {f"b{n}": f"10.0.1.{n}" for n in range(1, self.work.backends + 1)}
        self.addresses = names
        self.hardware = {name: dice.lognormvariate(0.0, 0.3) for name in names}
        (self.folder / "secret").write_text("x")
        (self.folder / "secret").chmod(0o600)
        config = self.folder / "config.yaml"
        groups = {"directors": "d", "backends": "b"}
        lines = [
            f"  {group}: {{hosts: {{{', '.join(f'{n}: {a}' for n, a in names.items() if n[0] == letter)}}}}}"
            for group, letter in groups.items()
        ]
        config.write_text(
            "defaults: {scheme: http, auth: {password: {file: secret}}}\ngroups:\n" + "\n".join(lines) + "\n"
        )
        users = range(self.kicks // self.work.backends)
        (self.folder / "users.txt").write_text("".join(f"someone{number:06}\n" for number in users))
        self.config = load_config(config)
        self.inventory = build_inventory(self.config)
        self.store = FileStore(self.folder / "runs", cast("Any", self._writer))

    def nights(self, seeds: range) -> Iterator[Night]:
        """One after the other."""
        for seed in seeds:
            self.loop.rewind()
            with showing(Time(self.loop)):
                night = self.loop.run_until_complete(self._night(seed))
            if self.live or self.first or len(self.runs) > FIRST:
                yield night

    def _plan(self, seed: int) -> Plan:
        shipped = "\n" not in self.work.playbook
        source = (
            load_playbook(self.work.playbook)
            if shipped
            else Source(parse(self.work.playbook, source="kick.yaml", folder=self.folder))
        )
        values = given_values(source, self.work.given(seed), self.inventory)
        return build_plan(source, self.inventory, values)

    async def _night(self, seed: int) -> Night:
        self.random = random = Random(f"{self.work.name} {seed}")
        wire = self._wire(random, seed)
        plan = self._plan(seed)
        self.loop.step = 0.0
        run = self.store.create(plan, Header(seed, {}, str(self.config.path)))
        settings = Settings(self.config.file.limits, self.config.file.retry)
        if self.live:
            plan = reviewed(plan, await look(plan, Asker(wire), settings), 0)
        with run.read() as reader:
            earlier = earlier_runs(run.id, plan.terms.name, [] if self.live else self.runs)
            expected = estimate_of(plan, reader, settings, earlier).whole
            begun = self.loop.time()
            async with run.work(Start({})) as session:
                ending = await Runner(plan, reader, session, World(wire, Audience([]), settings)).run()
        if ending.status is not Status.DONE:
            raise AssertionError(f"night {seed} of {self.work.name} ended as {ending}")
        self.runs.append(run)
        return Night(seed, expected, self.loop.time() - begun)

    def _wire(self, random: Random, seed: int) -> Wire:
        users = round(self.work.users * random.lognormvariate(0.0, 0.1))
        spec = FleetSpec(
            directors=self.work.directors, backends=self.work.backends, users=users, accounts=users, seed=seed
        )
        clock = self.loop.time
        site = Simulation(Fleet(spec, self.addresses, now=clock()), Faults(()), Recorder(None, 0), clock)
        return Wire(site, Speed(random, self.hardware, random.lognormvariate(0.0, 0.2)))

    def _writer(self, *args: Any) -> VirtualWriter:
        return VirtualWriter(*args, latency=lambda: self.random.uniform(0.002, 0.01), born=lambda _writer: None)


def coverage(nights: list[Night]) -> float:
    """Which share of the nights took as long as was expected."""
    return sum(night.within for night in nights) / len(nights)


def play(name: str, nights: int, kicks: int, *, live: bool = False, first: bool = False) -> list[Night]:
    """So many nights that are estimated.

    Args:
        name: of the work.
        nights: how many.
        kicks: operations of a night, where they are kicks.
        live: estimate from a look at the fleet alone.
        first: estimate the first nights too.
    """
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="orchestrator-nights-", dir=parent) as folder:
        fleets = Fleets(Path(folder), works(kicks)[name], kicks, live, first)
        try:
            return list(fleets.nights(range(1, 1 + nights + (0 if live or first else FIRST))))
        finally:
            fleets.loop.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.nights", description="Is the estimate true?")
    parser.add_argument("--nights", type=int, default=100, help="how many nights are estimated, of each work")
    parser.add_argument("--kicks", type=int, default=100_000, help="operations of a night of kicks")
    parser.add_argument("--only", choices=sorted(works(0)), help="one work alone")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each night")
    given = parser.parse_args()
    bad = 0
    for name in works(given.kicks):
        for live in (False, True):
            if given.only not in {None, name} or (live and name != "drain"):
                continue
            begun = time.monotonic()
            nights = play(name, given.nights, given.kicks, live=live)
            told = [night for night in nights if night.expected.known]  # a range that is wider is called unknown
            share = coverage(told) if told else 0.0
            bad += not LEAST <= share <= (1.0 if live else MOST) or len(told) < LEAST * len(nights)
            for night in nights if given.verbose else ():
                print(f"  {night.seed}: {night.expected} {night.took:.2f} {'' if night.within else 'OUTSIDE'}")
            words = f"{works(given.kicks)[name].name}{', from a look alone' if live else ''}"
            widest = max((night.width for night in told), default=0.0)
            print(
                f"{words}: {share:.0%} of {len(told)} nights within the range, at most 1 : {widest:.1f} wide;"
                f" {len(nights) - len(told)} more unknown; {time.monotonic() - begun:.0f} s"
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
