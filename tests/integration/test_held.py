"""A run with a condition that must hold all the time, on a real page: held without data, and never lost."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from orchestrator.journal.sqlite.reader import FileReader
from tests.command_line import records, wait_until
from tests.integration.conftest import Site
from tests.integration.health import Health, Told
from tests.integration.test_windows import clock

IN_FLIGHT = 4
EVERY = "every: 100ms"
PLAYBOOK = f"""
name: Count
conditions:
  - {{name: delivery, at: always, {EVERY}, ask: {{url: "URL"}}}}
limits: {{in_flight: {IN_FLIGHT}}}
steps:
  - name: Begin
    hosts: backends
    command: dictSet
    parameters: {{dictUri: "file:/tmp/counters", user: u, key: priv/count, value: "0"}}
  - name: Count
    hosts: backends
    command: dictInc
    for_each: {{file: users.txt}}
    parameters: {{dictUri: "file:/tmp/counters", user: "{{{{ item }}}}", key: priv/count, difference: 1}}
    accept: [68]
"""


@pytest.fixture
def health() -> Iterator[Health]:
    """A page that is well."""
    with Health() as page:
        yield page


def prepared(site: Callable[..., Site], health: Health, count: int, more: str = EVERY) -> tuple[Site, str]:
    """A fleet, and a playbook of so many operations on each of two backends."""
    here = site(directors=0, backends=2, users=0, latency=0.02)
    (here.cli.folder / "users.txt").write_text("".join(f"user{number:04}\n" for number in range(count)))
    return here, here.cli.playbook(PLAYBOOK.replace("URL", health.url).replace(EVERY, more))


def looked(health: Health, times: int = 3) -> None:
    """Wait until the page was asked so often; of one that is dead, for as long as that takes."""
    if health.mood == "dead":
        time.sleep(0.1 * times)
        return
    goal = health.looks + times
    wait_until(lambda: health.looks >= goal)


def recorded(here: Site) -> None:
    """Wait until all that was sent is answered, and durable."""
    [path] = here.cli.state.glob("*.run")

    def all_there() -> bool:
        with FileReader(path) as reader:
            return reader.totals().attempts == len(here.fleet.requests) - lists(here)

    wait_until(all_there)


def lists(here: Site) -> int:
    """Requests for lists of commands, and readings of logs, which belong to no operation."""
    return sum(not record.tag[:1].isdigit() for record in here.fleet.requests)


def test_every_way_of_being_ill(site: Callable[..., Site], health: Health) -> None:
    """A page that is ill, talks nonsense, is cut off, hangs or is gone holds the run, which goes on by itself each time it is well."""
    here, playbook = prepared(site, health, 400)
    told = Told(here.cli.start("run", playbook, "--yes"))
    for number, mood in enumerate(("ill", "nonsense", "cut", "silent", "dead"), 1):
        goal = len(here.fleet.requests) + 15
        wait_until(lambda goal=goal: len(here.fleet.requests) >= goal)
        before = told.times("held: ")
        health.mood = mood
        told.wait("held: ", before + 1)
        sent = len(here.fleet.requests)
        looked(health)
        assert len(here.fleet.requests) <= sent + IN_FLIGHT, mood  # what was on its way to the servers
        health.mood = "OK"
        told.wait("delivery holds again", number)
    assert told.end() == 0, "".join(told.lines)
    sent_to = Counter(record["tag"] for record in records(here.record) if record["tag"][:1].isdigit())
    assert (len(sent_to), set(sent_to.values())) == (802, {1})


def test_a_page_that_flaps(site: Callable[..., Site], health: Health) -> None:
    """A page that is well every other time lets nothing through."""
    here, playbook = prepared(site, health, 5)
    health.mood = "ill"
    told = Told(here.cli.start("run", playbook, "--yes"))
    told.wait("held: ")
    for mood in ("OK", "ill") * 4:
        looks, health.mood = health.looks, mood
        wait_until(lambda looks=looks: health.looks > looks)
    assert here.commands() == []
    health.mood = "OK"
    assert told.end() == 0


def test_killed_while_it_was_held(site: Callable[..., Site], health: Health) -> None:
    """SIGKILL while nothing was sent, then SIGTERM while it is held again: the last resume does what is left, and nothing twice."""
    here, playbook = prepared(site, health, 60)
    told = Told(here.cli.start("run", playbook, "--yes"))
    wait_until(lambda: len(here.fleet.requests) > 30)
    health.mood = "ill"
    told.wait("held: ")
    recorded(here)
    shown = here.cli("show").out
    assert "running: held: condition 'delivery' does not hold: HTTP status 503" in shown
    told.process.kill()
    told.end()
    sent = len(here.fleet.requests)

    again = Told(here.cli.start("resume"))
    again.wait("held: ")
    looked(health)
    assert len(here.fleet.requests) == sent
    again.process.send_signal(signal.SIGTERM)
    assert again.end() == 143, "".join(again.lines)

    health.mood = "OK"
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert "held" not in here.cli("show").out
    sent_to = Counter(record["tag"] for record in records(here.record) if record["tag"][:1].isdigit())
    assert (len(sent_to), set(sent_to.values())) == (122, {1})


def test_a_program_that_stood_still_while_it_became_ill(site: Callable[..., Site], health: Health) -> None:
    """SIGSTOP, and the page becomes ill meanwhile: after SIGCONT nothing is sent before it is asked.

    The deadline of a pause that the program slept through does not end the run when all is well again.
    """
    here, playbook = prepared(site, health, 200, f"{EVERY}, deadline: 1s")
    told = Told(here.cli.start("run", playbook, "--yes"))
    wait_until(lambda: len(here.fleet.requests) > 30)
    os.kill(told.process.pid, signal.SIGSTOP)
    health.mood = "ill"
    time.sleep(1.0)  # longer than what it saw counts
    sent = len(here.fleet.requests)
    os.kill(told.process.pid, signal.SIGCONT)
    told.wait("held: ")
    assert len(here.fleet.requests) <= sent + IN_FLIGHT

    os.kill(told.process.pid, signal.SIGSTOP)
    health.mood = "OK"
    time.sleep(1.2)
    os.kill(told.process.pid, signal.SIGCONT)
    assert told.end() == 0, "".join(told.lines)
    sent_to = Counter(record["tag"] for record in records(here.record) if record["tag"][:1].isdigit())
    assert set(sent_to.values()) == {1}


def test_a_condition_of_the_configuration(site: Callable[..., Site], health: Health) -> None:
    """It holds for every playbook and every `exec` that changes something: not started, exit code 5, and what to type next."""
    here, playbook = prepared(site, health, 2)
    health.mood = "ill"
    config = here.cli.config.read_text()
    here.cli.config.write_text(f'{config}\nconditions:\n  - {{name: relays, ask: {{url: "{health.url}"}}}}\n')
    assert here.cli("exec", "b1", "who", "--yes").code == 0
    sent = len(here.fleet.requests)
    refused = here.cli("exec", "b1", "kick", "mask=u", "--yes")
    assert refused.code == 5
    assert "condition 'relays' (of the configuration) does not hold: HTTP status 503" in refused.out
    assert here.cli("report", "--format", "json").json()[-1]["next"].startswith("orchestrator resume ")

    saved = here.cli("plan", playbook, "--live", "-o", "x.plan")
    assert saved.code == 5
    assert "2 read-only requests were sent" in saved.out
    assert "relays (of the configuration): at the start; otherwise the run is not started" in saved.out
    assert here.cli("apply", "x.plan", "--yes").code == 5
    again = here.cli("apply", "x.plan", "--yes")
    assert again.code == 5
    assert "`orchestrator resume " in again.err
    run = again.err.partition("`orchestrator resume ")[2].partition("`")[0]
    assert f"`orchestrator resume {run}` goes on with it" in here.cli("retry", run).err
    assert len(here.fleet.requests) == sent

    health.mood = "OK"
    later = here.cli("resume", run, "--until", clock(minutes=20), "--takes", "1s")
    assert later.code == 0, later.said


def test_two_conditions_of_one_name(site: Callable[..., Site], health: Health) -> None:
    """Reports and reviews know conditions by their names: the playbook's must be another one than the configuration's."""
    here, playbook = prepared(site, health, 2)
    config = here.cli.config.read_text()
    here.cli.config.write_text(f'{config}\nconditions:\n  - {{name: delivery, ask: {{url: "{health.url}"}}}}\n')
    planned = here.cli("plan", playbook)
    assert planned.code == 2
    assert "the configuration has a condition called 'delivery' too; give this one another name" in planned.err
