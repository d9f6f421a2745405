"""Only what is typed after a question is an answer to it, and the question says what it is about."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.integration.conftest import Site
from tests.terminal import Terminal

CHANGE = """
name: Kick somebody
parameters:
  who: {type: string, required: true}
steps:
  - {name: Kick, hosts: 'b[1-2]', command: kick, parameters: {mask: ["{{ who }}"]}}
"""

TWICE = """
name: Two questions
steps:
  - {name: Ask, pause: {confirm: "Is it the first?"}}
  - {name: Work, hosts: b1, command: who}
  - {name: Ask again, pause: {confirm: "Is it the second?"}}
  - {name: Kick, hosts: b1, command: kick, parameters: {mask: [a]}}
"""


def test_what_was_typed_before_is_no_answer(site: Callable[..., Site]) -> None:
    """A y that was typed while the plan was made confirms nothing; the question waits for another one."""
    here = site(users=0, directors=0, backends=2)
    playbook = here.cli.playbook(CHANGE)
    with Terminal(here.cli, "run", playbook, "-e", "who=jane") as terminal:
        terminal.type("y\ny\n")
        terminal.wait_for("[y/N]")
        time.sleep(1)  # long enough for a program that took the y to have sent something
        assert terminal.process.poll() is None
        assert here.fleet.requests == []
        terminal.type("y\n")
        assert terminal.end() == 0
    assert here.commands().count("kick") == 2


def test_a_question_within_a_run_waits_for_its_own_answer(site: Callable[..., Site]) -> None:
    """Two early answers to a first question do not answer the second."""
    here = site(users=0, directors=0, backends=1)
    with Terminal(here.cli, "run", here.cli.playbook(TWICE)) as terminal:
        terminal.wait_for("Run it?")
        terminal.type("y\n")
        terminal.wait_for("Is it the first? [y/N]")
        terminal.type("y\ny\n")
        terminal.wait_for("Is it the second? [y/N]")
        time.sleep(1)
        assert "kick" not in here.commands()
        terminal.type("n\n")
        assert terminal.end() == 3
    assert "kick" not in here.commands()


def test_the_question_names_what_is_about_to_happen(site: Callable[..., Site]) -> None:
    """Playbook, values, hosts and user impact stand in the question itself, however long the plan above it is."""
    here = site(users=0, directors=0, backends=3)
    with Terminal(here.cli, "run", here.cli.playbook(CHANGE), "-e", "who=jane") as terminal:
        terminal.wait_for("[y/N]")
        question = terminal.shown[terminal.shown.rindex("\nKick somebody") :]
        assert "who=jane" in question
        assert "b[1-2]" in question
        assert "user impact in step 1" in question
        terminal.type("what?\n")
        terminal.wait_for("please answer y or n\r\nKick somebody")  # what was typed before a question is no answer
        terminal.type("n\n")
        assert terminal.end() == 5


def test_exec_says_how_many_notice_it_before_it_asks(site: Callable[..., Site]) -> None:
    """Users and sessions are counted by questions alone; after a no nothing is changed."""
    here = site(users=12, directors=0, backends=2)
    there = here.fleet.fleet.backends["b1"].sessions
    with Terminal(here.cli, "exec", "b1", "kick", "mask=*") as terminal:
        terminal.wait_for("[y/N]")
        assert f"user impact now: {len(there)} users, {len(there)} sessions" in terminal.shown
        assert here.commands() == ["who"]
        terminal.type("n\n")
        assert terminal.end() == 5
        assert "not confirmed; nothing was changed" in terminal.shown
    assert here.commands() == ["who"]


def test_exec_does_not_wait_for_a_number(site: Callable[..., Site]) -> None:
    """Where a host is silent the question comes all the same, and says that nobody was counted; with --yes nobody is asked."""
    here = site(users=12, directors=0, backends=1, faults=("host=b1,command=who,hang",))
    with Terminal(here.cli, "exec", "b1", "kick", "mask=*") as terminal:
        terminal.wait_for("[y/N]")
        assert "user impact cannot be counted: no answer within 5 s" in terminal.shown
        terminal.type("y\n")
        assert terminal.end() == 0
    assert here.commands().count("kick") == 1
    asked = here.commands().count("who")
    assert here.cli("exec", "b1", "kick", "mask=*", "--yes").code == 0
    assert here.commands().count("who") == asked
