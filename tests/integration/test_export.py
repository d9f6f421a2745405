"""What a run's operations are exported as: all, some, and one column as the list of the next run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.integration.conftest import Site

KICKS = """
name: Kick many
steps:
  - {name: Kick them, hosts: backends, command: kick, for_each: [ann, bob, cem], parameters: {mask: ["{{ item }}"]}}
  - {name: Weigh, hosts: d1, command: directorUpdate, parameters: {host: "{{ groups.backends[0].address }}", vhostCount: "5"}}
"""


def test_what_failed_becomes_a_list(site: Callable[..., Site]) -> None:
    """Of what failed a column is written, each value once and in order; states can be chosen; a field hides no parameter."""
    here = site(users=0, directors=1, backends=2, faults=("command=kick,host=b1,exit=64",))
    assert here.cli("run", here.cli.playbook(KICKS), "--yes", "--max-failed", "3").code == 1
    failed = here.cli("export", "--failed", "--column", "mask")
    assert (failed.code, failed.out) == (0, "ann\nbob\ncem\n")
    assert here.cli("export", "--state", "done", "--column", "host").out == "b2\nd1\n"
    assert here.cli("export", "--column", "parameters.host").out == f"{here.fleet.backends['b1']}\n"
    both = here.cli("export", "--failed", "--state", "done").json()
    assert Counter(line["state"] for line in both) == {"failed": 3, "done": 4}
    assert here.cli("export", "--state", "in_doubt", "--column", "mask").out == ""


def test_a_column_that_is_not_there(site: Callable[..., Site]) -> None:
    """A misspelt column is told with those that there are."""
    here = site(users=0, directors=0, backends=1)
    here.cli("exec", "b1", "kick", "mask=ann", "--yes")
    result = here.cli("export", "--column", "msak")
    assert result.code == 2
    assert "no operation has a field or parameter 'msak'; there are attempts, changed," in result.err
    assert "did you mean 'mask'?" in result.err
