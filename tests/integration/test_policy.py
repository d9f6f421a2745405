"""The policy of a machine: what it refuses, whatever is typed; plans that were approved; and the glass that is broken in an emergency."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.journal.sqlite.store import open_file
from tests.command_line import wait_until
from tests.integration.conftest import Site
from tests.policed import MOUNT, NAMESPACE, Policed, needs_root
from tests.stranger import UID, give, program
from tests.terminal import Terminal

APPROVALS = "approvals: {signers: /etc/orchestrator/signers}\n"
KICKS = """
name: Kick a list
steps:
  - {name: Kick them, hosts: backends, command: kick, for_each: {file: users.txt}, parameters: {mask: ["{{ item }}"]}}
"""
SETS = "name: Set\nsteps: [{name: Set, hosts: b1, command: dictSet, parameters: {dictUri: 'file:/x', key: shared/n, value: '0'}}]\n"
LOOKS = "name: Look\nsteps: [{name: Look, hosts: backends, command: who}]\n"

pytestmark = needs_root


class Place:
    """A site on a machine with a policy, where plans are made and approved."""

    def __init__(self, site: Site, policed: Policed) -> None:
        self.site, self.policed, self.cli = site, policed, site.cli
        self.cli.more = {"SUDO_USER": "alice"}
        self.playbook = self.cli.playbook(KICKS)
        (self.cli.folder / "users.txt").write_text("".join(f"u{number}@example.com\n" for number in range(30)))

    def plan(self, name: str = "my.plan", playbook: str = "") -> Path:
        """A saved plan."""
        made = self.cli("plan", playbook or self.playbook, "-o", name)
        assert made.code == 0, made.said
        return self.cli.folder / name

    def refused(self, *words: str) -> str:
        """What is said when a command is refused, and nothing was sent."""
        before = len(self.site.fleet.requests)
        done = self.cli(*words)
        assert done.code == 5, done.said
        assert len(self.site.fleet.requests) == before
        return done.err


@pytest.fixture
def place(site: Callable[..., Site], tmp_path: Path) -> Place:
    """A machine where bob and carol may approve, and one approval is needed."""
    here = site(users=0, directors=0, backends=2)
    found = Place(here, Policed(here.cli, tmp_path))
    found.policed.says(APPROVALS, bob="", carol_at_example_dot_com="")
    return found


def execute(file: Path, statement: str) -> None:
    """Write into a plan behind everybody's back."""
    with sqlite3.connect(file) as connection:
        assert connection.execute(statement).rowcount
    connection.close()


def test_the_way_from_a_run_to_an_approved_one(place: Place) -> None:
    """`run` says what to type; each of the commands it names works as it stands; the report tells who approved."""
    err = place.refused("run", place.playbook, "--yes")
    assert "the policy of this machine wants changes approved (1 person of /etc/orchestrator/signers)" in err
    saving, signing, applying = (line.strip() for line in err.splitlines() if line.startswith("  "))
    bin_, home = place.cli.folder / "bin", place.cli.folder / "home"
    (home / ".ssh").mkdir(parents=True)
    bin_.mkdir()
    (bin_ / "orchestrator").write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    (bin_ / "orchestrator").chmod(0o755)
    (home / ".ssh" / "id_ed25519").symlink_to(place.policed.private("bob"))
    # ssh-keygen looks for ~ nowhere: the shell does
    environment = {**place.cli.environment, "PATH": f"{bin_}:{os.environ['PATH']}", "HOME": str(home), "USER": "bob"}

    def typed(command: str) -> subprocess.CompletedProcess[str]:
        inside = [*place.cli.program[: place.cli.program.index(sys.executable)], "sh", "-c", command]
        return subprocess.run(
            inside,
            env=environment,
            cwd=place.cli.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    saved = typed(saving)
    assert saved.returncode == 0, saved.stderr
    assert signing in saved.stderr
    assert (place.cli.folder / "playbook.plan").exists()
    refused = typed(f"{applying} --yes")
    assert refused.returncode == 5
    assert "playbook.plan is not approved: approved by 0 of 1" in refused.stderr
    assert signing in refused.stderr
    assert "no runs in" in place.cli("runs").out
    signed = typed(signing)
    assert signed.returncode == 0, signed.stderr
    assert place.cli("show", "playbook.plan").out.splitlines()[-1].startswith("approved by bob (SHA256:")
    done = typed(f"{applying} --yes")
    assert done.returncode == 0, done.stderr
    assert len(place.site.commands()) == 60
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(place.policed.private("bob"))], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert f"  approved by bob ({fingerprint}), verified " in place.cli("report").out


