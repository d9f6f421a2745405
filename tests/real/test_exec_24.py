"""`orchestrator exec` against real Dovecot 2.4 backends: the same commands, and what is different there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.cases import KINDS, V24, V245, Group, groups
from tests.real.exec import ONE_ATTEMPT, Exec
from tests.real.fixtures import on
from tests.real.roots import SID, TRIXIE
from tests.real.server24 import Fleet24
from tests.real.site import Site, check_group, wrong_password

VERSIONS = {V24: TRIXIE, V245: SID}
EACH = [pytest.param(version, id=version, marks=on(suite)) for version, suite in VERSIONS.items()]
CASES = [
    pytest.param(version, group, id=f"{version}-{group.command}", marks=on(suite))
    for version, suite in VERSIONS.items()
    for group in groups(version).values()
]

# A second userdb, whose answers are cached.
CACHE = """\
auth_cache_size = 1M
userdb passwd {
}
"""


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest, dovecot24_factory: Callable[..., Fleet24]) -> Fleet24:
    """A server of a version that these tests may change, stop and start."""
    return dovecot24_factory(VERSIONS[request.param], users=40, settings=CACHE)


@pytest.fixture(scope="module")
def site(backend: Fleet24) -> Iterator[Site]:
    """The server as the cases see it."""
    (backend.directory / "input").write_text("hello\n")
    family = next(version for version, suite in VERSIONS.items() if suite is backend.suite)
    found = Site(family, backend.version, backend.nodes, backend.users, backend.inner_directory, f"{backend.network}.9")
    yield found
    found.write()


@pytest.fixture
def execute(backend: Fleet24, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Exec:
    """`exec` for the server, one attempt for each request."""
    config = backend.write_config(tmp_path / "config.yaml")
    config.write_text(config.read_text() + ONE_ATTEMPT)
    return Exec(config, tmp_path / "state", capsys)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_command_has_every_kind_of_case(version: str) -> None:
    """There are 42 commands, each with a success, with nothing to do, and with bad input, as far as 2.4 has it."""
    found = groups(version)
    assert len(found) == 42
    for group in found.values():
        assert {case.kind for case in group.cases} == set(KINDS), group.command


@pytest.mark.parametrize(("backend", "group"), CASES, indirect=["backend"], scope="module")
def test_command(backend: Fleet24, site: Site, execute: Exec, group: Group) -> None:
    """A command ends as it is known to: state, exit code, rows, and what the server says afterwards."""
    if group.command == "penalty":
        wrong_password(backend.node)
    try:
        check_group(site, execute, group)
    finally:
        if group.leaves and group.command.startswith(("stop", "service", "reload")):
            backend.node.restore()


@pytest.mark.parametrize("backend", EACH, indirect=True)
def test_the_host_is_told_to_be_2_4(backend: Fleet24, execute: Exec) -> None:
    """`check` reaches the server and says what it is."""
    code, text = execute.run("check")
    assert code == 0, text
    assert "Dovecot 2.4" in text
    assert backend.node.pid
