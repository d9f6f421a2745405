"""The fleet's hosts, and selections of them such as "backends:!b3" or "backend[01-20]"."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, islice
from typing import Any, ClassVar, Literal

from orchestrator.dovecot.endpoint import Endpoint, Tls
from orchestrator.errors import InputError, Problem, nearest
from orchestrator.fleet.address import trouble
from orchestrator.fleet.config import Config, GroupSpec, HostSettings, HostSpec

ALL = "all"

_RANGE = re.compile(r"\[([^\]]*)\]")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\Z")
MAX_RANGE = 100_000
MOST_SHOWN = 200  # characters of what there is instead, in a message

_DEFAULTS: dict[str, Any] = {"scheme": "https", "port": 8080}


@dataclass(frozen=True)
class Host:
    """One host of the fleet.

    Attributes:
        name: unique in the inventory.
        address: IP address or host name.
        groups, tags: in the order of the configuration.
        per_host: requests at a time on it, "auto", or None for the run's limit.
        protected: nothing may be changed here.
        protected_by: who says so: the configuration, or the policy.
        endpoint: how its API is reached.
        capacity: users that it can serve; None where nobody said.
        readable: what of it expressions may read.
    """

    readable: ClassVar[frozenset[str]] = frozenset({"name", "address", "port", "groups", "tags", "protected"})

    name: str
    address: str
    groups: tuple[str, ...]
    tags: tuple[str, ...]
    per_host: int | Literal["auto"] | None
    protected: bool
    endpoint: Endpoint
    protected_by: str = "configuration"
    capacity: int | None = None

    @property
    def port(self) -> int:
        """Port of the API."""
        return self.endpoint.port

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Inventory:
    """All hosts, in the order of the configuration, and the groups' members."""

    hosts: Mapping[str, Host]
    groups: Mapping[str, tuple[str, ...]]

    def select(self, selection: str) -> list[Host]:
        """The hosts of a selection, in inventory order.

        A selection is a list of terms divided by `,` or `:`. A term is a host, a group, a tag, `all`, a pattern
        (`b*`) or a range (`b[01-20]`); `!term` takes hosts away, `&term` keeps only those that are also in it.

        Raises:
            InputError: a term that matches nothing.
        """
        terms = [term.strip() for term in re.split(r"[,:](?![^\[]*\])", selection) if term.strip()]
        if not terms:
            raise InputError.at("an empty selection names no host", selection or "selection")
        added = [t for t in terms if t[0] not in "!&"] or [ALL]
        chosen = {name for term in added for name in self._term(term, selection)}
        for term in terms:
            if term[0] == "&":
                chosen &= self._term(term[1:], selection)
            if term[0] == "!":
                chosen -= self._term(term[1:], selection)
        return [self.hosts[name] for name in sorted(chosen, key=self._places.__getitem__)]

    @cached_property
    def _places(self) -> Mapping[str, int]:
        """Host -> its place in the order of the configuration."""
        return {name: place for place, name in enumerate(self.hosts)}

    def _term(self, term: str, selection: str) -> set[str]:
        if term == ALL:
            return set(self.hosts)
        if term in self.groups:
            return set(self.groups[term])
        if term in self.hosts:
            return {term}
        found: set[str] = set()
        for name in _expand(term, selection):
            if name in self.hosts and name != term:  # one of a range, which may be long
                found.add(name)
                continue
            pattern = re.compile(fnmatch.translate(name))
            tagged = {h for h, host in self.hosts.items() if name == term and name in host.tags}  # a range names hosts
            matches = tagged | {h for h in self.hosts if pattern.match(h)}
            if not matches:
                raise self._not_there(name, selection)
            found |= matches
        return found

    def _not_there(self, name: str, selection: str) -> InputError:
        """What there is instead: a host by its address, the nearest name, or all names in short."""
        tags = dict.fromkeys(tag for host in self.hosts.values() for tag in host.tags)
        addressed = self.by_address(name)
        near = addressed.name if addressed else nearest(name, [*self.groups, *self.hosts, *tags])
        there = f"hosts: {_short(fold(self.hosts))}; groups: {_short(', '.join(self.groups))}"
        if tags:
            there += f"; tags: {_short(', '.join(tags))}"
        return InputError.at(
            f"{name!r} is not a host, group or tag of the inventory ({there})",
            f"selection {selection!r}",
            suggestion=near,
        )

    def by_address(self, address: str) -> Host | None:
        """The host with an address, or None; the first of several."""
        return self._by_address.get(address)

    @cached_property
    def _by_address(self) -> Mapping[str, Host]:
        return {host.address: host for host in reversed(list(self.hosts.values()))}


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def build_inventory(config: Config) -> Inventory:
    """The inventory of a configuration.

    Raises:
        InputError: a host defined twice or nowhere, bad names or ranges, missing authentication.
    """
    return _Builder(config).build()


