"""The review of real plans: what it says is so, what it gives to type does what the run does, and it shows in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import browser, chromium
from tests.command_line import CommandLine
from tests.ring import Ring, Sessions

USERS = 40


@pytest.fixture(scope="module")
def own_ring(dovecot_ring_factory: Callable[..., Ring]) -> Ring:
    """A ring that these tests may change."""
    return dovecot_ring_factory()


@pytest.fixture
def cli(own_ring: Ring, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line for the ring, whose backends can serve 30 users each."""
    config = own_ring.write_config(tmp_path / "config.yaml")
    config.write_text(config.read_text().replace("backends: {hosts", "backends: {defaults: {capacity: 30}, hosts"))
    command_line = CommandLine(tmp_path, config)
    yield command_line
    command_line.stop()


def status(ring: Ring, backend: str) -> dict[str, str]:
    """What a director itself says of a backend."""
    rows = ring.call("d1", "directorStatus", {})
    return next(row for row in rows if row["mail server ip"] == ring.backends[backend])


def saved(cli: CommandLine, *words: str) -> dict[str, Any]:
    """The review of a plan that was made with a look at the fleet."""
    made = cli("plan", *words, "--live", "-o", "a.plan", "--ticket", "CHG-1", "--reason", "kernel update")
    assert made.code == 0, made.said
    return reviewed(cli)


def reviewed(cli: CommandLine) -> dict[str, Any]:
    """The review of the saved plan, as JSON."""
    result = cli("review", "a.plan", "--format", "json")
    assert result.code == 0, result.said
    found: dict[str, Any] = json.loads(result.out)
    return found


