"""`orchestrator exec` against a real Dovecot 2.3 ring: 42 commands, each as a success, with nothing to do, on bad input."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.dovecot import catalog
from tests.real.cases import KINDS, V23, Group, groups
from tests.real.exec import ONE_ATTEMPT, Exec
from tests.real.site import Doors, Site, check_group, wrong_password
from tests.ring import Ring, Sessions, api

pytestmark = pytest.mark.real_dovecot

GROUPS = groups(V23)

# A login process for each session, so that proxyList repeats its headings; a second userdb, whose answers are cached.
SETTINGS = """}
auth_cache_size = 1M
userdb {
  driver = passwd
}
service imap-login {
  service_count = 1"""


@pytest.fixture(scope="module")
def own_ring(dovecot_ring_factory: Callable[..., Ring]) -> Ring:
    """A ring of three directors that these tests may change, stop and start."""
    return dovecot_ring_factory(directors=3, users=40, doveadm_service=SETTINGS)


@pytest.fixture(scope="module")
def site(own_ring: Ring) -> Iterator[Site]:
    """The ring as the cases see it."""
    for folder in ("dict", "files"):
        (own_ring.root / folder).mkdir()
        (own_ring.root / folder).chmod(0o777)
    (own_ring.root / "input").write_text("hello\n")
    version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
    found = Site(V23, version, own_ring.nodes, own_ring.users, str(own_ring.root), f"{own_ring.network}.9")
    yield found
    found.write()


@pytest.fixture
def execute(own_ring: Ring, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Exec:
    """`exec` for the ring, one attempt for each request."""
    config = own_ring.write_config(tmp_path / "config.yaml")
    config.write_text(config.read_text() + ONE_ATTEMPT)
    return Exec(config, tmp_path / "state", capsys)


def after(ring: Ring, group: Group) -> None:
    """Put the ring right again for the next command."""
    if group.command == "directorRingRemove":
        ring.stop_host("d3")  # it goes on taking logins otherwise
    if group.command == "stop":
        ring.start_host("b1")
    if group.leaves:
        reset(ring)


def reset(ring: Ring) -> None:
    """`Ring.reset`, also while login processes are still ending."""
    for _ in range(20):
        with contextlib.suppress(ProcessLookupError):
            ring.reset()
            return


def test_every_command_has_every_kind_of_case() -> None:
    """There are 42 commands, each with a success, with nothing to do, and with bad input."""
    assert len(GROUPS) == 42
    for group in GROUPS.values():
        assert {case.kind for case in group.cases} == set(KINDS), group.command


@pytest.mark.parametrize("command", GROUPS)
def test_command(own_ring: Ring, site: Site, execute: Exec, command: str) -> None:
    """A command ends as it is known to: state, exit code, rows, and what the server says afterwards."""
    group = GROUPS[command]
    if command == "directorRingAdd":
        own_ring.start_host("d3")
    if command == "penalty":
        wrong_password(own_ring.nodes["b1"])
    try:
        check_group(site, execute, group)
    finally:
        after(own_ring, group)


@pytest.mark.parametrize("command", GROUPS)
def test_what_would_do_harm_is_refused_here(site: Site, execute: Exec, command: str) -> None:
    """A line feed in any value, and a missing mandatory parameter, are refused with exit code 2 and nothing sent."""
    entry = catalog.find(command)
    assert entry is not None
    given = {name: example(spec) for name, spec in entry.parameters.items() if spec.required}
    attempts = [{key: value for key, value in given.items() if key != name} for name in given]
    attempts += [
        {**given, name: "x\nHOST-UPDATE\t127.0.0.1\t0"}
        for name, spec in entry.parameters.items()
        if spec.format != "file"
    ]
    logs = site.settled_logs()
    for parameters in attempts:
        said = execute("b1", command, [f"{name}={value}" for name, value in parameters.items()])
        assert (said.code, said.sent.commands, said.sent.lists) == (2, [], 0), (parameters, said)
    assert site.new_lines(logs) == []


def example(spec: catalog.Parameter) -> str:
    """A value that can be sent."""
    formats = {"address": "127.0.0.1", "count": "1"}
    return formats.get(spec.format) or {"integer": "1", "boolean": "true"}.get(str(spec.type), "x")


def test_proxy_list_leaves_repeated_headings_out(own_ring: Ring, execute: Exec) -> None:
    """The real answer repeats its headings for each login process; what is shown are 12 sessions and no heading."""
    doors = Doors(own_ring.users, {"d1": own_ring.directors["d1"]}, own_ring.imap_port)
    try:
        with Sessions(doors, count=12, relogin=None):  # type: ignore[arg-type]
            raw = api.flatten([own_ring.call("d1", "proxyList")])
            said = execute("d1", "proxyList", [])
    finally:
        reset(own_ring)
    assert any(row["username"] == "username" for row in raw)
    assert sorted(row["username"] for row in said.rows) == own_ring.users[:12]
    assert not any(row["dest-ip"] == "dest-ip" for row in said.rows)
