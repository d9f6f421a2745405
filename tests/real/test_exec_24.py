"""`orchestrator exec` against a real Dovecot 2.4 backend: the same commands, and what is different there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.cases import KINDS, V24, groups
from tests.real.debian24 import Backend24, start_backend, unavailable
from tests.real.exec import ONE_ATTEMPT, Exec
from tests.real.site import Site, check_group, wrong_password

pytestmark = [pytest.mark.dovecot24, pytest.mark.timeout(2400)]  # the first run makes a Debian root

GROUPS = groups(V24)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend24]:
    """A server that these tests may change, stop and start."""
    if reason := unavailable():
        pytest.skip(reason)
    with start_backend(users=40) as found:
        yield found


@pytest.fixture(scope="module")
def site(backend: Backend24) -> Iterator[Site]:
    """The server as the cases see it."""
    (backend.directory / "input").write_text("hello\n")
    found = Site(V24, backend.version, backend.nodes, backend.users, backend.inner_directory, f"{backend.network}.9")
    yield found
    found.write()


@pytest.fixture
def execute(backend: Backend24, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Exec:
    """`exec` for the server, one attempt for each request."""
    config = backend.write_config(tmp_path / "config.yaml")
    config.write_text(config.read_text() + ONE_ATTEMPT)
    return Exec(config, tmp_path / "state", capsys)


def test_every_command_has_every_kind_of_case() -> None:
    """There are 42 commands, each with a success, with nothing to do, and with bad input, as far as 2.4 has it."""
    assert len(GROUPS) == 42
    for group in GROUPS.values():
        assert {case.kind for case in group.cases} == set(KINDS), group.command


@pytest.mark.parametrize("command", GROUPS)
def test_command(backend: Backend24, site: Site, execute: Exec, command: str) -> None:
    """A command ends as it is known to: state, exit code, rows, and what the server says afterwards."""
    group = GROUPS[command]
    if command == "penalty":
        wrong_password(backend.node)
    try:
        check_group(site, execute, group)
    finally:
        if group.leaves and command.startswith(("stop", "service", "reload")):
            backend.node.restore()


def test_the_host_is_told_to_be_2_4(execute: Exec) -> None:
    """`check` reaches the server and says what it is."""
    code, text = execute.run("check")
    assert code == 0, text
    assert "Dovecot 2.4" in text
