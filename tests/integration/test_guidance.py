"""What is printed as the next command does what it says, and nobody resumes a run that is not meant."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable

from tests.integration.conftest import Site
from tests.terminal import Terminal

BAD = """
name: Some are not there
parameters:
  note: {type: string, default: x}
steps:
  - name: Status
    hosts: b1
    command: mailboxStatus
    for_each: [user001, nobody1, user002, nobody2, user003, nobody3, user004, user005]
    limits: {in_flight: 1}
    parameters: {user: "{{ item }}", field: [messages], mailboxMask: [INBOX]}
  - {name: Kick, hosts: b1, command: kick, parameters: {mask: [user001]}}
"""

ASKS = """
name: Asks
steps:
  - {name: Ask, pause: {confirm: "Go on?"}}
  - {name: Kick, hosts: b1, command: kick, parameters: {mask: [user001]}}
"""


def following(text: str) -> list[list[str]]:
    """The commands that are printed as the next ones, without the program's name."""
    lines = [line for line in text.splitlines() if line.startswith("next: ")]
    return [shlex.split(line.removeprefix("next: "))[1:] for line in lines]


def other_operator(here: Site) -> None:
    """Have the last session be somebody else's."""
    [path] = here.cli.state.glob("*.run")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE session SET who = 'joe on elsewhere, pid 1'")
    connection.close()


def test_what_would_stop_again_is_gone_past_as_printed(site: Callable[..., Site]) -> None:
    """A retry that can only stop at the same failures has another beside it, which comes to the end of the run."""
    here = site(users=8, directors=1, backends=1)
    stopped = here.cli("run", here.cli.playbook(BAD), "--yes")
    assert stopped.code == 3
    retry, past = following(stopped.out)
    assert past[:2] == retry
    assert "--max-failed" in past
    assert here.cli(*retry).code == 3
    again = here.cli(*past)
    while again.code == 3:  # as many more may fail as were seen by then
        again = here.cli(*following(again.out)[1])
    assert again.code == 1
    states = {operation["state"] for operation in here.cli.exported()}
    assert states == {"done", "failed"}


def test_one_unfinished_run_of_mine_is_resumed_without_a_question(site: Callable[..., Site]) -> None:
    """Where no other can be meant, `resume` goes on at once, and says with what, whose and how much is left."""
    here = site(users=0, directors=0, backends=1)
    with Terminal(here.cli, "run", here.cli.playbook(ASKS)) as terminal:
        terminal.wait_for("or Enter to leave: ")
        terminal.type("b1\n")
        terminal.wait_for("Go on? [y/N]")
        terminal.type("n\n")
        assert terminal.end() == 3
    resumed = here.cli("resume")
    assert resumed.code == 3  # at its question, since nobody can be asked
    assert "Asks: stopped just now, by " in resumed.err
    assert "; 1 operation left, 1 of them changes" in resumed.err


def test_one_of_several_unfinished_runs_is_asked_about(site: Callable[..., Site]) -> None:
    """Each is shown with values, age and operator; without a terminal, and with a no, nothing is sent; a name needs no question."""
    here = site(users=8, directors=1, backends=1)
    playbook = here.cli.playbook(BAD)
    for note in ("first", "second"):
        assert here.cli("run", playbook, "--yes", "-e", f"note={note}").code == 3
    sent = len(here.fleet.requests)
    refused = here.cli("resume")
    assert (refused.code, len(here.fleet.requests)) == (5, sent)
    assert "several runs are unfinished" in refused.err
    shown = [line for line in refused.err.splitlines() if line.startswith("unfinished: ")]
    assert ["note=second" in line for line in shown] == [True, False]
    assert all("stopped just now, by " in line and "operations left, 1 of them changes" in line for line in shown)
    with Terminal(here.cli, "resume") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("\n")
        assert terminal.end() == 5
    assert len(here.fleet.requests) == sent
    named = shlex.split(
        next(line for line in refused.err.splitlines() if "hint" in line).partition(": ")[2].partition(": ")[2]
    )
    assert here.cli(*named[1:]).code == 3
    assert here.cli("resume", "--yes").code == 3


def test_the_run_of_somebody_else_is_asked_about(site: Callable[..., Site]) -> None:
    """The only unfinished run is not gone on with unasked when another operator, or another machine, worked on it."""
    here = site(users=8, directors=1, backends=1)
    assert here.cli("run", here.cli.playbook(BAD), "--yes").code == 3
    other_operator(here)
    refused = here.cli("resume")
    assert refused.code == 5
    assert "the unfinished run is somebody else's" in refused.err
    assert "by joe on elsewhere" in refused.err
    with Terminal(here.cli, "resume") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("y\n")
        assert terminal.end() == 3


def test_what_is_in_doubt_is_listed_with_what_decides_it(site: Callable[..., Site]) -> None:
    """The list ends with the commands that settle one of them, and all that are left."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,reset,applied",))
    count = "{name: Count, hosts: b1, command: dictInc, parameters: {dictUri: 'file:/x', key: shared/x, difference: 1}}"
    stopped = here.cli("run", here.cli.playbook(f"name: Count\nsteps:\n  - {count}\n"), "--yes")
    assert stopped.code == 4
    listed = here.cli(*following(stopped.out)[0])
    one, all_left = following(listed.err)
    decided = here.cli(*(word.replace("done|retry|failed", "done") for word in one))
    assert (decided.code, "1 decided as done; 0 left in doubt" in decided.err) == (0, True)
    assert here.cli(*(word.replace("done|retry|failed", "done") for word in all_left)).code == 0
    assert here.cli("show", "--in-doubt").err == "nothing is in doubt\n"


def test_a_saved_plan_is_named_as_it_was_typed(site: Callable[..., Site]) -> None:
    """`show`, `report` and `apply` take a plan's file with and without ./, and the command that they name works."""
    here = site(users=0, directors=0, backends=1)
    kick = here.cli.playbook("name: K\nsteps:\n  - {name: K, hosts: b1, command: kick, parameters: {mask: [a]}}\n")
    for verb in ("show", "report"):
        for prefix in ("", "./", f"{here.cli.folder}/"):
            saved = f"{verb}{len(prefix)}.plan"
            assert here.cli("plan", kick, "-o", saved).code == 0
            shown = here.cli(verb, f"{prefix}{saved}")
            assert shown.code == 0
            [apply] = following(shown.out)
            assert here.cli(*apply, "--yes").code == 0
    assert here.commands().count("kick") == 6
