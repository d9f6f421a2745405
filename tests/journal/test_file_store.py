"""The state directory: private, with names that people can type, and found where they expect it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orchestrator.errors import DamagedRunError, JournalError, RunNotFoundError
from orchestrator.journal.sqlite.store import FileStore, open_file, state_dir
from tests.journal.journals import HEADER, KICKS, Sqlite, full_disk
from tests.strategies import plan, steps


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """A state directory with three runs; the second was touched last."""
    found = FileStore(tmp_path / "state")
    found.prepare()
    for age, run_id in (
        (30, "20261121-020000-drain-b1"),
        (10, "20261122-020000-drain-b2"),
        (20, "20261123-020000-reload"),
    ):
        path = found.folder / f"{run_id}.run"
        path.touch()
        os.utime(path, (10**9 - age, 10**9 - age))
    (tmp_path / "state" / ".draft.run").touch()
    (tmp_path / "state" / "20261123-020000-reload.run.lock").touch()
    return found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (None, "20261122-020000-drain-b2"),
        ("last", "20261122-020000-drain-b2"),
        ("20261121-020000-drain-b1", "20261121-020000-drain-b1"),
        ("b1", "20261121-020000-drain-b1"),
        ("reload", "20261123-020000-reload"),
        ("20261122", "20261122-020000-drain-b2"),
    ],
)
def test_runs_are_found(store: FileStore, name: str | None, found: str) -> None:
    """A run is found by its id, by a part that only it has, or as the last that was worked on."""
    run = store.find(name)
    assert (run.id, run.name, run._path) == (found, found, store.folder / f"{found}.run")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drain", "'drain' could be any of 20261121-020000-drain-b1, 20261122-020000-drain-b2"),
        ("nosuch", "there is no run 'nosuch'"),
        ("/no/such.run", "there is no run"),
        (".draft", "there is no run"),
    ],
)
def test_unknown_runs_are_told(store: FileStore, name: str, message: str) -> None:
    """A name of no run, or of several, is an error that helps on."""
    with pytest.raises(RunNotFoundError) as caught:
        store.find(name)
    assert message in caught.value.message


def test_a_whole_id_is_no_part_of_another(store: FileStore) -> None:
    """A run whose id is also a part of another's is found by its id."""
    longer = store.folder / "20261121-020000-drain-b1-2.run"
    longer.touch()
    assert store.find("20261121-020000-drain-b1").id == "20261121-020000-drain-b1"


def test_a_misspelt_run_is_suggested(store: FileStore) -> None:
    """The nearest id is offered."""
    with pytest.raises(RunNotFoundError) as caught:
        store.find("20261123-020000-relaod")
    assert caught.value.hint == "did you mean 20261123-020000-reload?"


def test_the_state_directory_is_private(store: FileStore) -> None:
    """The directory has the mode 0700, and lists runs oldest first."""
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert [run.id for run in store.runs()] == [
        "20261121-020000-drain-b1",
        "20261122-020000-drain-b2",
        "20261123-020000-reload",
    ]


def test_a_file_with_another_name_is_listed(store: FileStore) -> None:
    """A run file that somebody renamed is a run still, whatever it is called."""
    (store.folder / "a copy of b1.run").touch()
    assert [run.id for run in store.runs()][-1] == "a copy of b1"


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is an error with the option that helps."""
    (tmp_path / "state").touch()
    with pytest.raises(JournalError, match="cannot create the state directory") as caught:
        FileStore(tmp_path / "state" / "deeper").prepare()
    assert "--state-dir" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "slug"), [("Drain a backend", "drain-a-backend"), ("ÄÖ!", "run"), ("x" * 99, "x" * 40), ("a/../b", "a-b")]
)
def test_new_ids_are_readable_and_unique(store: FileStore, name: str, slug: str) -> None:
    """An id is the time and the playbook's name in plain letters, and never one that is taken."""
    first, path = next(store._new_names(name))
    path.touch()
    second, _ = next(store._new_names(name))
    assert first.split("-", 2)[2] == slug
    assert second not in {first, ""}


