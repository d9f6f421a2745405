"""A journal of each kind, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.journal.base import Reader, Run
from tests.journal.journals import JOURNALS, Journal


@pytest.fixture(params=sorted(JOURNALS))
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """An empty journal."""
    return JOURNALS[request.param](tmp_path)


@pytest.fixture
def run(journal: Journal) -> Run:
    """A run of six operations on two hosts."""
    return journal.run()


@pytest.fixture
def reader(run: Run) -> Iterator[Reader]:
    """The same, open for reading."""
    with run.read() as reader:
        yield reader
