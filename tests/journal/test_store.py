"""The contract of a store: runs are made, found, and made of saved plans, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import ExpressionError, InputError, RefusedError, RunNotFoundError
from orchestrator.journal.base import Run, Start
from orchestrator.plan.steps import Plan
from orchestrator.status import Status
from tests.journal.journals import HEADER, KICKS, Journal, counts
from tests.strategies import plan, steps

pytestmark = pytest.mark.anyio


def saved(journal: Journal, folder: Path) -> Run:
    """A saved plan."""
    found: Run = journal.store.save(str(folder / "tuesday.plan"), plan(KICKS), HEADER)
    return found


def test_each_run_is_one_of_its_own(journal: Journal) -> None:
    """Two runs of one plan in the same second are two, and both are listed, the older first."""
    first, second = journal.run(), journal.run()
    assert first.id != second.id
    assert [run.id for run in journal.store.runs()] == [first.id, second.id]
    assert journal.store.find(None).id == journal.store.find("last").id == second.id


def test_a_run_is_found_by_its_id_or_a_part_of_it(journal: Journal) -> None:
    """What is typed may be short, as long as it is no other run's."""
    run = journal.run(KICKS.replace("name: P", "name: Reload them"))
    journal.run()
    assert [journal.store.find(name).id for name in (run.id, "reload-them")] == [run.id] * 2
    with pytest.raises(RunNotFoundError, match="there is no run 'nosuch'"):
        journal.store.find("nosuch")


def test_an_empty_store_has_no_last_run(journal: Journal) -> None:
    """Where there are no runs, there is no last one."""
    assert list(journal.store.runs()) == []
    with pytest.raises(RunNotFoundError, match="there are no runs"):
        journal.store.find(None)


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (lambda: plan(steps('hosts: b1, for_each: [u1, "u\\a"], command: kick, parameters: {mask: "{{ item }}"}')), InputError),
        (lambda: plan(steps("hosts: '{{ item }}', for_each: [b1, b9], command: reload")), RefusedError),
        (lambda: plan(steps("hosts: b1, for_each: [1], when: '{{ item }}', command: who")), ExpressionError),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_made_is_no_run(
    journal: Journal, made: Callable[[], Plan], error: type[Exception]
) -> None:
    """All operations are written, or there is no run."""
    with pytest.raises(error):
        journal.store.create(made(), HEADER)
    assert list(journal.store.runs()) == []


def test_a_run_that_is_discarded_is_gone(journal: Journal) -> None:
    """A run of which nothing was sent can be taken away."""
    run = journal.run()
    run.discard()
    assert list(journal.store.runs()) == []


async def test_a_run_that_somebody_began_is_not_discarded(journal: Journal) -> None:
    """Who made a run and was refused removes it only when nobody has begun it meanwhile, and nobody is about to."""
    run = journal.run()
    async with run.work(Start({})):
        assert not run.discard()
    assert not run.discard()
    assert journal.store.find(run.id).is_there()


def test_a_saved_plan_is_no_run(journal: Journal, tmp_path: Path) -> None:
    """A plan that is saved stands where it was put, and is not overwritten."""
    found = saved(journal, tmp_path)
    assert list(journal.store.runs()) == []
    with found.read() as reader:
        assert (reader.status(), reader.header) == ((Status.PLANNED, ""), HEADER)
    with pytest.raises(FileExistsError):
        saved(journal, tmp_path)


async def test_a_saved_plan_becomes_a_run_once(journal: Journal, tmp_path: Path) -> None:
    """The run has all of the plan, the plan says where it went, and once that was begun a second one is refused."""
    found = saved(journal, tmp_path)
    run = journal.store.adopt(found)
    with found.read() as plan_reader, run.read() as reader:
        assert (reader.digest, counts(run)) == (plan_reader.digest, counts(found))
        assert reader.applied() == ""
        assert plan_reader.applied().startswith(f"{run.id} in ")
        assert plan_reader.status() == (Status.APPLIED, f"as run {plan_reader.applied()}")
    assert journal.store.adopt(found).is_same(run)  # nobody has begun it
    async with run.work(Start({}, expected=frozenset({Status.PLANNED}))):
        pass
    with pytest.raises(RefusedError, match=f"this plan was already applied, as run {run.id}") as caught:
        journal.store.adopt(found)
    assert "make a new plan" in caught.value.hint


def test_a_plan_that_was_applied_elsewhere_leaves_no_run(journal: Journal, tmp_path: Path) -> None:
    """Whether a plan was applied stands in the plan: a run that was removed does not make it new."""
    found = saved(journal, tmp_path)
    journal.store.adopt(found).discard()
    with pytest.raises(RefusedError, match="already applied"):
        journal.store.adopt(found)
    assert list(journal.store.runs()) == []
