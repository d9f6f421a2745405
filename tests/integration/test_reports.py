"""The report of a real run, for tickets, browsers and programs: what was planned, what happened, what is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.command_line import CommandLine, Result, wait_until
from tests.integration.conftest import Site
from tests.terminal import Terminal
from tests.unit.test_document_views import Page, pieces, shape

KICKS = """
name: Kick | <b>count</b>
description: |
  Kicks some users.

  Then it counts.
steps:
  - name: Kick each user
    hosts: backends
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
    limits: {in_flight: 2}
  - name: Count @all
    hosts: b1
    command: dictInc
    for_each: [a, b]
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", difference: 1}
    limits: {max_failed: 100%, per_host: 1}
"""

UNDO = """
name: Change and fail
on_failure: undo
steps:
  - name: Change
    hosts: b1
    command: dictSet
    parameters: {dictUri: "file:/x", key: shared/n, value: "1"}
    undo: {command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - {name: Kick, hosts: b1, command: kick, parameters: {mask: [joe]}, retry: {attempts: 2, base: 1ms}}
"""


def interrupted(site: Callable[..., Site]) -> Site:
    """A run that was interrupted, resumed, and stopped with one operation failed and one in doubt."""
    faults = ("command=kick,host=b2,exit=75,first=2", "command=dictInc,empty=after,first=1", "command=dictInc,exit=65")
    here = site(users=20, directors=1, backends=2, latency=0.02, backend_versions={"b2": "2.4"}, faults=faults)
    (here.cli.folder / "users.txt").write_text("".join(f"{user}\n" for user in here.fleet.fleet.accounts))
    with Terminal(here.cli, "run", here.cli.playbook(KICKS), "--yes", "--break-glass", "disk | of `b1`") as terminal:
        terminal.wait_for("or Enter to leave: ")
        terminal.type("break glass\n")
        wait_until(lambda: here.commands().count("kick") >= 6)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert here.cli("resume").code == 4
    return here


def ok(result: Result) -> str:
    """What was printed by a command that did what it was told."""
    assert (result.code, result.err) == (0, ""), result.said
    return result.out


@pytest.fixture
def made(site: Callable[..., Site]) -> Site:
    """Such a run."""
    return interrupted(site)


def test_an_interrupted_run_is_told_in_each_form(made: Site) -> None:
    """Interruption, resumption, failure, doubt, retries, sessions that were cut, emergency and next command are in all of them."""
    ticket = ok(made.cli("report", "--format", "markdown"))
    page = ok(made.cli("report", "--format", "html"))
    seen = {"markdown": "\n".join(pieces(ticket)), "html": " ".join(Page(page).texts)}
    run = made.cli("runs", "--format", "json").json()[0]["run"]
    for words in (
        "Report: Kick | <b>count</b>", "windows, freezes and approvals ignored", "disk | of `b1`", "in doubt", "Kicks some users.", "Kick each user", "Count @all",
        "interrupted: Ctrl-C", "What users noticed", "cut off, as the hosts answered", "user", "connection", "Failures by cause", "exit code 65",
        "closed without an answer", "2.1", "exit code 75", "What takes it back", "What to do next", "orchestrator 0.1.0",
    ):  # fmt: skip
        assert [form for form, text in seen.items() if words not in text] == []
    assert f"orchestrator show {run} --in-doubt" in ticket
    assert "html_block" not in shape(ticket)
    assert "<b>" not in page
    assert Page(page).tags.count("rect") >= 5  # two sessions, a step in two pieces, another step


def test_programs_get_what_happened(made: Site) -> None:
    """One JSON line: the report as always, with sessions, retries, what users noticed by host, and decisions as they are made."""
    [found] = made.cli("report", "--format", "json").json()
    [shown] = made.cli("show", "--format", "json").json()
    assert {name: found[name] for name in shown if name not in {"steps", "causes"}} == {
        name: shown[name] for name in shown if name not in {"steps", "causes"}
    }
    kick, count = found["steps"]
    assert (kick["planned"], kick["state"], count["planned"], count["counts"]) == (
        kick["counts"]["done"],
        "done",
        2,
        {"failed": 1, "in_doubt": 1},
    )
    assert kick["retries"] == sum(retried["times"] for retried in found["retried"]) == 2
    assert [retried["hosts"] for retried in found["retried"]] == [["b2"]]
    cut = {host["host"]: host["users"] + host["connections"] for host in kick["users_noticed"]["hosts"]}
    assert min(cut.values()) > 0
    assert [happened["kind"] for happened in found["happened"]] == ["break glass"]
    assert [record["id"] for record in found["in_doubt"]] == ["2.1"]
    assert found["description"].startswith("Kicks some users.")
    made.cli("decide", "last", "2.1", "--as", "done")
    [found] = made.cli("report", "--format", "json").json()
    assert [happened["kind"] for happened in found["happened"]] == ["break glass", "decided"]
    assert found["happened"][1]["text"].startswith("done of 1 in doubt: by ")
    assert found["in_doubt"] == []


def test_what_was_undone_is_told(site: Callable[..., Site]) -> None:
    """A run that failed and was undone names what took each change back, and that it was done."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,exit=64",))
    here.cli("run", here.cli.playbook(UNDO), "--yes")
    ticket = ok(here.cli("report", "--format", "markdown"))
    assert "> **Warning:** **undone**" in ticket
    assert "(dictSet) | done (1 done) |" in ticket
    assert "undoing what was done: step 2" in ticket


