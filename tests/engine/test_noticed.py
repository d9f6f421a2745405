"""How many users and sessions notice a step is counted before it is sent, and told only where it was counted."""

from __future__ import annotations

import pytest

from orchestrator.dovecot.ask import Asker
from orchestrator.engine import noticed
from orchestrator.engine.live_plan import LivePlan, look, reviewed
from orchestrator.engine.noticed import MOST
from tests.engine.hosts import Hosts, on, refused, rows
from tests.strategies import plan, steps

pytestmark = pytest.mark.anyio

JANE = {"username": "jane", "service": "imap", "pid": "1", "ip": "192.0.2.1"}
JOE = {"username": "joe", "service": "imap", "pid": "2", "ip": "192.0.2.2"}
THROUGH = {"username": "jane", "service": "imap", "src-ip": "192.0.2.1", "dest-ip": "10.0.1.1", "dest-port": "143"}
PROXIED = {"username": "jane", "connections": "1", "service": "imap", "pids": "(1)", "ips": "(192.0.2.1)"}  # on 2.4
ON_B1 = {"mail server ip": "10.0.1.1", "vhosts": "100", "state": "up", "users": "7"}
ON_B2 = {"mail server ip": "10.0.1.2", "vhosts": "100", "state": "up", "users": "5"}


async def live(hosts: Hosts, *lines: str) -> LivePlan:
    """A look for a plan of these steps."""
    return await look(plan(steps(*lines)), Asker(hosts))


def asked(hosts: Hosts) -> list[tuple[str, str, dict[str, object]]]:
    """What was asked to count, in order."""
    return [(one.host, one.command, one.parameters) for one in hosts.sent if one.tag.startswith("impact.")]


SEPARATE = {"separateConnections": True}


async def test_who_a_kick_would_hit_is_asked_with_its_own_mask() -> None:
    """A user on two hosts is one user with two sessions, and two sessions that look alike are two."""
    hosts = Hosts(who=on({"b1": rows(JANE, JANE, JOE)}, rows(JANE)))
    seen = await live(hosts, "hosts: 'b[1-2]', command: kick, parameters: {mask: ['j*']}")
    assert asked(hosts) == [(host, "who", {**SEPARATE, "mask": ["j*"]}) for host in ("b1", "b2")]
    assert seen.affected == {0: {"users": 2, "sessions": 4}}
    assert seen.notes[0] == ["user impact now: 2 users, 4 sessions"]
    assert (seen.sent, seen.untold, seen.bounds) == (2, {}, {})


async def test_a_host_is_asked_the_same_once() -> None:
    """Steps and items that need the same answer share it; a session that two of them mean is counted once."""
    hosts = Hosts(who=lambda request: rows(*([JANE, JOE] if "j*" in request.parameters["mask"] else [JANE]))(request))
    seen = await live(
        hosts,
        "hosts: b1, for_each: [jane, 'j*'], command: kick, parameters: {mask: ['{{ item }}']}",
        "hosts: b1, command: kick, parameters: {mask: [jane]}",
    )
    assert [parameters["mask"] for _, _, parameters in asked(hosts)] == [["jane"], ["j*"]]
    assert seen.affected == {0: {"users": 2, "sessions": 2}, 1: {"users": 1, "sessions": 1}}


@pytest.mark.parametrize(
    ("who", "proxied", "counts"),
    [
        pytest.param([JANE, JOE], [], {"users": 2, "sessions": 2}, id="a backend"),
        pytest.param([], [THROUGH, THROUGH], {"users": 1, "sessions": 2}, id="a director of 2.3"),
        pytest.param([JANE], [PROXIED], {"users": 1, "sessions": 1}, id="2.4, where both list the same"),
    ],
)
@pytest.mark.parametrize("command", ["reload", "stop"])
async def test_all_sessions_of_a_host(command: str, who: list, proxied: list, counts: dict[str, int]) -> None:
    """A reload and a stop concern whoever is connected to a host, or through it."""
    hosts = Hosts(who=rows(*who), proxyList=rows(*proxied))
    seen = await live(hosts, f"hosts: b1, command: {command}")
    assert seen.affected == {0: counts}
    assert ("at most" in seen.notes[0][0]) == (command == "reload")


