"""Runs within maintenance windows: what is refused, what is stopped at the end, and what the next window does."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.command_line import wait_until
from tests.integration.conftest import Site
from tests.terminal import Terminal

KICKS = """
name: Kick many
steps:
  - name: Kick them
    hosts: backends
    command: kick
    for_each: {file: users.txt}
    parameters: {mask: ["{{ item }}"]}
finally:
  - {name: Look, hosts: backends, command: who}
"""
ROLLING = """
name: Reload all
steps:
  - name: In batches
    takes: 20m
    batches:
      hosts: backends
      steps:
        - {name: Reload, command: reload}
"""


def clock(**ahead: float) -> str:
    """A time of day in UTC, so far from now."""
    return (datetime.now(UTC) + timedelta(**ahead)).strftime("%H:%M")


def with_hours(here: Site, **windows: str) -> None:
    """Windows, and perhaps a freeze, for the configuration."""
    text = here.cli.config.read_text(encoding="utf-8") + "windows:\n"
    here.cli.config.write_text(
        text + "".join(f"  {name}: {spec}\n" for name, spec in windows.items()), encoding="utf-8"
    )


def test_the_rest_is_done_later(site: Callable[..., Site]) -> None:
    """At the time of --until nothing more is sent, `finally` is run, exit code 3; a new --until goes on, and nothing is sent twice."""
    here = site(users=0, directors=0, backends=2)
    users = [f"user{number:03}" for number in range(60)]
    (here.cli.folder / "users.txt").write_text("\n".join(users))
    soon = datetime.now().astimezone() + timedelta(seconds=8)  # reading and planning take some of it
    first = here.cli("run", here.cli.playbook(KICKS), "--yes", "--rate", "5", "--until", soon.strftime("%H:%M:%S"))
    assert first.code == 3, first.said
    assert "stopped: --until was reached at " in first.out
    assert " pending" in first.out
    assert here.commands()[-2:] == ["who", "who"]
    assert all(request.time <= soon.timestamp() + 2 for request in here.fleet.requests if request.command == "kick")
    over = here.cli("resume")
    assert over.code == 5
    assert "is over" in over.err
    assert "give another --until, or --window" in over.err
    rest = here.cli("resume", "--until", (soon + timedelta(hours=1)).strftime("%H:%M:%S"), "--rate", "1000")
    assert rest.code == 0, rest.said
    assert here.commands().count("kick") == 2 * len(users)


def test_a_batch_without_room_waits_for_the_next_window(site: Callable[..., Site]) -> None:
    """A batch that may not end within the window is not begun; the run keeps its window, and is done with more room."""
    here = site(users=0, directors=0, backends=3)
    with_hours(here, now=f'{{from: "{clock(hours=-1)}", to: "{clock(hours=1)}", zone: UTC}}')
    before = here.cli("run", here.cli.playbook(ROLLING), "--yes", "--window", "now", "--takes", "3h")
    assert before.code == 5, before.said
    assert "error: batch 1 of step 1 needs 3h (as given); 2h left in the window now" in before.err
    assert "no runs in" in here.cli("runs").out
    stopped = here.cli("run", here.cli.playbook(ROLLING), "--yes", "--window", "now", "--takes", "80m")
    assert stopped.code == 3, stopped.said
    assert "stopped: batch 1 of step 1 needs 1h20m (as given); " in stopped.out
    assert here.commands() == []
    resumed = here.cli("resume")
    assert resumed.code == 0, resumed.said
    assert "with --window now" in resumed.err
    assert here.commands() == ["reload"] * 3


def test_outside_of_its_window_a_run_is_refused(site: Callable[..., Site]) -> None:
    """A closed window is told with its opening, and nothing is kept; reading is always allowed; --wait waits, and can be ended."""
    here = site(users=0, directors=0, backends=3)
    with_hours(here, later=f'{{from: "{clock(hours=2)}", to: "{clock(hours=3)}", zone: UTC}}')
    refused = here.cli("run", here.cli.playbook(ROLLING), "--yes", "--window", "later")
    assert refused.code == 5
    assert f"error: the window later is closed; it opens at {clock(hours=2)} UTC, in 1h59m" in refused.err
    assert "no runs in" in here.cli("runs").out
    assert here.cli("exec", "b1", "who", "--window", "later").code == 0
    assert here.cli("exec", "b1", "reload", "--yes", "--window", "nope").code == 5
    waiting = here.cli.start("run", here.cli.playbook(ROLLING), "--yes", "--window", "later", "--wait")
    wait_until(lambda: "running" in here.cli("runs").out)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130, err
    assert "waiting until the window later opens: " in err
    assert "reload" not in here.commands()


def test_in_a_freeze_nothing_is_changed(site: Callable[..., Site]) -> None:
    """Days of a freeze refuse every change, with the reason; in an emergency the glass is broken, and the report tells why."""
    here = site(users=0, directors=0, backends=1)
    today = datetime.now().astimezone().date()
    days = f'from: "{today}", to: "{today + timedelta(days=3)}"'
    text = here.cli.config.read_text(encoding="utf-8")
    here.cli.config.write_text(f"{text}freezes: [{{{days}, reason: end of year}}]\n", encoding="utf-8")
    refused = here.cli("exec", "b1", "reload", "--yes")
    assert refused.code == 5
    assert "nothing may be changed until " in refused.err
    assert ": end of year" in refused.err
    assert here.commands() == []
    waiting = here.cli.start("exec", "b1", "reload", "--yes", "--wait")
    wait_until(lambda: "running" in here.cli("runs").out)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert "waiting until the freeze ends: " in err
    assert here.commands() == []
    with Terminal(here.cli, "exec", "b1", "reload", "--yes", "--break-glass", "mail is down") as terminal:
        terminal.wait_for("Type break glass to do that, or Enter to leave: ")
        terminal.type("break glass\n")
        assert terminal.end() == 0, terminal.shown
    report = here.cli("report")
    assert "): mail is down" in report.out
    assert here.cli("report", "--format", "json").json()[0]["break_glass"][0]["reason"] == "mail is down"


def test_a_freeze_that_begins_ends_a_run(site: Callable[..., Site]) -> None:
    """What would not end before the freeze is not begun, also without a window."""
    here = site(users=0, directors=0, backends=1)
    tomorrow = datetime.now().astimezone().date() + timedelta(days=1)
    text = here.cli.config.read_text(encoding="utf-8")
    freeze = f'{{from: "{tomorrow}", to: "{tomorrow}", reason: x}}'
    here.cli.config.write_text(f"{text}freezes: [{freeze}]\n", encoding="utf-8")
    refused = here.cli("run", here.cli.playbook(ROLLING), "--yes", "--takes", "25h")
    assert refused.code == 5
    assert "batch 1 of step 1 needs 25h (as given)" in refused.err
    assert "left before the next freeze" in refused.err
    asking = "name: P\nsteps: [{name: B, batches: {hosts: b1, steps: [{name: R, command: reload}, {name: A, pause: {confirm: x}}]}}]"
    allowed = here.cli("run", here.cli.playbook(asking), "--yes")  # nobody knows how long a person takes, or has asked
    assert allowed.code == 0, allowed.said


def test_hours_that_are_none(site: Callable[..., Site]) -> None:
    """Mistakes in the options and in the configuration are told with what is right; nothing is sent."""
    here = site(users=0, directors=0, backends=1)
    playbook = here.cli.playbook(ROLLING)
    for options, message in (
        (("--until", "half past four"), "'half past four' is not a time; write 04:30"),
        (("--window", "x", "--until", "04:30"), "give either --window or --until"),
        (("--takes", "long"), "Invalid value for '--takes': 'long' is not a duration"),
        (("--max-failed", "many"), "Invalid value for '--max-failed': 'many' is not a count"),
        (("--window", "2020-01-01 01:00/02:00 UTC"), "does not open again"),
    ):
        result = here.cli("run", playbook, "--yes", *options)
        assert result.code in {2, 5}
        assert message in result.err
    with_hours(here, bad='{from: 1:30, to: "02:00", zone: Europe/Nowhere}')
    result = here.cli("check")
    assert result.code == 2
    assert "'Europe/Nowhere' is not a time zone" in result.err
    assert here.commands() == []


def test_what_another_playbook_took_is_room_enough(site: Callable[..., Site]) -> None:
    """A step whose timeout depends on answers takes nobody knows how long, until any playbook has sent that command there."""
    here = site(users=0, directors=0, backends=1)
    kick = "hosts: b1, command: kick, parameters: {mask: x}"
    late = f"name: L\nsteps: [{{name: K, {kick}, timeout: '{{{{ run.started % 50 + 10 }}}}'}}]"
    until = (datetime.now().astimezone() + timedelta(hours=1)).strftime("%H:%M")
    refused = here.cli("run", here.cli.playbook(late), "--yes", "--until", until)
    assert refused.code == 5, refused.said
    assert "it is not known how long step 1 takes" in refused.err
    assert here.cli("run", here.cli.playbook(f"name: M\nsteps: [{{name: K, {kick}}}]"), "--yes").code == 0
    allowed = here.cli("run", here.cli.playbook(late), "--yes", "--until", until)
    assert allowed.code == 0, allowed.said
