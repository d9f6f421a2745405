"""A plan is applied once, exactly as it was shown, whoever else is there; run files are made by one process each."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from orchestrator.errors import RefusedError
from orchestrator.runs.planning import load_fleet
from orchestrator.runs.store import open_store
from orchestrator.runs.work import start
from tests.integration.conftest import Site
from tests.stranger import give, needs_root, stranger
from tests.terminal import Terminal

COUNT = """
name: Count
steps:
  - name: Begin at 0
    hosts: b1
    command: dictSet
    parameters: {dictUri: "file:/x", key: shared/n, value: "0"}
  - name: Count
    hosts: b1
    command: dictInc
    parameters: {dictUri: "file:/x", key: shared/n, difference: 1}
finally:
  - {name: Look at last, hosts: b1, command: who}
"""


def planned(site: Callable[..., Site], **spec: object) -> tuple[Site, Path]:
    """A site with a saved plan."""
    here = site(users=0, directors=0, backends=2, **spec)
    plan = here.cli.folder / "my.plan"
    assert here.cli("plan", here.cli.playbook(COUNT), "-o", str(plan)).code == 0
    return here, plan


def counted(here: Site) -> int:
    """How often the counter was counted up."""
    return here.commands().count("dictInc")


def test_two_who_are_asked_at_the_same_time(site: Callable[..., Site]) -> None:
    """Two terminals stand at the question of one plan: the first yes runs it, the second is refused, and nothing is overwritten."""
    here, plan = planned(site)
    with Terminal(here.cli, "apply", str(plan)) as one, Terminal(here.cli, "apply", str(plan)) as other:
        one.wait_for("[y/N]")
        other.wait_for("[y/N]")
        one.type("y\n")
        assert one.end() == 0
        record = here.cli.exported()
        other.type("y\n")
        assert other.end() == 5
        assert "was already applied" in other.shown
    assert counted(here) == 1
    assert here.cli.exported() == record


def test_two_who_are_asked_about_a_run_that_was_planned(site: Callable[..., Site]) -> None:
    """The same for a planned run in the state directory: it is begun once, and its `finally` is run once."""
    here, plan = planned(site)
    with sqlite3.connect(plan) as connection:
        run_id = connection.execute("SELECT value FROM meta WHERE key = 'run_id'").fetchone()[0]
    connection.close()
    here.cli.state.mkdir(mode=0o700)
    shutil.copy(plan, here.cli.state / f"{run_id}.run")
    with Terminal(here.cli, "apply", run_id) as one, Terminal(here.cli, "apply", run_id) as other:
        one.wait_for("[y/N]")
        other.wait_for("[y/N]")
        other.type("y\n")
        assert other.end() == 0
        one.type("y\n")
        assert one.end() == 5
    assert counted(here) == 1
    assert here.commands().count("who") == 1


def test_a_plan_that_is_replaced_while_the_question_stands(site: Callable[..., Site]) -> None:
    """What is sent is what was shown; another plan under the same name is refused, and sends nothing."""
    here, plan = planned(site)
    other = here.cli.folder / "other.plan"
    assert here.cli("plan", here.cli.playbook(COUNT.replace("shared/n", "shared/m")), "-o", str(other)).code == 0
    with Terminal(here.cli, "apply", str(plan)) as terminal:
        terminal.wait_for("[y/N]")
        other.replace(plan)
        terminal.type("y\n")
        assert terminal.end() == 5
        assert "not the one that was shown" in terminal.shown
    assert here.fleet.requests == []
    assert here.cli("apply", str(plan), "--yes").code == 0


def test_a_plan_is_applied_once_in_all_state_directories(site: Callable[..., Site]) -> None:
    """Whatever --state-dir says, a plan that was applied says so itself, and as which run."""
    here, plan = planned(site)
    assert here.cli("--state-dir", "one", "apply", str(plan), "--yes").code == 0
    again = here.cli("--state-dir", "two", "apply", str(plan), "--yes")
    assert again.code == 5
    assert "was already applied, as run" in again.err
    assert str(here.cli.folder / "one") in again.err
    assert counted(here) == 1


@needs_root
def test_a_plan_that_cannot_be_marked(site: Callable[..., Site]) -> None:
    """A plan where this user cannot write is readable, and refused with what to do: to copy it."""
    here, plan = planned(site)
    give(here.cli.folder)
    public = here.cli.folder / "public"
    public.mkdir(mode=0o755)
    plan = plan.rename(public / plan.name)
    os.chown(plan, 0, 0)
    plan.chmod(0o644)
    options = ("-c", str(here.cli.config), "--state-dir", "runs")
    shown = stranger(here.cli.folder, *options, "show", str(plan))
    assert shown.returncode == 0, shown.stderr
    done = stranger(here.cli.folder, *options, "apply", str(plan), "--yes")
    assert done.returncode == 5, done.stderr
    assert "damaged" not in done.stderr
    assert "copy it to a directory of your own" in done.stderr
    assert here.fleet.requests == []


def test_a_full_disk_leaves_the_plan_as_it_was(site: Callable[..., Site], tmp_path: Path) -> None:
    """When there is no room for the run, nothing is sent and no half of it stays; with room, the plan is applied."""
    here, plan = planned(site)
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        filler = mount / "filler"
        filler.write_bytes(b"x" * 40_000)
        done = here.cli("--state-dir", str(mount), "apply", str(plan), "--yes")
        assert done.code == 3, done.said
        assert "is full" in done.err
        assert sorted(mount.iterdir()) == [filler]
        assert here.fleet.requests == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    assert here.cli("apply", str(plan), "--yes").code == 0
    assert counted(here) == 1


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "", ".hidden", "-rf"])
def test_a_plan_that_names_a_path_as_its_run(site: Callable[..., Site], name: str) -> None:
    """A plan from elsewhere cannot choose where its run file is written."""
    here, plan = planned(site)
    connection = sqlite3.connect(plan)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'run_id'", (name,))
    connection.commit()
    connection.close()
    done = here.cli("apply", str(plan), "--yes")
    assert done.code == 3, done.said
    assert "is not a run's name" in done.err
    assert here.fleet.requests == []


def test_many_starts_in_the_same_second(site: Callable[..., Site]) -> None:
    """Twelve at once: each gets a run of its own, and all of them run."""
    here = site(users=0, directors=0, backends=2)
    started = [here.cli.start("exec", "b1", "who") for _ in range(12)]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 12, said
    assert here.commands().count("who") == 12
    assert len(list(here.cli.state.glob("*.run"))) == 12


def test_a_folder_that_is_not_there(site: Callable[..., Site]) -> None:
    """`plan -o` into a directory that does not exist says so."""
    here = site(users=0, directors=0, backends=1)
    done = here.cli("plan", here.cli.playbook(COUNT), "-o", "nowhere/x.plan")
    assert done.code == 3
    assert "there is no directory nowhere" in done.err


def test_a_no_leaves_nothing_behind(site: Callable[..., Site]) -> None:
    """After a no, or a lost terminal, at the question there is no run, and no file of one."""
    here = site(users=0, directors=0, backends=2)
    playbook = here.cli.playbook(COUNT)
    for leave in (lambda t: t.type("n\n"), lambda t: t.type("\n"), lambda t: t.type("\x04"), lambda t: t.lose()):
        with Terminal(here.cli, "run", playbook) as terminal:
            terminal.wait_for("[y/N]")
            leave(terminal)
            assert terminal.process.wait(30) in {5, 129}
        assert list(here.cli.state.iterdir()) == []
    assert here.fleet.requests == []


def test_a_secret_that_was_missing_is_given_at_the_second_attempt(site: Callable[..., Site]) -> None:
    """An apply that could not begin, in another state directory too, has applied nothing: the next one runs the plan, once."""
    here, plan = planned(site)
    secret = here.cli.config.with_name("doveadm.password")
    hidden = secret.rename(secret.with_suffix(".hidden"))
    refused = here.cli("apply", str(plan), "--yes")
    assert refused.code == 2, refused.said
    assert here.fleet.requests == []
    hidden.rename(secret)
    applied = here.cli("apply", str(plan), "--yes")
    assert applied.code == 0, applied.said
    assert counted(here) == 1
    assert here.cli("apply", str(plan), "--yes").code == 5


@pytest.mark.parametrize("what", ["configuration", "playbook", "value"])
def test_what_is_not_utf8_is_refused(site: Callable[..., Site], what: str) -> None:
    """A path or a value that cannot be kept as text is named; nothing is sent, and nothing is left behind."""
    here = site(users=0, directors=0, backends=2)
    playbook = here.cli.playbook(COUNT + 'parameters: {word: {type: string, default: ""}}\n')
    words = [b"run", os.fsencode(playbook), b"--yes"]
    config = os.fsencode(here.cli.config)
    strange = os.fsencode(here.cli.folder) + b"/\xff.yaml"
    if what == "configuration":
        shutil.copy(config, strange)
        config = strange
    elif what == "playbook":
        shutil.copy(playbook, strange)
        words[1] = strange
    else:
        words += [b"-e", b"word=\xff"]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", b"-c", config, *words],
        env=here.cli.environment, cwd=here.cli.folder, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert b"is not text in UTF-8" in done.stderr
    assert here.fleet.requests == []
    assert not here.cli.state.exists() or list(here.cli.state.iterdir()) == []


def change(file: Path) -> None:
    """Write another number into a plan's second operation."""
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE operation SET parameters = replace(parameters, '1', '9') WHERE seq = 2")
    connection.close()