class _Builder:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.problems: list[Problem] = []
        self.specs: dict[str, tuple[HostSpec, str]] = {}
        self.members: dict[str, list[str]] = {}
        self.groups_of: dict[str, list[str]] = {}

    def build(self) -> Inventory:
        for group, spec in self.config.file.groups.items():
            self._group(group, spec)
        self._references()
        if self.problems:
            raise InputError(self.problems)
        groups = {name: tuple(dict.fromkeys(members)) for name, members in self.members.items()}
        for group, members in groups.items():
            for name in members:
                self.groups_of.setdefault(name, []).append(group)
        hosts = {name: self._host(name, spec, group) for name, (spec, group) in self.specs.items()}
        if self.problems:
            raise InputError(self.problems)
        inventory = Inventory(hosts, groups)
        protected = {
            host.name for selection in self.config.file.protect for host in self._protected(inventory, selection)
        }
        hosts = {n: h if n not in protected else _protect(h) for n, h in hosts.items()}
        if self.problems:
            raise InputError(self.problems)
        return Inventory(hosts, groups)

    def _problem(self, message: str, *path: str | int, suggestion: str = "") -> None:
        self.problems.append(self.config.document.problem(path, message, suggestion=suggestion, key=True))

    def _group(self, group: str, spec: GroupSpec) -> None:
        if not _NAME.match(group) or group == ALL:
            self._problem(f"{group!r} cannot be a group's name; use letters, digits, - . _", "groups", group)
        self.members[group] = []
        for written, host in spec.hosts.items():
            for name, address in self._names(group, written, host):
                if host is not None:
                    if name in self.specs:
                        self._problem(f"the host {name!r} is defined twice", "groups", group, "hosts", written)
                    self.specs[name] = (host.model_copy(update={"address": address}), group)
                self.members[group].append(name)

    def _names(self, group: str, written: str, host: HostSpec | None) -> Iterator[tuple[str, str]]:
        path = ("groups", group, "hosts", written)
        try:
            names = list(islice(_expand(written, written), MAX_RANGE + 1))
            if len(names) > MAX_RANGE:
                raise InputError.at(f"{written!r} is not a sensible range: more than {MAX_RANGE} hosts", written)
            six = host is not None and host.address[:1] == "[" and ":" in host.address  # no range, and told of below
            addresses = names if host is None else [host.address] if six else list(_expand(host.address, host.address))
        except InputError as error:
            self._problem(error.problems[0].message, *path)
            return
        if len(addresses) != len(names):
            self._problem(f"{len(names)} names but {len(addresses)} addresses", *path)
            return
        for name, address in zip(names, addresses, strict=True):
            if not _NAME.match(name) or name == ALL:
                self._problem(f"{name!r} cannot be a host's name; use letters, digits, - . _", *path)
            elif wrong := trouble(address):
                self._problem(wrong, *path)
            else:
                yield name, address

    def _references(self) -> None:
        for group, members in self.members.items():
            for name in members:
                if name in self.members:
                    self._problem(f"{name!r} is both a host and a group", "groups", group, "hosts", name)
                if name not in self.specs:
                    near = nearest(name, self.specs)
                    self._problem(
                        f"the host {name!r} has no address anywhere", "groups", group, "hosts", name, suggestion=near
                    )

    def _protected(self, inventory: Inventory, selection: str) -> list[Host]:
        try:
            return inventory.select(selection)
        except InputError as error:
            found = error.problems[0]
            self.problems.append(self.config.document.problem(("protect",), found.message, suggestion=found.suggestion))
            return []

    def _host(self, name: str, spec: HostSpec, group: str) -> Host:
        file = self.config.file
        layers: list[HostSettings] = [spec, file.groups[group].defaults, file.defaults]
        limits = next((layer.limits.per_host for layer in layers if layer.limits and layer.limits.per_host), None)
        return Host(
            name=name,
            address=spec.address,
            groups=tuple(self.groups_of[name]),
            tags=tuple(spec.tags),
            per_host=limits,
            protected=False,
            endpoint=self._endpoint(name, spec, group, layers),
            capacity=_first(layers, "capacity"),
        )

    def _endpoint(self, name: str, spec: HostSpec, group: str, layers: list[HostSettings]) -> Endpoint:
        auth = _first(layers, "auth")
        if auth is None:
            self._problem(
                f"no authentication for the host {name!r}; give auth in defaults, the group or the host",
                *("groups", group, "hosts", name),
            )
        tls = _first(layers, "tls")
        folder = self.config.document.folder
        secret = (auth.password or auth.api_key) if auth else None
        timeouts = [layer.timeout for layer in layers if layer.timeout]
        return Endpoint(
            name=name,
            address=spec.address,
            port=_first(layers, "port") or _DEFAULTS["port"],
            scheme=_first(layers, "scheme") or _DEFAULTS["scheme"],
            scheme_of_auth="password" if auth and auth.password else "api_key",
            secret=secret.reference(folder) if secret else None,  # type: ignore[arg-type] # a problem was noted above
            tls=Tls(
                ca_file=_path(tls.ca_file, folder),
                verify=tls.verify,
                server_name=tls.server_name,
                cert_file=_path(tls.cert_file, folder),
                key_file=_path(tls.key_file, folder),
            )
            if tls
            else Tls(),
            connect_timeout=next((t.connect for t in timeouts if t.connect is not None), 5.0),
            request_timeout=next((t.request for t in timeouts if t.request is not None), 60.0),
        )