def test_what_ran_can_be_checked_with_plain_ssh_keygen(place: Place) -> None:
    """After the run its manifest, the kept signature and the signers file are all that is needed; `sha256sum` gives the digest."""
    place.policed.sign(place.plan(), "bob")
    assert place.cli("apply", "my.plan", "--yes").code == 0
    report = place.cli("report", "--format", "json").json()[0]
    manifest = place.cli("show", "last", "--manifest").out.encode()
    assert hashlib.sha256(manifest).hexdigest() == report["digest"]
    (approval,) = report["approvals"]
    kept = place.cli.folder / "kept.sig"
    kept.write_text(approval["signature"])
    words = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        str(place.policed.signers),
        "-I",
        "bob",
        "-n",
        NAMESPACE,
        "-s",
        str(kept),
    ]
    assert subprocess.run(words, input=manifest, check=False).returncode == 0
    assert subprocess.run(words, input=manifest + b"\n", check=False).returncode != 0


def test_reading_needs_no_approval(place: Place) -> None:
    """What changes nothing is done at once."""
    assert place.cli("run", place.cli.playbook(LOOKS, "look.yaml")).code == 0
    assert place.cli("exec", "b1", "who").code == 0


def test_a_single_command_can_be_approved(place: Place) -> None:
    """`exec` is refused as `run` is, and says how the command is saved as a plan; that is approved and applied."""
    err = place.refused("exec", "b1", "kick", "mask=u1 x", "--yes")
    assert "  orchestrator exec b1 kick 'mask=u1 x' -o kick.plan\n" in err
    saved = place.cli("exec", "b1", "kick", "mask=u1", "-o", "kick.plan")
    assert saved.code == 0, saved.said
    assert "Nothing was sent." in saved.out
    assert place.site.commands() == []
    place.policed.sign(place.cli.folder / "kick.plan", "bob")
    assert place.cli("apply", "kick.plan", "--yes").code == 0
    assert place.site.commands() == ["kick"]


def test_who_approves(place: Place) -> None:
    """By name: not whoever made the plan, nobody who is not listed, nobody twice, and only for this plan and this purpose."""
    place.policed.says(
        APPROVALS.replace("{", "{needed: 2, "),
        alice="",
        bob="",
        bob_at_example_dot_com="",
        carol="",
        dave='valid-before="20200101"',
    )
    plan = place.plan()
    other = place.plan("other.plan")

    def refused() -> str:
        return place.refused("apply", "my.plan", "--yes")

    assert "my.plan is not approved: approved by 0 of 2" in refused()
    place.policed.sign(plan, "alice")
    assert "0 of 2; alice made the plan, and does not approve it (not_by_author)" in refused()
    place.policed.sign(plan, "bob")
    assert "approved by 1 of 2 (bob); alice made the plan" in refused()
    place.policed.sign(plan, "bob").rename(plan.with_name("my.plan.again.sig"))
    place.policed.sign(plan, "bob")
    assert "approved by 1 of 2 (bob)" in refused()
    place.policed.sign(plan, "eve")
    assert "my.plan.eve.sig: by nobody who may approve (/etc/orchestrator/signers)" in refused()
    place.policed.sign(plan, "dave")
    assert "my.plan.dave.sig: by nobody who may approve" in refused()
    place.policed.sign(other, "carol", beside=plan)
    assert "my.plan.carol.sig: not a signature of this plan by carol" in refused()
    place.policed.sign(plan, "carol", namespace="file")
    assert "my.plan.carol.sig: not a signature of this plan by carol" in refused()
    plan.with_name("my.plan.carol.sig").write_text("nonsense")
    assert "my.plan.carol.sig: by nobody who may approve" in refused()
    place.policed.sign(plan, "carol")
    assert place.cli("apply", "my.plan", "--yes").code == 0
    approvals = place.cli("report", "--format", "json").json()[0]["approvals"]
    assert sorted(one["people"][0] for one in approvals) == ["bob", "carol"]


