"""A simulated fleet and a command line for each test that asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec
from tests.command_line import CommandLine
from tests.integration.certificates import Authority
from tests.integration.raw_server import SECRET, Raw


class Site:
    """A simulated fleet and the command line for it."""

    def __init__(self, fleet: BackgroundFleet, cli: CommandLine, record: Path) -> None:
        self.fleet = fleet
        self.cli = cli
        self.record = record

    def commands(self) -> list[str]:
        """The commands that reached the fleet, in order."""
        return [request.command for request in self.fleet.requests]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A function that starts a simulated fleet; all are stopped at the end."""
    with ExitStack() as stack:

        def start(**spec: Any) -> Site:
            spec.setdefault("time_scale", 0.05)
            fleet = stack.enter_context(BackgroundFleet(FleetSpec(record=tmp_path / "record.jsonl", **spec)))
            config = tmp_path / "config.yaml"
            config.write_text(fleet.config(tmp_path), encoding="utf-8")
            cli = CommandLine(tmp_path, config)
            stack.callback(cli.stop)
            return Site(fleet, cli, tmp_path / "record.jsonl")

        yield start


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def cli_for(tmp_path: Path) -> Iterator[Callable[..., CommandLine]]:
    """A function that gives a command line for one raw server, called b1."""
    started: list[CommandLine] = []

    def make(server: Raw, *, scheme: str = "http", more: str = "") -> CommandLine:
        secret = tmp_path / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        config = tmp_path / "config.yaml"
        config.write_text(
            f"defaults: {{scheme: {scheme}, port: {server.port}, auth: {{password: {{file: secret}}}}{more}}}\n"
            "retry: {attempts: 2, base: 5ms}\n"
            "groups: {backends: {hosts: {b1: 127.0.0.1}}}\n"
        )
        started.append(CommandLine(tmp_path, config))
        return started[-1]

    yield make
    for cli in started:
        cli.stop()
