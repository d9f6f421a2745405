"""One step's requests: how long they are waited for, what is made of each answer, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.dovecot.catalog import LONG_TIMEOUT
from orchestrator.dovecot.exchange import NotSent
from orchestrator.engine import sending
from orchestrator.engine.host_log import READINGS
from orchestrator.engine.rules import Settings
from orchestrator.engine.runner import Runner
from orchestrator.engine.sending import as_kept
from orchestrator.journal.base import Session, Start
from orchestrator.limits import Limits, Retry
from orchestrator.status import Ending, Status
from tests.engine.hosts import (
    Answer,
    Held,
    Hosts,
    Request,
    Rig,
    code,
    in_turn,
    late,
    lost,
    of_version,
    on,
    refused,
    rows,
)
from tests.strategies import steps

pytestmark = pytest.mark.anyio
COUNT = "hosts: b1, command: dictInc, parameters: {dictUri: d, key: k, difference: 1}"
PROBE = "probe: {command: dictGet, parameters: {dictUri: d, key: k}, done: \"{{ (rows | first).value == '1' }}\"}"
MANY = ", ".join(f"u{number}" for number in range(40))
ONE_ATTEMPT = Settings(Limits(), Retry(attempts=1))


# time


@pytest.mark.parametrize(
    ("line", "timeout"),
    [
        ("command: reload", 60.0),
        ("command: reload, timeout: 5s", 5.0),
        ("command: forceResync, parameters: {user: u, mailboxMask: INBOX}", LONG_TIMEOUT),
        ("command: forceResync, parameters: {user: u, mailboxMask: INBOX}, timeout: 2m", 120.0),
    ],
)
async def test_an_answer_is_waited_for_as_long_as_it_may_take(tmp_path: Path, line: str, timeout: float) -> None:
    """The step's own timeout holds, else the host's, which is long where a command may take as long as there is mail."""
    rig = Rig(tmp_path, steps(f"hosts: b1, {line}"))
    assert await rig.session() == Ending(Status.DONE)
    assert rig.hosts.sent[0].timeout == timeout


async def test_a_long_command_that_was_not_answered_is_not_sent_again(tmp_path: Path) -> None:
    """What may still be running is not started a second time beside itself; the error says how to go on."""
    text = steps("hosts: b1, command: forceResync, parameters: {user: u, mailboxMask: INBOX}")
    rig = Rig(tmp_path, text, Hosts(forceResync=late))
    assert (await rig.session()).status is Status.STOPPED
    assert len(rig.hosts.of("forceResync")) == 1
    assert "the host may still be executing it" in rig.errors()["1.1"]


# answers


@pytest.mark.parametrize(
    ("answer", "state", "attempts", "error"),
    [
        (rows({"a": "b"}), "done", 1, ""),
        (code(64), "failed", 1, "exit code 64"),
        (code(75), "failed", 3, "exit code 75"),
        (refused, "unreachable", 3, "connection refused"),
        (lost, "failed", 3, "the connection was closed"),
        (late, "failed", 3, "no complete answer within 60 s"),
        (in_turn(refused, lost, rows()), "done", 3, ""),
    ],
)
async def test_a_repeatable_command_is_retried(
    tmp_path: Path, answer: Answer, state: str, attempts: int, error: str
) -> None:
    """Trouble that may pass is retried as often as the settings say, an error that stays is not."""
    rig = Rig(
        tmp_path,
        steps("hosts: b1, command: reload"),
        Hosts(reload=answer),
        settings=Settings(retry=Retry(attempts=3, base=0)),
    )
    await rig.session()
    assert rig.report() == {"1.1": state}
    assert len(rig.hosts.of("reload")) == len(rig.watcher.attempts) == attempts
    assert rig.errors().get("1.1", "").startswith(error)
    with rig.run.read() as reader:
        assert [attempt.number for attempt in reader.attempts(1)] == list(range(1, attempts + 1))


@pytest.mark.parametrize(
    ("answer", "state"),
    [(rows(), "done"), (code(64), "failed"), (code(75), "in_doubt"), (lost, "in_doubt"), (late, "in_doubt")],
)
async def test_a_command_that_must_not_be_repeated_is_sent_once(tmp_path: Path, answer: Answer, state: str) -> None:
    """Whatever comes of it, an unrepeatable command that was sent is not sent again."""
    rig = Rig(tmp_path, steps(COUNT), Hosts(dictInc=answer))
    await rig.session()
    assert (rig.report(), len(rig.hosts.of("dictInc"))) == ({"1.1": state}, 1)


async def test_what_was_not_sent_may_be_sent(tmp_path: Path) -> None:
    """An unrepeatable command that did not leave is retried like any other."""
    rig = Rig(tmp_path, steps(COUNT), Hosts(dictInc=in_turn(refused, rows())))
    assert await rig.session() == Ending(Status.DONE)
    assert len(rig.hosts.of("dictInc")) == 2


@pytest.mark.parametrize(
    ("answer", "value", "state", "sent"),
    [
        (lost, "1", "done", 1),
        (in_turn(lost, rows()), "0", "done", 2),
        (late, "1", "done", 1),
        (late, "0", "in_doubt", 1),
        (code(75), "1", "done", 1),
        (in_turn(code(75), rows()), "0", "done", 2),
        (lost, None, "in_doubt", 1),
    ],
)
async def test_a_probe_is_asked_about_a_lost_answer(
    tmp_path: Path, answer: Answer, value: str | None, state: str, sent: int
) -> None:
    """What the probe saw is done; what it did not see is sent again, but not while the host may still be executing it."""
    found = lost if value is None else rows({"value": value})
    rig = Rig(tmp_path, steps(f"{COUNT}, {PROBE}"), Hosts(dictInc=answer, dictGet=found))
    await rig.session()
    assert (rig.report(), len(rig.hosts.of("dictInc")), len(rig.hosts.of("dictGet"))) == ({"1.1": state}, sent, 1)


async def test_no_more_files_here_stops_the_run(tmp_path: Path) -> None:
    """What this machine has no room for is no host's failure: the run stops, and can be resumed."""

    def nowhere(_request: Request) -> NotSent:
        return NotSent("too many open files", local=True)

    rig = Rig(tmp_path, steps("hosts: b1, command: reload", "hosts: b2, command: reload"), Hosts(reload=nowhere))
    assert await rig.session() == Ending(Status.STOPPED, "too many open files")
    assert rig.report()["2.1"] == "pending"