def shell(line: str, folder: Path, *, doveadm: Path | None = None) -> str:
    """What a shell prints of a pasted line; a doveadm of a host goes by that host's configuration."""
    if doveadm is not None:
        line = line.replace("doveadm ", f"doveadm -c {doveadm} ", 1)
    program = shutil.which("sh")
    assert program is not None
    done = subprocess.run([program, "-c", line], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.real_dovecot
def test_a_review_of_a_drain_agrees_with_the_ring(own_ring: Ring, cli: CommandLine) -> None:
    """Users, shares, where they go and what would be restored are what the directors and `who` say; no expression, no secret."""
    with Sessions(own_ring, count=USERS):
        found = saved(cli, "drain-backend", "-e", "backend=b1")
        users = {name: int(status(own_ring, name)["users"]) for name in own_ring.backends}
        connected = len(own_ring.call("b1", "who", {"separateConnections": True}))
        proxied = {name: len(own_ring.call(name, "proxyList", {})) for name in own_ring.directors}
    assert found["affected"]["users"] == users["b1"] == connected
    assert found["fleet_users"] == sum(users.values()) == sum(proxied.values())
    assert [(room["host"], room["before"], room["capacity"]) for room in found["rooms"]] == [
        (name, users[name], 30) for name in ("b2", "b3")
    ]
    assert sum(room["after"] - room["before"] for room in found["rooms"]) in range(users["b1"] - 1, users["b1"] + 2)
    assert not found["verdict"]["stops"]
    [undo] = [back for back in found["backouts"] if back["by"]]
    assert undo["restores"] == [["vhostCount", "0", "100"]]
    keys = {step["command"]: step["key"] for step in found["steps"] if step["changes"] and step["role"] == "step"}
    checks = {check["moment"]: check for check in found["checks"]}
    assert checks[f"after step {keys['directorFlush']}"]["now"] == f"users={users['b1']} on d[1-2]"
    assert checks[f"after step {keys['kick']}"]["now"] == f"{connected} rows on b1"
    for form in ("text", "markdown", "html", "json"):
        text = cli("review", "a.plan", "--format", form).out
        assert own_ring.password not in text
        assert own_ring.api_key not in text
        assert form == "json" or "{{" not in text
        assert "<script" not in text


@pytest.mark.real_dovecot
def test_what_a_review_gives_to_type_does_what_the_run_does(own_ring: Ring, cli: CommandLine) -> None:
    """Pasted into a shell, read-only and changing, curl and doveadm: the host answers and is changed as by the run."""
    found = saved(cli, "drain-backend", "-e", "backend=b1")
    for line in found["header_files"].values():
        assert shell(line, cli.folder) == ""
    steps = {(step["role"], step["command"]): step["listed"][0] for step in reversed(found["steps"]) if step["listed"]}

    def pasted(command: str) -> list[str]:
        """Both twins of a step's first request, one after the other."""
        request = steps["step", command]
        answered = json.loads(shell(request["curl"], cli.folder))
        assert answered[0][0] == "doveadmResponse", answered
        assert answered[0][2] == request["id"]
        configuration = own_ring.nodes[request["host"]].configuration
        return [json.dumps(answered[0][1]), shell(request["doveadm"], cli.folder, doveadm=configuration)]

    for text in pasted("directorStatus"):
        assert all(address in text for address in own_ring.backends.values())
    assert status(own_ring, "b1")["vhosts"] == "100"
    for line in ("curl", "doveadm"):
        for role, vhosts in (("step", "0"), ("undo", "100")):
            request = steps[role, "directorUpdate"]
            conf = own_ring.nodes[request["host"]].configuration
            shell(request[line], cli.folder, doveadm=conf if line == "doveadm" else None)
            assert status(own_ring, "b1")["vhosts"] == vhosts, (line, role)
    with Sessions(own_ring, count=USERS) as sessions:
        own_ring.call("d1", "directorUpdate", {"host": own_ring.backends["b1"], "vhostCount": "0"})
        for line in ("curl", "doveadm"):
            request = steps["step", "directorFlush"]
            conf = own_ring.nodes[request["host"]].configuration
            said = shell(request[line], cli.folder, doveadm=conf if line == "doveadm" else None)
            assert "rror" not in said, said
        sessions.wait_alive(USERS, timeout=90)
        assert int(status(own_ring, "b1")["users"]) == 0
    own_ring.reset()


@pytest.mark.real_dovecot
def test_a_process_list_never_shows_the_secret(own_ring: Ring, cli: CommandLine) -> None:
    """Neither it nor its base64 is a word of any line that the review gives to type."""
    found = saved(cli, "rolling-reload", "-e", "backends=b1")
    hidden = [own_ring.password, base64.b64encode(f"doveadm:{own_ring.password}".encode()).decode()]
    text = json.dumps(found)
    assert all(secret not in text for secret in hidden)
    assert "curl -sS -H @doveadm.header" in text


def drained(here: Any) -> None:
    """A plan of a drain of the simulated fleet."""
    made = here.cli("plan", "drain-backend", "-e", "backend=b1", "--live", "-o", "a.plan")
    assert made.code == 0, made.said


def test_a_review_is_written_to_a_file_once(site: Callable) -> None:
    """A file is never overwritten; nothing is sent for a review."""
    here = site(users=30)
    drained(here)
    asked = len(here.commands())
    result = here.cli("review", "a.plan", "--format", "html", "-o", "a.html")
    assert (result.code, result.out) == (0, ""), result.said
    text = (here.cli.folder / "a.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    again = here.cli("review", "a.plan", "--format", "html", "-o", "a.html")
    assert again.code == 5
    assert "a.html exists" in again.said
    assert (here.cli.folder / "a.html").read_text(encoding="utf-8") == text
    assert len(here.commands()) == asked


def test_a_review_goes_by_the_plan_and_not_by_what_changed_since(site: Callable) -> None:
    """Shown again it is the same, but for how long it takes, which is better known after a run; not for a fleet that has changed."""
    here = site(users=30)
    drained(here)
    first = here.cli("review", "a.plan").out
    assert here.cli("run", "drain-backend", "-e", "backend=b2", "--yes").code == 0
    again = here.cli("review", "a.plan").out
    before, after = (text.partition("6 Schedule")[0] for text in (first, again))
    assert "2 Impact and risk" in before
    assert after == before
    assert "from 1 earlier run" in again
    assert again.partition("7 Approvals")[2] == first.partition("7 Approvals")[2]
    text = here.cli.config.read_text(encoding="utf-8")
    here.cli.config.write_text(re.sub(r"b3: [\d.]+", "b3: 127.0.0.250", text, count=1), encoding="utf-8")
    result = here.cli("review", "a.plan")
    assert result.code == 5, result.said
    assert "the fleet has changed" in result.said


def test_a_run_that_was_started_has_a_report_instead(site: Callable) -> None:
    """The message names the command."""
    here = site(users=3)
    assert here.cli("exec", "b1", "who").code == 0
    result = here.cli("run", "drain-backend", "-e", "backend=b1", "--yes")
    assert result.code == 0, result.said
    result = here.cli("review", "last")
    assert result.code == 5
    assert "orchestrator report" in result.said


def test_a_plan_that_was_applied_says_so(site: Callable) -> None:
    """It can still be read, and not be applied again."""
    here = site(users=3)
    drained(here)
    assert here.cli("apply", "a.plan", "--yes").code == 0
    result = here.cli("review", "a.plan")
    assert result.code == 0, result.said
    assert "already applied" in result.out


@pytest.mark.anyio
@pytest.mark.chromium
async def test_a_review_in_a_browser(site: Callable, tmp_path: Path) -> None:
    """No request, no complaint, no script; it fits a telephone, and on paper all requests are open."""
    chromium()
    here = site(users=30)
    drained(here)
    assert here.cli("review", "a.plan", "--format", "html", "-o", "a.html").code == 0
    path = here.cli.folder / "a.html"
    async with browser(tmp_path) as page:
        await page.look_at(width=360)
        await page.open(path.as_uri())
        assert (page.requests, page.complaints) == ([path.as_uri(), "data:,"][: len(page.requests)], [])
        assert await page.ask("document.scripts.length") == 0
        assert await page.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        folded = "[...document.querySelectorAll('details > :not(summary)')].map((e) => e.checkVisibility())"
        assert not any(await page.ask(folded))
        await page.look_at(width=800, media="print")
        assert all(await page.ask(folded))
