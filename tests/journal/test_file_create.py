"""A new run file: complete, its owner's alone, and there at once or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import ExpressionError, InputError, JournalError, RefusedError
from orchestrator.journal.sqlite.create import adopt, create
from orchestrator.journal.sqlite.draft import drafted, sweep
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.plan.steps import Plan
from tests.journal.journals import HEADER, KICKS
from tests.strategies import plan, steps

RUN_ID = "20261123-020000-p"


def make(path: Path, text: str = KICKS) -> Path:
    """A run file of a playbook."""
    return create([(RUN_ID, path)], plan(text), HEADER)


def names_in(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A run file has the mode 0600 whatever the umask, and no draft is left beside it."""
    path = make(tmp_path / "a.run")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["a.run"]


def test_a_run_file_is_not_overwritten(tmp_path: Path) -> None:
    """A name that is taken is refused, and the file stays as it was."""
    path = make(tmp_path / "a.run")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        make(path)
    assert path.read_bytes() == before


def test_the_first_name_that_is_free_is_taken(tmp_path: Path) -> None:
    """Where another process was quicker the next name is used, in the file's name and in the file."""
    make(tmp_path / "a.run")
    path = create([("a", tmp_path / "a.run"), ("b", tmp_path / "b.run")], plan(KICKS), HEADER)
    with FileReader(path) as reader:
        assert (path.name, reader.run_id) == ("b.run", "b")


def adopted(folder: Path) -> Path:
    """A run file that is a copy of a saved plan."""
    return adopt(make(folder / "saved.plan"), folder / "a.run")


