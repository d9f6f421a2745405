"""Every kind of trouble gives one clear message with what to do, the exit code of the table, and no traceback."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine, Result
from tests.integration.conftest import Site
from tests.integration.raw_server import Raw, http

FIVE_ERRORS = """
name: Wrong
stepps: []
steps:
  - name: One
    hosts: b1
    command: kcik
    parameters: {mask: [x]}
  - name: Two
    hosts: b1
    command: kick
    parameters: {maks: [x]}
  - name: Three
    hosts: b1
    command: who
    timeout: soon
"""


def clear(result: Result, code: int, *words: str) -> None:
    """One message with these words, that code, and no traceback."""
    assert result.code == code, result.said
    assert "Traceback" not in result.said
    for word in words:
        assert word in result.said, result.said


def test_wrong_password(site: Callable) -> None:
    """A refused secret is named as such, with where to look."""
    here = site()
    (here.cli.folder / "doveadm.password").write_text("wrong")
    clear(here.cli("exec", "b1", "who"), 1, "authentication refused", "check auth in the configuration")
    checked = here.cli("check", "b1")
    clear(checked, 1, "HTTP 401", "the secret is wrong")


def impatient(here: Site, seconds: str = "1500ms") -> None:
    """Wait for answers no longer than so."""
    text = here.cli.config.read_text()
    here.cli.config.write_text(text.replace("defaults:\n", f"defaults:\n  timeout: {{request: {seconds}}}\n"))


@pytest.mark.parametrize(
    ("fault", "words"), [("hang", "no complete answer within"), ("empty", "closed"), ("http=503", "HTTP 503")]
)
def test_check_finds_a_host_that_does_not_answer(site: Callable, fault: str, words: str) -> None:
    """A host that lists its commands and answers none is not OK, whichever version; it is named while it is waited for."""
    for version in ("2.3", "2.4"):
        here = site(version=version, directors=0, backends=3, faults=(f"host=b2,{fault}",))
        impatient(here)
        checked = here.cli("check")
        clear(checked, 1, "✗ b2", "does not answer one (serviceStatus)", words, "2 of 3 hosts OK, 1 not OK")


def test_check_tells_hosts_in_their_order(site: Callable) -> None:
    """The order is that of the configuration, however slow the first host is; also in JSON."""
    here = site(directors=2, backends=2, faults=("host=d1,slow=1", "host=b1,slow=0.3"))
    lines = here.cli("check").out.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["d1", "d2", "b1", "b2"]
    assert [found["host"] for found in here.cli("check", "--format", "json").json()] == ["d1", "d2", "b1", "b2"]


def test_check_says_whom_it_waits_for(site: Callable) -> None:
    """A host that is waited for is called by its name meanwhile, on stderr."""
    here = site(directors=0, backends=2, faults=("host=b2,slow=7",))
    checked = here.cli("check")
    clear(checked, 0, "2 of 2 hosts OK")
    assert "waiting for b2, for up to 15 s" in checked.err


@pytest.mark.parametrize(
    ("status", "remedy"),
    [("429 Too Many Requests", "lets nothing through now"), ("502 Bad Gateway", "does not reach it")],
)
def test_check_tells_a_proxy_from_a_host(cli_for: Callable[..., CommandLine], status: str, remedy: str) -> None:
    """What stands before a host and refuses has its own remedy."""
    with Raw(lambda _head, _body: http(b"no", status)) as server:
        clear(cli_for(server)("check"), 1, f"HTTP {status[:3]}", remedy)


def test_a_port_of_another_protocol(cli_for: Callable[..., CommandLine]) -> None:
    """A port where IMAP is spoken is called so; what was to be sent there has failed at once and is not retried."""
    with Raw(lambda _head, _body: b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n") as server:
        cli = cli_for(server)
        clear(cli("check"), 1, "this port speaks IMAP", "give the port of doveadm's HTTP listener")
        clear(
            cli("exec", "b1", "kick", "mask=u", "--yes"),
            1,
            "this port speaks IMAP, not doveadm's HTTP API: check the port",
        )
        assert cli.exported()[0]["attempts"] == 1


def test_refused_connection(site: Callable) -> None:
    """A host where nothing listens is unreachable, and `check` says what to look at."""
    here = site(faults=("host=b1,refuse",))
    here.cli.config.write_text(f"{here.cli.config.read_text()}retry: {{base: 5ms}}\n")
    clear(here.cli("check", "b1"), 1, "nothing listens there")
    clear(here.cli("exec", "b1", "who", "--timeout", "1s"), 1, "unreachable", "refused")


def test_unknown_command(site: Callable) -> None:
    """A misspelt command is an error before anything is sent, with the nearest word."""
    here = site()
    clear(here.cli("exec", "b1", "kcik", "mask=x", "--yes"), 2, "kcik", "did you mean 'kick'")
    assert here.fleet.requests == []


def test_missing_command_parameter(site: Callable) -> None:
    """A mandatory parameter that is missing (it would kill the server's process) is an error before anything is sent."""
    here = site()
    clear(here.cli("exec", "d1", "directorUp", "--yes"), 2, "directorUp needs the parameter 'host'")
    assert here.fleet.requests == []


def test_all_errors_of_a_playbook_at_once(site: Callable) -> None:
    """Five mistakes are shown together, each with line, column and caret."""
    here = site()
    result = here.cli("validate", here.cli.playbook("name: Wrong\nstepps: []\nsteps: 5\n"))
    clear(result, 2, "playbook.yaml:2:1", "did you mean 'steps'", "playbook.yaml:3:8")
    result = here.cli("validate", here.cli.playbook(FIVE_ERRORS))
    clear(result, 2, ":3:1: unknown key 'stepps'", ":16:14: 'soon' is not a duration", "^")
    clear(result, 2, "did you mean 'kick'", "kick has no parameter 'maks'", "kick needs the parameter 'mask'")


def test_missing_playbook_parameter(site: Callable) -> None:
    """A missing -e names the parameter and shows all of them."""
    here = site()
    clear(here.cli("plan", "drain-backend"), 2, "-e backend=... is missing", "-e parallel=INTEGER")


def test_unknown_run(site: Callable) -> None:
    """A run id that does not exist is named, with what lists the runs."""
    here = site()
    clear(here.cli("show", "20200101-nothing"), 2, "there is no run '20200101-nothing'", "orchestrator runs")


def test_unknown_playbook_and_file(site: Callable) -> None:
    """A playbook that does not exist gets the nearest shipped one."""
    here = site()
    clear(here.cli("run", "drain-bakend", "--yes"), 2, "did you mean 'drain-backend'")


def test_usage(site: Callable) -> None:
    """Bad usage is exit code 2 with a pointer to --help."""
    here = site()
    clear(here.cli("plan"), 2, "Missing argument", "--help")
    clear(here.cli("plna"), 2, "there is no verb")
    clear(here.cli("plan", "drain-backend", "-e", "backend"), 2, "is not name=value")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=False).returncode
    ):
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_while_running(site: Callable, small_disk: Path) -> None:
    """A disk that fills up stops the run with exit code 3; with room it is resumed, and all is done."""
    here = site(users=0, directors=0, backends=1)
    playbook = here.cli.playbook("""
name: Many
steps:
  - name: Look
    hosts: b1
    command: user
    for_each: {file: users.txt}
    parameters: {userMask: ["{{ item }}"]}
""")
    (here.cli.folder / "users.txt").write_text("user001\n" * 2500)
    here.cli.state = small_disk
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 7600 * 1024)
    result = here.cli("run", playbook, "--yes")
    clear(result, 3, "full", "resume")
    assert 0 < len(here.fleet.requests) < 2500
    ballast.unlink()
    again = here.cli("resume")
    assert again.code == 0, again.said
    assert {operation["state"] for operation in here.cli.exported()} == {"done"}
    answered = len(here.fleet.requests)
    assert answered < 2500 + 200  # what could not be recorded was sent again, and no more than that