def test_a_plan_that_was_changed_is_refused(site: Callable[..., Site]) -> None:
    """What is in the file is what was planned, or nothing is shown, asked or sent; the plan is not marked as applied."""
    here, plan = planned(site)
    copy = shutil.copy(plan, plan.with_name("copy.plan"))
    change(plan)
    for words in (("apply", str(plan), "--yes"), ("show", str(plan)), ("show", str(plan), "--manifest")):
        refused = here.cli(*words)
        assert (refused.code, refused.out) == (5, "")
        assert "was changed after it was made: what is there has the digest " in refused.err
        assert "make a new plan" in refused.err
    assert here.fleet.requests == []
    assert here.cli("apply", str(copy), "--yes").code == 0
    assert here.cli("show", "last", "--manifest").code == 0


def test_a_program_cannot_start_a_run_that_was_changed(site: Callable[..., Site]) -> None:
    """The same for who plans and starts from a program, and for a run that was planned in the state directory."""
    here = site(users=0, directors=0, backends=2)
    fleet = load_fleet(here.cli.config)
    store = open_store(here.cli.state)
    run = fleet.plan(here.cli.playbook(COUNT)).create(store)
    change(here.cli.state / f"{run.id}.run")
    with pytest.raises(RefusedError, match="was changed after it was made"):
        anyio.run(start, run, store, fleet)
    assert here.fleet.requests == []