async def test_a_silent_host_is_marked_unreachable_and_the_others_go_on(tmp_path: Path) -> None:
    """After enough attempts in a row without an answer the rest of a host's operations is unreachable, told once."""
    line = f"hosts: 'b[1-2]', for_each: [{MANY}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}, on_failure: continue"
    rig = Rig(tmp_path, steps(line), Hosts(kick=on({"b1": refused}, rows())), settings=ONE_ATTEMPT)
    assert (await rig.session()).status is Status.FAILED
    with rig.run.read() as reader:
        found = {(operation.host, operation.state.word) for operation in reader.operations()}
        unreachable = [op for op in reader.operations() if op.error == "circuit breaker open: connection refused"]
    assert found == {("b1", "unreachable"), ("b2", "done")}
    assert unreachable
    assert len([request for request in rig.hosts.of("kick") if request.host == "b1"]) == 40 - len(unreachable)
    assert [note for note in rig.watcher.notes if note.startswith("circuit breaker open for b1: its remaining")]


async def test_a_storm_of_retries_stops_the_run(tmp_path: Path) -> None:
    """When most of a fleet is in trouble, retrying only multiplies its load: the budget ends it, with work left."""
    line = f"hosts: b1, for_each: [{MANY}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}"
    settings = Settings(Limits(), Retry(base=0, attempts=100, budget=0.1))
    rig = Rig(tmp_path, steps(line), Hosts(kick=code(75)), settings=settings)
    ending = await rig.session()
    assert ending.status is Status.STOPPED
    assert "exit code 75" in ending.reason
    assert len(rig.hosts.of("kick")) < 200


async def test_a_condition_on_an_answer_that_has_it_not_is_a_failure(tmp_path: Path) -> None:
    """A poll whose condition cannot be evaluated fails at once: it would never hold."""
    line = "hosts: b1, command: who, until: \"{{ (rows | first).service == '1' }}\", every: 1ms"
    rig = Rig(tmp_path, steps(line), Hosts(who=rows({"x": "1"})))
    assert (await rig.session()).status is Status.STOPPED
    assert (len(rig.hosts.of("who")), rig.report()) == (1, {"1.1": "failed"})