@pytest.mark.parametrize("made", [lambda folder: make(folder / "a.run"), adopted])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_name_stands_for_what_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path], *, links: bool
) -> None:
    """The content is on the disk before the file has its name, and the name is before anybody is told: no power cut is between.

    So it is where files cannot have two names, too, as on FAT and some network file systems.
    """
    target, fsync = tmp_path / "a.run", os.fsync
    synced: list[tuple[str, int]] = []

    def watched(descriptor: int) -> None:
        what = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((what.suffix or what.name, target.stat().st_size if target.exists() else -1))
        fsync(descriptor)

    def refused(*_names: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(os, "fsync", watched)
    size = made(tmp_path).stat().st_size
    assert synced[-2:] == [(".planning", -1), (tmp_path.name, size)]
    assert names_in(tmp_path) == sorted({"a.run", *(["saved.plan"] if made is adopted else [])})
    with FileReader(target) as reader:
        assert len(list(reader.operations())) == 6


@pytest.mark.parametrize("place", ["flock", "open", "link"])
def test_a_signal_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A Ctrl-C at whatever moment of making a run file leaves nothing of it."""
    module, call = (fcntl, fcntl.flock) if place == "flock" else (os, getattr(os, place))

    def interrupted(*arguments: Any, **options: Any) -> None:
        found = call(*arguments, **options)
        if place == "open":
            os.close(found)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "a.run")
    assert names_in(tmp_path) == (["a.run"] if place == "link" else [])  # by then it was complete, and is a run


def bad_item() -> Plan:
    """A plan whose second item must not be sent."""
    return plan(steps('hosts: b1, for_each: [u1, "u\\a"], command: kick, parameters: {mask: ["{{ item }}"]}'))


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (bad_item, InputError),
        (lambda: plan(steps("hosts: b1, for_each: {file: /no/such/file}, command: who")), InputError),
        (lambda: plan(steps("hosts: '{{ item }}', for_each: [b1, b9], command: reload")), RefusedError),
        (lambda: plan(steps("hosts: b1, for_each: [1], when: '{{ item }}', command: who")), ExpressionError),
    ],
)
def test_a_plan_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, made: Callable[[], Plan], error: type[Exception]
) -> None:
    """All operations are written, or there is no file at all."""
    with pytest.raises(error):
        create([(RUN_ID, tmp_path / "a.run")], made(), HEADER)
    assert names_in(tmp_path) == []


def test_a_long_planning_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a long plan is told now and then how many operations it has so far, over all its steps."""
    monkeypatch.setattr("orchestrator.journal.sqlite.create.OFTEN", 4)
    told: list[int] = []
    text = KICKS + KICKS.partition("steps:\n")[2].replace("kicked", "again")
    create([(RUN_ID, tmp_path / "a.run")], plan(text), HEADER, told.append)
    assert told == [4, 8, 12]


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power failure leaves is a complete file, or none: the content is forced to the disk, then the name."""
    path, really, forced = tmp_path / "a.run", os.fsync, []

    def fsync(descriptor: int) -> None:
        forced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, path.exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    make(path)
    assert forced == [(f".a.run.{os.getpid()}.planning", False), (tmp_path.name, True)]


def failing_with(code: int) -> Callable[..., None]:
    """What the kernel would answer to any call."""

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK])
def test_a_file_system_without_hard_links_will_do(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no hard links the file appears all the same, and overwrites none."""
    monkeypatch.setattr(os, "link", failing_with(code))
    path = make(tmp_path / "a.run")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        make(path)
    assert (names_in(tmp_path), path.read_bytes()) == (["a.run"], before)
    with FileReader(path) as reader:
        assert reader.run_id == RUN_ID


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, r"the disk with .*/a\.run is full"), (errno.EIO, r"a\.run cannot be written: Input/output error")],
)
def test_a_disk_that_fails_is_named(tmp_path: Path, code: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told from one that is broken, and neither leaves anything behind."""
    monkeypatch.setattr(os, "link", failing_with(code))
    with pytest.raises(JournalError, match=words):
        make(tmp_path / "a.run")
    assert names_in(tmp_path) == []


def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """What a process that was killed while it planned has left goes with the next planning; a living one's draft stays."""
    (tmp_path / ".dead.run.4711.planning").touch()
    with drafted(tmp_path / "b.run") as draft:
        make(tmp_path / "a.run")
        assert names_in(tmp_path) == [draft.name, "a.run"]
    assert names_in(tmp_path) == ["a.run"]


def test_looking_for_drafts_leaves_no_file_open(tmp_path: Path) -> None:
    """However many drafts are beside it, a planning keeps none of them open."""
    with drafted(tmp_path / "b.run"):
        (tmp_path / ".dead.run.4711.planning").touch()
        before = len(names_in(Path("/proc/self/fd")))
        sweep(tmp_path)
        assert len(names_in(Path("/proc/self/fd"))) == before


def test_a_draft_that_was_swept_before_it_was_locked_is_made_anew(tmp_path: Path) -> None:
    """A process that takes a draft for abandoned, just before it is locked, costs its planning nothing."""
    path = tmp_path / f".a.run.{os.getpid()}.planning"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    waiter = f":{os.fstat(descriptor).st_ino} "
    there: list[bool] = []

    def plan_it() -> None:
        with drafted(tmp_path / "a.run") as draft:
            there.append(draft.exists())

    planning = threading.Thread(target=plan_it)
    planning.start()
    while not any("->" in line and waiter in line for line in Path("/proc/locks").read_text().splitlines()):
        planning.join(0.01)
    path.unlink()
    os.close(descriptor)
    planning.join()
    assert there == [True]


def test_a_folder_that_is_not_there_is_a_journal_error(tmp_path: Path) -> None:
    """A run file that cannot be written is an error with its path."""
    with pytest.raises(JournalError, match="nowhere"):
        make(tmp_path / "nowhere" / "a.run")


def test_the_digest_is_that_of_the_plan(tmp_path: Path) -> None:
    """The same plan has the same digest in every file, and another plan another."""
    found = []
    for number, text in enumerate([KICKS, KICKS, KICKS + "# x\n"]):
        with FileReader(make(tmp_path / f"{number}.run", text)) as reader:
            found.append(reader.digest)
    assert found[0] == found[1] != found[2]
