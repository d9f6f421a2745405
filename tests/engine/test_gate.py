"""Conditions of a run: what is not begun, what is held and goes on by itself, and what others must not change meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.dovecot.exchange import Exchange
from orchestrator.engine import gate, keeping
from orchestrator.errors import ExpressionError
from orchestrator.page import Page
from orchestrator.status import Ending, Status
from tests.engine.hosts import Answer, Hosts, Request, Rig, lost, rows
from tests.strategies import steps

pytestmark = pytest.mark.anyio
USERS = """
  - name: users
    ask: {hosts: d1, command: directorStatus}
    value: "{{ rows | column('users') | max }}"
    that: "{{ now <= reviewed * 1.2 }}"
"""
RELOADS = steps("hosts: b1, command: reload", "hosts: b2, command: reload")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets no data looks again soon."""
    monkeypatch.setattr(gate, "BETWEEN", 0.01)
    monkeypatch.setattr(keeping, "BETWEEN", 0.01)


def with_conditions(text: str, conditions: str) -> str:
    """A playbook with conditions."""
    return f"{text}conditions:{conditions}"


def counted(*users: str) -> Hosts:
    """A director that counts so many users, one number after the other; the last one stays."""
    return Hosts(directorStatus=one_after_the_other(*(rows({"users": number}) for number in users)))


async def until(holds: Callable[[], object]) -> None:
    """Wait until something is so."""
    while not holds():  # noqa: ASYNC110 - whom it is about has no event for it
        await anyio.sleep(0.001)


def one_after_the_other(*answers: Answer) -> Answer:
    """These answers, then the last one again and again."""
    left = iter(answers)
    last: list[Answer] = []

    def answer(request: Request) -> Any:
        if (found := next(left, None)) is not None:
            last[:] = [found]
        return last[0](request)

    return answer


# at the start


async def test_a_reviewed_plan_is_refused_when_too_much_has_changed(tmp_path: Path) -> None:
    """More users than were reviewed, beyond the bound: nothing is sent, both numbers are told, and it can be tried again."""
    made = Rig(tmp_path, with_conditions(RELOADS, USERS), counted("1300", "1100"), reviewed={"users": 1000})
    ending = await made.session()
    assert ending == Ending(Status.NOT_STARTED, "condition 'users' does not hold: 1300 now, 1000 when it was reviewed")
    assert made.hosts.of("reload") == []
    assert made.steps() == {"1": "pending", "2": "pending"}
    assert await made.session() == Ending(Status.DONE)
    assert made.sightings() == [("users", "start", False, 1300), ("users", "start", True, 1100)]


async def test_fewer_users_than_were_reviewed_are_no_reason_to_stop(tmp_path: Path) -> None:
    """The author says which direction matters."""
    made = Rig(tmp_path, with_conditions(RELOADS, USERS), counted("3"), reviewed={"users": 1000})
    assert await made.session() == Ending(Status.DONE)


async def test_what_nobody_reviewed_is_compared_with_nothing(tmp_path: Path) -> None:
    """Of a run whose plan nobody looked at, the value is kept all the same."""
    made = Rig(tmp_path, with_conditions(RELOADS, USERS), counted("5000"))
    assert await made.session() == Ending(Status.DONE)
    assert made.sightings() == [("users", "start", True, 5000)]


async def test_conditions_at_the_start_are_not_those_of_a_run_that_goes_on(tmp_path: Path) -> None:
    """Once something was changed, what had to hold before the first change is past."""
    hosts = Hosts(directorStatus=rows({"users": "1"}), reload=one_after_the_other(rows(), lost))
    playbook = with_conditions(RELOADS, USERS.replace("now <= reviewed * 1.2", "now == 1"))
    made = Rig(tmp_path, playbook, hosts)

    async def interrupt(runner: Any, _session: Any) -> None:
        while not hosts.of("reload"):
            await anyio.lowlevel.checkpoint()
        runner.interrupt("SIGTERM")

    assert (await made.session(during=interrupt)).status is Status.INTERRUPTED
    hosts._answers["directorStatus"] = rows({"users": "2"})
    hosts._answers["reload"] = rows()
    assert await made.session() == Ending(Status.DONE)
    assert len(made.hosts.of("directorStatus")) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lost, "rows are missing (d1: the connection was closed)"),
        (rows(), "there is no"),
        (rows({"users": "many"}), "many"),
    ],
)
async def test_without_data_nothing_begins(tmp_path: Path, answer: Answer, why: str) -> None:
    """A director that does not answer, and one that answers nonsense, are asked again, and then nothing is begun."""
    hosts = Hosts(directorStatus=answer)
    made = Rig(tmp_path, with_conditions(RELOADS, USERS), hosts, reviewed={"users": 1000})
    ending = await made.session()
    assert ending.status is Status.NOT_STARTED
    assert ending.reason.startswith("condition 'users' cannot be told: ")
    assert why in ending.reason
    assert len(hosts.of("directorStatus")) == gate.TRIES
    assert hosts.of("reload") == []