async def test_a_request_that_a_host_cannot_take_is_not_sent(tmp_path: Path) -> None:
    """Dovecot 2.4 refuses long lists whole; that is said of the operation before it is sent, and 2.3 gets it."""
    line = f"hosts: 'b[1-2]', command: kick, parameters: {{mask: [{', '.join(f'u{n}' for n in range(1100))}]}}"
    rig = Rig(tmp_path, steps(f"{line}, on_failure: continue"), Hosts({"b2": of_version("2.4.1")}))
    await rig.session()
    assert rig.report() == {"1.1": "done", "1.2": "failed"}
    assert rig.errors() == {"1.2": "mask has 1100 items; Dovecot 2.4 takes at most 1024"}
    assert [request.host for request in rig.hosts.of("kick")] == ["b1"]


# evidence


PANIC = {"timestamp": "0", "prefix": "doveadm(10.0.0.9)", "type": "Panic", "text": "file x.c: assertion failed hunter2"}


async def test_a_failure_has_what_the_host_logged(tmp_path: Path) -> None:
    """After a failure the host's log is read, without the secret, and kept with the operation."""
    rig = Rig(
        tmp_path, steps("hosts: b1, command: reload"), Hosts(reload=lost, logErrors=rows(PANIC)), settings=ONE_ATTEMPT
    )
    await rig.session()
    with rig.run.read() as reader:
        assert reader.evidence(1) == "Panic: file x.c: assertion failed ***"
    assert rig.watcher.attempts[0].outcome.evidence == "Panic: file x.c: assertion failed ***"


BAD_CONFIGURATION = {
    "prefix": "master",
    "type": "Error",
    "text": "Failed to read configuration: line 151, pass hunter2",
}


@pytest.mark.parametrize(
    "line",
    [
        "hosts: b1, command: reload, verify: {command: who, until: '{{ rows | length > 5 }}', every: 1ms, within: 3ms}",
        "hosts: b1, command: who, until: '{{ rows | length > 5 }}', every: 1ms, within: 3ms",
        "hosts: b1, command: who, until: '{{ rows | length > 5 }}', every: 1ms, within: 1h, stall: 3ms",
    ],
)
async def test_a_condition_that_stayed_false_has_what_the_host_logged(tmp_path: Path, line: str) -> None:
    """When a poll ends with a no, the log is read once, from the change on that it was to see, and what went wrong is kept."""
    rig = Rig(tmp_path, steps(line), Hosts(logErrors=rows(BAD_CONFIGURATION)))
    begun = int(time.time())
    await rig.session()
    with rig.run.read() as reader:
        states = [operation.state.word for operation in reader.operations()]
        failed = states.index("failed") + 1
        assert reader.evidence(failed) == "master: Error: Failed to read configuration: line 151, pass ***"
    [asked] = rig.hosts.of("logErrors")
    assert int(asked.parameters["since"]) <= begun
    assert len(rig.hosts.of("who")) > 1


async def test_a_condition_that_comes_true_needs_no_log(tmp_path: Path) -> None:
    """While polls go on nobody reads the log."""
    line = "hosts: b1, command: who, until: '{{ rows | length == 1 }}', every: 1ms, within: 1h"
    rig = Rig(tmp_path, steps(line), Hosts(who=in_turn(rows(), rows(), rows({"a": "b"}))))
    assert await rig.session() == Ending(Status.DONE)
    assert rig.hosts.of("logErrors") == []


async def test_a_log_is_not_read_for_each_of_a_storm(tmp_path: Path) -> None:
    """Of many failures the first few of each host are looked into: the host has enough to do."""
    line = f"hosts: 'b[1-2]', for_each: [{MANY}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}, on_failure: continue"
    rig = Rig(tmp_path, steps(line), Hosts(kick=code(64)))
    await rig.session()
    asked = [request.host for request in rig.hosts.of("logErrors")]
    assert (asked.count("b1"), asked.count("b2")) == (READINGS, READINGS)


@pytest.mark.parametrize(
    ("answer", "asked"), [(rows(), 0), (in_turn(code(75), rows()), 0), (code(75), 1), (refused, 0)]
)
async def test_a_log_is_read_when_it_may_tell_something(tmp_path: Path, answer: Answer, asked: int) -> None:
    """What was done, was not sent, or is retried anyway, needs no look into the log; the last of many 75s does."""
    rig = Rig(
        tmp_path,
        steps("hosts: b1, command: reload"),
        Hosts(reload=answer),
        settings=Settings(retry=Retry(attempts=2, base=0)),
    )
    await rig.session()
    assert len(rig.hosts.of("logErrors")) == asked


# under way


