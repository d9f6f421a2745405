"""A simulated fleet, and the command line for the real ring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.integration.conftest import Site, site
from tests.ring import Ring

__all__ = ["Site", "site"]


@pytest.fixture
def cli(changed_ring: Ring, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line for the real ring, which is reset afterwards."""
    command_line = CommandLine(tmp_path, changed_ring.write_config(tmp_path / "config.yaml"))
    yield command_line
    command_line.stop()
