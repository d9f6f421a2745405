"""The shipped drain and restore on a real Dovecot 2.3 ring, with live IMAP sessions, checked by other means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.ring import Ring, Sessions

pytestmark = pytest.mark.real_dovecot

USERS = 40


@pytest.fixture(scope="module")
def own_ring(dovecot_ring_factory: Callable[..., Ring]) -> Ring:
    """A ring that these tests may change."""
    return dovecot_ring_factory()


@pytest.fixture
def cli(own_ring: Ring, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line for the ring."""
    command_line = CommandLine(tmp_path, own_ring.write_config(tmp_path / "config.yaml"))
    yield command_line
    command_line.stop()


def status(ring: Ring, director: str, backend: str) -> dict[str, str]:
    """What a director itself says of a backend."""
    rows = ring.call(director, "directorStatus", {})
    return next(row for row in rows if row["mail server ip"] == ring.backends[backend])


def test_drain_and_restore_with_live_sessions(own_ring: Ring, cli: CommandLine) -> None:
    """40 reconnecting sessions: the drain ends with 0, three witnesses agree, no login failed; a restore brings it back."""
    with Sessions(own_ring, count=USERS) as sessions:
        before = int(status(own_ring, "d1", "b1")["users"])
        assert before > 0
        drained = cli("run", "drain-backend", "-e", "backend=b1", "-e", "parallel=50", "--yes")
        assert drained.code == 0, drained.said
        for director in own_ring.directors:
            assert status(own_ring, director, "b1")["users"] == "0"
            assert status(own_ring, director, "b1")["vhosts"] == "0"
            proxied = own_ring.call(director, "proxyList", {})
            assert [row for row in proxied if row["dest-ip"] == own_ring.backends["b1"]] == []
        assert own_ring.call("b1", "who", {"separateConnections": True}) == []
        sessions.wait_alive(USERS, timeout=90)
        assert sessions.failed_logins == []
        assert len({event.user for event in sessions.drops}) == before
        assert own_ring.call("b1", "who", {"separateConnections": True}) == []

        restored = cli("run", "restore-backend", "-e", "backend=b1", "--yes")
        assert restored.code == 0, restored.said
        for director in own_ring.directors:
            assert status(own_ring, director, "b1")["vhosts"] == "100"
        assert sessions.alive() == USERS


def test_a_failed_drain_puts_the_vhosts_back(own_ring: Ring, cli: CommandLine) -> None:
    """When a check of the drain cannot come true, the vhost count is what it was before."""
    text = (Path(__file__).parents[2] / "playbooks" / "drain-backend.yaml").read_text()
    text = text.replace(
        "column('users') == ['0'] }}\"\n      every: 500ms\n      within: 2m",
        'length > 99 }}"\n      every: 500ms\n      within: 2s',
    )
    result = cli("run", cli.playbook(text), "-e", "backend=b2", "--yes")
    assert result.code == 1, result.said
    assert "undone" in result.out
    for director in own_ring.directors:
        assert status(own_ring, director, "b2")["vhosts"] == "100"


def test_check_tells_directors_from_backends(own_ring: Ring, cli: CommandLine) -> None:
    """`check` on the real ring: every host is OK, directors are reported as directors."""
    result = cli("check")
    assert result.code == 0, result.said
    lines = result.out.splitlines()
    assert sum("Dovecot 2.3 with director" in line for line in lines) == 2
    assert "5 of 5 hosts OK" in lines[-1]


def test_wrong_order_is_refused(own_ring: Ring, cli: CommandLine) -> None:
    """With every other backend at vhost 0, the drain refuses to take the last one."""
    for backend in ("b2", "b3"):
        own_ring.call("d1", "directorUpdate", {"host": own_ring.backends[backend], "vhostCount": "0"})
    result = cli("run", "drain-backend", "-e", "backend=b1", "--yes")
    for backend in ("b2", "b3"):
        own_ring.call("d1", "directorUpdate", {"host": own_ring.backends[backend], "vhostCount": "100"})
    assert result.code == 5, result.said
    assert "no other backend is up" in result.said
    assert status(own_ring, "d1", "b1")["vhosts"] == "100"