@pytest.mark.parametrize(
    ("parameters", "question", "sessions"),
    [
        ("host: 10.0.1.1", {}, 1),
        ("user: [joe]", {}, 0),
        ("user: [jane, joe]", {}, 1),
    ],
)
async def test_proxied_sessions(parameters: str, question: dict[str, object], sessions: int) -> None:
    """A proxyKick by backend, or by names, counts the proxied sessions that it means."""
    hosts = Hosts(proxyList=rows(THROUGH))
    seen = await live(hosts, f"hosts: d1, command: proxyKick, parameters: {{{parameters}}}")
    assert asked(hosts) == [("d1", "proxyList", question)]
    assert seen.affected == {0: {"users": sessions, "sessions": sessions}}


@pytest.mark.parametrize(
    ("command", "sessions"),
    [
        ("kick, parameters: {destHost: 10.0.1.1, mask: ['*']}", 2),
        ("proxyKick, parameters: {destHost: 10.0.1.1}", 2),
        ("proxyKick, parameters: {mask: ['*']}", 3),
    ],
)
async def test_proxied_sessions_of_2_4(command: str, sessions: int) -> None:
    """On a proxy of 2.4 a kick by backend counts the sessions to that backend."""
    found = rows(*({**JANE, "dest_ip": backend} for backend in ("10.0.1.1", "10.0.1.1", "10.0.1.2")))
    seen = await live(Hosts(who=found, proxyList=found), f"hosts: d1, command: {command}")
    assert seen.affected == {0: {"users": 1, "sessions": sessions}}


@pytest.mark.parametrize(("host", "users"), [("10.0.1.1", 7), ("all", 12)])
async def test_a_flush_counts_the_users_of_the_ring_once(host: str, users: int) -> None:
    """Each director knows them all, so that asking two of them does not double the number."""
    seen = await live(
        Hosts(directorStatus=rows(ON_B1, ON_B2)),
        f"hosts: 'd[1-2]', command: directorFlush, parameters: {{host: {host}}}",
    )
    assert seen.affected == {0: {"users": users}}
    assert seen.bounds[0].startswith("at most")


async def test_flushes_of_several_backends_add_up() -> None:
    """Several backends' users are those of all of them."""
    line = "hosts: d1, for_each: [10.0.1.1, 10.0.1.2], command: directorFlush, parameters: {host: '{{ item }}'}"
    hosts = Hosts(directorStatus=rows(ON_B1, ON_B2))
    seen = await live(hosts, line)
    assert (len(asked(hosts)), seen.affected) == (1, {0: {"users": 12}})


@pytest.mark.parametrize(("status", "users"), [("10.0.1.1", 1), ("10.0.1.2", 0), ("n/a", 0)])
async def test_a_move_counts_who_is_elsewhere(status: str, users: int) -> None:
    """Who is nowhere, or there already, notices nothing."""
    hosts = Hosts(directorStatus=rows({"status": status, "expires": "1", "hashed": "x", "initial-config": "x"}))
    seen = await live(hosts, "hosts: d1, command: directorMove, parameters: {user: jane, host: 10.0.1.2}")
    assert asked(hosts) == [("d1", "directorStatus", {"user": "jane"})]
    assert seen.affected == {0: {"users": users}}


@pytest.mark.parametrize(
    ("hosts", "line", "why"),
    [
        (Hosts(who=on({"b2": refused}, rows(JANE))), "hosts: 'b[1-2]', command: kick, parameters: {mask: ['*']}", "b2: connection refused"),
        (Hosts(directorStatus=rows(ON_B1)), "hosts: d1, command: directorFlush, parameters: {host: 10.0.1.9}", "first of an empty list"),
        (Hosts(), "hosts: d1, command: proxyKick, parameters: {user: [7], passdbField: user_id}", "with these parameters"),
        (Hosts(), "hosts: b1, command: expunge, parameters: {user: jane, query: [all]}", "no question for expunge"),
    ],
)  # fmt: skip
async def test_what_cannot_be_counted_is_said(hosts: Hosts, line: str, why: str) -> None:
    """Where a host is silent, or nobody knows what to ask, there is no number, not even of the others; it is said why."""
    seen = await live(hosts, line)
    assert seen.affected == {}
    assert why in seen.untold[0]
    assert seen.notes[0] == [f"user impact cannot be counted: {seen.untold[0]}"]


