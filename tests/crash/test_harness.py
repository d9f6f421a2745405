"""Killed at every named point and at random times, runs end with the truth: nothing lost, nothing done twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.crash.harness import KILL, SECOND, SIGNALS, can_be_intruded, harness, simulated
from tests.crash.intruders import WAYS
from tests.crash.killpoints import POINTS
from tests.crash.tally import Tally
from tests.crash.worlds import COUNTERS, EXPANDED, HELD, KICKS, PROBED, Simulated, Workload, World, real_counters
from tests.integration.conftest import Site, site  # noqa: F401 - the fixture
from tests.ring import Ring

pytestmark = pytest.mark.crash

# each point is passed by at least one of these; `decide` only where an answer is lost
FEW: dict[str, Any] = {"items": 12, "steps": {"1": 36, "2": 36, "3": 36}}
SWEPT = (
    replace(HELD, **FEW),
    replace(EXPANDED, items=10, steps={**EXPANDED.steps, "2": 30}),
    replace(PROBED, **FEW),
)


def swept(kind: str, points: Iterable[str], seed: int) -> Tally:
    """Runs to which a kind of trouble has come at each of some points."""
    wanted = [(kind, point) for point in points]
    tally = harness(lambda n: SWEPT[n % 3], 0, seed, wanted=wanted, most_rounds=45)
    print("\n".join(tally.table()))
    assert tally.true, "\n".join(tally.table())
    return tally


def test_killed_at_every_point() -> None:
    """A process is killed once at each named point of the write path, and every run is true in the end."""
    tally = swept(KILL, POINTS, 11)
    assert {"run", "plan", "apply", "decide", "first resume", "second resume"} <= set(tally.within)
    assert set(POINTS) <= set(tally.kills), f"never killed at {set(POINTS) - set(tally.kills)}"


def test_two_signals_at_every_point() -> None:
    """Two signals at each named point, at once or within 50 ms: the process always ends, and every run is true in the end."""
    tally = swept(SIGNALS, POINTS, 12)
    assert set(POINTS) <= set(tally.signalled), f"never sent at {set(POINTS) - set(tally.signalled)}"


def test_a_second_process_at_every_point() -> None:
    """However a second process reaches a run that another one has under its hands, the two are never at work together."""
    points = [point for point in POINTS if can_be_intruded(point)]
    tally = swept(SECOND, points, 13)
    assert set(points) <= set(tally.seconds), f"never tried at {set(points) - set(tally.seconds)}"
    assert set(WAYS) <= set(tally.ways)


def test_troubled_at_random() -> None:
    """Drains, kicks, counters and expansions, each troubled a few times at random, are true in the end."""
    tally = harness(simulated, 28, 5, most=6, most_rounds=80)  # so many that a trouble of each kind is among them
    assert tally.true, "\n".join(tally.table())
    assert tally.kills.total() >= 28
    assert tally.signalled.total()
    assert tally.outputs
    assert tally.changed.total()


class Forgetful(Simulated):
    """Servers that did not execute one operation, and executed another twice."""

    def executed(self, operation: str, parameters: Mapping[str, object], host: str) -> int:
        """What the record says, but for two."""
        return {"2.3": 0, "2.4": 2}.get(operation, super().executed(operation, parameters, host))


class Lying(Workload):
    """Counters on such servers."""

    @contextmanager
    def open(self, random: Random) -> Iterator[World]:
        """No trouble beyond that."""
        with BackgroundFleet(FleetSpec(directors=0, users=0)) as fleet:
            yield Forgetful(fleet)


def test_the_harness_finds_what_is_lost_and_doubled() -> None:
    """An operation that is recorded as done and was not executed counts as lost; one executed twice as doubled."""
    lying = Lying(
        name="lying",
        playbook=COUNTERS.playbook,
        items=4,
        steps={"1": 12, "2": 12, "3": 12},
        unrepeatable=COUNTERS.unrepeatable,
    )
    tally = harness(lambda _: lying, 1, 3, most=1, most_rounds=1)
    assert (tally.lost, tally.doubled) == (1, 1), "\n".join(tally.table())


def test_the_command_line_is_killed_from_outside(site: Callable[..., Site]) -> None:  # noqa: F811
    """`python -m tests.crash.killpoints answer:7 -- run ...` ends by SIGKILL before the seventh answer is recorded."""
    here = site(directors=0, users=0, backends=2)
    (here.cli.folder / "items.txt").write_text("".join(f"item{n}\n" for n in range(10)))
    words = ["answer:7", "--", "run", here.cli.playbook(KICKS.playbook), "--yes"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.killpoints", *words],
        env=here.cli.environment,
        cwd=here.cli.folder,
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == -9, done.stderr.decode()
    assert len(here.fleet.requests) >= 7
    assert here.cli("runs").out.split()[1] == "crashed"
    assert sum(operation["state"] == "done" for operation in here.cli.exported()) < 7
    assert here.cli("resume").code == 0


def test_killed_while_the_file_is_first_opened(site: Callable[..., Site]) -> None:  # noqa: F811
    """A kill within the first session's switch to WAL leaves a rollback journal; the run can be seen and resumed all the same."""
    here = site(directors=0, users=0, backends=2)
    (here.cli.folder / "items.txt").write_text("item1\n")
    words = ["take.before:1", "--", "run", here.cli.playbook(KICKS.playbook), "--yes"]
    subprocess.run(
        [sys.executable, "-m", "tests.crash.killpoints", *words],
        env=here.cli.environment,
        cwd=here.cli.folder,
        capture_output=True,
        check=False,
        timeout=240,
    )
    (path,) = here.cli.state.glob("*.run")
    interrupted = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA journal_mode = DELETE'); c.execute('PRAGMA cache_size = 2'); c.execute('BEGIN IMMEDIATE');"
        "c.executemany('INSERT INTO event (at, kind, text) VALUES (0, 1, ?)', [('x' * 500,)] * 3000); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", interrupted, str(path)], check=False, timeout=240)
    assert path.with_name(path.name + "-journal").exists()
    shown = here.cli("show")
    assert shown.code == 0, shown.said
    resumed = here.cli("apply", path.stem, "--yes")
    assert resumed.code == 0, resumed.said


@pytest.mark.real_dovecot
def test_killed_with_real_counters(dovecot_ring_factory: Callable[..., Ring]) -> None:
    """Ten kills while real servers count: the counters themselves show that each was counted up exactly once."""
    ring = dovecot_ring_factory(users=5, directors=1, doveadm_service="service_count = 100")
    tally = harness(lambda number: real_counters(ring, number, items=15), 10, 2, most=8, most_rounds=40)
    assert tally.true, "\n".join(tally.table())
    assert tally.kills.total() >= 10
