"""The director commands of 2.3: hosts, users and the ring, as one director shows and changes them."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

from orchestrator.simulator.answers import OK, Died, Held, Reply, Row, failed
from orchestrator.simulator.hosts import local_time
from orchestrator.simulator.ring import MAX_VHOSTS, MailHost, user_hash

if TYPE_CHECKING:
    from orchestrator.simulator.commands.call import Call

TEMPFAIL, NOT_FOUND = 75, 68
DEFAULT_PARALLEL = 100
LARGEST = 2**32 - 1  # of a number in a parameter
_INJECTED = re.compile(r"\n(HOST-[A-Z]+)\t([^\t\n]+)(?:\t([^\t\n]+))?")


class Unresolvable(Exception):  # noqa: N818 - answered, not raised further
    """A host name that does not resolve; answered 75 by every command that takes a host."""


def _address(text: str) -> str:
    """The address that a C library makes of `text`: "5" is 0.0.0.5, "10.0.234" is 10.0.0.234 (2.3.19.1)."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        numbers = text.split(".")
        if not (1 <= len(numbers) <= 4 and all(part.isdecimal() for part in numbers)):
            raise Unresolvable(text) from None
    *leading, last = (int(part) for part in numbers)
    value = sum(part << 24 - 8 * place for place, part in enumerate(leading)) + last
    return str(IPv4Address(value & 0xFFFFFFFF))


def _host(call: Call) -> MailHost | None:
    return call.fleet.ring.hosts.get(_address(call.required("host")))


