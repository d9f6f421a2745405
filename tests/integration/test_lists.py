"""Lists as people have them, through the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CommandLine

CONFIG = """
defaults: {scheme: http, port: 9, auth: {password: {env: NOBODY_ASKS}}}
groups:
  directors: {hosts: {d1: 127.0.0.1}}
  backends: {hosts: {"b[1-2]": "127.0.0.[11-12]"}}
"""
KICK = """
name: Kick
parameters: {users: {type: file, required: true}}
steps:
  - {name: See, hosts: b1, command: who, register: seen}
  - {name: Kick, hosts: b1, for_each: {file: "{{ users }}"}, command: kick, parameters: {mask: ["{{ item }}"]}}
  - {name: Later, hosts: b1, for_each: {file: "{{ users }}"}, when: "{{ item in seen.rows | column('username') }}",
     command: kick, parameters: {mask: ["{{ item }}"]}}
"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line with a configuration of hosts that nobody asks."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    return CommandLine(tmp_path, config)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[bytes], str]:
    """A function that writes a list; returns its path."""

    def write(content: bytes) -> str:
        (tmp_path / "list").write_bytes(content)
        return str(tmp_path / "list")

    return write


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "list: has no names (-e users)"),
        (b"user001\nuser\xe2\x80\x8b002\n", "list:2:5: U+200B ZERO WIDTH SPACE"),
        (b"user001\n*\n", "list:2:1: '*' is a pattern: every user"),
        (b"username   # proto (pids) (ips)\n", "list:1:1: this looks like the output of doveadm who"),
        (b"user001\nM\xfcller\n", "iconv -f ISO-8859-1 -t UTF-8"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_bad_list_of_users_is_refused(
    cli: CommandLine, listed: Callable[[bytes], str], verb: str, content: bytes, said: str
) -> None:
    """A shipped playbook is not even planned for a list of users that has a bad line or nobody, and no run is left to retry."""
    result = cli(verb, "kick-users", "-e", f"users={listed(content)}", *(["--yes"] if verb == "run" else []))
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert not list(cli.state.glob("**/*.run"))


def test_a_list_is_counted_and_its_oddities_are_told(cli: CommandLine, listed: Callable[[bytes], str]) -> None:
    """The plan says how many names there are, and ends with what is odd about the list."""
    path = listed(b'\xef\xbb\xbf"user001"\r\n\xef\xbb\xbfuser002\r\nuser001\r\nwe ird\r\n')
    out = cli("plan", "kick-users", "-e", f"users={path}").out
    assert f"users={path} (4 names)" in out
    assert f"WARNING: {path}: 1 line repeats an earlier one, the first 'user001' on lines 1 and 3" in out
    assert f"WARNING: {path}: 1 line with a blank within the name: line 4: 'we ird'" in out
    told = cli("plan", "kick-users", "-e", f"users={path}", "--format", "json").json()[0]
    assert (told["parameters"]["users"], len(told["warnings"])) == (path, 2)


def test_patterns_are_told_at_the_end_of_a_plan(cli: CommandLine, listed: Callable[[bytes], str]) -> None:
    """A playbook of one's own takes patterns, and its plan ends with them."""
    path = listed(b"user001\n*\n127.0.0.1\n")
    out = cli("plan", cli.playbook(KICK), "-e", f"users={path}").out
    warning = (
        f"WARNING: {path}: 2 lines for more than one user: line 2: '*' is a pattern: every user; line 3: '127.0.0.1' is"
    )
    assert warning in "\n".join(out.splitlines()[-4:])


def test_an_empty_list_is_told(cli: CommandLine, listed: Callable[[bytes], str]) -> None:
    """A playbook of one's own may have nothing to do, and its plan says so."""
    result = cli("plan", cli.playbook(KICK), "-e", f"users={listed(b'')}")
    assert result.code == 0
    assert "has no items: step 2 (Kick) sends 0 requests" in result.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "list: cannot read the items: No such file or directory"),
        (b"User;Backend\nu1;127.0.0.11\n", "list:1:1: no column 'backend', 'user', which step 4 (Move each user who is elsewhere) reads; the columns are 'User', 'Backend' (did you mean 'Backend'?)"),
        (b"user;backend\nu1;127.0.0.11;x\n", "list:2:1: 3 fields, but the header has 2 (columns are divided by semicolons)"),
    ],
)  # fmt: skip
def test_a_file_of_a_late_step_is_checked_at_planning(
    cli: CommandLine, listed: Callable[[bytes], str], content: bytes | None, said: str
) -> None:
    """A file that only steps use whose requests are known in the run is read and checked when the plan is made."""
    path = str(cli.folder / "list") if content is None else listed(content)
    result = cli("plan", "move-users", "-e", f"moves={path}")
    assert result.code == 2
    assert said in result.err


def test_a_semicolon_file_of_a_late_step_is_planned(cli: CommandLine, listed: Callable[[bytes], str]) -> None:
    """A CSV file with semicolons is planned as one with commas."""
    assert (
        cli("plan", "move-users", "-e", f"moves={listed(b'user;backend' + bytes([10]) + b'u1;127.0.0.11')}").code == 0
    )


