"""A session within its hours: what is begun, what is cut, and what is ended though the window has closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from orchestrator.dovecot.exchange import Exchange
from orchestrator.engine.hours import Hours
from orchestrator.engine.runner import Runner
from orchestrator.engine.shift import TICK
from orchestrator.journal.base import Session
from orchestrator.status import Ending, Status
from orchestrator.windows import Opening
from tests.engine.hosts import Answer, Held, Hosts, Request, Rig, code, rows
from tests.strategies import steps

pytestmark = pytest.mark.anyio
ROLLING = steps("takes: 60s, batches: {hosts: 'b[1-3]', steps: [{name: R, command: reload}, {name: W, command: who}]}")
MANY = "hosts: b1, for_each: [a, b, c, d], command: kick, parameters: {mask: ['{{ item }}']}, limits: {in_flight: 1}"
FINALLY = "finally: [{name: F, hosts: d1, command: who}]"
CLOSED = "the window nightly closed at 00:16 UTC"


class Wall:
    """A clock that the test sets; requests may take time on it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def takes(self, seconds: float, answer: Answer | None = None) -> Answer:
        """An answer after which it is later."""
        answer = answer or rows()

        def answered(request: Request) -> Exchange:
            self.now += seconds
            found = answer(request)
            assert not callable(getattr(found, "__await__", None))
            return found  # type: ignore[return-value]

        return answered


def rig(folder: Path, text: str, wall: Wall, hosts: Hosts | None = None, **hours: object) -> Rig:
    """A run with a window from second 0 to second 1000."""
    opening = Opening("nightly", 0.0, 1000.0, zone=None)
    return Rig(folder, text, hosts, hours=replace(Hours(opening), **hours), wall=wall)  # type: ignore[arg-type]


