"""One process works on a run, whatever path, link or copy of its file another one comes by; who was taken for dead, stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine, wait_until
from tests.crash.intruders import WAYS, intruder
from tests.integration.conftest import Site

COUNT = """
name: Count
limits: {in_flight: 4}
steps:
  - {name: Begin, hosts: backends, command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: shared/n, difference: 1}
"""

KICK = """
name: Kick
limits: {in_flight: 4}
steps:
  - name: Kick
    hosts: backends
    command: kick
    for_each: {file: items.txt}
    parameters: {mask: ["{{ item }}"]}
"""


def started(here: Site, text: str = COUNT, count: int = 60) -> tuple[subprocess.Popen[str], Path]:
    """A run in mid-work, and its file."""
    (here.cli.folder / "items.txt").write_text("".join(f"item{number}\n" for number in range(count)))
    process = here.cli.start("run", here.cli.playbook(text), "--yes")
    wait_until(lambda: len(here.fleet.requests) >= 15)
    (run,) = here.cli.state.glob("*.run")
    return process, run


def sent(here: Site) -> Counter[str]:
    """How often each operation was sent."""
    return Counter(request.tag for request in here.fleet.requests if request.command in {"dictInc", "kick"})


@pytest.mark.parametrize("way", WAYS)
def test_a_second_process_is_refused(site: Callable[..., Site], way: str) -> None:
    """By a link, a copy, or when the lock file was removed: the second process is refused, and nothing is sent twice."""
    here = site(users=0, directors=0, backends=2, latency=0.1)
    process, run = started(here)
    with intruder(way, run) as second:
        refused = here.cli("--state-dir", str(second.state), "resume", second.target)
        assert refused.code == 5, refused.said
        assert f"is being worked on by pid {process.pid}" in refused.err
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert set(sent(here).values()) == {1}
    assert len(sent(here)) == 120


def test_a_run_file_with_two_names(site: Callable[..., Site]) -> None:
    """A run whose file has a hard link, as some backups make them, is resumed when it is a file of its own again."""
    here = site(users=0, directors=0, backends=2, latency=0.1)
    process, run = started(here)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    link = here.cli.folder / "backup.run"
    os.link(run, link)
    refused = here.cli("resume")
    assert refused.code == 3
    assert "has a second name" in refused.err
    link.unlink()
    assert here.cli("resume").code == 0
    assert set(sent(here).values()) == {1}


@contextlib.contextmanager
def standing_still(process: subprocess.Popen[str], run: Path) -> Iterator[sqlite3.Connection]:
    """A process is stopped, at a moment at which it does not write its run file; a connection that may."""
    with contextlib.closing(sqlite3.connect(run, isolation_level=None, timeout=0)) as connection:
        while True:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.005)
                continue
            connection.execute("COMMIT")
            break
        try:
            yield connection
        finally:
            process.send_signal(signal.SIGCONT)


def recorded(connection: sqlite3.Connection) -> list[object]:
    """All that a run file says of what was done."""
    return [
        connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
        for table in ("operation", "step", "session", "event", "remark", "owner")
    ]


def elsewhere(connection: sqlite3.Connection) -> None:
    """Have the owner be a process of another machine."""
    process = json.loads(connection.execute("SELECT process FROM owner").fetchone()[0])
    process |= {"host": "mx9", "boot": "another"}
    connection.execute("UPDATE owner SET process = ?", (json.dumps(process),))


@pytest.mark.parametrize("text", [COUNT, KICK], ids=["unrepeatable", "repeatable"])
def test_who_was_taken_for_dead_writes_nothing_more(site: Callable[..., Site], text: str) -> None:
    """A process that stood still while another one took its run over says so, ends with 3, and leaves the file as it is."""
    here = site(users=0, directors=0, backends=2, latency=0.05)
    process, run = started(here, text)
    with standing_still(process, run) as connection:
        elsewhere(connection)
        connection.execute("UPDATE owner SET token = 'of another'")
        before = recorded(connection)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "another process has taken over the run" in err
    with contextlib.closing(sqlite3.connect(run)) as connection:
        assert recorded(connection) == before


def test_taken_over_by_another_process(site: Callable[..., Site]) -> None:
    """The run is gone on with by `resume --take-over` alone, the first process notices, and nothing is sent or recorded twice."""
    here = site(users=0, directors=0, backends=2, latency=0.05)
    process, run = started(here)
    with standing_still(process, run) as connection:
        elsewhere(connection)
        run.with_name(run.name + ".lock").unlink()  # another machine has another one
        refused = here.cli("resume", run.stem)
        assert refused.code == 5
        assert "on mx9" in refused.err
        assert f"resume --take-over {run.stem}" in refused.err
        taken = here.cli("resume", "--take-over", run.stem)
        assert taken.code in {0, 4}, taken.said  # what was on the wire is in doubt
        before = recorded(connection)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "another process has taken over the run" in err
    with contextlib.closing(sqlite3.connect(run)) as connection:
        assert recorded(connection) == before
    assert settled(here.cli) == 0
    assert set(sent(here).values()) == {1}
    operations = here.cli.exported()
    assert {operation["state"] for operation in operations} == {"done"}
    assert {operation["attempts"] for operation in operations} == {1}
    assert [host.dictionaries["file:/x"] for host in here.fleet.fleet.hosts.values()] == [{"shared/n": "60"}] * 2


def settled(cli: CommandLine) -> int:
    """The run's end, with what is in doubt taken for done."""
    if cli("runs").out.split()[1] == "done":
        return 0
    return cli("resume", "--in-doubt", "done").code
