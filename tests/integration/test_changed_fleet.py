"""A plan and a run hold for the fleet that they were made for: whatever differs is named, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.changed_config import CHANGES, change
from tests.integration.conftest import Site

COUNT = """
name: Count one after the other
parameters:
  which: {type: string, default: all}
steps:
  - {name: Begin, hosts: backends, command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - name: In batches
    batches:
      hosts: "{{ which }}"
      size: 1
      steps:
        - {name: Count, command: dictInc, parameters: {dictUri: "file:/x", key: shared/n, difference: 1}}
  - {name: Kick, hosts: b3, command: kick, parameters: {mask: [jane]}}
"""


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_fleet_is_refused(site: Callable[..., Site], what: str) -> None:
    """Between plan and apply, and between sessions of a run: `apply`, `resume` and `retry` name what is otherwise now."""
    here = site(users=0, directors=0, backends=3, faults=("command=kick,first=1,exit=64",))
    playbook = here.cli.playbook(COUNT)
    assert here.cli("plan", playbook, "-o", "my.plan").code == 0
    assert here.cli("run", playbook, "--yes").code == 3
    sent, config = len(here.fleet.requests), here.cli.config.read_text()
    words = change(here.cli.config, what)
    for verb in (("apply", "my.plan", "--yes"), ("resume",), ("retry",)):
        refused = here.cli(*verb)
        assert refused.code == 5, refused.said
        assert "the fleet has changed since run" in refused.err
        assert words in refused.err
    assert len(here.fleet.requests) == sent
    here.cli.config.write_text(config)
    assert here.cli("retry").code == 0
    assert here.cli("apply", "my.plan", "--yes").code == 0
    assert here.commands().count("dictInc") == 6


def test_a_tag_of_another_host(site: Callable[..., Site]) -> None:
    """A selection by tag that means more hosts than when the plan was made sends nothing, and confuses no steps."""
    here = site(users=0, directors=0, backends=3)
    config = here.cli.config.read_text()
    tagged = config.replace("b1: ", "b1: {tags: [new], address: ", 1).replace(", b2", "}, b2", 1)
    here.cli.config.write_text(tagged)
    assert here.cli("plan", here.cli.playbook(COUNT), "-e", "which=new", "-o", "my.plan").code == 0
    change(here.cli.config, "tag")
    refused = here.cli("apply", "my.plan", "--yes")
    assert refused.code == 5
    assert "the tags of b2 were none and are new" in refused.err
    assert here.fleet.requests == []


LATE = """
name: Kick who was not there before
steps:
  - {name: Before, hosts: b1, command: who, parameters: {separateConnections: true}, register: before}
  - name: Kick
    hosts: b1
    command: kick
    for_each: {file: users.txt}
    when: "{{ item not in before.rows | column('username') }}"
    parameters: {mask: ["{{ item }}"]}
"""


def test_a_list_that_is_edited_after_the_plan(site: Callable[..., Site]) -> None:
    """A list of a step whose conditions only the run can know is the one that stood there when the plan was made."""
    here = site(users=0, directors=0, backends=1)
    users = here.cli.folder / "users.txt"
    users.write_text("jane\njoe\n")
    assert here.cli("plan", here.cli.playbook(LATE), "-o", "my.plan").code == 0
    users.write_text("ceo\npostmaster\n")
    assert here.cli("apply", "my.plan", "--yes").code == 0
    kicked = [request.parameters["mask"] for request in here.fleet.requests if request.command == "kick"]
    assert sorted(kicked) == [["jane"], ["joe"]]