def test_an_approval_that_is_named(place: Place) -> None:
    """A signature may stand anywhere, and be named; then no other one is looked at."""
    plan = place.plan()
    kept = place.policed.sign(plan, "bob").rename(place.cli.folder / "elsewhere.sig")
    assert place.cli("show", "my.plan").out.splitlines()[-1] == "approved by 0 of 1"
    assert "approved by 0 of 1" in place.refused("apply", "my.plan", "--yes")
    assert "nothere.sig cannot be read" in place.refused("apply", "my.plan", "--yes", "--approval", "nothere.sig")
    assert place.cli("apply", "my.plan", "--yes", "--approval", str(kept)).code == 0


CHANGES = [
    'UPDATE operation SET parameters = \'{"mask":["*"]}\' WHERE seq = 7',
    "UPDATE list SET content = CAST('u1@example.com' || char(10) AS BLOB)",
    "UPDATE meta SET value = json_set(value, '$.limits', json_object('max_failed', '50%')) WHERE key = 'terms'",
    "UPDATE step SET layout = json_set(layout, '$.on_failure', 'continue')",
    "UPDATE meta SET value = '[\"mallory@mx1\"]' WHERE key = 'authors'",
]


def test_a_plan_that_was_changed_after_it_was_approved(place: Place) -> None:
    """One operation, item, limit or word: refused by `apply` and `show`; also where the digest was changed with it."""
    plan = place.plan()
    signature = place.policed.sign(plan, "bob")
    for number, change in enumerate(CHANGES):
        copy = f"{number}.plan"
        shutil.copy(plan, place.cli.folder / copy)
        shutil.copy(signature, place.cli.folder / f"{copy}.bob.sig")
        execute(place.cli.folder / copy, change)
        words = ("apply", "show")[number % 2]
        assert "was changed after it was made: what is there has the digest " in place.refused(words, copy)
        with open_file(str(place.cli.folder / copy)).read() as reader:
            digest = hashlib.sha256(b"".join(reader.manifest())).hexdigest()
        execute(place.cli.folder / copy, f"UPDATE meta SET value = '{digest}' WHERE key = 'digest'")
        assert f"{copy}.bob.sig: not a signature of this plan by bob" in place.refused("apply", copy, "--yes")
    assert place.cli("apply", "my.plan", "--yes").code == 0


def test_what_an_approved_plan_rests_on(place: Place) -> None:
    """Limits of the configuration, policy and signers are as they were when it was made, and it is not too old; each has its sentence."""
    plan = place.plan()
    place.policed.sign(plan, "bob")
    config = place.cli.config.read_text()

    def refused(*more: str) -> str:
        return place.refused("apply", "my.plan", "--yes", *more)

    place.cli.config.write_text(f"{config}\nlimits: {{in_flight: 1000}}\n")
    assert "the configuration has changed since the plan was made: limits: it is not what was approved" in refused()
    place.cli.config.write_text(config)
    assert "--in-flight 101 allows more than the 100 of the plan" in refused("--in-flight", "101")
    assert "--max-failed 5 was not approved" in refused("--max-failed", "5")
    place.policed.says(APPROVALS, bob="", eve="")
    assert "/etc/orchestrator/signers has changed since the plan was made" in refused()
    place.policed.says(f"{APPROVALS}protect: [192.0.2.1]\n", bob="", carol_at_example_dot_com="")
    assert "the policy has changed since the plan was made" in refused()
    place.policed.says(APPROVALS.replace("{", "{valid_for: 1ms, "), bob="")
    old = place.plan("old.plan")
    place.policed.sign(old, "bob")
    assert re.search(
        r"the plan was made \S+ ago; it could be started for 1ms", place.refused("apply", "old.plan", "--yes")
    )
    place.policed.says(APPROVALS, bob="", carol_at_example_dot_com="")
    assert place.cli("apply", "my.plan", "--yes", "--in-flight", "5").code == 0


