"""Whatever happens to what a run shows, the run goes on; what only prints ends quietly when nobody reads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import wait_until
from tests.integration.conftest import Site
from tests.terminal import Terminal

KICKS = """
name: Kick many
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
finally:
  - {name: Look at last, hosts: b1, command: who}
"""

COUNT = """
name: Count
steps:
  - name: Begin at 0
    hosts: backends
    command: dictSet
    for_each: {file: users.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", value: "0"}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {file: users.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
finally:
  - {name: Look at last, hosts: b1, command: who}
"""

HALF = {KICKS: 120, COUNT: 300}  # requests after which the output is lost, in the midst of the last step
ALL = {KICKS: 241, COUNT: 481}


def busy(site: Callable[..., Site], text: str = KICKS, users: int = 120) -> tuple[Site, str]:
    """A site with a run of some seconds."""
    here = site(users=0, directors=0, backends=2, latency=0.03)
    (here.cli.folder / "users.txt").write_text("".join(f"user{number:04}\n" for number in range(users)))
    return here, here.cli.playbook(text)


def reached(here: Site, number: int) -> None:
    """Wait until so many requests have arrived."""
    wait_until(lambda: len(here.fleet.requests) >= number)


def assert_all_done(here: Site, operations: int) -> None:
    """Every operation is done, and `finally` was run."""
    exported = here.cli.exported()
    assert {operation["state"] for operation in exported} == {"done"}
    assert len(exported) == operations
    assert here.commands()[-1] == "who"
    assert here.cli("runs").out.split()[1] == "done"


@pytest.mark.parametrize("options", [(), ("-v",), ("--format", "json")], ids=["bar", "lines", "json"])
@pytest.mark.parametrize("text", [KICKS, COUNT], ids=["repeatable", "unrepeatable"])
def test_a_lost_terminal_does_not_stop_a_run(site: Callable[..., Site], options: tuple[str, ...], text: str) -> None:
    """When the terminal goes in mid-run, all is sent and recorded, `finally` too, and the exit code is that of the run."""
    here, playbook = busy(site, text)
    with Terminal(here.cli, "run", playbook, "--yes", *options) as terminal:
        reached(here, HALF[text])
        terminal.lose()
        assert terminal.process.wait(60) == 0
    assert_all_done(here, ALL[text])


@pytest.mark.parametrize("options", [("--format", "json"), ("-vv",)], ids=["json", "lines"])
def test_a_reader_that_goes_away_does_not_stop_a_run(site: Callable[..., Site], options: tuple[str, ...]) -> None:
    """`| head` takes some lines of a run and goes: the run comes to its end, and says in a sentence what was not shown."""
    here, playbook = busy(site)
    words = [sys.executable, "-m", "orchestrator", "run", playbook, "--yes", *options]
    piped = "stdout" if "json" in options else "stderr"
    other = {"stdout": "stderr", "stderr": "stdout"}[piped]
    with (here.cli.folder / "other").open("w") as kept:
        process = subprocess.Popen(
            words, env=here.cli.environment, cwd=here.cli.folder, **{piped: subprocess.PIPE, other: kept}
        )
        stream = getattr(process, piped)
        stream.readline()
        stream.close()
        assert process.wait(60) == 0
    assert_all_done(here, 241)
    said = (here.cli.folder / "other").read_text()
    assert "Traceback" not in said
    if piped == "stdout":
        assert "some output was lost" in said


def test_an_interrupted_pipe_stops_cleanly(site: Callable[..., Site]) -> None:
    """Ctrl-C under `2>&1 | tee` kills the reader too: the run is interrupted as without it, `finally` run, nothing in doubt."""
    here, playbook = busy(site, COUNT)
    command = f'"{sys.executable}" -m orchestrator run {playbook} --yes -v 2>&1 | tee log; exit "${{PIPESTATUS[0]}}"'
    process = subprocess.Popen(
        ["bash", "-c", f"trap : INT; {command}"],
        env=here.cli.environment,
        cwd=here.cli.folder,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    reached(here, HALF[COUNT])
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert here.cli("runs").out.split()[1] == "interrupted"
    states = {operation["state"] for operation in here.cli.exported()}
    assert states == {"done", "pending"}
    assert here.commands()[-1] == "who"


def test_a_reader_that_stops_reading_holds_up_nothing(site: Callable[..., Site]) -> None:
    """A pipe that is full, as when a pager waits for a key, is no reason for the run to wait."""
    here, playbook = busy(site, KICKS, 400)
    words = [sys.executable, "-m", "orchestrator", "run", playbook, "--yes", "--format", "json"]
    process = subprocess.Popen(words, env=here.cli.environment, cwd=here.cli.folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    reached(here, 801)  # far more lines than a pipe holds, and nobody has read one
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest.count(b'"event": "attempt"') == 801
    assert_all_done(here, 801)


@pytest.fixture
def full_disk(tmp_path: Path) -> Path:
    """A file that takes nothing: every write says that the disk is full."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    return Path("/dev/full")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_behind_the_output_does_not_stop_a_run(
    site: Callable[..., Site], full_disk: Path, stream: str
) -> None:
    """A log that cannot be written any more is no reason to stop."""
    here, playbook = busy(site)
    words = [sys.executable, "-m", "orchestrator", "run", playbook, "--yes", "-v"]
    with full_disk.open("w") as full:
        done = subprocess.run(
            words,
            env=here.cli.environment,
            cwd=here.cli.folder,
            check=False,
            timeout=60,
            **{stream: full},
        )
    assert done.returncode == 0
    assert_all_done(here, 241)


