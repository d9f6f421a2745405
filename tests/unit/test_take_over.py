"""Going on with a run that a process on another machine may be working on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import LockedError, RefusedError
from orchestrator.journal.base import Intent, Start
from orchestrator.runs.planning import Fleet
from orchestrator.runs.work import Choices, left, resume, retry
from orchestrator.status import Status
from tests.journal.journals import Sqlite
from tests.strategies import FLEET, config, steps

pytestmark = pytest.mark.anyio
TAKE_OVER = Choices(take_over=True)


@pytest.fixture
async def journal(tmp_path: Path) -> Sqlite:
    """With a run that waits for a moment, and that a process on another machine began."""
    journal = Sqlite(tmp_path / "state")
    run = journal.run(steps("pause: 1ms"))
    await journal.vanish(run)
    journal.usurp(run, journal.elsewhere)
    return journal


def fleet(folder: Path) -> Fleet:
    """The fleet that it was planned for, with a secret that can be had."""
    secret = folder / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    return Fleet(config(FLEET.replace("{env: DOVEADM_PASSWORD}", f"{{file: {secret}}}")))


async def test_it_is_refused_with_who_and_what_to_do(journal: Sqlite, tmp_path: Path) -> None:
    """Whoever is not told that the other machine is gone is told which it is, and how to say so."""
    run = journal.store.find(None)
    with pytest.raises(LockedError, match="pid 7 on elsewhere") as caught:
        await resume(run, journal.store, fleet(tmp_path))
    assert f"resume --take-over {run.id}" in caught.value.hint


async def test_it_is_taken_over_when_that_is_said(journal: Sqlite, tmp_path: Path) -> None:
    """The run goes on where it stopped, and is given back at its end."""
    run = journal.store.find(None)
    assert left(run, take_over=True).status is Status.CRASHED
    report = await resume(run, journal.store, fleet(tmp_path), choices=TAKE_OVER)
    assert (report.status, run.holder()) == (Status.DONE, "")


@pytest.mark.parametrize("how", [resume, retry])
async def test_a_run_of_this_machine_is_not_taken_over(tmp_path: Path, how: Callable[..., Any]) -> None:
    """A process that can be seen to live keeps its run, whatever is said."""
    journal = Sqlite(tmp_path / "state")
    run = journal.run(steps("hosts: b1, command: reload"))
    async with run.work(Start({})) as session:
        await session.intend([Intent(1, 1, 5)])
        with pytest.raises(RefusedError):
            await how(run, journal.store, fleet(tmp_path), choices=TAKE_OVER)
        assert run.holder()
