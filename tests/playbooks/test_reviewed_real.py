"""On a real Dovecot 2.3 ring: plans count whom they cut off, and what has changed since the review is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.command_line import CommandLine
from tests.playbooks.test_real import done, hosts_of, names, users_at, write
from tests.playbooks.test_reviewed import affected, asking, live
from tests.ring import Ring, Sessions
from tests.ring.api import wait_until
from tests.terminal import Terminal

pytestmark = pytest.mark.real_dovecot

USERS = 24

WHAT_CUTS = """
name: All that ends sessions
parameters:
  b1: {type: string, required: true}
  b2: {type: string, required: true}
  user: {type: string, required: true}
steps:
  - {name: Everybody, hosts: b1, command: kick, parameters: {mask: ["*"]}}
  - {name: One of them, hosts: backends, command: kick, parameters: {mask: ["{{ user | upper }}"]}}
  - {name: Addresses, hosts: backends, command: kick, parameters: {mask: ["127.0.0.0/8"]}}
  - {name: Through a director, hosts: d1, command: proxyKick, parameters: {host: "{{ b1 }}"}}
  - {name: By name, hosts: directors, command: proxyKick, parameters: {user: ["{{ user }}", user199]}}
  - {name: In the ring, hosts: d2, command: directorKick, parameters: {user: "{{ user }}"}}
  - {name: Nobody there, hosts: d2, command: directorKick, parameters: {user: user199}}
  - {name: Flush, hosts: directors, command: directorFlush, parameters: {host: "{{ b2 }}"}}
  - {name: Flush all, hosts: d2, command: directorFlush, parameters: {host: all}}
  - {name: Move, hosts: d1, command: directorMove, parameters: {user: "{{ user }}", host: "{{ b1 }}"}}
  - {name: Stop a backend, hosts: b1, command: stop}
  - {name: Reload a director, hosts: d1, command: reload}
  - {name: Stop a service, hosts: b1, command: serviceStop, parameters: {service: [imap, pop3]}}