def test_a_plan_that_names_a_path_is_no_plan(tmp_path: Path) -> None:
    """A saved plan whose run would be written outside of the state directory is not one of this program's."""
    journal = Sqlite(tmp_path / "state")
    run = journal.run()
    journal._execute(run, "UPDATE meta SET value = '../../evil' WHERE key = 'run_id'")
    saved = open_file(str(run._path))
    with pytest.raises(DamagedRunError, match="is not a run's name"):
        journal.store.adopt(saved)


def test_a_run_and_a_file_are_the_same(tmp_path: Path) -> None:
    """A run that is named by its path is the one that is found by its name."""
    journal = Sqlite(tmp_path / "state")
    run = journal.run()
    assert open_file(str(run._path)).is_same(journal.store.find(run.id))
    assert not open_file(str(run._path)).is_same(journal.run())
    assert not open_file(str(tmp_path / "nothing")).is_same(run)


@pytest.mark.parametrize(
    ("explicit", "configured", "environ", "expected"),
    [
        ("/a", "/c", {"ORCHESTRATOR_STATE_DIR": "/b"}, "/a"),
        (None, "/c", {"ORCHESTRATOR_STATE_DIR": "/b"}, "/b"),
        (None, "/c", {}, "/c"),
        (None, None, {"XDG_STATE_HOME": "/x"}, "/x/orchestrator"),
        (None, None, {}, str(Path.home() / ".local/state/orchestrator")),
        ("~/runs", None, {}, str(Path.home() / "runs")),
    ],
)
def test_the_state_directory_has_an_order(
    explicit: str | None, configured: str | None, environ: dict[str, str], expected: str
) -> None:
    """--state-dir overrides the environment, that the configuration, and that the user's state directory."""
    assert state_dir(explicit, configured, environ) == Path(expected)


def test_a_run_of_a_saved_plan_is_being_applied_by_nobody(tmp_path: Path) -> None:
    """That a plan is about to be applied is noted in the plan, and not in the run that is made of it."""
    store = FileStore(tmp_path / "state")
    run = store.adopt(store.save(str(tmp_path / "a.plan"), plan(KICKS), HEADER))
    assert run.claim(store.create(plan(KICKS), HEADER)) == ""


def test_a_plan_is_being_applied_once(tmp_path: Path) -> None:
    """Whoever claims a plan after another is told who that was, and adds no claim of his own."""
    store = FileStore(tmp_path / "state")
    saved, first, second = (
        store.save(str(tmp_path / "a.plan"), plan(KICKS), HEADER),
        *(store.create(plan(KICKS), HEADER) for _ in range(2)),
    )
    assert [saved.claim(run) for run in (first, first, second)] == ["", "", first.place]
    count = "SELECT count(*) FROM event WHERE kind = 'applying'"
    assert saved._change(lambda connection: connection.execute(count).fetchone()[0]) == 1


def test_a_plan_whose_run_cannot_be_written_can_be_applied_later(tmp_path: Path) -> None:
    """Where the disk takes no run it is told, and the plan does not say that it was applied."""
    store = FileStore(tmp_path / "state")
    items = ", ".join(f"u{number}" for number in range(1500))
    saved = store.save(str(tmp_path / "a.plan"), plan(steps(f"hosts: b1, for_each: [{items}], command: who")), HEADER)
    with full_disk(40_000), pytest.raises(JournalError, match="cannot be used: disk I/O error"):
        store.adopt(saved)
    assert list(store.folder.iterdir()) == []
    assert store.adopt(saved).is_new()


@pytest.mark.parametrize("size", [0, 20_000])
def test_where_there_is_no_room_no_run_is_made(tmp_path: Path, size: int) -> None:
    """A disk that takes no run, or half of one, is told as such, and nothing is left of it."""
    store = FileStore(tmp_path / "state")
    with full_disk(size), pytest.raises(JournalError, match=r"disk I/O error|cannot be written|is full"):
        store.create(plan(KICKS), HEADER)
    assert list(store.folder.iterdir()) == []


def test_a_run_that_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    """Neither its logs nor its lock stay behind."""
    store = FileStore(tmp_path / "state")
    assert store.create(plan(KICKS), HEADER).discard()
    assert list(store.folder.iterdir()) == []