PRINTS = [
    ("check",),
    ("exec", "backends", "who"),
    ("exec", "backends", "who", "--format", "json"),
    ("plan", "PLAYBOOK"),
    ("report",),
    ("runs",),
    ("export",),
    ("export", "--format", "csv"),
    ("show", "last", "--all"),
    ("commands",),
    ("playbooks",),
    ("schema",),
    ("--help",),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Nothing; keeps the parametrized tests together."""
    return tmp_path_factory


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_what_only_prints_ends_quietly_without_a_reader(site: Callable[..., Site], words: tuple[str, ...]) -> None:
    """A reader that is gone before the first line: exit code 141 and not a word; `exec` says what its run came to."""
    here = site(users=0, directors=0, backends=2)
    assert here.cli("exec", "backends", "who").code == 0
    playbook = here.cli.playbook("name: P\nsteps:\n  - {name: Ask, hosts: backends, command: who}\n")
    arguments = [playbook if word == "PLAYBOOK" else word for word in words]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            env=here.cli.environment,
            cwd=here.cli.folder,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    if words[0] == "exec":
        assert done.returncode == 0
        assert "could not be written" in done.stderr or "some output was lost" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [("runs",), ("export",), ("check",)], ids=" ".join)
def test_what_only_prints_says_that_the_disk_is_full(
    site: Callable[..., Site], full_disk: Path, words: tuple[str, ...]
) -> None:
    """A result that cannot be written is an error with its reason, and an exit code of its own."""
    here = site(users=0, directors=0, backends=1)
    assert here.cli("exec", "backends", "who").code == 0
    with full_disk.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            env=here.cli.environment,
            cwd=here.cli.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 74
    assert done.stderr == "error: the output cannot be written: No space left on device\n"


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody with a locale of the last century."""
    folder = tmp_path_factory.mktemp("locale")
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed here")
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")],
        check=False,
        capture_output=True,
        text=True,
    )
    if not (folder / "de_DE.ISO-8859-1").exists():
        pytest.skip(f"the locale cannot be made here: {made.stderr}")
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    "words",
    [("check",), ("plan", "PLAYBOOK"), ("run", "PLAYBOOK", "--yes"), ("run", "PLAYBOOK", "--yes", "--format", "json")],
)
def test_every_character_is_printed_in_any_locale(
    site: Callable[..., Site], latin: dict[str, str], words: tuple[str, ...]
) -> None:
    """What a locale's encoding has no place for is printed with escapes, and never ends a command."""
    here = site(users=0, directors=0, backends=1)
    (here.cli.folder / "users.txt").write_text("łukasz\n日本\n", encoding="utf-8")
    playbook = here.cli.playbook(KICKS)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *(playbook if word == "PLAYBOOK" else word for word in words)],
        env={**here.cli.environment, **latin},
        cwd=here.cli.folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if "run" in words:
        assert [
            operation["parameters"]["mask"] for operation in here.cli.exported() if operation["command"] == "kick"
        ] == [
            ["łukasz"],
            ["日本"],
        ]


def test_exports_are_utf8_in_any_locale(site: Callable[..., Site], latin: dict[str, str]) -> None:
    """What is exported can be read again anywhere: it is UTF-8 whatever the locale says."""
    here = site(users=0, directors=0, backends=1)
    (here.cli.folder / "users.txt").write_text("łukasz\n", encoding="utf-8")
    assert here.cli("run", here.cli.playbook(KICKS), "--yes").code == 0
    for form in ("jsonl", "csv"):
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "export", "--format", form],
            env={**here.cli.environment, **latin},
            capture_output=True,
            check=True,
        )
        assert "łukasz" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug(site: Callable[..., Site], closed: str) -> None:
    """Without stdin, stdout or stderr a run that needs no answer works, and one that needs it is refused."""
    here, playbook = busy(site, users=3)
    for options, code in (("--yes", 0), ("", 5)):
        command = f'exec "{sys.executable}" -m orchestrator run {playbook} {options} {closed}'
        done = subprocess.run(
            ["bash", "-c", command], env=here.cli.environment, cwd=here.cli.folder, check=False, timeout=60,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
