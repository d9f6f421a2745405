"""The directors' ring itself: directorRingStatus, directorRingAdd, directorRingRemove."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

from orchestrator.simulator.answers import OK, Reply, Row, failed
from orchestrator.simulator.hosts import Director, local_time

if TYPE_CHECKING:
    from orchestrator.simulator.commands.call import Call

NOT_FOUND = 68
DIRECTOR_PORT = "9090"
LEAVING = 21.0  # seconds


def status(call: Call) -> Reply:
    """`directorRingStatus`: the members by address, neighbours with a row for each connection (2.3.19.1)."""
    director, fleet = call.director(), call.fleet
    live = [host.address for host in fleet.live_directors()]
    rows: list[Row] = []
    for ip in sorted({*fleet.ring_members, director.address}, key=IPv4Address):
        if ip == director.address:
            rows.append(_ring_row(call, ip, "self", _own_status(call, live), idle=True))
            continue
        sides = _sides(director.address, ip, live)
        rows += [_ring_row(call, ip, side, "synced" if side else "", idle=not side) for side in sides]
    return Reply(rows)


def _own_status(call: Call, live: list[str]) -> str:
    fleet, alone = call.fleet, call.fleet.alone_since
    if call.host.address not in live:  # removed from the ring, and left to itself
        return "ring synced" if call.director().left else "ring syncing - last sync 1 secs ago"
    if alone is None or fleet.ring_delay(call.now) <= 0:
        return "ring synced"
    if call.host.started_at >= alone or call.host.reloads[-1:] >= [alone]:
        return "ring handshaking"
    return f"ring syncing - last sync {int(call.now - alone)} secs ago"


def _sides(own: str, other: str, live: list[str]) -> list[str]:
    """Which of a director's two connections lead to another one; both do in a ring of two."""
    if other not in live or own not in live:
        return [""]
    place = live.index(own)
    right, left = live[(place + 1) % len(live)], live[place - 1]
    return [side for side, ip in (("right", right), ("left", left)) if ip == other] or [""]


def _ring_row(call: Call, ip: str, kind: str, status: str, *, idle: bool) -> Row:
    seen = local_time(call.now)
    peer = call.fleet.by_address.get(ip)
    lost = None if peer is None or peer.up else peer.failed_at
    figures = ("-", "-", "-", "-", "-", "-") if idle else ("1024", "1024", "0", "128", seen, seen)
    names = ("input", "output", "buffered", "buffered peak", "last read", "last write")
    row: Row = {
        "director ip": ip,
        "port": DIRECTOR_PORT,
        "type": kind,
        "last failed": "never" if lost is None or lost > call.now else local_time(lost),
        "status": status,
        "ping ms": "-" if idle and kind != "self" else "0",
    }
    row.update(zip(names, figures, strict=True))
    return row


def _ring_ip(call: Call) -> str:
    port = call.text("port")
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise call.usage()
    try:
        return str(IPv4Address(call.required("ip")))
    except AddressValueError:
        raise call.usage() from None


def add(call: Call) -> Reply:
    """`directorRingAdd`: every member lists the new director at once."""
    call.director()
    ip, members = _ring_ip(call), call.fleet.ring_members
    added = call.fleet.by_address.get(ip)
    if isinstance(added, Director):
        added.left = False
    if ip not in members:
        members.append(ip)
        members.sort(key=IPv4Address)
    return OK


def remove(call: Call) -> Reply:
    """`directorRingRemove`: forget a director; one that forgets itself is alone, after 21 s in which it says nothing."""
    director = call.director()
    ip = _ring_ip(call)
    if ip not in call.fleet.ring_members:
        return failed(NOT_FOUND)
    call.fleet.ring_members.remove(ip)
    if ip != director.address:
        return OK
    director.left = True
    return Reply(after=call.fleet.scaled(LEAVING))