def _protect(host: Host) -> Host:
    return replace(host, protected=True)


def meant(inventory: Inventory, selection: str) -> set[str]:
    """The hosts that a selection from elsewhere means, which was written for more fleets than this one; also by their address.

    Where a part of it means nothing here, the others still do, and nothing is taken away from them.
    """
    found = {name for name, host in inventory.hosts.items() if host.address == selection.strip()}
    with suppress(InputError):
        return found | {host.name for host in inventory.select(selection)}
    terms = [term.strip() for term in re.split(r"[,:](?![^\[]*\])", selection)]
    parts = [term for term in terms if term and term[0] not in "!&" and term != selection]
    return found.union(*(meant(inventory, part) for part in parts))


def protect(inventory: Inventory, selections: Iterable[str]) -> Inventory:
    """An inventory in which the policy protects some hosts as well."""
    chosen = {name for selection in selections for name in meant(inventory, selection)}
    hosts = {
        name: replace(host, protected=True, protected_by="policy") if name in chosen and not host.protected else host
        for name, host in inventory.hosts.items()
    }
    return Inventory(hosts, inventory.groups)


def _first(layers: Iterable[HostSettings], name: str) -> Any:
    return next((value for layer in layers if (value := getattr(layer, name)) is not None), None)


def _path(value: str | None, folder: Any) -> str | None:
    return None if value is None else str(folder / value)


def _expand(text: str, selection: str) -> Iterator[str]:
    """The names that a text with ranges stands for: `b[01-03,7]` is b01 b02 b03 b7."""
    match = _RANGE.search(text)
    if not match:
        yield text
        return
    head, tail = text[: match.start()], text[match.end() :]
    rests = list(_expand(tail, selection))
    for part in match[1].split(","):
        for middle in _span(part.strip(), selection):
            for rest in rests:
                yield f"{head}{middle}{rest}"


def _span(part: str, selection: str) -> Iterator[str]:
    bounds = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    if not bounds:
        raise InputError.at(f"[{part}] is not a range; write [1-20] or [01-20] or [1,3,7]", f"{selection!r}")
    low, high = bounds[1], bounds[2] or bounds[1]
    if int(high) < int(low) or int(high) - int(low) >= MAX_RANGE:
        raise InputError.at(f"[{part}] is not a sensible range", f"{selection!r}")
    width = len(low) if low.startswith("0") and len(low) > 1 else 0
    for number in range(int(low), int(high) + 1):
        yield str(number).zfill(width)


def fold(names: Iterable[str]) -> str:
    """Host names in short: b1 b2 b3 b7 d1 becomes "b[1-3,7],d1"."""
    ordered = list(names)
    groups: dict[tuple[str, str], list[str]] = {}
    for name in ordered:
        match = re.search(r"\d+(?=\D*\Z)", name)
        key = (name[: match.start()], name[match.end() :]) if match else (name, "\0")
        groups.setdefault(key, []).append(match[0] if match else "")
    shown = []
    for (head, tail), numbers in groups.items():
        if tail == "\0":
            shown.append(head)
        elif len(numbers) == 1:
            shown.append(f"{head}{numbers[0]}{tail}")
        else:
            shown.append(f"{head}[{_fold_numbers(numbers)}]{tail}")
    return ",".join(shown)


def _fold_numbers(numbers: list[str]) -> str:
    parts = []
    ordered = sorted(set(numbers), key=lambda n: (len(n) if n.startswith("0") else 0, int(n)))
    for _, run in groupby(
        enumerate(ordered), key=lambda pair: (int(pair[1]) - pair[0], len(pair[1]) * pair[1].startswith("0"))
    ):
        members = [number for _, number in run]
        parts.append(members[0] if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ",".join(parts)