def closes(wall: Wall, held: Held) -> Callable[[Runner, Session], Awaitable[None]]:
    """The window closes while a request is under way, and is noticed before the answer comes."""

    async def close(_runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        wall.now = 1001.0
        await anyio.sleep(2.2 * TICK)
        held.free.set()

    return close


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are told in UTC."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


async def test_a_batch_for_which_there_is_no_room_is_not_begun(tmp_path: Path) -> None:
    """Batches are begun as long as one more can be ended; the run stops before the next, which is left untouched."""
    wall = Wall(850.0)
    made = rig(tmp_path, ROLLING + FINALLY, wall, Hosts(reload=wall.takes(50.0)))
    assert await made.session() == Ending(
        Status.STOPPED, "batch 3 of step 1 needs 1m (as given); 50s left in the window nightly"
    )
    assert made.hosts.trace == ["b1:1[1].1.1", "b1:1[1].2.1", "b2:1[2].1.1", "b2:1[2].2.1", "d1:finally.1.1"]
    assert made.steps()["1[3].1"] == "pending"


async def test_what_is_left_is_done_in_the_next_window(tmp_path: Path) -> None:
    """A run that a window stopped is resumed in the next: what was done is not repeated, what was left is done."""
    wall = Wall(850.0)
    made = rig(tmp_path, ROLLING, wall, Hosts(reload=wall.takes(50.0)))
    await made.session()
    made.hours, wall.now = Hours(Opening("nightly", 5000.0, 6000.0)), 5100.0
    assert await made.session() == Ending(Status.DONE)
    assert [request.host for request in made.hosts.of("reload")] == ["b1", "b2", "b3"]


async def test_a_batch_that_takes_longer_is_ended(tmp_path: Path) -> None:
    """A batch that has begun is not left half done when the window closes; nothing after it is begun."""
    wall = Wall(930.0)
    held = Held()

    made = rig(tmp_path, ROLLING + FINALLY, wall, Hosts(reload=held))
    assert await made.session(during=closes(wall, held)) == Ending(Status.STOPPED, CLOSED)
    assert any("must not be interrupted" in note for note in made.watcher.notes)
    assert made.hosts.trace == ["b1:1[1].1.1", "b1:1[1].2.1", "d1:finally.1.1"]


async def test_the_rest_of_many_requests_is_left_for_the_next_window(tmp_path: Path) -> None:
    """Of many requests those are sent for which there is time: nothing is cut, the rest is pending, `finally` is run."""
    wall = Wall(500.0)
    held = Held()

    made = rig(tmp_path, steps(MANY, "hosts: b2, command: who") + FINALLY, wall, Hosts(kick=held))
    assert await made.session(during=closes(wall, held)) == Ending(Status.STOPPED, CLOSED)
    assert made.report() == {"1.1": "done", "1.2": "pending", "1.3": "pending", "1.4": "pending", "2.1": "pending", "finally.1.1": "done"}  # fmt: skip
    made.hours = None
    assert await made.session() == Ending(Status.DONE)
    assert len(made.hosts.of("kick")) == 4


async def test_a_window_ends_a_pause(tmp_path: Path) -> None:
    """A wait in the playbook holds up no closing."""
    wall = Wall(500.0)

    async def close(_runner: Runner, _session: Session) -> None:
        wall.now = 1000.0

    made = rig(tmp_path, steps("pause: 1h"), wall)
    assert await made.session(during=close) == Ending(Status.STOPPED, CLOSED)


async def test_a_clock_that_is_set_back_makes_a_window_no_longer(tmp_path: Path) -> None:
    """Half a second is left; the clock on the wall is set back by an hour: it is half a second all the same."""
    wall = Wall(999.5)

    async def set_back(_runner: Runner, _session: Session) -> None:
        wall.now = -2600.0

    made = rig(tmp_path, steps("pause: 1h"), wall)
    assert await made.session(during=set_back) == Ending(Status.STOPPED, CLOSED)


@pytest.mark.parametrize(
    ("overrun", "ending", "trace"),
    [
        ("finish", Ending(Status.STOPPED, CLOSED), ["b1:1[1].1.1", "b1:1[1].2.1"]),
        ("stop", Ending(Status.STOPPED, CLOSED), ["b1:1[1].1.1"]),
        ("undo", Ending(Status.UNDONE, CLOSED), ["b1:1[1].1.1", "b1:1[1].1.undo.1"]),
    ],
)
async def test_the_playbook_says_what_becomes_of_a_batch(
    tmp_path: Path, overrun: str, ending: Ending, trace: list[str]
) -> None:
    """With `overrun` a batch is begun although it may not fit, and is ended, cut or taken back when the window closes."""
    wall = Wall(990.0)
    held = Held()

    batch = "{name: R, command: reload, undo: {command: reload}}, {name: W, command: who}"
    text = steps(f"takes: 60s, overrun: {overrun}, batches: {{hosts: 'b[1-2]', steps: [{batch}]}}")
    made = rig(tmp_path, text, wall, Hosts(reload=held))
    assert await made.session(during=closes(wall, held)) == ending
    assert made.hosts.trace == trace


async def test_what_a_batch_took_is_learnt(tmp_path: Path) -> None:
    """Of batches nobody has said how long they take: by their timeouts the first fits, then it is known from the first."""
    wall = Wall(500.0)
    text = steps("batches: {hosts: 'b[1-3]', steps: [{name: R, command: reload, timeout: 400s}]}")
    made = rig(tmp_path, text, wall, Hosts(reload=wall.takes(200.0)))
    assert await made.session() == Ending(Status.DONE)  # by the steady clock each took no time at all


async def test_an_undo_goes_on_when_the_window_has_closed(tmp_path: Path) -> None:
    """What is being taken back when the window closes is taken back to its end."""
    wall = Wall(500.0)
    held = Held()

    text = steps("hosts: b3, command: who, undo: {command: who}", "hosts: b1, command: who, undo: {command: reload}", "hosts: b2, command: kick, parameters: {mask: [a]}, on_failure: undo")  # fmt: skip
    made = rig(tmp_path, text, wall, Hosts(kick=code(67), reload=held))
    assert (await made.session(during=closes(wall, held))).status is Status.UNDONE
    assert made.hosts.trace == ["b3:1.1", "b1:2.1", "b2:3.1", "b1:2.undo.1", "b3:1.undo.1"]


async def test_a_run_waits_for_its_window(tmp_path: Path) -> None:
    """Nothing is sent before the window opens; who waits is told when that is; a signal ends the wait."""
    wall = Wall(-90.0)
    made = rig(tmp_path, steps("hosts: b1, command: reload"), wall)

    async def interrupt(runner: Runner, _session: Session) -> None:
        await anyio.sleep(0.1)
        runner.interrupt("Ctrl-C")

    assert await made.session(during=interrupt) == Ending(Status.INTERRUPTED, "Ctrl-C")
    assert made.watcher.notes == ["waiting until the window nightly opens: 00:00 UTC, in 1m30s"]

    async def opens(_runner: Runner, _session: Session) -> None:
        await anyio.sleep(0.7)
        assert made.hosts.trace == []
        wall.now = 1.0

    assert await made.session(during=opens) == Ending(Status.DONE)


@pytest.mark.parametrize("seconds", [60.0, 600.0])
async def test_a_step_that_must_not_be_cut_needs_room(tmp_path: Path, seconds: float) -> None:
    """A change without items is begun only if it ends in time, its way back included."""
    text = steps("hosts: b1, command: reload, on_failure: undo, undo: {command: reload}")
    made = rig(tmp_path, text, Wall(900.0), takes=seconds)
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert made.hosts.sent == []
    assert made.watcher.started == []