# before batches and steps

ROLLING = steps("batches: {hosts: 'b[1-3]', steps: [{name: R, command: reload}]}")
QUIET = """
  - name: others
    ask: {hosts: d1, command: directorStatus}
    that: "{{ rows | where('state', 'down') | length == 0 }}"
"""


@pytest.mark.parametrize(("moment", "playbook", "begun"), [("batch", ROLLING, ["b1"]), ("step", RELOADS, ["b1"])])
async def test_the_next_one_is_not_begun(tmp_path: Path, moment: str, playbook: str, begun: list[str]) -> None:
    """A condition of batches, or of steps, that does not hold any more stops the run before the next one; it can be resumed."""
    hosts = Hosts(
        directorStatus=one_after_the_other(rows({"state": "up"}), rows({"state": "down"}), rows({"state": "up"}))
    )
    made = Rig(tmp_path, with_conditions(playbook, QUIET + f"    at: {moment}\n"), hosts)
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert ending.reason == "condition 'others' does not hold: 1 row"
    assert [request.host for request in hosts.of("reload")] == begun
    assert await made.session() == Ending(Status.DONE)
    assert sorted({request.host for request in hosts.of("reload")}) == [r.host for r in hosts.of("reload")]


async def test_a_step_waits_until_it_holds_twice(tmp_path: Path) -> None:
    """With `otherwise: pause` the run waits; a condition that flaps does not let it through."""
    states = ["down", "up", "down", "up", "up"]
    hosts = Hosts(directorStatus=one_after_the_other(*(rows({"state": state}) for state in states)))
    playbook = with_conditions(
        steps("hosts: b1, command: reload"), QUIET + "    at: step\n    otherwise: pause\n    every: 1ms\n"
    )
    made = Rig(tmp_path, playbook, hosts)
    assert await made.session() == Ending(Status.DONE)
    assert len(hosts.of("directorStatus")) == len(states)
    assert "others holds again" in made.watcher.notes


async def test_a_step_does_not_wait_for_ever(tmp_path: Path) -> None:
    """After its deadline the run stops."""
    hosts = Hosts(directorStatus=rows({"state": "down"}))
    extra = "    at: step\n    otherwise: pause\n    every: 1ms\n    deadline: 20ms\n"
    made = Rig(tmp_path, with_conditions(RELOADS, QUIET + extra), hosts)
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert ending.reason.endswith("; waited 0.02 s")
    assert hosts.of("reload") == []


async def test_what_was_done_is_undone_when_a_condition_says_so(tmp_path: Path) -> None:
    """`otherwise: undo` takes back the steps before, though each of them says stop."""
    hosts = Hosts(directorStatus=one_after_the_other(rows({"state": "up"}), rows({"state": "down"})))
    playbook = steps(
        "hosts: b1, command: reload, undo: {command: kick, parameters: {mask: ['*']}}", "hosts: b2, command: reload"
    )
    made = Rig(tmp_path, with_conditions(playbook, QUIET + "    at: step\n    otherwise: undo\n"), hosts)
    ending = await made.session()
    assert ending.status is Status.UNDONE
    assert [request.command for request in hosts.sent if request.command != "directorStatus"] == ["reload", "kick"]


# all the time

HEALTHY = """
  - {name: health, at: always, every: 10ms, ask: {url: "http://127.0.0.1:9/health"}}
"""
MANY = steps(
    "hosts: b1, for_each: [a, b, c, d, e, f], command: kick, parameters: {mask: ['{{ item }}']}, limits: {in_flight: 1}"
)