async def test_no_more_than_the_limits_is_under_way(tmp_path: Path) -> None:
    """A host gets no more requests at a time than it may have, and the run no more than it may have."""
    under_way: dict[str, int] = {}
    most: dict[str, int] = {"all": 0}

    async def answer(request: Request) -> Any:
        under_way[request.host] = under_way.get(request.host, 0) + 1
        most[request.host] = max(most.get(request.host, 0), under_way[request.host])
        most["all"] = max(most["all"], sum(under_way.values()))
        await anyio.lowlevel.checkpoint()
        under_way[request.host] -= 1
        return rows()(request)

    line = f"hosts: 'b[1-3]', for_each: [{MANY}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}"
    rig = Rig(tmp_path, steps(line), Hosts(kick=answer), settings=Settings(Limits(in_flight=5, per_host=2)))
    assert await rig.session() == Ending(Status.DONE)
    assert most["all"] <= 5
    assert all(most[host] <= 2 for host in ("b1", "b2", "b3"))
    assert len(rig.hosts.of("kick")) == 120


async def test_intents_that_were_not_sent_are_taken_back(tmp_path: Path) -> None:
    """Of unrepeatable operations that were noted as being sent when the run was stopped, those that did not leave are pending."""
    line = f"hosts: 'b[1-3]', for_each: [{MANY}], command: dictInc, parameters: {{dictUri: d, key: '{{{{ item }}}}', difference: 1}}"
    held = Held()

    async def interrupt(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.interrupt("Ctrl-C")
        held.free.set()

    rig = Rig(tmp_path, steps(line), Hosts(dictInc=held), settings=Settings(Limits(in_flight=6, per_host=2)))
    assert await rig.session(during=interrupt) == Ending(Status.INTERRUPTED, "Ctrl-C")
    sent = {request.tag for request in rig.hosts.of("dictInc")}
    assert {operation for operation, state in rig.report().items() if state == "done"} == sent
    assert set(rig.report().values()) == {"done", "pending"}
    rig.hosts._answers["dictInc"] = rows()
    assert await rig.session(Start({})) == Ending(Status.DONE)
    assert len(rig.hosts.of("dictInc")) == 120


async def test_an_answer_that_came_while_all_stood_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop was asked for answers are waited for a while; a program that stood still for longer reads what came."""
    monkeypatch.setattr(sending, "GRACE", 0.3)

    async def in_parts(request: Request) -> Any:
        for _ in range(3):
            await asyncio.sleep(0)
        return rows()(request)

    held = Held(in_parts)

    async def interrupt(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.interrupt("stopped by SIGINT")
        await anyio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.1, held.free.set)
        time.sleep(1)  # noqa: ASYNC251 - nothing runs meanwhile, as after Ctrl-Z

    rig = Rig(tmp_path, steps(COUNT), Hosts(dictInc=held))
    await rig.session(during=interrupt)
    assert rig.report() == {"1.1": "done"}


async def test_an_intent_counts_its_attempt(tmp_path: Path) -> None:
    """While an unrepeatable operation is on the wire, the journal says which attempt it is: whoever finds it after a crash knows."""
    held, seen = Held(), []

    async def look(_runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        with rig.run.read() as reader:
            seen.extend((found.state.word, found.attempts) for found in reader.operations())
        held.free.set()

    rig = Rig(tmp_path, steps(COUNT), Hosts(dictInc=in_turn(refused, held)))
    assert await rig.session(during=look) == Ending(Status.DONE)
    assert seen == [("running", 2)]


# what is kept


@pytest.mark.parametrize(("number", "limit", "kept"), [(3, 65536, 3), (3, 60, 2), (3, 10, 0), (100_000, 65536, 3000)])
def test_answers_are_bounded(number: int, limit: int, kept: int) -> None:
    """Of a long answer as many rows are kept as fit, and how many were left out is told."""
    text, left_out = as_kept([{"user": f"u{n % 10}", "é": "x"} for n in range(number)], limit)
    found = json.loads(text)
    assert len(found) + left_out == number
    assert len(text) <= limit
    assert len(found) == pytest.approx(kept, rel=0.2)


@pytest.mark.parametrize(("register", "left_out"), [("", True), (", register: seen", False)])
async def test_a_registered_answer_is_kept_whole(tmp_path: Path, register: str, left_out: bool) -> None:
    """What later expressions read is kept whole; of any other answer the first part."""
    many = rows(*({"username": f"user{number:06}"} for number in range(5000)))
    rig = Rig(tmp_path, steps(f"hosts: b1, command: who{register}"), Hosts(who=many))
    await rig.session()
    with rig.run.read() as reader:
        found, rest = reader.answer_rows(1)
    assert (len(found) + rest, rest > 0) == (5000, left_out)
