"""What was done is taken back as far as it can be: what cannot be is left for `resume`, what was not begun is left alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

from tests.integration.conftest import Site

SET = "{command: dictSet, parameters: {dictUri: 'file:/x', key: shared/n, value: '%s'}}"

CHANGES = f"""
name: Change and fail
on_failure: undo
steps:
  - name: Change the first
    hosts: b1
    command: dictSet
    parameters: {{dictUri: "file:/x", key: shared/n, value: "1"}}
    undo: {SET % 0}
  - {{name: See, hosts: b1, command: who, register: seen}}
  - name: Change the second
    hosts: b2
    command: kick
    parameters: {{mask: [joe]}}
    undo: UNDO
  - name: Change the third
    hosts: b3
    command: dictSet
    parameters: {{dictUri: "file:/x", key: shared/n, value: "1"}}
    undo: {SET % 0}
  - {{name: Fail, hosts: b1, command: kick, parameters: {{mask: [jane]}}}}
"""

EMPTY = "{command: kick, parameters: {mask: ['{{ (seen.rows | first).username }}']}}"
NOT_THERE = "{command: authCacheFlush, parameters: {userMask: [jane]}}"


def stand(here: Site) -> dict[str, str]:
    """What the hosts' dictionaries say."""
    return {name: here.fleet.fleet.hosts[name].dictionaries["file:/x"]["shared/n"] for name in ("b1", "b3")}


def failing(site: Callable[..., Site], undo: str) -> Site:
    """A run that failed, and was undone as far as it could be."""
    here = site(
        users=0, directors=0, backends=3, backend_versions={"b2": "2.4"}, faults=("host=b1,command=kick,exit=64",)
    )
    result = here.cli("run", here.cli.playbook(CHANGES.replace("UNDO", undo)), "--yes")
    assert result.code == 3, result.said
    assert "not all could be undone" in result.out
    assert stand(here) == {"b1": "0", "b3": "0"}
    return here


@pytest.mark.parametrize("undo", [EMPTY, NOT_THERE], ids=["empty", "not there"])
def test_an_undo_that_cannot_be_laid_out(site: Callable[..., Site], undo: str) -> None:
    """An undo that cannot be sent does not keep the others from being done; the run is resumable, and names what is left."""
    here = failing(site, undo)
    (record,) = (step for step in here.cli("report", "--format", "json").json()[0]["steps"] if step["step"] == "3.undo")
    assert record["state"] == "failed"
    assert record["reason"]
    sent = len(here.fleet.requests)
    resumed = here.cli("resume")
    assert resumed.code == 3, resumed.said
    assert "not all could be undone" in resumed.out
    assert [command for command in here.commands()[sent:] if command != "logErrors"] == []


def test_what_could_not_be_undone_is_done_by_resume(site: Callable[..., Site]) -> None:
    """When the reason is gone, the command that the end names takes back what was left, and that alone."""
    here = failing(site, NOT_THERE)
    following = re.search(r"^next: orchestrator (.*)$", here.cli("report").out, re.MULTILINE)
    assert following
    assert following[1].startswith("resume ")
    here.fleet.fleet.hosts["b2"].release = "2.4.5"
    sent = len(here.fleet.requests)
    resumed = here.cli(*shlex.split(following[1]))
    assert resumed.code == 1, resumed.said
    assert "undone" in resumed.out
    assert here.commands()[sent:] == ["authCacheFlush"]


REFUSED = """
name: Change and be refused
on_failure: undo
steps:
  - name: Change
    hosts: b1
    command: dictSet
    parameters: {dictUri: "file:/x", key: shared/n, value: "1"}
    undo: {command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - {name: See, hosts: b1, command: who, register: seen}
  - name: Never sent
    hosts: b2
    STEP
    undo: {command: kick, parameters: {mask: [joe]}}
"""

UNSENT = {
    "expression": "command: kick\n    parameters: {mask: ['{{ (seen.rows | first).username }}']}",
    "not there": "command: authCacheFlush\n    parameters: {userMask: [jane]}",
}


@pytest.mark.parametrize("step", UNSENT.values(), ids=UNSENT)
def test_what_was_refused_is_not_undone(site: Callable[..., Site], step: str) -> None:
    """A step that was refused before it sent anything has changed nothing: its undo is not sent, those before it are."""
    here = site(users=0, directors=0, backends=2, backend_versions={"b2": "2.4"})
    result = here.cli("run", here.cli.playbook(REFUSED.replace("STEP", step)), "--yes")
    assert result.code == 5, result.said
    assert [(r.host, r.parameters["value"]) for r in here.fleet.requests if r.command == "dictSet"] == [
        ("b1", "1"),
        ("b1", "0"),
    ]
    steps = {found["step"]: found for found in here.cli("report", "--format", "json").json()[0]["steps"]}
    assert steps["1.undo"]["state"] == "done"
    assert steps["3.undo"]["state"] == "skipped"
    assert "not started" in steps["3.undo"]["reason"]