class Health:
    """A page that answers what the test says: a status, or an error, or nothing for ever."""

    def __init__(self, *answers: int | str) -> None:
        self.answers: Iterator[int | str] = iter(answers)
        self.last: int | str = 200
        self.asked = 0

    async def __call__(self, url: str, timeout: float) -> Page:
        """Read it."""
        self.asked += 1
        self.last = next(self.answers, self.last)
        if self.last == "hangs":
            await anyio.sleep(60)
        if isinstance(self.last, str):
            raise ExpressionError(self.last)
        return Page(self.last, "")


@pytest.mark.parametrize("bad", [503, "refused", "hangs"])
async def test_nothing_is_sent_while_it_does_not_hold(tmp_path: Path, bad: int | str) -> None:
    """A run is not begun before a condition that must hold all the time does, whatever is wrong; then it goes on by itself."""
    health, sent = Health(bad, bad, 200, bad), []
    made = Rig(tmp_path, with_conditions(MANY, HEALTHY), Hosts(), fetch=health)

    async def mend(_runner: Any, _session: Any) -> None:
        await until(lambda: health.asked >= 5)
        sent.append(len(made.hosts.of("kick")))
        health.last = 200

    assert await made.session(during=mend) == Ending(Status.DONE)
    assert sent == [0]
    assert len(made.hosts.of("kick")) == 6
    assert made.sightings()[0][2] is (False if bad == 503 else None)


async def test_what_is_held_in_the_midst_goes_on(tmp_path: Path) -> None:
    """Requests that are under way are heard, nothing follows while it does not hold, and nothing is lost or sent twice."""
    health = Health(200)
    at_hold: list[int] = []
    slow = one_after_the_other(pausing(0.02))
    made = Rig(tmp_path, with_conditions(MANY, HEALTHY), Hosts(kick=slow), fetch=health)

    async def fail(_runner: Any, _session: Any) -> None:
        await until(lambda: len(made.hosts.of("kick")) >= 2)
        health.last = 503
        await until(lambda: any("held: " in note for note in made.watcher.notes))
        await anyio.sleep(0.05)
        at_hold.append(len(made.hosts.of("kick")))
        await anyio.sleep(0.1)
        at_hold.append(len(made.hosts.of("kick")))
        health.last = 200

    assert await made.session(during=fail) == Ending(Status.DONE)
    assert at_hold[0] == at_hold[1] < 6
    assert sorted(request.parameters["mask"][0] for request in made.hosts.of("kick")) == list("abcdef")
    assert "health holds again" in made.watcher.notes


def pausing(seconds: float) -> Answer:
    """Answers after a while."""

    async def answer(request: Request) -> Exchange:
        await anyio.sleep(seconds)
        return await as_awaitable(rows()(request))

    return answer


async def as_awaitable(value: Any) -> Any:
    """A value."""
    return value


async def test_a_run_that_was_held_for_too_long_stops(tmp_path: Path) -> None:
    """After its deadline the run stops, and can be resumed."""
    playbook = with_conditions(MANY, HEALTHY.replace("every: 10ms", "every: 10ms, deadline: 50ms"))
    made = Rig(tmp_path, playbook, Hosts(), fetch=Health(503))
    ending = await made.session()
    assert ending == Ending(Status.STOPPED, "condition 'health' does not hold: HTTP status 503; waited 0.05 s")
    assert made.hosts.of("kick") == []
    made.fetch = Health(200)
    assert await made.session() == Ending(Status.DONE)


async def test_what_comes_last_is_done_all_the_same(tmp_path: Path) -> None:
    """`finally` waits for no condition."""
    playbook = with_conditions(
        MANY + "finally: [{name: F, hosts: d1, command: who}]\n",
        HEALTHY.replace("every: 10ms", "every: 10ms, otherwise: stop"),
    )
    made = Rig(tmp_path, playbook, Hosts(), fetch=Health(503))
    assert (await made.session()).status is Status.STOPPED
    assert made.hosts.trace == ["d1:finally.1.1"]


@pytest.mark.parametrize("end", ["interrupt", "cancel"])
async def test_a_run_that_is_held_can_be_stopped(tmp_path: Path, end: str) -> None:
    """A signal ends the wait at once."""
    made = Rig(tmp_path, with_conditions(MANY, HEALTHY), Hosts(), fetch=Health(503))

    async def stop(runner: Any, _session: Any) -> None:
        await until(lambda: made.watcher.notes)
        getattr(runner, end)(*(["SIGTERM"] if end == "interrupt" else []))

    with anyio.fail_after(10):
        assert (await made.session(during=stop)).status is Status.INTERRUPTED


