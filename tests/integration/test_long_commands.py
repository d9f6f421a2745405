"""A command that may run long is given time, and is never sent again while the host may still be executing it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.command_line import records
from tests.integration.conftest import Site

STEP = """
name: One step
retry: {{attempts: 3, base: 10ms}}
limits: {{max_failed: 100%}}
steps:
  - {{name: Do it, hosts: b1, command: {command}, parameters: {{user: user001{more}}}, timeout: 500ms}}
"""

LONG = [("forceResync", ", mailboxMask: '*'"), ("quotaRecalc", ""), ("purge", "")]


def sent(here: Site, command: str) -> int:
    """How often it was sent."""
    return here.commands().count(command)


@pytest.mark.parametrize(("command", "more"), LONG, ids=[command for command, _ in LONG])
def test_a_long_command_does_not_overlap_itself(site: Callable[..., Site], command: str, more: str) -> None:
    """When no answer came in time the host may still be executing it: it failed, is not retried, and says what to do."""
    here = site(directors=0, backends=1, faults=(f"command={command},hang",))
    done = here.cli("run", here.cli.playbook(STEP.format(command=command, more=more)), "--yes")
    assert done.code == 1, done.said
    assert sent(here, command) == 1
    (operation,) = here.cli.exported()
    assert operation["state"] == "failed"
    assert "may still be executing it" in operation["error"]
    assert "orchestrator retry" in done.out


def test_a_short_command_is_retried(site: Callable[..., Site]) -> None:
    """One that cannot run long is sent again after its time, as it was."""
    here = site(directors=0, backends=1, faults=("command=mailboxStatus,hang",))
    more = ", field: [messages], mailboxMask: [INBOX]"
    done = here.cli("run", here.cli.playbook(STEP.format(command="mailboxStatus", more=more)), "--yes")
    assert done.code == 1, done.said
    assert sent(here, "mailboxStatus") == 3


def test_a_lost_connection_is_no_late_answer(site: Callable[..., Site]) -> None:
    """When the host itself closed the connection a long command is retried: nobody is executing it."""
    here = site(directors=0, backends=1, faults=("command=quotaRecalc,first=1,empty",))
    done = here.cli("run", here.cli.playbook(STEP.format(command="quotaRecalc", more="")), "--yes")
    assert done.code == 0, done.said
    assert sent(here, "quotaRecalc") == 2
    assert len(list(records(here.record))) >= 2


def test_a_long_command_is_given_time(site: Callable[..., Site]) -> None:
    """Where nobody says how long, a long command outlasts the usual request timeout; another does not."""
    here = site(directors=0, backends=1, latency=1.0)
    here.cli.config.write_text(
        here.cli.config.read_text().replace("defaults:", "defaults:\n  timeout: {request: 300ms}")
    )
    short = here.cli("exec", "b1", "mailboxStatus", "user=user001", "field=messages", "mailboxMask=INBOX")
    assert "no complete answer within 0.3 s" in short.said
    long = here.cli("exec", "b1", "quotaRecalc", "user=user001", "--yes")
    assert long.code == 0, long.said
