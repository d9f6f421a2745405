"""Key-value stores: dictGet, dictSet, dictUnset, dictInc, dictIter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.simulator.answers import OK, Reply, Row, failed

if TYPE_CHECKING:
    from orchestrator.simulator.commands.call import Call

USAGE, NOT_FOUND, TEMPFAIL = 64, 68, 75
_DRIVERS = ("file:", "proxy:", "sqlite:", "redis:", "memcached:", "fs:")
_FILTERS = ("mail_attribute", "acl_sharing_map", "quota_clone", "last_login")


def _store(call: Call) -> dict[str, str] | None:
    """The dictionary that a command names; None when no driver knows it."""
    name = call.text("filterName" if call.version == "2.4" else "dictUri") or ""
    known = name in _FILTERS if call.version == "2.4" else name.startswith(_DRIVERS)
    return call.host.dictionaries.setdefault(name, {}) if known else None


def _key(call: Call, name: str = "key") -> str | None:
    """The key, None when it is neither private nor shared or the store's name is missing.

    A private key is not a user's own in a file dictionary (2.3.19.1).
    """
    key = call.text(name) or ""
    if call.text("filterName" if call.version == "2.4" else "dictUri") is None:
        return None
    return key if key.startswith(("shared/", "priv/")) else None


def get(call: Call) -> Reply:
    """`dictGet`: 68 for a key that is not there."""
    key, store = _key(call), _store(call)
    if key is None:
        return failed(USAGE)
    if store is None:
        return failed(TEMPFAIL)
    if key not in store:
        call.host.complain(call.now, f"cmd dict get: {call.text('key')} doesn't exist")
        return failed(NOT_FOUND)
    return Reply([{"value": store[key]}])


def put(call: Call) -> Reply:
    """`dictSet`."""
    key, value, store = _key(call), call.text("value"), _store(call)
    if key is None or value is None:
        return failed(USAGE)
    if store is None:
        return failed(TEMPFAIL)
    store[key] = value
    return OK


def unset(call: Call) -> Reply:
    """`dictUnset`: unsetting it again is no mistake."""
    key, store = _key(call), _store(call)
    if key is None:
        return failed(USAGE)
    if store is None:
        return failed(TEMPFAIL)
    store.pop(key, None)
    return OK


def increase(call: Call) -> Reply:
    """`dictInc`: not to be repeated blindly; 68 for a key that is not there, and no new value in the answer."""
    key, difference, store = _key(call), call.parameters.get("difference"), _store(call)
    if key is None or difference is None:
        return failed(USAGE)
    if store is None:
        return failed(TEMPFAIL)
    if key not in store:
        return failed(NOT_FOUND)
    try:
        store[key] = str(int(store[key]) + difference)
    except ValueError:
        return failed(TEMPFAIL)
    return OK


def iterate(call: Call) -> Reply:
    """`dictIter`: keys below a prefix, with their values or without."""
    prefix, store = _key(call, "prefix"), _store(call)
    if prefix is None:
        return failed(USAGE)
    if store is None:
        return failed(TEMPFAIL)
    keys = [key for key in store if _below(key, prefix, call)]
    rows: list[Row] = [{"key": key} if call.flag("noValue") else {"key": key, "value": store[key]} for key in keys]
    return Reply(rows)


def _below(key: str, prefix: str, call: Call) -> bool:
    if call.flag("exact"):
        return key == prefix
    return key.startswith(prefix) and (call.flag("recurse") or "/" not in key[len(prefix) :])
