"""What happens in `finally` counts: failures, doubt, and what a later session makes good."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from tests.command_line import signal, wait_until
from tests.integration.conftest import Site

TIDY = """
name: Work and tidy up
steps:
  - {name: Work, hosts: b1, command: who}
finally:
  - {name: Tidy up, hosts: b1, command: kick, parameters: {mask: [jane]}, retry: {attempts: 1}}
  - {name: Look at last, hosts: b1, command: who}
"""


def test_a_failure_in_finally_counts(site: Callable[..., Site]) -> None:
    """When all steps are done and one of `finally` failed, the run has failed; `retry` makes it good."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,first=1,exit=64",))
    result = here.cli("run", here.cli.playbook(TIDY), "--yes")
    assert result.code == 1, result.said
    assert "finally" in result.out
    assert "1 failed" in result.out
    assert here.commands().count("who") == 2  # the other steps of `finally` are run all the same
    retried = here.cli("retry")
    assert retried.code == 0, retried.said


INTERRUPTED = """
name: Work and tidy up
steps:
  - name: Work
    hosts: b1
    command: dictSet
    for_each: {file: items.txt}
    parameters: {dictUri: "file:/x", key: "shared/{{ item }}", value: "1"}
    limits: {in_flight: 1}
finally:
  - {name: Tidy up, hosts: b1, command: kick, parameters: {mask: [jane]}, retry: {attempts: 1}}
"""


def test_what_failed_in_finally_and_then_succeeded(site: Callable[..., Site]) -> None:
    """`finally` failed in an interrupted session and succeeded in the next: done, exit code 0, no old error, both attempts kept."""
    here = site(users=0, directors=0, backends=1, latency=0.1, faults=("command=kick,first=1,exit=64",))
    (here.cli.folder / "items.txt").write_text("".join(f"item{number}\n" for number in range(20)))
    process = here.cli.start("run", here.cli.playbook(INTERRUPTED), "--yes")
    wait_until(lambda: len(here.fleet.requests) >= 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "kick" in here.commands()
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    last = here.cli.exported()[-1]
    assert (last["command"], last["state"], last["error"], last["attempts"]) == ("kick", "done", "", 2)
    attempts = here.cli("show", "last", last["id"], "--format", "json").json()[0]["attempt_list"]
    assert [(attempt["number"], attempt["exit_code"]) for attempt in attempts] == [(1, 64), (2, 68)]  # nobody was there
    assert attempts[0]["error"]


DOUBT = """
name: Fail and count
on_failure: continue
steps:
  - {name: Begin, hosts: b1, command: dictSet, parameters: {dictUri: "file:/x", key: shared/n, value: "0"}}
  - {name: Fail, hosts: b1, command: kick, parameters: {mask: [jane]}, retry: {attempts: 1}}
finally:
  - {name: Count, hosts: b1, command: dictInc, parameters: {dictUri: "file:/x", key: shared/n, difference: 1}}
"""


def test_doubt_in_finally_of_a_failed_run(site: Callable[..., Site]) -> None:
    """Doubt in `finally` is exit code 4 also when the run has failed, and the commands that are named next go on to its end."""
    here = site(users=0, directors=0, backends=1, faults=("command=kick,exit=64", "command=dictInc,empty=after"))
    result = here.cli("run", here.cli.playbook(DOUBT), "--yes")
    assert result.code == 4, result.said
    decided = here.cli("decide", "last", "finally.1.1", "--as", "done")
    assert decided.code == 0, decided.said
    following = re.search(r"^next: orchestrator (.*)$", decided.err, re.MULTILINE)
    assert following, decided.said
    resumed = here.cli(*shlex.split(following[1]))
    assert resumed.code == 1, resumed.said
    assert here.commands().count("dictInc") == 1
