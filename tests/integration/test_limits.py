"""What this machine may run out of, and what may be damaged: nothing goes unrecorded, and what is undamaged is not lost."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.command_line import Result, records, wait_until
from tests.integration.conftest import Site

COUNT = """
name: Count
steps:
  - name: Begin at 0
    hosts: backends
    command: dictSet
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", value: "0"}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
"""


def counting(here: Site, items: int) -> str:
    """Write the playbook that counts, and its items."""
    (here.cli.folder / "items.txt").write_text("".join(f"item{n:05}\n" for n in range(items)))
    return here.cli.playbook(COUNT)


def limited(here: Site, *words: str, files: int = 0, size: int = 0) -> Result:
    """Run a command that may have so many files open, or write files up to so many bytes."""

    def limit() -> None:
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        if size:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return finished(here, [], *words, before=limit)


def finished(here: Site, within: list[str], *words: str, before: Callable[[], None] | None = None) -> Result:
    """Run a command to its end, started by another one."""
    done = subprocess.run(
        [*within, sys.executable, "-m", "orchestrator", *words],
        env=here.cli.environment,
        cwd=here.cli.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        preexec_fn=before,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def stopped(result: Result, *words: str) -> None:
    """Exit code 3, these words, no traceback."""
    assert result.code == 3, result.said
    assert "Traceback" not in result.said
    assert all(word in result.said for word in words), result.said


def counted_once(here: Site, operations: int) -> None:
    """Everything is done in the end, and everything was counted exactly once, on the servers themselves."""
    assert Counter(operation["state"] for operation in here.cli.exported()) == {"done": operations}
    for name in here.fleet.backends:
        assert set(here.fleet.fleet.hosts[name].dictionaries["file:/x"].values()) == {"1"}
    assert (
        max(Counter(r["tag"] for r in records(here.record) if r["tag"].startswith("2.") and r["executed"]).values())
        == 1
    )


@pytest.mark.parametrize("files", [24, 40])
def test_no_file_descriptors_left(site: Callable[..., Site], files: int) -> None:
    """With 24 files open at most, no connection can be made at some point: the run stops, says so, and can be resumed."""
    here = site(users=0, directors=0, backends=20, latency=0.05)
    stopped(limited(here, "run", counting(here, 4), "--yes", files=files), "Too many open files", "orchestrator resume")
    sent = {record["tag"] for record in records(here.record)}
    states = {operation["id"]: operation["state"] for operation in here.cli.exported()}
    assert {states[tag] for tag in sent if tag in states} <= {"done", "pending"}
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    counted_once(here, 160)


@pytest.mark.parametrize("files", [10, 12])
def test_hardly_any_file_descriptors(site: Callable[..., Site], files: int) -> None:
    """With so few that not even the event loop can be made, that is said, with exit code 3, and nothing is sent."""
    here = site(users=0, directors=0, backends=2)
    stopped(limited(here, "run", counting(here, 4), "--yes", files=files), "open files")
    assert here.fleet.requests == []


@pytest.mark.parametrize(("size", "begun"), [(20_000, False), (160_000, True)])
def test_the_disk_fails(site: Callable[..., Site], size: int, begun: bool) -> None:
    """A write error stops the run before anything goes unrecorded; when the disk is OK again, the run is resumed."""
    here = site(users=0, directors=0, backends=2)
    result = limited(here, "run", counting(here, 100), "--yes", size=size)
    stopped(result, "disk I/O error")
    assert bool(here.fleet.requests) == begun
    if not begun:
        assert list(here.cli.state.iterdir()) == []
        return
    executed = {record["tag"] for record in records(here.record) if record["executed"]}
    recorded = {operation["id"] for operation in here.cli.exported() if operation["state"] == "done"}
    assert recorded <= executed
    assert len(executed - recorded) <= 100  # no more than may be in flight
    resumed = here.cli("resume")
    if resumed.code == 4:  # what was on the wire and could not be recorded, the servers know
        for operation in here.cli.exported():
            if operation["state"] == "in_doubt":
                became = "done" if operation["id"] in executed else "retry"
                assert here.cli("decide", "last", operation["id"], "--as", became).code == 0
        resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    counted_once(here, 400)


@pytest.fixture
def own_mounts() -> list[str]:
    """The words that give a command mounts of its own."""
    words = ["unshare", "-rm", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*words, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("mounts of its own need user namespaces")
    return words


def test_a_full_disk_while_counting(site: Callable[..., Site], own_mounts: list[str]) -> None:
    """On a disk of 300 kB: the run stops before it sends what it could not record; what is not known is in doubt."""
    here = site(users=0, directors=0, backends=2, latency=0.01)
    kept = here.cli.folder / "kept"
    kept.mkdir()
    script = 'mount -t tmpfs -o size=300k none "$0" && "$@"; code=$?; cp -a "$0"/. "$KEPT"; exit $code'
    here.cli.state.mkdir(mode=0o700)
    words = [*own_mounts, f"KEPT={kept}; {script}", str(here.cli.state)]
    stopped(finished(here, words, "run", counting(here, 250), "--yes"), "is full", "resume")
    executed = Counter(record["tag"] for record in records(here.record) if record["executed"])
    assert executed
    here.cli.state = kept  # a disk with room
    states = {operation["id"]: operation["state"] for operation in here.cli.exported()}
    assert {tag for tag, state in states.items() if state == "done"} <= set(executed)
    doubtful = [tag for tag in executed if tag.startswith("2.") and states[tag] not in {"done", "running", "in_doubt"}]
    assert doubtful == []  # nothing that must not be repeated was sent without a record of it
    resumed = here.cli("resume")
    if resumed.code == 4:
        resumed = here.cli("resume", "--in-doubt", "done")
    assert resumed.code == 0, resumed.said
    executed = Counter(record["tag"] for record in records(here.record) if record["executed"])
    assert max(count for tag, count in executed.items() if tag.startswith("2.")) == 1


def test_a_read_only_state_directory(site: Callable[..., Site], own_mounts: list[str]) -> None:
    """Where nothing can be written nothing is sent, and that is said; what is there can be looked at all the same."""
    here = site(users=0, directors=0, backends=2)
    playbook = counting(here, 4)
    assert here.cli("run", playbook, "--yes").code == 0
    sent = len(here.fleet.requests)
    words = [*own_mounts, 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"', str(here.cli.state)]
    for command in (("run", playbook, "--yes"), ("exec", "b1", "who")):
        stopped(finished(here, words, *command), "cannot be written", "--state-dir")
    for command in (("show",), ("runs",), ("export",), ("plan", playbook)):
        looked = finished(here, words, *command)
        assert looked.code == 0, looked.said
        assert looked.out
    assert len(here.fleet.requests) == sent


def test_a_run_file_alone_is_the_run(site: Callable[..., Site]) -> None:
    """When nobody works on it any more, a copy of the run file has everything that was recorded."""
    here = site(users=0, directors=0, backends=2, faults=("command=dictInc,first=1,empty",))
    assert here.cli("run", counting(here, 20), "--yes").code == 4
    (path,) = here.cli.state.glob("*.run")
    copy = here.cli.folder / "copy.run"
    shutil.copyfile(path, copy)
    assert here.cli("export", str(copy)).out == here.cli("export").out
    assert "in doubt" in here.cli("show", str(copy)).out


def cut_short(content: bytearray) -> None:
    """The file ends too early."""
    del content[len(content) * 2 // 3 // 4096 * 4096 :]


def overwritten(content: bytearray) -> None:
    """A page in the middle has other bytes."""
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4096] = bytes((7 * n) % 251 for n in range(4096))


def flipped(content: bytearray) -> None:
    """Some bits near the end are others."""
    begin = len(content) - 3 * 4096
    for at in range(begin, begin + 2048, 5):
        content[at] ^= 0xFF


@pytest.mark.parametrize("damage", [cut_short, overwritten, flipped])
def test_a_damaged_run_file(site: Callable[..., Site], damage: Callable[[bytearray], None]) -> None:
    """A damaged run is never gone on with; `export` writes what can be read; other runs are not affected; repaired, it is resumed."""
    here = site(users=0, directors=0, backends=2)
    process = here.cli.start("run", counting(here, 700), "--yes")
    wait_until(lambda: len(here.fleet.requests) > 400)
    process.terminate()
    process.communicate()
    (path,) = here.cli.state.glob("*.run")
    good = path.read_bytes()
    whole = here.cli("export").out.splitlines()
    content = bytearray(good)
    damage(content)
    path.write_bytes(content)
    sent = len(here.fleet.requests)
    stopped(here.cli("resume", path.stem), "is damaged")
    assert len(here.fleet.requests) == sent
    exported = here.cli("export", path.stem)
    assert exported.code in {0, 3}, exported.said
    assert "Traceback" not in exported.said
    assert damage is cut_short or len(exported.out.splitlines()) > len(whole) // 4
    assert here.cli("runs").code == 0
    assert here.cli("exec", "b1", "who").code == 0
    path.write_bytes(good)
    resumed = here.cli("resume", path.stem)
    assert resumed.code == 0, resumed.said
    assert Counter(operation["state"] for operation in here.cli("export", path.stem).json()) == {"done": 2800}


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"\xaa" * 8192])
def test_what_is_no_run_file_any_more(site: Callable[..., Site], content: bytes) -> None:
    """A file of which nothing is left is named as such by every command, with exit code 3, and only that run is lost."""
    here = site(users=0, directors=0, backends=2)
    assert here.cli("exec", "b1", "who").code == 0
    (path,) = here.cli.state.glob("*.run")
    for left in here.cli.state.glob(path.name + "-*"):
        left.unlink()
    path.write_bytes(content)
    for command in ("resume", "show", "export"):
        stopped(here.cli(command, path.stem), str(path))
    assert path.stem in here.cli("runs").out
    assert here.cli("exec", "b1", "who").code == 0


def test_what_is_left_of_a_cut_file_is_exported(site: Callable[..., Site]) -> None:
    """Of a run file that ends too early the operations of the pages that are there are exported."""
    here = site(users=0, directors=0, backends=2)
    assert here.cli("run", counting(here, 700), "--yes").code == 0
    (path,) = here.cli.state.glob("*.run")
    content = bytearray(path.read_bytes())
    cut_short(content)
    path.write_bytes(content)
    exported = here.cli("export", path.stem)
    assert exported.code == 3, exported.said
    assert len(exported.out.splitlines()) > 700


def test_what_lies_after_the_damage_is_exported_too(site: Callable[..., Site]) -> None:
    """A single page that cannot be read takes the operations of that page from the export, and not all after it."""
    here = site(users=0, directors=0, backends=2)
    assert here.cli("run", counting(here, 700), "--yes").code == 0
    (path,) = here.cli.state.glob("*.run")
    content = bytearray(path.read_bytes())
    pages = [
        at for at in range(0, len(content), 4096) if content[at] == 0x0D and b"item00350" in content[at : at + 4096]
    ]
    content[pages[0] : pages[0] + 4096] = bytes(4096)
    path.write_bytes(content)
    exported = here.cli("export", path.stem)
    assert exported.code == 3, exported.said
    assert len(exported.out.splitlines()) > 2800 - 200