"""


def test_what_the_catalogue_counts_is_what_the_hosts_say(changed_ring: Ring, cli: CommandLine) -> None:
    """For each command that ends sessions the numbers are those of who, proxyList and directorStatus."""
    with Sessions(changed_ring, count=USERS) as sessions:
        on: dict[str, set[str]] = {name: users_at(changed_ring, name) for name in changed_ring.backends}
        assert min(map(len, on.values())) > 0
        user = min(on["b2"])
        to_b1 = [row for row in changed_ring.call("d1", "proxyList") if row["dest-ip"] == changed_ring.backends["b1"]]
        through: list[Any] = changed_ring.call("d1", "proxyList")
        values = [f"{name}={changed_ring.backends[name]}" for name in ("b1", "b2")]
        found = live(cli, cli.playbook(WHAT_CUTS), *values, f"user={user}")
        b1, b2 = len(on["b1"]), int(hosts_of(changed_ring)["b2"]["users"])
        assert b2 == len(on["b2"])
        assert found == {
            "1": (b1, b1),
            "2": (1, 1),
            "3": (USERS, USERS),
            "4": (len(to_b1), len(to_b1)),
            "5": (1, 1),
            "6": (1, None),
            "7": (0, None),
            "8": (b2, None),
            "9": (USERS, None),
            "10": (1, None),
            "11": (b1, b1),
            "12": (len(through), len(through)),
            "13": (b1, b1),
        }
        assert sessions.drops == []


def test_a_drain_counts_whom_it_cuts(changed_ring: Ring, cli: CommandLine) -> None:
    """The users of the plan are those whose sessions the drain ends."""
    with Sessions(changed_ring, count=USERS) as sessions:
        there = users_at(changed_ring, "b1")
        counts = (len(there), len(there))
        assert live(cli, "drain-backend", "backend=b1") == {"7": counts, "8": (0, 0), "9": (0, 0)}
        done(cli, "drain-backend", "backend=b1")
        wait_until(lambda: names(sessions.drops) == there, 60.0, "the users of b1 are cut")


def test_a_kick_counts_names_in_capitals(changed_ring: Ring, cli: CommandLine) -> None:
    """Dovecot kicks a user whose name is written in capitals, and the plan counts that user."""
    with Sessions(changed_ring, count=6) as sessions:
        kicked = set(sessions.users[:2])
        users = write(cli, "users.txt", [sessions.users[0], sessions.users[1].upper(), "user199"])
        assert live(cli, "kick-users", f"users={users}") == {"2": (2, 2)}
        done(cli, "kick-users", f"users={users}")
        wait_until(lambda: names(sessions.drops) == kicked, 60.0, "the users are kicked")


def test_tuesdays_plan_in_thursdays_world(changed_ring: Ring, cli: CommandLine) -> None:
    """Many more users than were reviewed: refused with both numbers, and nobody is cut; with fewer it runs."""
    for name in ("b2", "b3"):  # nearly everybody logs in to b1
        vhosts = {"host": changed_ring.backends[name], "vhostCount": "1"}
        changed_ring.call("d1", "directorUpdate", vhosts)
    values = ["-e", "backend=b1", "--live"]
    with Sessions(changed_ring, count=6):
        few = int(hosts_of(changed_ring)["b1"]["users"])
        assert cli("plan", "drain-backend", *values, "-o", str(cli.folder / "few.plan")).code == 0
        with Sessions(changed_ring, count=70, first=7) as sessions:
            many = int(hosts_of(changed_ring)["b1"]["users"])
            assert many > few * 1.2 + 50
            refused = cli("apply", str(cli.folder / "few.plan"), "--yes")
            assert refused.code == 5, refused.said
            assert f"{many} now, {few} when it was reviewed" in " ".join(refused.said.split())
            assert hosts_of(changed_ring)["b1"]["vhosts"] == "100"
            assert sessions.drops == []
            planned = cli("plan", "drain-backend", *values, "-o", str(cli.folder / "many.plan"))
            assert planned.code == 0, planned.said
        changed_ring.call("d1", "directorFlush", {"host": "all", "forceFlush": True})
        fewer = int(hosts_of(changed_ring)["b1"]["users"])
        assert fewer < many
        applied = cli("apply", str(cli.folder / "many.plan"), "--yes")
        assert applied.code == 0, applied.said
    assert hosts_of(changed_ring)["b1"]["vhosts"] == "0"


def test_vhosts_set_back_by_another_tool_stop_a_drain(changed_ring: Ring, cli: CommandLine) -> None:
    """Another tool maps users to the backend again, through the other director: the run stops before it moves anybody."""
    playbook = cli.playbook(asking("drain-backend", "Move its users to other backends"))
    with Sessions(changed_ring, count=6) as sessions:
        with Terminal(cli, "run", playbook, "-e", "backend=b1") as terminal:
            terminal.wait_for("or Enter to leave: ")
            terminal.type("b1\n")
            terminal.wait_for("Go on? [y/N]")
            changed_ring.call("d2", "directorUpdate", {"host": changed_ring.backends["b1"], "vhostCount": "100"})
            wait_until(lambda: hosts_of(changed_ring)["b1"]["vhosts"] == "100", 10.0, "d1 knows it")
            terminal.type("y\n")
            assert terminal.end() == 3
        assert 'it was ["0"] as step 6 left it' in cli("report").out
        assert [one for one in cli.exported() if one["command"] == "directorFlush" and one["state"] != "pending"] == []
        assert sessions.drops == []


def test_a_reload_of_directors_counts_who_goes_through_each(changed_ring: Ring, cli: CommandLine) -> None:
    """Sessions through a director are those of its own proxyList."""
    with Sessions(changed_ring, count=7):
        assert affected(cli("plan", "reload-directors", "--live", "--format", "json")) == {
            "4[1].3": (4, 4),
            "4[2].3": (3, 3),
        }
