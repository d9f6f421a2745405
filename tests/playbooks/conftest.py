"""A simulated fleet, and the command line for the real ring, both without a process for each command."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from orchestrator.cli.main import run
from tests.command_line import CommandLine, Result
from tests.integration.conftest import Site
from tests.integration.conftest import site as plain_site
from tests.ring import Ring

__all__ = ["Site", "plain_site"]


class QuickCommandLine(CommandLine):
    """The command line within this process, which spares a second for each command; `start` still makes a process."""

    def __call__(self, *arguments: str, timeout: float = 240) -> Result:
        """Run it to its end."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), mock.patch.dict(os.environ, self.environment, clear=True):
            code = run(arguments)
        return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture
def site(plain_site: Callable[..., Site]) -> Callable[..., Site]:
    """A function that starts a simulated fleet; all are stopped at the end."""

    def start(**spec: Any) -> Site:
        made = plain_site(**spec)
        made.cli = QuickCommandLine(made.cli.folder, made.cli.config)
        return made

    return start


@pytest.fixture
def cli(changed_ring: Ring, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line for the real ring, which is reset afterwards."""
    command_line = QuickCommandLine(tmp_path, changed_ring.write_config(tmp_path / "config.yaml"))
    yield command_line
    command_line.stop()