def _vhosts(call: Call, text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST:
        raise call.usage()
    return int(text)


def _ready(call: Call) -> None:
    """Changes of hosts, even of unknown ones, wait until the ring is synced; moves and flushes do not (2.3.19.1)."""
    call.director()
    delay = call.fleet.ring_delay(call.now)
    if delay > 0:
        raise Held(min(delay, call.fleet.scaled(0.5)))


def _changed(call: Call) -> Reply:
    """A change of weights or states is done: lookups and waiting clients see it."""
    call.fleet.ring.changed()
    call.fleet.clients.wake(call.now)
    return OK


# -- looking ----------------------------------------------------------------------------------------------------


def status(call: Call) -> Reply:
    """`directorStatus`: all hosts, or where one user is and would be."""
    call.director()
    user = call.text("user")
    if user is not None:
        return _user_status(call, user)
    rows: list[Row] = [
        {
            "mail server ip": host.ip,
            "tag": host.tag,
            "vhosts": str(host.vhosts),
            "state": "down" if host.down else "up",
            "state-changed": "-" if host.changed is None else local_time(host.changed),
            "users": str(len(host.users)),
        }
        for host in call.fleet.ring.hosts.values()
    ]
    return Reply(rows)


def _user_status(call: Call, user: str) -> Reply:
    fleet, ring = call.fleet, call.fleet.ring
    for verb, ip, vhosts in _INJECTED.findall(user):
        # A newline ends the line that goes to the director, and what follows is a line of its own (2.3.19.1).
        if verb == "HOST-UPDATE" and ip in ring.hosts and vhosts.isdecimal():
            ring.hosts[ip].vhosts = int(vhosts)
            ring.changed()
    place = user_hash(user.partition("\n")[0])
    mapping = ring.mappings.get(place)
    row: Row = {
        "status": "n/a" if mapping is None else mapping.ip,
        "expires": "-1" if mapping is None else local_time(fleet.refreshed(mapping, call.now)),
        "hashed": ring.hashed(place) or "",
        "initial-config": ring.initially(place) or "",
    }
    return Reply([row])


def directory(call: Call) -> Reply:
    """`directorMap`: who is mapped where, for directors whose userdb can list its users."""
    call.director()
    host = call.text("host")
    if call.flag("userMap"):
        return Reply([{"hash": str(user_hash(call.required("host")))}])
    if call.flag("hashMap"):
        return _users_of_hash(call, call.required("host"))
    try:
        return _directory_rows(call, None if host is None else _address(host))
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")


def _users_of_hash(call: Call, text: str) -> Reply:
    """Names of the userdb alone, mapped or not."""
    if not text.isdecimal() or int(text) > LARGEST:
        raise Died(f"Invalid username hash: {text}")
    return Reply([{"user": user} for user in call.fleet.accounts if user_hash(user) == int(text)])


def _directory_rows(call: Call, ip: str | None) -> Reply:
    known = call.text("usersFile") is None  # on 2.3 the file's content is lost, and with it every name
    rows: list[Row] = [
        {
            "user": mapping.user if known and mapping.user in call.fleet.accounts else "<unknown>",
            "hash": str(mapping.hash),
            "mail server ip": mapping.ip,
            "expire time": local_time(call.fleet.refreshed(mapping, call.now)),
        }
        for mapping in call.fleet.ring.mappings.values()
        if ip is None or mapping.ip == ip
    ]
    return Reply(rows)


def dump(call: Call) -> Reply:
    """`directorDump`: the commands that would rebuild this state."""
    path = f"/run/dovecot/{call.director().name}/director-admin"
    rows: list[Row] = [
        {"command": "add", "socket-path": path, "host": host.ip, "vhost_count": str(host.vhosts)}
        for host in call.fleet.ring.hosts.values()
    ]
    rows += [
        {"command": "remove", "socket-path": path, "host": ip, "vhost_count": ""}
        for ip in sorted(call.fleet.ring.removed, key=IPv4Address)
    ]
    return Reply(rows)


# -- hosts ------------------------------------------------------------------------------------------------------


def add(call: Call) -> Reply:
    """`directorAdd`: a new host, or new weights for a known one."""
    call.director()
    text, vhosts = call.required("host"), call.text("vhostCount")
    count = None if vhosts is None else _vhosts(call, vhosts)
    if text.isdecimal():
        raise call.usage()
    _ready(call)
    try:
        ip = _address(text)
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")
    host = call.fleet.ring.hosts.get(ip)
    if (count or 0) > MAX_VHOSTS:
        return failed(TEMPFAIL, f"{ip}: vhost count too large")
    if host is not None and call.text("tag") not in (None, host.tag):
        return failed(TEMPFAIL, f"{ip}: host tag can't be changed")
    host = host or call.fleet.ring.add(ip)
    host.tag = call.text("tag") or host.tag
    if count is not None:
        host.vhosts = count
    return _changed(call)


def update(call: Call) -> Reply:
    """`directorUpdate`: another weight; 0 takes no new users. An unknown host is 75 here, not 68 (2.3.19.1)."""
    call.director()
    text, vhosts = call.required("host"), _vhosts(call, call.required("vhostCount"))
    if text.isdecimal():
        raise call.usage()
    _ready(call)
    try:
        host = _host(call)
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")
    if vhosts > MAX_VHOSTS:
        return failed(TEMPFAIL, f"{_address(text)}: vhost count too large")
    if host is None:
        return failed(TEMPFAIL, f"{_address(text)}: doesn't exist")
    host.vhosts = vhosts
    return _changed(call)


def up(call: Call) -> Reply:
    """`directorUp`."""
    return _set_down(call, down=False)


def down(call: Call) -> Reply:
    """`directorDown`: for logins the same as no vhosts."""
    return _set_down(call, down=True)


def _set_down(call: Call, *, down: bool) -> Reply:
    call.director()
    call.required("host")
    _ready(call)
    try:
        host = _host(call)
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")
    if host is None:
        return failed(NOT_FOUND, f"{_address(call.required('host'))}: doesn't exist")
    if host.down is not down:
        host.down, host.changed = down, call.now
    return _changed(call)


def remove(call: Call) -> Reply:
    """`directorRemove`: the host and its mappings are forgotten, the sessions live on."""
    call.director()
    call.required("host")
    _ready(call)
    try:
        host = _host(call)
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")
    if host is None:
        return failed(NOT_FOUND, f"{_address(call.required('host'))}: doesn't exist")
    call.fleet.ring.remove(host.ip)
    return _changed(call)


def flush(call: Call) -> Reply:
    """`directorFlush`: move a host's users away, so many at a time; with force forget them only."""
    director = call.director()
    text = call.required("host")
    try:
        ip = None if text == "all" else _address(text)
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")
    if ip is not None and ip not in call.fleet.ring.hosts:
        return failed(NOT_FOUND, f"{ip}: doesn't exist")
    if call.flag("forceFlush"):
        call.fleet.force_flush(ip)
        return OK
    parallel = call.parameters.get("maxParallel") or DEFAULT_PARALLEL
    parallel = parallel if parallel > 0 else DEFAULT_PARALLEL
    return Reply(after=call.fleet.flush(director, ip, parallel, call.now))


# -- users ------------------------------------------------------------------------------------------------------


def move(call: Call) -> Reply:
    """`directorMove`: another backend for one user, until the mapping expires."""
    call.director()
    user, fleet = call.required("user"), call.fleet
    try:
        host = _host(call)
    except Unresolvable as error:
        return failed(TEMPFAIL, f"gethostname({error}) failed: Name or service not known")
    if host is None:
        return failed(NOT_FOUND, f"Host '{_address(call.required('host'))}' doesn't exist")
    place = user_hash(user)
    mapping = fleet.ring.mappings.get(place)
    if mapping is not None and fleet.is_moving(mapping, call.now):
        return failed(TEMPFAIL, "User is already being moved, wait a while for it to be finished")
    if mapping is None or mapping.ip != host.ip:
        fleet.move(place, user, host.ip, call.now)
    return OK


def kick(call: Call) -> Reply:
    """`directorKick`: drop one user's proxied sessions on every director; the name is exact, the answer always ok."""
    call.director()
    user = call.required("user")
    if call.text("passdbField") is None:
        for session in call.fleet.proxied_sessions(user_hash(user)):
            if session.user == user:
                call.fleet.drop(session, call.now)
    return OK
