"""Conditions that are wrong, on a simulated fleet: nothing is changed because something is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

# A column whose name is a parameter, which `validate` cannot know: as with the commands of a plugin.
CONDITION = """
name: Empty it, if nobody is there
parameters:
  column: {{type: string, default: users}}
steps:
  - name: See
    hosts: directors
    command: directorStatus
    register: before
{more}  - name: Stop unless it is empty
    require:
      - that: "{condition}"
        message: users are mapped
  - name: Change
    hosts: directors
    run_once: true
    command: directorUpdate
    parameters: {{host: "{address}", vhostCount: "0"}}
"""


def with_condition(here, condition: str, more: str = "") -> str:
    """A playbook that changes something if a condition holds."""
    text = CONDITION.format(condition=condition, more=more, address=here.fleet.backends["b1"])
    return here.cli.playbook(text)


def test_validate_finds_a_misspelt_column(site: Callable) -> None:
    """A condition on a column that directorStatus does not have is a mistake with its place and the nearest column."""
    here = site(users=3)
    condition = "{{ before.rows | where('mail_server_ip', '127.0.0.1') | where_not('user', '0') | length == 0 }}"
    result = here.cli("validate", with_condition(here, condition))
    assert result.code == 2, result.said
    assert "rows of 'before' have no column 'mail_server_ip'" in result.said
    assert "did you mean 'mail server ip'?" in result.said
    assert "did you mean 'users'?" in result.said
    assert here.commands() == []


@pytest.mark.parametrize(
    "condition",
    [
        "{{ before.rows | where_not(column, '0') | length == 0 }}",
        "{{ not before.rows | where_not(column, '0') }}",
        "{{ before.rows | where('tag', 'nowhere') | where_not(column, '0') | length == 0 }}",
        "{{ before.hosts['d1'].rows | column(column) | unique == [] }}",
    ],
)
def test_a_condition_on_a_misspelt_column_stops_the_run(site: Callable, condition: str) -> None:
    """What `validate` cannot see is found in the run: exit code 5, the columns that are there, and nothing is changed."""
    here = site(users=3)
    playbook = with_condition(here, condition)
    assert here.cli("validate", playbook).code == 0
    result = here.cli("run", playbook, "-e", "column=usrs", "--yes")
    assert result.code == 5, result.said
    assert "no row has a column 'usrs' (did you mean 'users'?)" in " ".join(result.said.split())
    assert "directorUpdate" not in here.commands()


def test_a_misspelt_column_in_until_fails_at_once(site: Callable) -> None:
    """A polled command whose `until` reads a column that is not there fails after one answer, not when the time is up."""
    here = site(users=3)
    playbook = here.cli.playbook("""
name: Poll
parameters:
  column: {type: string, required: true}
steps:
  - name: Wait
    hosts: d1
    command: directorStatus
    until: "{{ rows | column(column) == [] }}"
    within: 1h
""")
    result = here.cli("run", playbook, "-e", "column=usrs", "--yes")
    assert result.code == 3, result.said
    assert "did you mean 'users'?" in " ".join(result.said.split())
    assert here.commands().count("directorStatus") == 1


SOME = """  - name: Ask all
    hosts: backends
    command: who
    parameters: {separateConnections: true}
    on_failure: continue
    retry: {attempts: 1}
    register: sessions
"""


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("{{ sessions.rows | length == 0 }}", 5),
        ("{{ not sessions.hosts['b2'].rows }}", 5),
        ("{{ sessions.ok }}", 5),
        ("{{ sessions.answered.rows | length == 0 }}", 1),
        ("{{ not sessions.hosts['b1'].rows and sessions.failed == ['b2'] }}", 1),
    ],
)
def test_rows_of_a_failed_host_are_not_taken_for_none(site: Callable, condition: str, code: int) -> None:
    """Nobody is known to be connected to a host that failed; only a condition that means what did answer holds."""
    here = site(users=0, faults=("host=b2,command=who,exit=75",))
    result = here.cli("run", with_condition(here, condition, SOME), "--yes")
    assert result.code == code, result.said
    assert ("directorUpdate" in here.commands()) == (code == 1)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("{{ sessions.rows | length == 0 }}", 5),
        ("{{ sessions.ok }}", 5),
        ("{{ not sessions.failed }}", 5),
        ("{{ sessions.answered.rows | length == 0 }}", 0),
    ],
)
def test_an_answer_of_a_skipped_step_is_not_taken_for_empty(site: Callable, condition: str, code: int) -> None:
    """A step that was not wanted asked nobody, so that nothing follows from its answer."""
    here = site(users=3)
    skipped = SOME.replace("hosts: backends", "hosts: backends\n    when: false")
    result = here.cli("run", with_condition(here, condition, skipped), "--yes")
    assert result.code == code, result.said
    assert ("no host was asked" in " ".join(result.said.split())) == (code == 5)
    assert ("directorUpdate" in here.commands()) == (code == 0)
