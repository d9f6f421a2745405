"""Before a step sends anything: does each of its hosts have the command, and know its parameters?

A host's own list of commands is fetched once a session. Where it cannot be had, nothing is said: the step's requests
will tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from orchestrator.dovecot import catalog
from orchestrator.dovecot.ask import Asker, each
from orchestrator.dovecot.exchange import Answered
from orchestrator.dovecot.listing import Listing, read_listing
from orchestrator.fleet.inventory import Host, fold

TIMEOUT = 10.0  # seconds
LONGEST_24 = 32_768  # bytes of one value, and items of one array, that 2.4.1 takes
MOST_24 = 1024


class Preflight:
    """The command lists of hosts.

    Args:
        asker: of the run.
        hosts: of the fleet.
    """

    def __init__(self, asker: Asker, hosts: Mapping[str, Host]) -> None:
        self._asker = asker
        self._hosts = hosts
        self._listings: dict[str, Listing | None] = {}
        self._statuses: dict[str, int] = {}

    async def problems(self, command: str, parameters: Iterator[str], hosts: list[str]) -> list[str]:
        """Why a command with these parameters cannot be sent to some of the hosts, a sentence each."""
        await self._fetch([host for host in hosts if host not in self._listings])
        names = list(parameters)
        reasons: dict[str, list[str]] = {}
        for host in hosts:
            if reason := self._reason(self._listings[host], command, names):
                reasons.setdefault(reason, []).append(host)
        return [f"{fold(affected)}: {reason}" for reason, affected in reasons.items()]

    def too_large(self, host: str, parameters: str) -> str:
        """Why a request's values are too large for the host, or empty. 2.4.1 answers 400; nothing would be executed."""
        listing = self._listings.get(host)
        if len(parameters) <= MOST_24 or listing is None or listing.version != "2.4":
            return ""
        for name, value in json.loads(parameters).items():
            items = value if isinstance(value, list) else [value]
            if len(items) > MOST_24:
                return f"{name} has {len(items)} items; Dovecot 2.4 takes at most {MOST_24}"
            if any(len(str(item).encode()) > LONGEST_24 for item in items):
                return f"{name} is longer than the {LONGEST_24} bytes that Dovecot 2.4 takes"
        return ""

    def listed(self, host: str) -> int | None:
        """The HTTP status that the host gave instead of its list or with it; None when it was not asked or gave none."""
        return self._statuses.get(host)

    async def _fetch(self, hosts: list[str]) -> None:
        async def one(host: str) -> None:
            timeout = min(TIMEOUT, self._hosts[host].endpoint.request_timeout)
            exchange = await self._asker.command_list(host, timeout)
            self._listings[host] = read_listing(exchange)
            if isinstance(exchange, Answered):
                self._statuses[host] = exchange.status

        await each(hosts, one)

    def _reason(self, listing: Listing | None, command: str, names: list[str]) -> str:
        if listing is None:
            return ""
        where = f"Dovecot {listing.release} there"
        listed = listing.commands.get(command)
        if listed is None:
            return f"{where} has no command {command} (a plugin that is not loaded, or another version)"
        entry = catalog.find(command) or catalog.UNLISTED
        unknown = [name for name in names if name not in listed]
        others = [word for choice in entry.one_of if {*unknown} & {*choice} for word in choice if word in listed]
        for name in [*names, *others]:
            spec = entry.parameters.get(name)
            if spec and name in listed and listing.version in spec.fatal:
                return f"{where} crashes on {command} with {name}; {spec.fatal[listing.version]}"
            if spec and name in listed and listing.version in spec.void:
                return f"{command} with {name} does nothing on Dovecot {listing.release}: {spec.void[listing.version]}"
        if unknown:
            known = ", ".join(listed) or "none"
            use = f"; use {' or '.join(others)} there" if others else ""
            return f"{where} does not know the parameter {unknown[0]!r} of {command} (it knows {known}){use}"
        return ""
