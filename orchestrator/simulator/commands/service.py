"""The host itself: stop, reload, services, processes, logs, statistics."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.simulator.answers import OK, Died, Reply, Row, failed
from orchestrator.simulator.hosts import SERVICES, STANDING, Backend, Director

if TYPE_CHECKING:
    from orchestrator.simulator.commands.call import Call

USAGE, NOT_FOUND = 64, 68
STOP_TAKES = 2.4
SESSIONS_LINGER = 5.6  # a backend's sessions get their BYE 8 s after the command; a director's are cut at once
_FIELDS = ("count", "sum", "min", "max", "avg", "median", "stddev", "%95")


def stop(call: Call) -> Reply:
    """`stop`: answers when the master has stopped, and cannot be undone over the API."""
    linger = 0.0
    if isinstance(call.host, Director):
        call.fleet.drop_all(call.host, call.now)
    else:
        linger = call.fleet.scaled(SESSIONS_LINGER)
    return Reply(after=call.fleet.scaled(STOP_TAKES), stops=True, linger=linger)


def reload(call: Call) -> Reply:
    """`reload`: answers at once; the sessions notice later."""
    call.fleet.reload(call.host, call.now)
    return OK


def service_stop(call: Call) -> Reply:
    """`serviceStop`: the known names are stopped even when another is not known."""
    names = call.names("service")
    if names is None:
        raise call.usage()
    known = set(names) & SERVICES[call.version].keys()
    call.host.stopped |= known
    if "imap" in known and call.version == "2.4" and isinstance(call.host, Backend):
        call.fleet.drop_all(call.host, call.now)
    return OK if len(known) == len(set(names)) else failed(NOT_FOUND)


def service_status(call: Call) -> Reply:
    """`serviceStatus`: thirteen texts for each service; unknown names give no row."""
    names = call.names("service")
    return Reply([_service(call, name) for name in SERVICES[call.version] if names is None or name in names])


def _service(call: Call, name: str) -> Row:
    processes, clients = SERVICES[call.version][name]
    stopped = name in call.host.stopped
    running = int(name in _standing(call))
    if name == ("imap" if isinstance(call.host, Backend) else "imap-login"):
        running = len(call.host.sessions)
    return {
        "name": name,
        "process_count": str(0 if stopped else running),
        "process_avail": str(int(name in _standing(call) and name != "doveadm" and not stopped)),
        "process_limit": str(processes),
        "client_limit": str(clients),
        "throttle_secs": "0",
        "exit_failure_last": "0",
        "exit_failures_in_sec": "0",
        "last_drop_warning": "0",
        "listen_pending": "n",
        "listening": "n" if stopped or (name in _standing(call) and name != "doveadm") else "y",
        "doveadm_stop": "y" if stopped else "n",
        "process_total": str(running),
    }


def _standing(call: Call) -> tuple[str, ...]:
    standing = tuple(name for name in STANDING if name in SERVICES[call.version])
    return (*standing, "director") if isinstance(call.host, Director) else standing


def process_status(call: Call) -> Reply:
    """`processStatus`: the processes of the standing services, with pids that a reload renews."""
    names = call.names("service")
    generation = len(call.host.reloads) * 100 + int(call.host.started_at) % 10000
    stamp = str(int(call.host.reloads[-1] if call.host.reloads else call.host.started_at))
    rows: list[Row] = [
        {
            "name": name,
            "pid": str(1000 + generation + number),
            "available_count": str(SERVICES[call.version][name][1]),
            "total_count": "1",
            "idle_start": "0",
            "last_status_update": stamp,
            "last_kill_sent": "0",
        }
        for number, name in enumerate(_standing(call))
        if (names is None or name in names) and name not in call.host.stopped
    ]
    return Reply(rows)


def log_errors(call: Call) -> Reply:
    """`logErrors`: what is left in the log's ring buffer, from a second on."""
    since = call.parameters.get("since") or 0
    rows: list[Row] = [
        {
            "timestamp": _stamp(line.at, call.version),
            "prefix": line.prefix,
            "type": line.type,
            "text": line.text,
        }
        for line in call.host.log
        if int(line.at) >= since
    ]
    return Reply(rows)


def _stamp(at: float, version: str) -> str:
    stamp = time.strftime("%b %d %H:%M:%S", time.localtime(at))
    return f"{stamp}.{int(at % 1 * 1_000_000):06}" if version == "2.4" else stamp


def log_reopen(_call: Call) -> Reply:
    """`logReopen`."""
    return OK


def stats_reopen(_call: Call) -> Reply:
    """`statsReopen`: of 2.4."""
    return OK


def stats_dump(call: Call) -> Reply:
    """`statsDump`: the metrics that statsAdd made; numbers are JSON numbers, averages have two digits."""
    call.check_socket()
    fields = (call.text("fields") or " ".join(_FIELDS)).split()
    if set(fields) - set(_FIELDS):
        raise Died("Panic: file doveadm-stats.c: unreached")
    rows = [_metric(name, count, fields) for name, count in call.host.metrics.items()]
    if call.flag("reset"):
        call.host.metrics = dict.fromkeys(call.host.metrics, 0)
    return Reply(rows)


def _metric(name: str, count: int, fields: list[str]) -> Row:
    values: Row = {"count": count, "sum": count * 4000, "min": 4000 if count else 0, "max": 4000 if count else 0}
    values |= {"avg": Decimal("4000.00" if count else "0.00"), "median": 4000 if count else 0}
    values |= {"stddev": Decimal("0.00"), "%95": 4000 if count else 0}
    return {"metric_name": name, "field": "duration"} | {field: values[field] for field in fields}


def stats_add(call: Call) -> Reply:
    """`statsAdd`: adding it again is no mistake, and neither is adding nothing (2.3.19.1)."""
    name = call.text("name")
    if name:
        call.host.metrics.setdefault(name, 0)
    return OK


def stats_remove(call: Call) -> Reply:
    """`statsRemove`: removing it again is no mistake."""
    call.host.metrics.pop(call.text("name") or "", None)
    return OK


_OLD_TYPES = ("command", "session", "user", "domain", "ip", "global")
_OLD_COUNTERS = [
    "num_logins",
    "num_cmds",
    "num_connected_sessions",
    "user_cpu",
    "sys_cpu",
    "clock_time",
    "min_faults",
    "maj_faults",
    "vol_cs",
    "invol_cs",
    "disk_input",
    "disk_output",
    "read_count",
    "read_bytes",
    "write_count",
    "write_bytes",
    "mail_lookup_path",
    "mail_lookup_attr",
    "mail_read_count",
    "mail_read_bytes",
    "mail_cache_hits",
    "auth_successes",
    "auth_master_successes",
    "auth_failures",
    "auth_db_tempfails",
    "auth_cache_hits",
    "auth_cache_misses",
]


def old_stats_dump(call: Call) -> Reply:
    """`oldstatsDump`: one row of counters for the type "global"; this host never counts."""
    call.check_socket()
    kind = call.text("type")
    if kind is None:
        return failed(USAGE)
    if kind not in _OLD_TYPES:
        raise Died(f"Unknown stats type: {kind}")
    if kind != "global":
        return Reply([])
    row: Row = {"reset_timestamp": str(int(call.host.started_at)), "last_update": "0.000000"}
    row |= {name: "0.0" if name.endswith(("_cpu", "_time")) else "0" for name in _OLD_COUNTERS}
    return Reply([row])


def old_stats_reset(call: Call) -> Reply:
    """`oldstatsReset`."""
    call.check_socket()
    return OK
