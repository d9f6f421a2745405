"""What a state directory tells of how long a plan takes: which of its runs are read, and what is read in them."""

from __future__ import annotations

from pathlib import Path
from time import time_ns

import anyio
import pytest

from orchestrator.dovecot.ask import Asker
from orchestrator.dovecot.exchange import Exchange
from orchestrator.engine.hours import need, pieces
from orchestrator.engine.live_plan import LivePlan, look, reviewed
from orchestrator.engine.rules import Settings
from orchestrator.errors import JournalError
from orchestrator.journal.base import Start
from orchestrator.limits import Limits
from orchestrator.ranges import Range
from orchestrator.runs.estimating import LOOKED_AT, earlier_runs, expected
from orchestrator.runs.hours import hours_of
from orchestrator.runs.work import NOTHING_SAID, Choices
from orchestrator.windows import Opening
from tests.engine.hosts import AT_ONCE, Hosts, Request, Rig, rows
from tests.journal.journals import HEADER, Sqlite
from tests.strategies import plan, steps

pytestmark = pytest.mark.anyio
WHO = steps("hosts: b1, command: who")
KICK = steps("hosts: b1, command: kick, parameters: {mask: x}")
OTHER = WHO.replace("name: P", "name: Another playbook")
TAKES = 0.2  # seconds of a request


async def slowly(request: Request) -> Exchange:
    """An answer that takes its time."""
    await anyio.sleep(TAKES)
    return rows()(request)  # type: ignore[return-value]


async def after(folder: Path, *texts: str) -> None:
    """Runs of these playbooks, with hosts that take their time."""
    for text in texts:
        await Rig(folder, text, Hosts(who=slowly, kick=slowly)).session()


def of(folder: Path, text: str, seen: LivePlan | None = None) -> Range:
    """How long a plan takes that is saved somewhere else, as `plan` makes it."""
    made = plan(text) if seen is None else reviewed(plan(text), seen, 0)
    with Sqlite(folder).store.save(str(folder / f"{time_ns()}.plan"), made, HEADER).read() as reader:
        return expected(made, reader, AT_ONCE, Sqlite(folder / "state").store).whole


def around(found: Range, seconds: float) -> bool:
    """Whether a range is about a time, give or take what a busy machine adds."""
    return found.high is not None and seconds * 0.5 < found.high and found.low < seconds * 10


async def test_a_run_tells_how_long_the_next_takes(tmp_path: Path) -> None:
    """A playbook that was run once takes about as long; before, nobody knew."""
    before = of(tmp_path, WHO)
    assert (before.high, before.missing) == (None, "who")
    await after(tmp_path, WHO, WHO)
    found = of(tmp_path, WHO)
    assert around(found, TAKES)
    assert (found.basis, found.known) == ("2 earlier runs", True)


async def test_a_step_that_was_not_needed_takes_no_time(tmp_path: Path) -> None:
    """A step that a run passed, since its condition was false, is expected to be passed again."""
    text = steps("hosts: b1, command: who, when: '{{ run.started < 1 }}'")
    await after(tmp_path, text)
    assert of(tmp_path, text) == Range(0.0, 0.0, "1 earlier run")


async def test_a_run_of_another_playbook_tells_of_the_same_command(tmp_path: Path) -> None:
    """What another playbook sent to the same hosts tells as well."""
    await after(tmp_path, OTHER)
    assert around(of(tmp_path, WHO), TAKES)


async def test_a_look_tells_how_long_it_takes(tmp_path: Path) -> None:
    """What was just asked tells how long asking takes, and what a command takes that costs no more."""
    text = steps("hosts: b1, command: who", "hosts: b2, command: reload")
    found = of(tmp_path, text, await look(plan(text), Asker(Hosts(who=slowly))))
    assert around(found, 2 * TAKES)
    assert found.basis == "answers seen just now"