async def test_a_census_has_an_end() -> None:
    """A step that would take very many questions is not counted, and none of them is asked."""
    hosts = Hosts()
    items = ", ".join(f"u{number}" for number in range(MOST // 2 + 1))
    line = f"hosts: 'b[1-2]', for_each: [{items}], command: kick, parameters: {{mask: ['{{{{ item }}}}']}}"
    seen = await live(hosts, line)
    assert (hosts.sent, seen.affected) == ([], {})
    assert f"more than {MOST}" in seen.untold[0]


async def test_many_sessions_and_many_requests_are_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request goes through all sessions of a director: where both are many, nobody waits for the number."""
    monkeypatch.setattr(noticed, "ROWS", 5)
    hosts = Hosts(proxyList=rows(THROUGH, THROUGH))
    line = "hosts: d1, for_each: [%s], command: proxyKick, parameters: {user: ['{{ item }}']}"
    assert (await live(hosts, line % "a, b")).affected == {0: {"users": 0, "sessions": 0}}
    assert "take too long" in (await live(hosts, line % "a, b, c")).untold[0]


async def test_forgetting_without_cutting_concerns_nobody() -> None:
    """A command that nobody notices with these parameters is not counted."""
    hosts = Hosts(directorStatus=rows(ON_B1))
    seen = await live(hosts, "hosts: d1, command: directorFlush, parameters: {host: 10.0.1.1, forceFlush: true}")
    assert (hosts.sent, seen.affected, seen.notes) == ([], {}, {})
    seen = await live(hosts, "hosts: d1, command: directorFlush, parameters: {host: 10.0.1.1, forceFlush: false}")
    assert seen.affected == {0: {"users": 7}}


WHO = "hosts: b1, command: who, register: there"
ROWS = "{{ there.rows }}"


async def test_the_playbook_knows_better() -> None:
    """What a playbook says of a step is not asked for; a step that is skipped now concerns nobody."""
    hosts = Hosts(who=rows(JANE, JOE))
    counted = f"hosts: b1, command: reload, affects: {{users: '{ROWS}', sessions: '{{{{ 1 }}}}'}}"
    seen = await live(hosts, WHO, counted, f"{counted}, when: '{{{{ there.rows | length > 9 }}}}'")
    assert [one.command for one in hosts.sent] == ["who"]
    assert seen.affected == {1: {"users": 2, "sessions": 1}}
    assert seen.notes[1] == ["user impact now: 2 users, 1 session"]


async def test_what_a_playbook_cannot_count_now_is_said() -> None:
    """An answer that a step does not have yet is no zero."""
    lost = Hosts(who=refused)
    seen = await live(lost, WHO, f"hosts: b1, command: reload, affects: {{users: '{ROWS}'}}")
    assert seen.affected == {}
    assert "b1" in seen.untold[1]
    text = "'{{ there.rows | first }}'"
    seen = await live(Hosts(who=rows(JANE)), WHO, f"hosts: b1, command: reload, affects: {{users: {text}}}")
    assert "neither a number nor a list" in seen.untold[1]
    skipped = f"{WHO}, when: false"
    seen = await live(Hosts(), skipped, f"hosts: b1, command: reload, affects: {{users: '{ROWS}'}}")
    assert "there is no `there` yet" in seen.untold[1]


async def test_the_review_keeps_it() -> None:
    """Numbers, what they leave out, and what could not be counted, are kept with the plan by the step's key."""
    made = plan(steps("hosts: b1, command: reload", "hosts: b2, command: stop"))
    hosts = Hosts(who=on({"b2": refused}, rows(JANE)))
    kept = reviewed(made, await look(made, Asker(hosts)), 0).seen
    assert kept is not None
    assert kept["affected"] == {"1": {"users": 1, "sessions": 1}}
    assert kept["bounds"]["1"].startswith("at most")
    assert kept["untold"] == {"2": "b2: connection refused"}