def test_a_run_that_was_approved_goes_on(place: Place) -> None:
    """`resume` needs no new approval, nor the signature's file; but whoever approved must still be somebody who may."""
    plan = place.plan()
    signature = place.policed.sign(plan, "bob")
    running = place.cli.start("apply", "my.plan", "--yes", "--rate", "10")
    wait_until(lambda: len(place.site.fleet.requests) > 3)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    signature.unlink()
    place.policed.says(APPROVALS, carol="")
    assert "is not approved: approved by 0 of 1; approval of bob: by nobody who may approve" in place.refused("resume")
    place.policed.says(APPROVALS.replace("{", "{needed: 2, "), carol="", bob="")
    assert "--in-flight 200 allows more than" in place.refused("resume", "--in-flight", "200")
    assert place.cli("resume", "--rate", "1000").code == 0
    assert len(place.site.fleet.requests) == 60


def test_a_run_that_was_not_started(place: Place) -> None:
    """Where a condition refused it at the start nothing was changed: its approvals hold no longer than those of a plan."""
    unless = (
        'conditions: [{name: someone, ask: {hosts: b1, command: who}, that: "{{ rows | length > 0 }}", at: start}]\n'
    )
    plan = place.plan(playbook=place.cli.playbook(KICKS + unless, "unless.yaml"))
    place.policed.sign(plan, "bob")
    assert place.cli("apply", "my.plan", "--yes").code == 5
    assert place.cli("show").out.splitlines()[1].startswith("  not started")
    again = place.cli("resume")
    assert "not started" in again.out
    place.policed.says(APPROVALS, bob="", eve="")
    assert "/etc/orchestrator/signers has changed since the plan was made" in place.refused("resume")


def test_another_configuration_changes_nothing(place: Place) -> None:
    """With -c, and with hosts called otherwise, the policy still holds: approvals, and hosts that it protects by their address."""
    address = re.search(r"b1: \"?([\d.]+)", place.cli.config.read_text())
    assert address is not None, place.cli.config.read_text()
    place.policed.says(f"protect: [{address[1]}, nowhere]\n")
    other = place.cli.folder / "other.yaml"
    other.write_text(place.cli.config.read_text().replace("b1:", "renamed:"))
    for words in (("exec", "b1"), ("-c", str(other), "exec", "renamed")):
        err = place.refused(*words, "kick", "mask=u1", "--yes")
        assert f"would change {words[-1]}, which the policy protects" in err
        assert "warning: the policy protects 'nowhere', which this configuration does not have" in err
    assert place.cli("exec", "b2", "kick", "mask=u1", "--yes").code == 0
    place.policed.says(APPROVALS, bob="")
    assert "wants changes approved" in place.refused("-c", str(other), "exec", "renamed", "kick", "mask=u1", "--yes")


def test_changes_within_windows_only(place: Place) -> None:
    """Where the policy wants a window, every verb that changes something wants --window or --until."""
    place.policed.says("require_window: true\n")
    assert "wants changes made within a window" in place.refused("run", place.playbook, "--yes")
    assert "wants changes made within a window" in place.refused("exec", "b1", "reload", "--yes")
    place.plan()
    assert "wants changes made within a window" in place.refused("apply", "my.plan", "--yes")
    assert place.cli("exec", "b1", "who").code == 0
    running = place.cli.start("apply", "my.plan", "--yes", "--until", "23:59:59", "--rate", "10")
    wait_until(lambda: len(place.site.fleet.requests) > 3)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert place.cli("resume", "--rate", "1000").code == 0  # the run keeps its --until


