"""Conditions in bad moments: several at a time, signals, windows that close meanwhile, and a program that stood still."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.engine.hours import Hours
from orchestrator.engine.rules import Settings
from orchestrator.limits import Limits, Retry
from orchestrator.page import Page
from orchestrator.status import Ending, Status
from orchestrator.windows import Opening
from tests.engine.hosts import Hosts, Request, Rig, lost, rows
from tests.engine.test_gate import HEALTHY, MANY, Health, until, with_conditions
from tests.strategies import steps

pytestmark = pytest.mark.anyio
TWO = """
  - {name: one, at: always, every: 300ms, ask: {url: "http://127.0.0.1:9/one"}}
  - {name: two, at: always, every: 10ms, ask: {url: "http://127.0.0.1:9/two"}}
"""
UNDOES = steps(
    "hosts: b1, for_each: [a, b, c, d, e, f, g, h, i, j], command: kick, parameters: {mask: ['{{ item }}']}, limits: {in_flight: 1}, "
    "undo: {command: reload}"
)


class Pages(dict[str, int]):
    """Pages by the end of their address, and their statuses."""

    async def __call__(self, url: str, timeout: float) -> Page:
        """Read one."""
        return Page(self[url.rpartition("/")[2]], "")


async def test_two_that_take_turns_never_let_anything_through(tmp_path: Path) -> None:
    """Of two conditions of which always one does not hold, the reason that is told is of the one that does not."""
    pages = Pages(one=200, two=503)
    made = Rig(tmp_path, with_conditions(MANY, TWO), Hosts(), fetch=pages)
    told: list[str] = []

    async def alternate(runner: Any, _session: Any) -> None:
        await until(lambda: "'two'" in runner._held)
        pages["one"] = 503
        await until(lambda: "held: condition 'one' does not hold: HTTP status 503" in made.watcher.notes)
        await until(lambda: "'two'" in runner._held)
        pages["two"] = 200
        await until(lambda: "two holds again" in made.watcher.notes)
        told.append(runner._held)
        assert made.hosts.of("kick") == []
        pages["one"] = 200

    assert await made.session(during=alternate) == Ending(Status.DONE)
    assert told == ["condition 'one' does not hold: HTTP status 503"]


def slow_kicks(
    while_sent: Callable[[int], object] = lambda _number: None,
    before_it_is_heard: Callable[[int], object] = lambda _number: None,
) -> Hosts:
    """Hosts that need a moment for each kick, at whose beginning or end something happens."""
    asked: list[Request] = []

    async def kick(request: Request) -> Any:
        asked.append(request)
        while_sent(len(asked))
        await anyio.sleep(0.1)
        before_it_is_heard(len(asked))
        return rows()(request)

    return Hosts(kick=kick)


async def test_a_signal_is_not_made_an_undo(tmp_path: Path) -> None:
    """A condition that does not hold any more while an interrupted run waits for its answers undoes nothing."""
    health = Health(200)
    runners: list[Any] = []

    def both(_number: int) -> None:
        runners[0].interrupt("SIGTERM")
        health.last = 503

    playbook = with_conditions(UNDOES, HEALTHY.replace("every: 10ms", "every: 10ms, otherwise: undo"))
    made = Rig(tmp_path, playbook, slow_kicks(both), fetch=health)

    async def remember(runner: Any, _session: Any) -> None:
        runners.append(runner)

    assert await made.session(during=remember) == Ending(Status.INTERRUPTED, "SIGTERM")
    assert [request.command for request in made.hosts.sent] == ["kick"]
    assert made.sightings()[-1][2] is False


async def test_an_undo_stays_one(tmp_path: Path) -> None:
    """A second condition that does not hold either, a moment later, does not keep what was done from being undone."""
    pages = Pages(one=200, two=200)

    def fail(_number: int) -> None:
        pages["one"] = 503

    conditions = TWO.replace("every: 300ms", "every: 300ms, otherwise: undo")
    playbook = with_conditions(UNDOES, conditions.replace("every: 10ms", "every: 10ms, otherwise: stop"))
    made = Rig(tmp_path, playbook, slow_kicks(fail), fetch=pages)

    async def then(runner: Any, _session: Any) -> None:
        await until(lambda: runner._halted)
        pages["two"] = 503

    assert (await made.session(during=then)).status is Status.UNDONE
    assert {request.command for request in made.hosts.sent} == {"kick", "reload"}
    assert len(made.hosts.of("kick")) < 10


async def test_a_pause_ends_at_its_deadline(tmp_path: Path) -> None:
    """However seldom a condition is looked at, the last look is at the deadline."""
    conditions = HEALTHY.replace("every: 10ms", "every: 1h, deadline: 50ms")
    made = Rig(tmp_path, with_conditions(MANY, conditions), Hosts(), fetch=Health(503))
    with anyio.fail_after(10):
        ending = await made.session()
    assert ending == Ending(Status.STOPPED, "condition 'health' does not hold: HTTP status 503; waited 0.05 s")


async def test_a_wait_before_a_step_ends_at_its_deadline(tmp_path: Path) -> None:
    """The same of a condition that a step waits for."""
    conditions = HEALTHY.replace("at: always, every: 10ms", "at: step, otherwise: pause, every: 1h, deadline: 50ms")
    made = Rig(tmp_path, with_conditions(MANY, conditions), Hosts(), fetch=Health(503))
    with anyio.fail_after(10):
        ending = await made.session()
    assert ending.status is Status.STOPPED
    assert ending.reason.endswith("; waited 0.05 s")


async def test_a_run_that_was_not_started_has_nothing_to_do_at_the_end(tmp_path: Path) -> None:
    """Where a condition at the start does not hold nothing is changed, by `finally` neither; the run can be resumed."""
    playbook = with_conditions(
        MANY + "finally: [{name: F, hosts: d1, command: reload}]\n", HEALTHY.replace("at: always", "at: start")
    )
    health = Health(503)
    made = Rig(tmp_path, playbook, Hosts(), fetch=health)
    assert (await made.session()).status is Status.NOT_STARTED
    assert made.hosts.sent == []
    health.last = 200
    assert await made.session() == Ending(Status.DONE)
    assert len(made.hosts.of("reload")) == 1


async def test_a_program_that_stood_still_looks_before_it_sends(tmp_path: Path) -> None:
    """What was seen before a long standstill (Ctrl-Z, a machine that was suspended) says nothing of now."""
    health = Health(200)

    def stand_still(number: int) -> None:
        if number == 3:
            health.last = 503
            time.sleep(0.5)

    made = Rig(tmp_path, with_conditions(MANY, HEALTHY), slow_kicks(before_it_is_heard=stand_still), fetch=health)
    sent: list[int] = []

    async def mend(_runner: Any, _session: Any) -> None:
        await until(lambda: health.last == 503)
        await until(lambda: any("held: " in note for note in made.watcher.notes))
        sent.append(len(made.hosts.of("kick")))
        health.last = 200

    assert await made.session(during=mend) == Ending(Status.DONE)
    assert sent == [3]
    assert len(made.hosts.of("kick")) == 6


# windows

BATCHES = steps("takes: 60s, batches: {hosts: 'b[1-2]', steps: [{name: R, command: reload}]}")
PAUSES = "at: batch, otherwise: pause, every: 10ms"


@pytest.mark.parametrize("conditions", [PAUSES, "at: step, otherwise: pause, every: 10ms", "at: always, every: 10ms"])
@pytest.mark.parametrize("now", [950.0, 1001.0])
async def test_a_batch_is_not_begun_late_because_it_was_waited_for(tmp_path: Path, conditions: str, now: float) -> None:
    """The time that a batch had to wait is gone: one that does not fit into the window any more is not begun."""
    health, wall = Health(503), [0.0]
    made = Rig(
        tmp_path,
        with_conditions(BATCHES, HEALTHY.replace("at: always, every: 10ms", conditions)),
        Hosts(),
        fetch=health,
        hours=Hours(Opening("nightly", 0.0, 1000.0, zone=None)),
        wall=lambda: wall[0],
    )

    async def later(_runner: Any, _session: Any) -> None:
        await until(lambda: health.asked >= 3)
        wall[0] = now
        health.last = 200

    ending = await made.session(during=later)
    assert ending.status is Status.STOPPED
    assert made.hosts.of("reload") == []


@pytest.mark.parametrize("conditions", [PAUSES, "at: step, otherwise: pause, every: 10ms"])
async def test_what_must_not_be_cut_is_not_begun_after_the_window(tmp_path: Path, conditions: str) -> None:
    """A batch that may overrun the window is begun within it, or not at all."""
    health, wall = Health(503), [0.0]
    made = Rig(
        tmp_path,
        with_conditions(
            BATCHES.replace("takes: 60s", "overrun: finish"), HEALTHY.replace("at: always, every: 10ms", conditions)
        ),
        Hosts(),
        fetch=health,
        hours=Hours(Opening("nightly", 0.0, 1000.0, zone=None)),
        wall=lambda: wall[0],
    )

    async def later(_runner: Any, _session: Any) -> None:
        await until(lambda: health.asked >= 3)
        wall[0] = 1001.0
        await anyio.sleep(1.2)  # more than two looks at the clock
        health.last = 200

    ending = await made.session(during=later)
    assert ending.status is Status.STOPPED
    assert "the window nightly closed" in ending.reason
    assert made.hosts.of("reload") == []


async def test_the_end_of_a_window_does_not_make_a_signal_an_undo(tmp_path: Path) -> None:
    """The same of a window that closes while an interrupted run waits for its answers, though its step says undo."""
    wall, runners = [0.0], []

    async def kick(request: Request) -> Any:
        runners[0].interrupt("SIGTERM")
        wall[0] = 1001.0
        await anyio.sleep(1.2)  # more than two looks at the clock
        return rows()(request)

    made = Rig(
        tmp_path,
        UNDOES.replace("undo:", "overrun: undo, undo:"),
        Hosts(kick=kick),
        hours=Hours(Opening("nightly", 0.0, 1000.0, zone=None)),
        wall=lambda: wall[0],
    )

    async def remember(runner: Any, _session: Any) -> None:
        runners.append(runner)

    assert await made.session(during=remember) == Ending(Status.INTERRUPTED, "SIGTERM")
    assert made.hosts.of("reload") == []


# what was done before


async def test_a_run_that_has_sent_nothing_has_not_begun(tmp_path: Path) -> None:
    """A run that was held before its first request, and stopped, is one that has changed nothing: its start is looked at again."""
    health = Health(200)
    made = Rig(tmp_path, with_conditions(MANY, HEALTHY.replace("at: always", "at: start")), Hosts(), fetch=health)

    async def hold(runner: Any, _session: Any) -> None:
        runner.hold("for the moment")
        await until(lambda: runner._sending)
        runner.interrupt("SIGTERM")

    assert (await made.session(during=hold)).status is Status.INTERRUPTED
    assert made.hosts.of("kick") == []
    health.last = 503
    assert (await made.session()).status is Status.NOT_STARTED
    health.last = 200
    assert await made.session() == Ending(Status.DONE)


async def test_what_is_in_doubt_is_not_undone(tmp_path: Path) -> None:
    """An operation whose answer was lost while the run was being stopped may still happen: somebody decides before anything is undone."""
    health = Health(200)

    async def count(request: Request) -> Any:
        health.last = 503
        await anyio.sleep(0.1)
        return lost(request)

    playbook = steps(
        "hosts: b1, command: reload, undo: {command: kick, parameters: {mask: ['*']}}",
        "hosts: b1, command: dictInc, for_each: [a, b], limits: {in_flight: 1}, "
        "parameters: {user: u, dictUri: 'file:/x', key: 'shared/{{ item }}', difference: 1}",
    )
    conditions = HEALTHY.replace("every: 10ms", "every: 10ms, otherwise: undo")
    made = Rig(tmp_path, with_conditions(playbook, conditions), Hosts(dictInc=count), fetch=health)
    assert (await made.session()).status is Status.IN_DOUBT
    assert made.hosts.of("kick") == []


async def test_a_rate_that_is_too_low_for_the_questions_is_told(tmp_path: Path) -> None:
    """A condition that asks more hosts in one interval than the rate allows can never be looked at: that is said, and no host is blamed."""
    conditions = """
  - name: backends
    at: always
    every: 100ms
    deadline: 300ms
    ask: {hosts: backends, command: who}
    that: "{{ rows | length == 0 }}"
