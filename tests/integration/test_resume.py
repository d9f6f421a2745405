"""What a run was started with, `resume` and `retry` keep; and what they say is to be typed next works as it stands."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Result, signal, wait_until
from tests.integration.conftest import Site

KICKS = """
name: Kick many
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
"""


def interrupted(here: Site, *options: str, users: int = 100) -> Result:
    """A run that was stopped with Ctrl-C when some of its requests had been sent."""
    (here.cli.folder / "users.txt").write_text("".join(f"user{number:04}\n" for number in range(users)))
    process = here.cli.start(*options[:0], "run", here.cli.playbook(KICKS), "--yes", *options)
    wait_until(lambda: len(here.fleet.requests) >= 15)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)


def test_a_rate_is_kept(site: Callable[..., Site]) -> None:
    """A run that was started with --rate is resumed with it, says so, and can be given another."""
    here = site(users=0, directors=0, backends=2)
    assert interrupted(here, "--rate", "40", users=30).code == 130
    before = len(here.fleet.requests)
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert "with --rate 40" in resumed.err
    times = [request.time for request in list(here.fleet.requests)[before:]]
    assert len(times) <= 2 + 40 * (times[-1] - times[0] + 0.1)


def test_how_many_may_fail_is_kept(site: Callable[..., Site]) -> None:
    """Neither `resume` nor `retry` falls back to "none may fail" when the run was started with more."""
    here = site(users=0, directors=0, backends=2, faults=("command=kick,rate=0.05,exit=64",))
    stopped = interrupted(here, "--max-failed", "50%", "--in-flight", "7")
    assert stopped.code == 130, stopped.said
    resumed = here.cli("resume")
    assert resumed.code == 1, resumed.said
    assert "--in-flight 7 --max-failed 50%" in resumed.err
    retried = here.cli("retry")
    assert retried.code in {0, 1}, retried.said
    assert "--max-failed 50%" in retried.err


@pytest.mark.parametrize("options", [("-c", "my config.yaml"), ("--state-dir", "here it is")], ids=["config", "state"])
def test_what_comes_next_works_as_typed(site: Callable[..., Site], options: tuple[str, str]) -> None:
    """The command that an end names is the one that goes on, global options included: copied to a shell, it does."""
    here = site(users=0, directors=0, backends=2, faults=("command=kick,first=1,exit=64",))
    folder = here.cli.folder
    text = here.cli.config.read_text()
    (folder / "my config.yaml").write_text(text + "state_dir: elsewhere\n")
    (folder / "users.txt").write_text("a\nb\n")
    playbook = here.cli.playbook(KICKS)
    environment = {k: v for k, v in here.cli.environment.items() if k != "ORCHESTRATOR_STATE_DIR"}
    environment["XDG_STATE_HOME"] = str(folder / "home")

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        program = f"{shlex.quote(sys.executable)} -m orchestrator"
        return subprocess.run(
            ["sh", "-c", re.sub(r"^orchestrator", program, command)],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    first = shell(f"orchestrator {options[0]} '{options[1]}' run {playbook} --yes")
    assert first.returncode == 3, first.stderr
    following = re.search(r"^next: (.*)$", first.stdout, re.MULTILINE)
    assert following, first.stdout
    again = shell(following[1])
    assert again.returncode == 0, again.stderr
    shown = re.search(r"`(orchestrator [^`]* report [^`]*)`", again.stdout)
    assert shown, again.stdout
    report = shell(shown[1])
    assert report.returncode == 0, report.stderr
    assert "4 planned = 4 done" in report.stdout


def test_hints_name_commands_as_this_one_was_typed(site: Callable[..., Site]) -> None:
    """A hint that names a verb does so with the global options that were given."""
    here = site(users=0, directors=0, backends=1)
    assert here.cli("--state-dir", "x y", "exec", "b1", "who").code == 0
    refused = here.cli("--state-dir", "x y", "resume", "last")
    assert refused.code == 5
    assert "`orchestrator --state-dir 'x y' show" in refused.err


def test_a_full_disk_at_resume(site: Callable[..., Site], tmp_path: Path) -> None:
    """`resume` on a disk that is full says so, with exit code 3, and sends nothing; with room, it goes on."""
    here = site(users=0, directors=0, backends=2)
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        here.cli.state = mount
        assert interrupted(here).code == 130
        sent, filler = len(here.fleet.requests), mount / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        full = here.cli("resume")
        assert full.code == 3, full.said
        assert "Traceback" not in full.said
        assert "full" in full.err or "No space left" in full.err
        assert len(here.fleet.requests) == sent
        filler.unlink()
        assert here.cli("resume").code == 0
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_link_that_leads_nowhere(site: Callable[..., Site]) -> None:
    """What is no run file in the state directory hides no other run: the verbs work, and name it."""
    here = site(users=0, directors=0, backends=2)
    assert interrupted(here).code == 130
    (here.cli.state / "zz.run").symlink_to("nowhere")
    assert "interrupted" in here.cli("runs").out
    assert "interrupted" in here.cli("report").out
    for words in (("show", "zz"), ("resume", "zz"), ("report", "zz")):
        named = here.cli(*words)
        assert named.code == 3, named.said
        assert "zz.run" in named.err
    assert here.cli("resume").code == 0
