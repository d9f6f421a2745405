"""commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import FORMAT, App
from orchestrator.cli.output import emit, emit_json

if TYPE_CHECKING:
    from orchestrator.dovecot.listing import Listing


@click.command("commands", short_help="What the doveadm HTTP API can do.")
@click.argument("command", required=False)
@click.option("--host", metavar="HOST", help="What this host itself lists.")
@FORMAT
@click.pass_obj
def commands(app: App, command: str | None, host: str | None, form: str) -> int:
    """List the commands of the catalogue, describe COMMAND, or list what a host has.

    \b
    Examples:
      orchestrator commands
      orchestrator commands directorFlush
      orchestrator commands --host b1
    """
    from orchestrator.dovecot import catalog
    from orchestrator.errors import InputError
    from orchestrator.views.manual import manual

    if host is not None:
        return _of_host(app, host, form)
    if command is None:
        for name in catalog.names():
            entry = catalog.find(name)
            if entry and form == "json":
                emit_json({"command": name, **entry.model_dump(by_alias=True)})
            elif entry:
                emit(f"{name:<24} {entry.effect:<13} {entry.summary}")
        return exit_codes.DONE
    entry = catalog.find(command)
    if entry is None:
        suggestion = catalog.suggest(command)
        raise InputError.at(f"the catalogue has no command {command!r}", "commands", suggestion=suggestion)
    if form == "json":
        emit_json({"command": command, **entry.model_dump(by_alias=True)})
    else:
        for line in manual(command, entry):
            emit(line)
    return exit_codes.DONE


def _of_host(app: App, host: str, form: str) -> int:
    from orchestrator.dovecot.catalog import find
    from orchestrator.views.words import safe

    listing = anyio.run(_listing, app, host)
    for name, parameters in sorted(listing.commands.items()):
        if form == "json":
            emit_json({"command": name, "parameters": dict(parameters)})
            continue
        words = " ".join(f"{parameter}:{kind}" for parameter, kind in parameters.items())
        emit(f"{safe(name):<24} {safe(words)}{'' if find(name) else '   (not in the catalogue)'}")
    return exit_codes.DONE


async def _listing(app: App, name: str) -> Listing:
    from orchestrator.dovecot.client import Client
    from orchestrator.dovecot.listing import read_listing, trouble
    from orchestrator.errors import InputError, RefusedError

    hosts = app.fleet.inventory.select(name)
    if len(hosts) != 1:
        raise InputError.at(f"{name!r} names {len(hosts)} hosts, not one", "--host")
    endpoint = hosts[0].endpoint
    async with Client([endpoint]) as client:
        exchange = await client.command_list(endpoint.name, endpoint.request_timeout)
    listing = read_listing(exchange)
    if listing is None:
        problem, remedy = trouble(exchange, endpoint.url)
        raise RefusedError(f"{endpoint.url}: {problem}", hint=remedy)
    return listing


COMMANDS = {"commands": commands}