def test_a_file_is_new(site: Callable[..., Site]) -> None:
    """A report is written to a file as it is printed, in each form, and never over another file."""
    here = site(users=0, directors=0, backends=1)
    here.cli("exec", "b1", "who", "--yes")
    beginnings = {"text": "Run ", "markdown": "# Report: ", "html": "<!DOCTYPE html>", "json": '{"run": '}
    for form, beginning in beginnings.items():
        target = here.cli.folder / f"{form} of CHG-1"
        written = here.cli("report", "--format", form, "-o", str(target))
        assert (written.code, written.out, written.err) == (0, "", f"saved as {target}\n")
        assert target.read_text(encoding="utf-8").startswith(beginning)
    target = here.cli.folder / "html of CHG-1"
    assert target.read_text(encoding="utf-8") == ok(here.cli("report", "--format", "html"))
    again = here.cli("report", "-o", str(target))
    assert (again.code, again.out) == (5, "")
    assert f"error: {target} exists" in again.err
    nowhere = here.cli("report", "-o", str(here.cli.folder / "no" / "where"))
    assert nowhere.code == 2
    assert "cannot be created: No such file or directory" in nowhere.err


def test_a_file_that_cannot_be_written_is_not_left_behind(site: Callable[..., Site]) -> None:
    """When the disk takes no more, that is said, and half a report is not there."""
    here = site(users=0, directors=0, backends=1)
    here.cli("exec", "b1", "who", "--yes")
    shell = f"ulimit -f 1; trap '' XFSZ; exec {sys.executable} -m orchestrator report --format html -o half.html"
    done = in_shell(here.cli, shell)
    assert done.code == 74, done.said
    assert "the output cannot be written" in done.err
    assert not (here.cli.folder / "half.html").exists()


def test_a_run_that_is_going_on_is_told_as_it_stands(site: Callable[..., Site]) -> None:
    """Another process may report a run while it is worked on: who does, and what is done so far."""
    here = site(users=0, directors=0, backends=1, latency=0.2)
    (here.cli.folder / "users.txt").write_text("".join(f"user{number}\n" for number in range(200)))
    process = here.cli.start("run", here.cli.playbook(KICKS), "--yes")
    wait_until(lambda: here.commands().count("kick") >= 2)
    ticket = ok(here.cli("report", "--format", "markdown"))
    assert "> **Note:** **running** by pid " in ticket
    assert "| 1 | Kick each user | running | 200 |" in ticket
    assert "| still running |" in ticket
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_plan_that_was_not_begun_has_a_report(site: Callable[..., Site]) -> None:
    """A saved plan has a report too, by its path: planned, nothing sent."""
    here = site(users=0, directors=0, backends=1)
    here.cli("plan", here.cli.playbook(UNDO), "-o", "a.plan")
    ticket = ok(here.cli("report", "a.plan", "--format", "markdown"))
    assert "> **Note:** **planned**" in ticket
    assert "apply a.plan" in ticket
    assert "## Time line" not in ticket
    assert here.commands() == []


def test_a_page_in_another_locale_is_utf8(site: Callable[..., Site]) -> None:
    """A page says that it is UTF-8, and is, whatever the locale's encoding."""
    here = site(users=0, directors=0, backends=1)
    here.cli("run", here.cli.playbook("{name: Jürgens, steps: [{name: Look, hosts: b1, command: who}]}"), "--yes")
    shell = f"LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec {sys.executable} -m orchestrator report --format html"
    done = in_shell(here.cli, shell)
    assert done.code == 0, done.said
    assert "Report: Jürgens" in done.out


def in_shell(cli: CommandLine, shell: str) -> Result:
    """What a shell runs."""
    done = subprocess.run(["bash", "-c", shell], env=cli.environment, cwd=cli.folder, capture_output=True, check=False)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