def test_conditions_of_the_policy(place: Place) -> None:
    """They hold for each verb that changes something, and for plans that were made before; reading needs none."""
    place.policed.says("protect: []\n")
    place.plan("old.plan")
    silent = '[{name: nobody moves, ask: {hosts: b2, command: who}, that: "{{ rows | length > 0 }}"}]'
    place.policed.says(f"conditions: {silent}\n")
    assert "wants the condition 'nobody moves', which this plan does not have" in place.refused(
        "apply", "old.plan", "--yes"
    )
    place.plan("new.plan")
    for words in (("run", place.playbook), ("exec", "b1", "reload"), ("apply", "new.plan")):
        done = place.cli(*words, "--yes")
        assert done.code == 5, done.said
        assert "condition 'nobody moves' (of the policy) does not hold: 0 rows" in done.said
    assert set(place.site.commands()) == {"who"}
    assert place.cli("exec", "b1", "who").code == 0
    place.policed.says(f"conditions: {silent.replace('rows | length', 'row')}\n")
    wrong = place.cli("plan", place.playbook)
    assert (wrong.code, "'row' is not defined here" in wrong.err) == (2, True), wrong.said


def broken_glass(place: Place, *words: str, answers: tuple[str, str]) -> tuple[int, str]:
    """The exit code, and what the terminal showed; an answer that is empty is not given."""
    with Terminal(place.cli, *words, "--break-glass", "mail is down") as terminal:
        for question, answer in zip(("[y/N]: ", "or Enter to leave: "), answers, strict=True):
            if answer:
                terminal.wait_for(question)
                terminal.type(f"{answer}\n")
        return terminal.end(), terminal.shown


def test_in_an_emergency_the_glass_is_broken(place: Place) -> None:
    """It is asked about twice, the second time by words that are typed, also with --yes; the report begins with it."""
    place.policed.says(f"{APPROVALS}require_window: true\n", bob="")
    run = ("run", place.cli.playbook(SETS, "set.yaml"))
    assert broken_glass(place, *run, answers=("y", "no"))[0] == 5
    assert broken_glass(place, *run, answers=("n", ""))[0] == 5
    assert place.site.commands() == []
    code, shown = broken_glass(place, *run, "--yes", answers=("", "break glass"))
    assert code == 0, shown
    assert "Windows, freezes and approvals will be ignored: mail is down" in shown
    assert "Type break glass to do that, or Enter to leave: " in shown
    assert place.site.commands() == ["dictSet"]
    lines = place.cli("report").out.splitlines()
    assert re.fullmatch(r"  windows, freezes and approvals ignored \(.*\): mail is down", lines[2])


def test_a_script_cannot_break_the_glass(place: Place) -> None:
    """Without a terminal --break-glass is refused: --yes does not answer for a person."""
    err = place.refused("run", place.playbook, "--yes", "--break-glass", "as every night")
    assert "--break-glass must be confirmed at a terminal, and there is none" in err
    assert "no runs in" in place.cli("runs").out


def test_the_glass_is_broken_for_one_session(place: Place) -> None:
    """Whoever resumes a run that was begun so is asked again."""
    with Terminal(place.cli, "run", place.playbook, "--yes", "--rate", "10", "--break-glass", "x") as terminal:
        terminal.wait_for("or Enter to leave: ")
        terminal.type("break glass\n")
        wait_until(lambda: len(place.site.fleet.requests) > 3)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    assert "is not approved: approved by 0 of 1" in place.refused("resume", "--rate", "1000")
    assert broken_glass(place, "resume", "--rate", "1000", answers=("n", ""))[0] == 5
    code, shown = broken_glass(place, "resume", "--rate", "1000", answers=("y", "break glass"))
    assert code == 0, shown


