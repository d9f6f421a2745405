"""Who is connected, and being rid of them: who, kick, proxyList, proxyKick, penalty."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, ip_address, ip_network

from orchestrator.simulator.answers import Reply, Row, failed
from orchestrator.simulator.commands.call import Call, is_pattern, pattern
from orchestrator.simulator.hosts import Backend, Director, Session

USAGE, NOT_FOUND, TEMPORARY = 64, 68, 75
IMAP_PORT = "1143"


def who(call: Call) -> Reply:
    """`who`: this host's own sessions; nothing on a director, whose sessions are proxied."""
    call.check_socket()
    chosen = _filtered(call)
    if chosen is None:
        return failed(USAGE)
    if call.flag("separateConnections"):
        return Reply([_connection(call, session) for session in chosen])
    return Reply(_grouped(chosen), misnested=call.version == "2.3")


def _connection(call: Call, session: Session) -> Row:
    row: Row = {"username": session.user, "service": session.service, "pid": str(session.pid), "ip": session.ip}
    if call.version == "2.4":
        row["dest_ip"] = ""
    return row


def _grouped(sessions: list[Session]) -> list[Row]:
    groups: dict[tuple[str, str], list[Session]] = {}
    for session in sessions:
        groups.setdefault((session.user, session.service), []).append(session)
    return [
        {
            "username": user,
            "connections": str(len(members)),
            "service": service,
            "pids": f"({' '.join(str(member.pid) for member in members)})",
            "ips": f"({' '.join(dict.fromkeys(member.ip for member in members))})",
        }
        for (user, service), members in groups.items()
    ]


def _own(call: Call, mask: str | None) -> list[Session]:
    """This host's own sessions, of all users or of those that a mask fits."""
    if not isinstance(call.host, Backend):
        return []
    if mask is None:
        return list(call.host.sessions.values())
    if not is_pattern(mask):
        return _of(call, [mask])
    matches = pattern(mask)
    return [session for session in call.host.sessions.values() if matches.match(session.user)]


def _of(call: Call, users: list[str]) -> list[Session]:
    """This host's sessions of certain users, without looking at everyone else's."""
    clients = (call.fleet.clients.by_user.get(user) for user in users)
    sessions = (client.session for client in clients if client is not None)
    return [session for session in sessions if session is not None and session.pid in call.host.sessions]


def _filtered(call: Call) -> list[Session] | None:
    """Sessions by mask: at most one user pattern and one address or network; None for two of a kind."""
    masks = call.names("mask") or []
    nets = [net for net in map(_network, masks) if net is not None]
    users = [mask for mask in masks if _network(mask) is None]
    if len(nets) > 1 or (len(users) > 1 and not call.host.newer):
        return None
    chosen = [session for user in users for session in _own(call, user)] if users else _own(call, None)
    if nets:
        chosen = [session for session in chosen if ip_address(session.ip) in nets[0]]
    return chosen


@lru_cache(maxsize=10_000)
def _network(mask: str) -> IPv4Network | None:
    try:
        network = ip_network(mask, strict=False)
    except ValueError:
        return None
    return network if isinstance(network, IPv4Network) else None


def kick(call: Call) -> Reply:
    """`kick`: rows of users and exit code 68 on 2.3, a count on 2.4."""
    call.check_socket()
    return _kick_24(call) if call.version == "2.4" else _kick_23(call)


def _kick_23(call: Call) -> Reply:
    masks = call.names("mask")
    if masks is None:
        return failed(USAGE)
    chosen = _filtered(call) if masks else []
    if chosen is None:
        return failed(USAGE)
    if not chosen:
        return failed(NOT_FOUND)
    for session in chosen:
        call.fleet.drop(session, call.now)
    return Reply([{"result": user} for user in dict.fromkeys(session.user for session in chosen)])


def _kick_24(call: Call) -> Reply:
    masks, destination = call.names("mask"), call.text("destHost")
    if (masks is None if call.host.newer else not masks) and destination is None:
        raise call.usage()
    chosen = _filtered(call) if masks or destination is not None else []
    if chosen is None:
        raise call.usage()
    if destination is not None or call.text("passdbField") is not None:
        chosen = []  # neither is known of these sessions
    for session in chosen:
        call.fleet.drop(session, call.now)
    return Reply([{"count": str(len(chosen))}])


def proxy_list(call: Call) -> Reply:
    """`proxyList`: this director's sessions on 2.3; on 2.4 the same as `who`."""
    if call.version == "2.4":
        return who(call)
    rows: list[Row] = []
    if isinstance(call.host, Director):
        many = call.fleet.login_service_count == 1
        for session in call.host.sessions.values():
            row: Row = {
                "username": session.user,
                "service": session.service,
                "src-ip": session.ip,
                "dest-ip": session.backend.address,
                "dest-port": IMAP_PORT,
            }
            if many and rows:  # every login process but the first prints its header as a row
                rows.append({name: name for name in row})
            rows.append(row)
    return Reply(rows)


def proxy_kick(call: Call) -> Reply:
    """`proxyKick`: exact names or a whole destination on 2.3, this director only; on 2.4 the same as `kick`."""
    if call.version == "2.4":
        return _kick_24(call)
    users, host = call.names("user"), call.text("host")
    if users is None and host is None:
        raise call.usage()
    chosen: list[Session] = []
    if isinstance(call.host, Director):
        if users == [] and host is None and call.host.sessions:
            return failed(TEMPORARY)
        chosen = _of(call, list(dict.fromkeys(users or ())))
        chosen += [session for session in call.host.sessions.values() if session.backend.address == host]
    for session in chosen:
        call.fleet.drop(session, call.now)
    count = len(chosen)
    if count and call.fleet.login_service_count == 1:
        count = 1  # several login processes, and only one of their counts arrives
    return Reply([{"count": str(count)}])


def penalty(call: Call) -> Reply:
    """`penalty`: nobody has one here."""
    call.check_socket()
    mask = call.text("netmask")
    return failed(USAGE) if mask is not None and _network(mask) is None else Reply([])