# what the run set

KEPT = (
    "hosts: d1, command: reload, keep: {ask: {hosts: d1, command: directorStatus}, "
    "value: \"{{ rows | column('vhosts') }}\"UNTIL}"
)


def vhosts(*values: str) -> Answer:
    """What the director says, one after the other."""
    return one_after_the_other(*(rows({"vhosts": value}) for value in values))


async def test_what_somebody_else_changed_stops_the_run(tmp_path: Path) -> None:
    """Another tool sets back what the run has set: the next change is not begun, and both values are told."""
    made = Rig(
        tmp_path,
        steps(KEPT.replace("UNTIL", ""), "hosts: b1, command: who", "hosts: b1, command: reload"),
        Hosts(directorStatus=vhosts("0", "100")),
    )
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert ending.reason.startswith(
        'what step 1 (S1) set was changed by somebody else: it was ["0"] as step 1 left it ('
    )
    assert ending.reason.endswith(', and is ["100"] now; step 3 was not begun')
    assert [request.host for request in made.hosts.of("reload")] == ["d1"]


async def test_what_the_run_itself_sets_back_is_no_interference(tmp_path: Path) -> None:
    """From the step that is named on, it may be otherwise."""
    first = KEPT.replace("UNTIL", ", until_step: S3")
    made = Rig(
        tmp_path,
        steps(first, "hosts: b1, command: reload", "hosts: d1, command: reload", "hosts: b2, command: reload"),
        Hosts(directorStatus=vhosts("0", "0", "100")),
    )
    assert await made.session() == Ending(Status.DONE)
    assert len(made.hosts.of("directorStatus")) == 2


async def test_each_batch_keeps_its_own(tmp_path: Path) -> None:
    """What a batch set counts for nothing in the next one."""
    inner = KEPT.replace("UNTIL", "")
    playbook = steps(f"batches: {{hosts: 'b[1-2]', steps: [{{name: A, {inner}}}, {{name: B, command: reload}}]}}")
    made = Rig(tmp_path, playbook, Hosts(directorStatus=vhosts("1", "1", "2", "2")))
    assert await made.session() == Ending(Status.DONE)


async def test_what_an_earlier_session_left_is_remembered(tmp_path: Path) -> None:
    """A run that goes on compares with what it left before it was interrupted, whatever the fleet says now."""
    made = Rig(
        tmp_path,
        steps(KEPT.replace("UNTIL", ""), "pause: {confirm: 'Go on?'}", "hosts: b1, command: reload"),
        Hosts(directorStatus=vhosts("0")),
    )
    assert (await made.session()).status is Status.STOPPED
    made.hosts._answers["directorStatus"] = vhosts("100")
    made.approve = yes
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert 'is ["100"] now' in ending.reason


async def yes(_question: str) -> bool:
    """Answers every question with yes."""
    return True


async def test_what_cannot_be_seen_is_no_reason_to_go_on(tmp_path: Path) -> None:
    """Without an answer nobody knows whether it is still so."""
    made = Rig(
        tmp_path,
        steps(KEPT.replace("UNTIL", ""), "hosts: b1, command: reload"),
        Hosts(directorStatus=one_after_the_other(rows({"vhosts": "0"}), lost)),
    )
    ending = await made.session()
    assert ending.status is Status.STOPPED
    assert ending.reason.startswith("it cannot be seen what step 1 (S1) set: ")
    assert [request.host for request in made.hosts.of("reload")] == ["d1"]


async def test_what_is_kept_may_change_from_a_step_of_batches_on(tmp_path: Path) -> None:
    """The step that `until_step` names may be one of batches: it is kept until the first of them."""
    first = KEPT.replace("UNTIL", ", until_step: S3")
    made = Rig(
        tmp_path,
        steps(first, "hosts: b1, command: reload", "batches: {hosts: 'b[1-2]', steps: [{name: R, command: reload}]}"),
        Hosts(directorStatus=vhosts("0", "0", "100")),
    )
    assert await made.session() == Ending(Status.DONE)
    assert len(made.hosts.of("directorStatus")) == 2