def test_a_policy_that_cannot_be_trusted_is_not_ignored(place: Place) -> None:
    """Where others could have written it nothing is planned or sent, by no verb that could send anything."""
    place.policed.policy.chmod(0o666)
    for words in (("run", place.playbook, "--yes"), ("plan", place.playbook), ("exec", "b1", "who"), ("check",)):
        err = place.refused(*words)
        assert "/etc/orchestrator/policy.yaml can be written by others than root; without a policy that can be" in err


def test_a_plain_user(place: Place, tmp_path: Path) -> None:
    """The policy holds for everybody, and who may not read it can do nothing."""
    give(tmp_path)
    for path in (place.policed.etc, *place.policed.etc.rglob("*")):
        os.chown(path, 0, 0)
    python, path = program()
    inside = ["unshare", "-m", "sh", "-c", MOUNT.format(more="") + " ", str(place.policed.etc)]
    inside += ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    words = [
        python,
        "-m",
        "orchestrator",
        "-c",
        str(place.cli.config),
        "--state-dir",
        "runs",
        "exec",
        "b1",
        "kick",
        "mask=u1",
        "--yes",
    ]

    def refused() -> str:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
        done = subprocess.run(
            [*inside, *words],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 5, done.stderr
        return done.stderr

    assert "wants changes approved" in refused()
    place.policed.policy.chmod(0o600)
    assert "/etc/orchestrator/policy.yaml cannot be read: Permission denied" in refused()
    assert place.site.commands() == []


def test_a_policy_that_says_what_it_cannot_mean(place: Place) -> None:
    """Mistakes are told with their place."""
    for text, said in (
        ("aprovals: {}\n", "/etc/orchestrator/policy.yaml:1:1: unknown key 'aprovals' (did you mean 'approvals'?)"),
        ("approvals: {signers: signers}\n", "must be a whole path, such as /etc/orchestrator/signers"),
        ("approvals: {needed: 0, signers: /x}\n", "greater than or equal to 1"),
        ("", "/etc/orchestrator/policy.yaml"),
    ):
        place.policed.says(text)
        done = place.cli("exec", "b1", "kick", "mask=u1", "--yes")
        assert done.code == 2, done.said
        assert said in done.err
    assert place.site.commands() == []


def test_without_ssh_keygen(place: Place) -> None:
    """Where signatures cannot be verified nothing is approved, and it is said what to install; whatever PATH has."""
    place.policed.sign(place.plan(), "bob")
    (place.cli.folder / "ssh-keygen").write_text("#!/bin/sh\necho bob SHA256:x\n")
    (place.cli.folder / "ssh-keygen").chmod(0o755)
    place.cli.more["PATH"] = f"{place.cli.folder}:{os.environ['PATH']}"
    place.policed.mounted("mount --bind /dev/null /usr/bin/ssh-keygen")
    err = place.refused("apply", "my.plan", "--yes")
    assert "ssh-keygen, which verifies them, is not installed" in err
    assert "install the package openssh-client" in err
    old = place.cli.folder / "old"
    old.write_text("#!/bin/sh\necho 'unknown option -- Y' >&2\necho 'usage: ssh-keygen [-q] [-b bits]' >&2\nexit 1\n")
    old.chmod(0o755)
    place.policed.mounted(f"mount --bind {old} /usr/bin/ssh-keygen")
    assert "/usr/bin/ssh-keygen is too old to verify signatures" in place.refused("apply", "my.plan", "--yes")


def test_a_large_plan_is_approved(place: Place) -> None:
    """A hundred thousand operations are signed and verified as one is."""
    (place.cli.folder / "users.txt").write_text("".join(f"u{number}@example.com\n" for number in range(50_000)))
    place.policed.sign(place.plan("large.plan"), "bob")
    with Terminal(place.cli, "apply", "large.plan") as terminal:
        terminal.wait_for("; digest ")  # the question, which comes when the plan was found approved
        terminal.type("n\n")
        assert terminal.end() == 5
    assert "not confirmed" in terminal.shown
