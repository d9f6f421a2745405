"""Plans of shipped playbooks say whom they will cut off; and what has changed since the review is noticed, on a simulated fleet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.simulator.clients import Client
from tests.command_line import CommandLine, Result, wait_until
from tests.playbooks.conftest import Site
from tests.playbooks.test_shipped import PLAYBOOKS
from tests.playbooks.test_simulated import done, users_on, vhosts, write
from tests.terminal import Terminal

Start = Callable[..., Site]

ASK = """  - name: Let somebody else work
    pause: {confirm: "Go on?"}

"""


def saved(here: Site, name: str, *given: str) -> Path:
    """A reviewed plan."""
    path = here.cli.folder / f"{name}.plan"
    made = here.cli("plan", name, *(word for value in given for word in ("-e", value)), "--live", "-o", str(path))
    assert made.code == 0, made.said
    return path


def affected(planned: Result) -> dict[str, tuple[int | None, int | None]]:
    """What a live plan said of each step with user impact: users and sessions."""
    found = (line for line in planned.json() if line["event"] == "affected")
    assert planned.code == 0, planned.said
    return {line["step"]: (line["users"], line["sessions"]) for line in found}


def live(cli: CommandLine, name: str, *given: str) -> dict[str, tuple[int | None, int | None]]:
    """How many a playbook's steps concern now."""
    values = (word for value in given for word in ("-e", value))
    return affected(cli("plan", name, *values, "--live", "--format", "json"))


def log_in(here: Site, backend: str, number: int) -> None:
    """Further users log in until a backend has so many."""
    fleet = here.fleet.fleet
    director = fleet.directors["d1"]
    for user in fleet.accounts:
        if len(users_on(here, backend)) >= number:
            return
        if user not in fleet.clients.by_user:
            fleet.clients.connect(Client(user, director, None), fleet.by_address[director.address].started_at)
    raise AssertionError("there are no more users")


# who notices it


def test_a_drain_counts_whom_it_cuts(site: Start) -> None:
    """The users and sessions of the plan are those that the drain drops; the kicks count nobody a second time."""
    here = site(users=30)
    there = len(users_on(here, "b1"))
    assert there > 0
    assert live(here.cli, "drain-backend", "backend=b1") == {"7": (there, there), "8": (0, 0), "9": (0, 0)}
    done(here, "drain-backend", "backend=b1")
    assert here.fleet.fleet.counters.dropped == there


def test_a_rolling_reload_counts_each_backend(site: Start) -> None:
    """With a drain whoever is moved, without one whoever is cut by the reload; each once."""
    here = site(users=30)
    there = {name: len(users_on(here, name)) for name in ("b1", "b2")}
    found = live(here.cli, "rolling-reload", "backends=b1,b2")
    assert {key: counts for key, counts in found.items() if counts != (0, 0)} == {
        f"3[{number}].5": (there[name], there[name]) for number, name in ((1, "b1"), (2, "b2"))
    }
    found = live(here.cli, "rolling-reload", "backends=b1,b2", "drain=false")
    assert found == {f"3[{number}].8": (there[name], there[name]) for number, name in ((1, "b1"), (2, "b2"))}


def test_directors_count_who_goes_through_them(site: Start) -> None:
    """A reload of directors concerns everybody who goes through one; a stop those who are cut, if that is wanted."""
    here = site(users=31)
    assert live(here.cli, "reload-directors") == {"4[1].3": (16, 16), "4[2].3": (15, 15)}
    assert live(here.cli, "director-out", "director=d2", "cut=true") == {"6": (15, 15)}
    assert live(here.cli, "ring-remove", "director=d1", "cut=true") == {"6": (16, 16)}


def test_a_kick_of_a_list_counts_its_users(site: Start) -> None:
    """Who is there is counted, as many as are dropped; who is not there is not."""
    here = site(users=30)
    users = write(here, ["user001", "user002", "user150"])
    assert live(here.cli, "kick-users-proxied", f"users={users}") == {"5": (2, 2)}
    assert live(here.cli, "kick-users", f"users={users}") == {"2": (2, 2)}
    done(here, "kick-users", f"users={users}")
    assert here.fleet.fleet.counters.dropped == 2


def test_what_the_catalogue_counts(site: Start) -> None:
    """Moves count who is elsewhere, a rebalance at most everybody, a stopped service its sessions; a start whom it reloads."""
    here = site(users=30)
    target = here.fleet.backends["b3"]
    movers = [f"user{number:03}" for number in (1, 2, 3, 4, 150)]
    elsewhere = [user for user in movers[:-1] if user not in users_on(here, "b3")]
    moves = write(here, ["user,backend", *(f"{user},{target}" for user in movers)])
    assert live(here.cli, "move-users", f"moves={moves}") == {"4": (len(elsewhere), None)}
    assert live(here.cli, "rebalance") == {"4": (30, None)}
    there = len(users_on(here, "b1"))
    assert live(here.cli, "stop-service", "hosts=b1", "services=imap") == {"3": (there, there)}
    done(here, "stop-service", "hosts=b1", "services=imap-login")
    assert live(here.cli, "start-service", "hosts=b1,b2") == {"5": (there, there)}


# Tuesday's plan in Thursday's world


@pytest.fixture
def crowded(site: Start) -> Site:
    """Two backends with so many users that a fifth of them is more than 50."""
    return site(users=1200, accounts=2400, backends=2)