"""
    text = steps("hosts: b1, command: reload")
    made = Rig(tmp_path, with_conditions(text, conditions), Hosts(), settings=Settings(Limits(rate=20), Retry(base=0)))
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert "the rate allows no 4 questions in 0.1 s; ask fewer hosts, or ask less often (every)" in ending.reason


async def test_what_stopped_an_earlier_session_holds_nothing(tmp_path: Path) -> None:
    """A run that goes on is not told to be held by what was seen before; one that is held now is."""
    health = Health(503)
    made = Rig(tmp_path, with_conditions(MANY, HEALTHY.replace("at: always", "at: step")), Hosts(), fetch=health)
    assert (await made.session()).status is Status.STOPPED
    told: list[str] = []

    def held() -> str:
        with made.run.read() as reader:
            return reader.held()

    async def see(_runner: Any, _session: Any) -> None:
        told.append(held())

    health.last = 200
    assert await made.session(during=see) == Ending(Status.DONE)
    assert told == [""]


async def test_what_holds_a_run_is_told_until_it_goes_on(tmp_path: Path) -> None:
    """Whoever looks at the run from outside sees why nothing is sent, and that it goes on."""
    health = Health(503)
    made = Rig(tmp_path, with_conditions(MANY, HEALTHY), slow_kicks(), fetch=health)
    told: list[str] = []

    def held() -> str:
        with made.run.read() as reader:
            return reader.held()

    async def see(_runner: Any, _session: Any) -> None:
        await until(held)
        told.append(held())
        health.last = 200
        await until(lambda: made.hosts.of("kick"))
        told.append(held())

    assert await made.session(during=see) == Ending(Status.DONE)
    assert told == ["held: condition 'health' does not hold: HTTP status 503", ""]
