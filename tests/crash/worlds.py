"""What a crash test kills runs on: a playbook, the servers that it changes, and what the servers say was executed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Protocol

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.ring import Ring
from tests.ring.api import CommandError

IN_FLIGHT = 12


class World(Protocol):
    """Servers under test.

    Attributes:
        keeps_record: whether `sent` tells.
    """

    keeps_record: bool

    def write_config(self, folder: Path) -> Path:
        """Write the configuration for them; returns its path."""

    def executed(self, operation: str, parameters: Mapping[str, object], host: str) -> int:
        """How often the servers executed an operation."""

    def sent(self) -> Mapping[str, int]:
        """Operation -> how often the servers were sent it, where they keep a record."""

    def settle(self) -> None:
        """Wait until what a killed process had sent is executed or lost."""

    def problems(self) -> Iterator[str]:
        """What is wrong with the servers' state at the very end."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A playbook and where it runs.

    Attributes:
        name: for the table.
        playbook: its text, or a shipped one's name.
        arguments: further words of `run`.
        items: what stands in items.txt, a line each.
        steps: key -> how many operations it is to have in the end, where that can be told.
        unrepeatable: keys of the steps that must not be executed twice.
        passes: kinds of points that few workloads pass, and this one does.
        seconds: about how long a session without kills takes, for kills at random times.
    """

    name: str
    playbook: str
    arguments: tuple[str, ...] = ()
    items: int = 0
    steps: Mapping[str, int] = field(default_factory=dict)
    unrepeatable: frozenset[str] = frozenset()
    passes: frozenset[str] = frozenset()
    seconds: float = 0.5

    def open(self, random: Random) -> AbstractContextManager[World]:
        """The servers, for one run."""
        raise NotImplementedError


class Simulated:
    """A simulated fleet, whose record says everything."""

    keeps_record = True

    def __init__(self, fleet: BackgroundFleet) -> None:
        self.fleet = fleet

    def write_config(self, folder: Path) -> Path:
        """Write the configuration for it."""
        path = folder / "config.yaml"
        path.write_text(self.fleet.config(folder), encoding="utf-8")
        return path

    def executed(self, operation: str, parameters: Mapping[str, object], host: str) -> int:
        """How often it was executed, with these parameters on that host and no others."""
        found = [record for record in self.fleet.requests if record.tag == operation and record.executed]
        for record in found:
            if record.host != host or record.parameters.keys() != parameters.keys():
                raise AssertionError(f"{operation} was another operation before: {record}")
        return len(found)

    def sent(self) -> Mapping[str, int]:
        """How often each operation arrived."""
        return Counter(record.tag for record in self.fleet.requests)

    def settle(self) -> None:
        """Until no request arrives or is under way any more."""
        before = -1
        while True:
            requests = self.fleet.requests
            if len(requests) == before and all(record.outcome for record in requests):
                return
            before = len(requests)
            time.sleep(0.04)

    def problems(self) -> Iterator[str]:
        """Nothing beyond what the record says."""
        yield from ()


class Drained(Simulated):
    """A fleet of which b1 is to be empty in the end."""

    def problems(self) -> Iterator[str]:
        """Whether b1 is drained, and nothing else was touched."""
        fleet = self.fleet.fleet
        hosts = {name: fleet.ring.hosts[address] for name, address in self.fleet.backends.items()}
        if hosts["b1"].vhosts != 0 or hosts["b1"].users:
            yield f"b1 is not drained: {hosts['b1'].vhosts} vhosts, {len(hosts['b1'].users)} users"
        yield from (
            f"{name} has {host.vhosts} vhosts" for name, host in hosts.items() if name != "b1" and host.vhosts != 100
        )


class Drain(Workload):
    """The shipped drain, with live sessions."""

    @contextmanager
    def open(self, random: Random) -> Iterator[World]:
        """Two directors, three backends, some users."""
        spec = FleetSpec(users=12, accounts=20, relogin=0.02, time_scale=0.01, seed=random.randrange(1000))
        with BackgroundFleet(spec) as fleet:
            yield Drained(fleet)


class OnBackends(Workload):
    """A playbook for backends alone, with some trouble."""

    @contextmanager
    def open(self, random: Random) -> Iterator[World]:
        """Three backends that lose an answer now and then."""
        spec = FleetSpec(directors=0, users=0, latency=0.003, faults=self.faults(random.randrange(1000)))
        with BackgroundFleet(spec) as fleet:
            yield Simulated(fleet)

    def faults(self, seed: int) -> tuple[str, ...]:
        """What goes wrong."""
        return (f"command=kick,rate=0.03,seed={seed},exit=75", f"command=dictInc,rate=0.02,seed={seed},empty=after")


class HeldNowAndThen(OnBackends):
    """Backends that are asked all the time, and do not answer each time."""

    def faults(self, seed: int) -> tuple[str, ...]:
        """Those, and looks that see nothing."""
        return (*super().faults(seed), f"command=who,rate=0.2,seed={seed},exit=75")


class Expanded(Workload):
    """A playbook with a step whose operations follow from an answer."""

    @contextmanager
    def open(self, random: Random) -> Iterator[World]:
        """Sessions whose number is known, and whose users are kicked."""
        users = self.items
        spec = FleetSpec(
            directors=1, users=users, accounts=users, relogin=0.05, time_scale=0.05, seed=random.randrange(1000)
        )
        with BackgroundFleet(spec) as fleet:
            yield Simulated(fleet)


KICKS = OnBackends(
    name="kicks",
    items=100,
    playbook=f"""