async def test_requests_that_a_look_made_known_are_counted(tmp_path: Path) -> None:
    """A step whose requests depend on answers has as many as the answers of now make."""
    text = steps(
        "hosts: b1, command: who, register: seen",
        "hosts: b1, for_each: \"{{ seen.rows | column('username') }}\", command: kick, parameters: {mask: '{{ item }}'}",
    )
    made = plan(text)
    saved = Sqlite(tmp_path).store.create(made, HEADER)
    users = [{"username": f"u{number}"} for number in range(50)]
    seen = await look(made, Asker(Hosts(who=rows(*users))))
    with saved.read() as reader:
        slow = Settings(Limits(rate=0.5))
        assert expected(made, reader, slow, Sqlite(tmp_path / "none").store).step(made.steps[1]).high is None
        looked_at = reviewed(made, seen, 0)
        found = expected(looked_at, reader, slow, Sqlite(tmp_path / "none").store).step(made.steps[1])
    assert (found.low, found.high) == (98, 98)


async def test_only_what_is_left_takes_time(tmp_path: Path) -> None:
    """What is done, and what will be skipped, takes no more time."""
    text = steps("hosts: b1, command: who", "hosts: b1, command: who, when: false", "pause: 1h")
    rig = Rig(tmp_path, text)
    async with rig.run.work(Start({})) as session:
        await session.mark(0, "done")
    made = plan(text)
    with rig.run.read() as reader:
        assert expected(made, reader, AT_ONCE, Sqlite(tmp_path / "none").store).whole == Range(3600, 3600, "its pauses")


def some_runs(folder: Path, *texts: str) -> list[str]:
    """Runs that were planned, by their ids."""
    return [Sqlite(folder).store.create(plan(text), HEADER).id for text in texts]


def test_the_newest_runs_of_the_playbook_come_first(tmp_path: Path) -> None:
    """Of thousands the newest are read, and of those of other playbooks as many; the run itself is none of them."""
    mine = some_runs(tmp_path, *[WHO] * (LOOKED_AT + 3))
    others = some_runs(tmp_path, *[OTHER] * (LOOKED_AT + 2))
    found = [earlier.run for earlier in earlier_runs(mine[-1], "P", Sqlite(tmp_path).store.runs())]
    assert len({*found[:LOOKED_AT]} & {*mine[:-1]}) == len({*found[LOOKED_AT:]} & {*others}) == LOOKED_AT
    assert len(found) == 2 * LOOKED_AT


def test_a_run_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    """A damaged run, or a directory that nobody can look into, is no reason not to plan."""
    [good, bad] = some_runs(tmp_path, WHO, WHO)
    (tmp_path / f"{bad}.run").write_bytes(b"no run")
    assert [earlier.run for earlier in earlier_runs("new", "P", Sqlite(tmp_path).store.runs())] == [good]
    made, unlisted = plan(WHO), Sqlite(tmp_path / ("x" * 300)).store
    with Sqlite(tmp_path / "x").store.create(made, HEADER).read() as reader:
        assert expected(made, reader, AT_ONCE, unlisted).whole.high is None
    with pytest.raises(JournalError):
        unlisted.runs()


async def test_windows_go_by_the_same_estimate(tmp_path: Path) -> None:
    """What a plan shows and what a window needs are one number, from the same runs; batches of this run count too."""
    await after(tmp_path, KICK.replace("name: P", "name: Another playbook"))
    rig = Rig(tmp_path, KICK)
    made = plan(KICK)
    store = Sqlite(tmp_path / "state").store
    with rig.run.read() as reader:
        hours = hours_of(Opening("w", 0, 1), Choices(until="23:59"), made, reader, AT_ONCE, store.runs())
        shown = expected(made, reader, AT_ONCE, store).whole
    assert hours.estimate is not None
    [needed] = [need(piece, made, hours, {}) for piece in pieces(made.steps)]  # the run is not open any more
    assert (needed.seconds, needed.basis) == (shown.high, "estimated from 1 earlier run")
    assert (hours.took, hours.asked_for) == ({}, True)
    await rig.session()
    with rig.run.read() as reader:
        hours = hours_of(Opening("w", 0, 1), NOTHING_SAID, made, reader, AT_ONCE, store.runs())
    assert set(hours.took) == {"1"}
    assert not hours.asked_for