def test_the_digest_can_be_checked_by_anybody(site: Callable[..., Site]) -> None:
    """`plan --manifest` and `show --manifest` print, in any locale, the very text whose SHA-256 is the digest; `run` asks with the same."""
    here = site(users=0, directors=0, backends=2)
    playbook = here.cli.playbook(COUNT.replace("Begin at 0", "Zähle ab 0"))
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}

    def printed(*words: str) -> str:
        command = [*here.cli.program, *words]
        environment = {**here.cli.environment, **locale}
        done = subprocess.run(command, env=environment, cwd=here.cli.folder, capture_output=True, check=True)
        return hashlib.sha256(done.stdout).hexdigest()

    digest = here.cli("plan", playbook, "--format", "json").json()[0]["digest"]
    assert printed("plan", playbook, "--manifest") == digest
    assert f"(digest {digest[:16]})" in here.cli("plan", playbook).out
    with Terminal(here.cli, "run", playbook) as terminal:
        terminal.wait_for(f"digest {digest[:16]}.")
        terminal.type("n\n")
        assert terminal.end() == 5
    saved = printed("plan", playbook, "--manifest", "-o", "a.plan")
    assert saved == printed("show", "a.plan", "--manifest") != digest
    assert here.cli("apply", "a.plan", "--yes").code == 0
    assert printed("show", "last", "--manifest") == saved == here.cli("report", "--format", "json").json()[0]["digest"]