name: Kick many
limits: {{in_flight: {IN_FLIGHT}}}
retry: {{base: 10ms, attempts: 30}}
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {{file: items.txt}}
    parameters: {{mask: ["{{{{ item }}}}"]}}
""",
    steps={"1": 300},
)

COUNTERS = OnBackends(
    name="counters",
    items=40,
    playbook=f"""
name: Count
limits: {{in_flight: {IN_FLIGHT}}}
steps:
  - name: Begin at 0
    hosts: backends
    command: dictSet
    for_each: {{file: items.txt}}
    parameters: {{dictUri: "file:/tmp/counters", key: "shared/{{{{ item }}}}", value: "0"}}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {{file: items.txt}}
    parameters: {{dictUri: "file:/tmp/counters", key: "shared/{{{{ item }}}}", difference: 1}}
  - name: See
    hosts: backends
    command: dictGet
    for_each: {{file: items.txt}}
    parameters: {{dictUri: "file:/tmp/counters", key: "shared/{{{{ item }}}}"}}
    until: "{{{{ (rows | first).value == '1' }}}}"
    within: 100ms
    limits: {{max_failed: 0}}
""",
    steps={"1": 120, "2": 120, "3": 120},
    unrepeatable=frozenset({"2"}),
    passes=frozenset({"intent", "decide"}),
)

HELD = HeldNowAndThen(
    name="held",
    items=COUNTERS.items,
    playbook=COUNTERS.playbook
    + """
conditions:
  - name: backends answer
    at: always
    every: 20ms
    ask: {hosts: backends, command: who}
    that: "{{ rows | length == 0 }}"
""",
    steps=COUNTERS.steps,
    unrepeatable=COUNTERS.unrepeatable,
    passes=COUNTERS.passes | {"condition"},
    seconds=1.0,
)

PROBED = replace(
    COUNTERS,
    name="probed",
    playbook=COUNTERS.playbook.replace(
        "  - name: See\n",
        """    probe:
      after: 0s
      command: dictGet
      parameters: {dictUri: "file:/tmp/counters", key: "{{ parameters.key }}"}
      done: "{{ (rows | first).value == '1' }}"
  - name: See
""",
    ),
    passes=frozenset({"intent", "probe"}),
)

EXPANDED = Expanded(
    name="expanded",
    items=40,
    playbook=f"""
name: Kick who is there
limits: {{in_flight: {IN_FLIGHT}}}
steps:
  - name: See who is there
    hosts: backends
    command: who
    parameters: {{separateConnections: true}}
    register: seen
  - name: Kick them
    hosts: backends
    command: kick
    for_each: "{{{{ seen.rows | column('username') | unique }}}}"
    parameters: {{mask: ["{{{{ item }}}}"]}}
  - name: Look again
    hosts: backends
    command: who
  - {{name: Wait, pause: 1ms}}
finally:
  - name: Look at last
    hosts: backends
    command: who
""",
    steps={"1": 3, "2": 120, "3": 3, "finally.1": 3},
    passes=frozenset({"expand", "event"}),
)

DRAIN = Drain(name="drain", playbook="drain-backend", arguments=("-e", "backend=b1"), seconds=1.0)

SIMULATED: tuple[Workload, ...] = (KICKS, COUNTERS, EXPANDED, DRAIN, PROBED, HELD)


class Real:
    """A real ring: the counters themselves say how often they were counted up."""

    keeps_record = False

    def __init__(self, ring: Ring, folder: Path) -> None:
        self.ring = ring
        self.folder = folder

    def write_config(self, folder: Path) -> Path:
        """Write the configuration for it."""
        return self.ring.write_config(folder / "config.yaml")

    def executed(self, operation: str, parameters: Mapping[str, object], host: str) -> int:
        """What the counter shows; a step that sets it has been executed when it is there."""
        where = {"dictUri": parameters["dictUri"], "key": parameters["key"]}
        try:
            value = int(self.ring.call(host, "dictGet", where)[0]["value"])
        except CommandError:
            return 0  # there is no such key
        return value if "difference" in parameters else 1

    def sent(self) -> Mapping[str, int]:
        """Real servers keep no record."""
        return {}

    def settle(self) -> None:
        """A real server needs milliseconds for what is under way."""
        time.sleep(0.3)

    def problems(self) -> Iterator[str]:
        """Nothing beyond the counters."""
        yield from ()


@dataclass(frozen=True, kw_only=True)
class OnRing(Workload):
    """Counters on a real ring, in dictionary files of their own for each run."""

    ring: Ring

    @contextmanager
    def open(self, random: Random) -> Iterator[World]:
        """The ring stays; the dictionaries are new."""
        yield Real(self.ring, self.ring.root)


def real_counters(ring: Ring, number: int, items: int = 25) -> OnRing:
    """Counters in new dictionaries of a real ring.

    Args:
        ring: running.
        number: of this run, for the dictionaries' names.
        items: how many counters each backend has.
    """
    where = f'dictUri: "file:{ring.root}/dict/{number}-{{{{ host.name }}}}-{{{{ item }}}}", key: shared/count'
    return OnRing(
        ring=ring,
        name="real counters",
        items=items,
        playbook=f"""
name: Count
limits: {{in_flight: {IN_FLIGHT}}}
steps:
  - name: Begin at 0
    hosts: backends
    command: dictSet
    for_each: {{file: items.txt}}
    parameters: {{{where}, value: "0"}}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {{file: items.txt}}
    parameters: {{{where}, difference: 1}}
""",
        steps={"1": 3 * items, "2": 3 * items},
        unrepeatable=frozenset({"2"}),
        passes=frozenset({"intent", "decide"}),
        seconds=0.8,
    )
