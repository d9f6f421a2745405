"""check."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App
from orchestrator.cli.output import emit, emit_json

if TYPE_CHECKING:
    from orchestrator.dovecot.ask import Asker
    from orchestrator.dovecot.listing import Listing
    from orchestrator.fleet.inventory import Host

TIMEOUT = 15.0  # seconds for a host
AT_A_TIME = 50


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


@click.command("check", short_help="Reach every host, authenticate, and say what it is.")
@click.argument("selection", default="all")
@FORMAT
@click.pass_obj
def check(app: App, selection: str, form: str) -> int:
    """Reach each host of SELECTION, authenticate, read its command list, and say what it is. Changes nothing.

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
        emit(f"{len(findings) - bad} of {len(findings)} hosts OK" + (f"; {bad} not" if bad else ""))
    return exit_codes.FAILED if bad else exit_codes.DONE


async def _check_all(hosts: list[Host], found) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    from orchestrator.dovecot.ask import Asker, each
    from orchestrator.dovecot.client import Client

    async with Client(host.endpoint for host in hosts) as client:
        asker = Asker(client)

        async def one(host: Host) -> None:
            found(await _check(asker, host))

        await each(hosts, one, AT_A_TIME)


async def _check(asker: Asker, host: Host) -> Finding:
    from orchestrator.dovecot.listing import read_listing, trouble

    started = time.monotonic()
    exchange = await asker.command_list(host.name, min(TIMEOUT, host.endpoint.request_timeout))
    seconds = time.monotonic() - started
    listing = read_listing(exchange)
    url = host.endpoint.url
    if listing is None:
        problem, remedy = trouble(exchange, url)
        return Finding(host.name, url, seconds, "", 0, problem, remedy)
    about = f"Dovecot {listing.version}"
    if listing.version == "2.3" and await _is_director(asker, host, listing):
        about += " with director"
    return Finding(host.name, url, seconds, about, len(listing.commands), "", "")


async def _is_director(asker: Asker, host: Host, listing: Listing) -> bool:
    """Whether a director runs there. Every 2.3 host lists the director's commands, so its services are asked.

    A director command would make a backend try to start a director, and fill its log (seen on 2.3.19.1).
    """
    if "directorStatus" not in listing.commands:
        return False
    question = '{"service":["director"]}'
    _, outcome = await asker.ask(host.name, "serviceStatus", question, tag="check", timeout=TIMEOUT)
    return any(str(row.get("process_count", "0")) != "0" for row in outcome.rows)


COMMANDS = {"check": check}