def test_a_plan_that_the_fleet_has_outgrown_is_refused(crowded: Site) -> None:
    """With 30 % more users than were reviewed nothing is changed: exit code 5, and both numbers."""
    reviewed = len(users_on(crowded, "b1"))
    plan = saved(crowded, "drain-backend", "backend=b1")
    log_in(crowded, "b1", reviewed * 13 // 10 + 1)
    now = len(users_on(crowded, "b1"))
    assert now > reviewed * 1.2 + 50
    before = len(crowded.commands())
    refused = crowded.cli("apply", str(plan), "--yes")
    assert refused.code == 5, refused.said
    assert f"{now} now, {reviewed} when it was reviewed" in refused.said
    assert "directorUpdate" not in crowded.commands()[before:]
    assert vhosts(crowded) == [100, 100]


def test_a_plan_with_a_few_more_or_fewer_users_runs(crowded: Site) -> None:
    """20 % more is what the playbook allows, and fewer users are never too many."""
    plan = saved(crowded, "drain-backend", "backend=b1")
    log_in(crowded, "b1", int(len(users_on(crowded, "b1")) * 1.2))
    applied = crowded.cli("apply", str(plan), "--yes")
    assert applied.code == 0, applied.said
    assert users_on(crowded, "b1") == set()
    done(crowded, "restore-backend", "backend=b1")
    plan = crowded.cli.folder / "b2.plan"
    assert crowded.cli("plan", "drain-backend", "-e", "backend=b2", "--live", "-o", str(plan)).code == 0
    for user in sorted(users_on(crowded, "b2"))[:20]:
        moved = crowded.cli(
            "exec", "d1", "directorMove", f"user={user}", f"host={crowded.fleet.backends['b1']}", "--yes"
        )
        assert moved.code == 0, moved.said
    wait_until(lambda: len(users_on(crowded, "b1")) == 20)
    applied = crowded.cli("apply", str(plan), "--yes")
    assert applied.code == 0, applied.said


@pytest.mark.parametrize(("name", "more"), [("restore-backend", ()), ("set-vhosts", ("vhosts=50",))])
def test_a_vhost_count_that_somebody_has_changed_is_not_overwritten(
    site: Start, name: str, more: tuple[str, ...]
) -> None:
    """The plan was reviewed with another vhost count than there is now: refused, with both."""
    here = site(users=6)
    done(here, "set-vhosts", "backend=b1", "vhosts=0")
    plan = saved(here, name, "backend=b1", *more)
    done(here, "set-vhosts", "backend=b1", "vhosts=70")
    refused = here.cli("apply", str(plan), "--yes")
    assert refused.code == 5, refused.said
    assert "70 now, 0 when it was reviewed" in refused.said
    assert vhosts(here) == [70, 100, 100]


def test_more_users_on_the_backends_refuse_a_rolling_stop(site: Start) -> None:
    """What is stopped one by one is counted together."""
    here = site(users=60, accounts=400)
    plan = saved(here, "rolling-stop", "backends=b1,b2")
    there = len(users_on(here, "b1") | users_on(here, "b2"))
    log_in(here, "b1", len(users_on(here, "b1")) + there // 5 + 51)
    refused = here.cli("apply", str(plan), "--yes")
    assert refused.code == 5, refused.said
    assert f", {there} when it was reviewed" in refused.said
    assert vhosts(here) == [100, 100, 100]


# another tool


def asking(name: str, before: str) -> str:
    """A shipped playbook that asks before one of its steps, so that somebody else can work there."""
    text = (PLAYBOOKS / f"{name}.yaml").read_text(encoding="utf-8")
    step = f"  - name: {before}\n"
    assert text.count(step) == 1
    indent = text[: text.index(step)].rpartition("\n")[2]
    return text.replace(
        f"{indent}{step}", f"{indent}{ASK.rstrip()}\n\n{indent}{step}".replace("\n    pause", f"\n{indent}    pause")
    )


def test_vhosts_set_back_by_another_tool_stop_a_drain(site: Start) -> None:
    """Somebody maps users to the backend again while it is being drained: the run stops before it moves anybody."""
    here = site(users=30)
    playbook = here.cli.playbook(asking("drain-backend", "Move its users to other backends"))
    with Terminal(here.cli, "run", playbook, "-e", "backend=b1") as terminal:
        terminal.wait_for("or Enter to leave: ")
        terminal.type("b1\n")
        terminal.wait_for("Go on? [y/N]")
        here.fleet.fleet.ring.hosts[here.fleet.backends["b1"]].vhosts = 100
        terminal.type("y\n")
        assert terminal.end() == 3
    shown = here.cli("report").out
    assert 'it was ["0"] as step 6 left it' in shown
    assert 'is ["100"] now' in shown
    assert "directorFlush" not in here.commands()
    assert here.fleet.fleet.counters.dropped == 0


def test_vhosts_set_back_while_a_backend_is_stopped(site: Start) -> None:
    """A backend that got users while it was down is not marked up as if nothing had happened: the run stops."""
    here = site(users=30)
    process = here.cli.start("run", "rolling-stop", "-e", "backends=b2", "--yes")
    wait_until(lambda: not here.fleet.fleet.backends["b2"].up)
    here.fleet.fleet.ring.hosts[here.fleet.backends["b2"]].vhosts = 100
    threading.Timer(1.1, here.fleet.start, ["b2"]).start()  # a start is told from none by its second
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, out + err
    assert "was changed by somebody else" in out + err
    assert "directorUp" not in here.commands()


def test_a_rolling_reload_does_not_disturb_itself(site: Start) -> None:
    """Each backend's vhost count is kept until the run itself gives it back; the next batch looks at its own alone."""
    here = site(users=30)
    done(here, "rolling-reload", "backends=b1,b2")
    assert vhosts(here) == [100, 100, 100]
    assert [len(host.reloads) for host in here.fleet.fleet.backends.values()] == [1, 1, 0]