def test_full_disk_while_planning(site: Callable, small_disk: Path) -> None:
    """A plan that does not fit on the disk leaves nothing behind."""
    here = site(users=0, directors=0, backends=1)
    playbook = here.cli.playbook(
        "name: Many\nsteps:\n  - {name: Look, hosts: b1, command: user, for_each: {file: users.txt},"
        " parameters: {userMask: ['{{ item }}']}}\n"
    )
    (here.cli.folder / "users.txt").write_text("".join(f"user{n}@example.com\n" for n in range(200_000)))
    clear(here.cli("plan", playbook, "-o", str(small_disk / "x.plan")), 3, "full")
    assert list(small_disk.iterdir()) == []


def test_the_secret_is_nowhere(site: Callable) -> None:
    """The secret and its base64 forms are in no output, run file or plan, not even when the server echoes it."""
    secret = "cAnArY-5up3r"
    here = site(password=secret, faults=("command=kick,echo_auth",))
    cli: CommandLine = here.cli
    playbook = cli.playbook(
        "name: Echo\nlimits: {max_failed: 100%}\nsteps:\n"
        "  - {name: Kick, hosts: backends, command: kick, parameters: {mask: [x]}}\n"
        "  - {name: Look, hosts: backends, command: who}\n"
    )
    said = [
        cli("check"),
        cli("plan", playbook, "-v", "--live"),
        cli("plan", playbook, "-o", "saved.plan"),
        cli("run", playbook, "--yes", "-vv"),
        cli("run", playbook, "--yes", "--format", "json"),
        cli("show"),
        cli("show", "--all"),
        cli("export"),
        cli("export", "--format", "csv"),
        cli("commands", "--host", "b1"),
    ]
    (cli.folder / "doveadm.password").write_text(secret + "\n\x01")
    said.append(cli("exec", "b1", "who", "-vv"))
    forms = {
        secret,
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"doveadm:{secret}".encode()).decode(),
    }
    files = [path for path in cli.folder.rglob("*") if path.is_file() and path.name != "doveadm.password"]
    assert len(files) > 3
    for form in forms:
        assert not [result for result in said if form in result.said]
        assert not [path for path in files if form.encode() in path.read_bytes()]


def test_a_global_option_after_the_verb(site: Callable) -> None:
    """It is said where -c belongs."""
    here = site()
    result = here.cli("runs", "-c", "config.yaml")
    assert result.code == 2
    assert "-c must come before the verb" in result.err


def test_a_relative_state_directory(site: Callable) -> None:
    """The configuration's `state_dir` is where the configuration is, wherever the command is given."""
    here = site(users=0, directors=0, backends=1)
    here.cli.config.write_text("state_dir: runs\n" + here.cli.config.read_text())
    environment = {name: value for name, value in here.cli.environment.items() if name != "ORCHESTRATOR_STATE_DIR"}
    words = [sys.executable, "-m", "orchestrator", "-c", str(here.cli.config), "exec", "b1", "who"]
    subprocess.run(words, cwd="/", env=environment, check=True, capture_output=True, timeout=240)
    assert len(list((here.cli.folder / "runs").glob("*.run"))) == 1