def test_a_host_in_a_csv_file_is_told_at_its_line(cli: CommandLine, listed: Callable[[bytes], str]) -> None:
    """An unknown host in a column is told with the file's line and column."""
    text = (
        "name: P\nparameters: {moves: {type: file, required: true}}\nsteps:\n  - {name: K, hosts: '{{ item.to }}', "
        "for_each: {csv: '{{ moves }}'}, command: kick, parameters: {mask: ['{{ item.user }}']}}\n"
    )
    result = cli(
        "plan",
        cli.playbook(text),
        "-e",
        f"moves={listed(b'user,to' + bytes([10]) + b'u1,b1' + bytes([10]) + b'u2,b3')}",
    )
    assert result.code == 2
    assert "list:3:1: column 'to': no host is called 'b3' or has that address" in result.err


def test_what_was_reviewed_is_what_is_applied(site: Callable[..., Any], tmp_path: Path) -> None:
    """A saved plan moves who stood in the file when it was made, whatever became of the file since."""
    here = site(users=12)
    path = tmp_path / "moves.csv"
    path.write_text(
        f"user;backend\nuser001;{here.fleet.fleet.hosts['b1'].address}\nuser001;{here.fleet.fleet.hosts['b2'].address}\n"
    )
    assert here.cli("plan", "move-users", "-e", f"moves={path}", "-o", "saved.plan").code == 0
    path.unlink()
    here.cli("apply", "saved.plan", "--yes")
    moved = [request for request in here.fleet.requests if request.command == "directorMove"]
    assert {request.parameters["user"] for request in moved} == {"user001"}


def test_two_lists_make_two_digests(cli: CommandLine, listed: Callable[[bytes], str]) -> None:
    """Plans for different files differ in their digest, also when only late steps use the file."""
    digests = [
        cli("plan", "move-users", "-e", f"moves={listed(content)}", "--format", "json").json()[0]["digest"]
        for content in (b"user,backend\nu1,127.0.0.11\n", b"user,backend\nu2,127.0.0.11\n")
    ]
    assert digests[0] != digests[1]


def test_a_run_from_standard_input_is_resumable(site: Callable[..., Any]) -> None:
    """A run whose list came by a pipe is gone on with when the pipe is gone: late steps have the same names."""
    here = site(users=12, faults=("command=kick,first=1,exit=64",))
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", here.cli.playbook(KICK), "-e", "users=-", "--yes"],
        input=b"user001\nuser002\n",
        env=here.cli.environment,
        cwd=here.cli.folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert here.cli("retry").code == 0
    kicks = [(line["step"], line["parameters"]["mask"]) for line in here.cli.exported() if line["command"] == "kick"]
    assert kicks == [(step, [user]) for step in ("2", "3") for user in ("user001", "user002")]


@pytest.mark.parametrize("how", ["users=-", "users=/dev/stdin"])
@pytest.mark.parametrize("playbook", ["kick-users", "own"])
def test_standard_input_is_a_list(cli: CommandLine, how: str, playbook: str) -> None:
    """What comes in by a pipe is read once, for all steps that use it."""
    name = cli.playbook(KICK) if playbook == "own" else playbook
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "plan", name, "-e", how],
        input=b"user001\nuser002\n",
        env=cli.environment,
        cwd=cli.folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b'"user002"' in done.stdout


def test_a_process_substitution_is_a_list(cli: CommandLine) -> None:
    """A list may be what a shell's <(...) gives."""
    line = f"{sys.executable} -m orchestrator plan kick-users -e users=<(printf 'user001\\nuser002\\n')"
    done = subprocess.run(["bash", "-c", line], env=cli.environment, cwd=cli.folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"(2 names)" in done.stdout


def test_the_end_says_how_many_names_were_found(site: Callable[..., Any]) -> None:
    """A list of which most names nobody has is "done", and says so: at the end, in the report and for programs."""
    here = site(users=3, directors=0, backends=2)
    users = here.cli.folder / "list.txt"
    users.write_text("user001\nnobody1\nnobody2\n")
    done = here.cli("run", "kick-users", "-e", f"users={users}", "--yes")
    assert done.code == 0, done.said
    assert "1 of 3 names had a session (2 had none)" in done.out
    assert "1 of 3 names had a session" in here.cli("report").out
    assert here.cli("report", "--format", "json").json()[0]["found"] == [
        {"step": "2", "text": "1 of 3 names had a session (2 had none)"}
    ]
    users.write_text("nobody1\nnobody2\n")
    none = here.cli("run", "kick-users", "-e", f"users={users}", "--yes")
    assert "none of 2 names had a session: is the list right" in none.out


def test_warnings_are_shown_when_nobody_sees_the_plan(site: Callable[..., Any]) -> None:
    """With --yes the plan is not shown, and what a reviewer should know of its lists is told all the same."""
    here = site(users=3, directors=0, backends=1)
    users = here.cli.folder / "list.txt"
    users.write_text("user001\nuser001\n")
    done = here.cli("run", "kick-users", "-e", f"users={users}", "--yes")
    assert done.code == 0, done.said
    assert "warning: 1 line repeats an earlier one" in done.err.replace(str(users) + ": ", "")
