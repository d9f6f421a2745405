"""check."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App
from orchestrator.cli.output import emit, emit_json, message

if TYPE_CHECKING:
    from orchestrator.dovecot.ask import Asker
    from orchestrator.fleet.inventory import Host

TIMEOUT = 15.0  # seconds for a host
LEAST = 1.0  # seconds of them that are left for a command
AT_A_TIME = 50
WAITED = 5.0  # seconds after which hosts that are waited for are named
QUESTION = '{"service":["director"]}'  # changes nothing, and every 2.3 and 2.4 host can answer it
UNUSED = "no director runs on any of them; the process of a director starts with its first use, such as a login"


@dataclass(frozen=True)
class Finding:
    """What a host is, or why it cannot be said."""

    host: str
    url: str
    seconds: float
    about: str
    commands: int
    problem: str
    remedy: str


@click.command("check", short_help="Reach every host, authenticate, and show its version.")
@click.argument("selection", default="all")
@FORMAT
@click.pass_obj
def check(app: App, selection: str, form: str) -> int:
    """Reach each host of SELECTION, authenticate, have it answer a command, and say what it is. Changes nothing.

    \b
    Examples:
      orchestrator check
      orchestrator check backends
    """
    hosts = app.fleet.inventory.select(selection)
    width = max(len(host.name) for host in hosts)
    findings: list[Finding] = []

    def found(finding: Finding) -> None:
        findings.append(finding)
        if form == "json":
            emit_json({"event": "host", "ok": not finding.problem, **finding.__dict__})
        elif finding.problem:
            emit(f"✗ {finding.host:<{width}}  {finding.url}  {finding.problem}\n  {'':<{width}}  → {finding.remedy}")
        else:
            took = f"{finding.seconds * 1000:.0f} ms"
            emit(f"✓ {finding.host:<{width}}  {finding.url}  {finding.about}, {finding.commands} commands, {took}")

    anyio.run(_check_all, hosts, found)
    bad = sum(1 for finding in findings if finding.problem)
    if form == "text":
        abouts = [finding.about for finding in findings]
        if "Dovecot 2.3" in abouts and DIRECTOR not in abouts:
            emit(UNUSED)
        emit(f"{len(findings) - bad} of {len(findings)} hosts OK" + (f", {bad} not OK" if bad else ""))
    return exit_codes.FAILED if bad else exit_codes.DONE


async def _check_all(hosts: Sequence[Host], found: Callable[[Finding], None]) -> None:
    """Check all hosts, some at a time; they are told in the order of the configuration, each as soon as those before it are."""
    from orchestrator.dovecot.ask import Asker, each
    from orchestrator.dovecot.client import Client

    asked: dict[str, float] = {}
    findings: dict[str, Finding] = {}
    left = list(hosts)

    async with Client(host.endpoint for host in hosts) as client:
        asker = Asker(client)

        async def one(host: Host) -> None:
            asked[host.name] = time.monotonic()
            findings[host.name] = await _check(asker, host)
            del asked[host.name]
            while left and left[0].name in findings:
                found(findings[left.pop(0).name])

        async with anyio.create_task_group() as group:
            group.start_soon(_name_who_is_waited_for, asked)
            await each(hosts, one, AT_A_TIME)
            group.cancel_scope.cancel()


async def _name_who_is_waited_for(asked: dict[str, float]) -> None:
    """Say on stderr from whom an answer is still to come, once in a while."""
    from orchestrator.fleet.inventory import fold

    told = 0.0
    while True:
        await anyio.sleep(1.0)
        now = time.monotonic()
        slow = [name for name, since in asked.items() if now - since >= WAITED]
        if slow and now - told >= WAITED:
            told = now
            message(f"waiting for {fold(slow)}, for up to {TIMEOUT:g} s")


async def _check(asker: Asker, host: Host) -> Finding:
    from orchestrator.dovecot.listing import read_listing, trouble

    started = time.monotonic()
    timeout = min(TIMEOUT, host.endpoint.request_timeout)
    exchange = await asker.command_list(host.name, timeout)
    listing = read_listing(exchange)
    url = host.endpoint.url
    if listing is None:
        problem, remedy = trouble(exchange, url)
        return Finding(host.name, url, time.monotonic() - started, "", 0, problem, remedy)
    about, problem = f"Dovecot {listing.version}", ""
    if "serviceStatus" in listing.commands:
        left = max(LEAST, round(timeout - (time.monotonic() - started), 1))
        about, problem = await _look(asker, host, about, left)
    seconds = time.monotonic() - started
    if problem:
        return Finding(host.name, url, seconds, "", len(listing.commands), problem, REMEDY)
    return Finding(host.name, url, seconds, about, len(listing.commands), "", "")


async def _look(asker: Asker, host: Host, about: str, timeout: float) -> tuple[str, str]:
    """What a host is, by a command that it answers; or what is wrong with the answer.

    Every 2.3 host lists the director's commands, so its services are asked whether a director runs. A director command would
    make a backend try to start one, and fill its log (seen on 2.3.19.1). 2.4 has no such service, and answers no rows.
    """
    from orchestrator.outcome import Kind

    _, outcome = await asker.ask(host.name, "serviceStatus", QUESTION, tag="check", timeout=timeout)
    if outcome.kind not in {Kind.DONE, Kind.FAILED}:  # one that is not allowed is an answer, too
        return "", f"lists its commands, but does not answer one (serviceStatus): {outcome.error}"
    runs = any(str(row.get("process_count", "0")) != "0" for row in outcome.rows)
    return (DIRECTOR if runs else about), ""


DIRECTOR = "Dovecot 2.3 with director"
REMEDY = "look at its log and its processes (doveadm process status), or restart Dovecot"

COMMANDS = {"check": check}
