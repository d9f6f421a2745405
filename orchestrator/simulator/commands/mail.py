"""Users and their mailboxes: user, mailboxStatus, forceResync, quota and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.simulator.answers import Died, Reply, Row, Value, failed
from orchestrator.simulator.commands.call import Call, is_pattern, pattern
from orchestrator.simulator.hosts import Account, Director

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE, NO_USER, NOT_FOUND, TEMPFAIL = 64, 67, 68, 75
_FIELDS = ("messages", "recent", "uidnext", "uidvalidity", "unseen", "highestmodseq", "vsize", "guid", "firstsaved")
_STORAGE_LIMIT = "1048576"


class _Failed(Exception):  # noqa: N818 - answered, not raised further
    """A command ends with an exit code for all of its users."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _users(call: Call) -> tuple[list[Account], bool]:
    """The accounts that a mail command works on, and whether rows name them."""
    if isinstance(call.host, Director):
        name = call.required("user")
        _account(call, name)
        call.host.complain(call.now, "auth-userdb: Proxy is missing destination host", user=name)
        raise _Failed(TEMPFAIL)
    accounts, user, file = call.fleet.accounts, call.text("user"), call.text("userFile")
    if call.flag("allUsers"):
        return list(accounts.values()), True
    if file is not None:
        # on 2.3 the stream has been read already: success with nobody in it
        listed = file.split() if call.version == "2.4" else []
        return [_account(call, name) for name in listed], True
    if user is None:
        raise call.usage()
    if is_pattern(user):
        matches = pattern(user)
        return [account for name, account in accounts.items() if matches.match(name)], True
    return [_account(call, user)], False


def _account(call: Call, name: str) -> Account:
    account = call.fleet.accounts.get(name.lower())
    if account is None:
        call.host.complain(call.now, "User doesn't exist", user=name)
        raise _Failed(NO_USER)
    return account


def _readable(call: Call, account: Account) -> bool:
    if account.user not in call.fleet.unreadable:
        return True
    call.host.complain(call.now, f"stat(~{account.user}/Maildir) failed: Permission denied", user=account.user)
    return False


def _rows(call: Call, work: Callable[[Account], list[Row]]) -> Reply:
    """Run `work` for each user; one failure costs the rows of all (2.3.19.1 and 2.4.1)."""
    try:
        accounts, named = _users(call)
    except _Failed as failure:
        return failed(failure.code)
    rows: list[Row] = []
    code = 0
    for account in accounts:
        try:
            found = work(account)
        except _Failed as failure:
            code = failure.code
            continue
        rows += [{"username": account.user} | row for row in found] if named else found
    return failed(code) if code else Reply(rows)


def mailbox_status(call: Call) -> Reply:
    """`mailboxStatus`: the one that tells the truth about an unreadable home: 75, if asked for one name alone."""
    fields, masks = call.names("field"), call.names("mailboxMask")
    if not fields or masks is None or (not masks and call.version == "2.3"):
        raise call.usage()
    masks = masks or ["*"]  # an empty list is all mailboxes in 2.4.1
    if call.version == "2.3":
        fields = " ".join(fields).split()  # one text with blanks does as well
    wanted = _FIELDS if "all" in fields else tuple(field for field in _FIELDS if field in fields)
    if set(fields) - {"all", *_FIELDS}:
        raise Died(f"Unknown status field: {fields[0]}")

    def work(account: Account) -> list[Row]:
        readable = _readable(call, account)
        names = _matching(account, masks) if readable else []
        one_name = len(masks) == 1 and not is_pattern(masks[0].replace("%", "*"))
        if one_name and not names:  # among several, what is not there or cannot be read is no mistake
            raise _Failed(NOT_FOUND if readable else TEMPFAIL)
        if call.flag("totalSum"):
            total = sum(account.mailboxes[name] for name in names)
            return [{field: _status(account, field, total) for field in wanted}]
        return [
            _row(mailbox=name) | {field: _status(account, field, account.mailboxes[name]) for field in wanted}
            for name in names
        ]

    return _rows(call, work)


def _row(**values: Value) -> Row:
    return dict(values)


def _status(account: Account, field: str, messages: int) -> str:
    values = {
        "messages": str(messages),
        "recent": "0",
        "uidnext": str(messages + 1),
        "uidvalidity": str(1700000000 + account.number),
        "unseen": str(messages),
        "highestmodseq": "1",
        "vsize": str(messages * 2048),
        "guid": f"{account.number:032x}",
        "firstsaved": "never",
    }
    return values[field]


def _matching(account: Account, masks: list[str]) -> list[str]:
    return [name for name in account.mailboxes if any(pattern(mask.replace("%", "*")).match(name) for mask in masks)]


def mailbox_list(call: Call) -> Reply:
    """`mailboxList`: a name without wildcard is echoed, whether or not it exists; INBOX always does."""
    masks = call.names("mailboxMask") or ["*"]

    def work(account: Account) -> list[Row]:
        _readable(call, account)
        names = [mask for mask in masks if not is_pattern(mask)]
        names += _matching(account, [mask for mask in masks if is_pattern(mask)])
        return [{"mailbox": name} for name in names]

    return _rows(call, work)


def _quietly(call: Call) -> Reply:
    """Success whatever happens to the mails, an unreadable home included: only the log knows."""

    def work(account: Account) -> list[Row]:
        _readable(call, account)
        return []

    return _rows(call, work)


def force_resync(call: Call) -> Reply:
    """`forceResync`: ok also for a mask that matches nothing and for a home that cannot be read."""
    call.required("mailboxMask")
    return _quietly(call)


def index(call: Call) -> Reply:
    """`index`: ok also for a mailbox that is not there."""
    if not call.parameters.get("mailboxMask"):
        raise call.usage()
    return _quietly(call)


def purge(call: Call) -> Reply:
    """`purge`: ok also where there is nothing to purge."""
    return _quietly(call)


def quota_recalc(call: Call) -> Reply:
    """`quotaRecalc`: ok also for a home that cannot be read."""

    def work(account: Account) -> list[Row]:
        if _readable(call, account):
            account.quota_recounted += 1
        return []

    return _rows(call, work)


def quota_get(call: Call) -> Reply:
    """`quotaGet`: two rows a user; none that says that nothing could be counted."""

    def work(account: Account) -> list[Row]:
        _readable(call, account)
        messages = sum(account.mailboxes.values())
        root: Row = {"root": "User quota"}
        return [
            root | {"type": "STORAGE", "value": str(messages * 2), "limit": _STORAGE_LIMIT, "percent": "0"},
            root | {"type": "MESSAGE", "value": str(messages), "limit": "-", "percent": "0"},
        ]

    return _rows(call, work)


def user(call: Call) -> Reply:
    """`user`: an object by name, or the list that a wildcard matches."""
    call.check_socket()
    masks, accounts = call.names("userMask"), call.fleet.accounts
    if masks is None:
        return failed(USAGE)
    if call.flag("userdbOnly"):
        raise Died("Panic: userdbOnly")
    if any(is_pattern(mask) for mask in masks):
        return Reply({"userList": [name for name in accounts if any(pattern(mask).match(name) for mask in masks)]})
    if any(mask.lower() not in accounts for mask in masks):
        return failed(NO_USER)
    return Reply({name: _userdb(call, name, accounts[name.lower()]) for name in masks})


def _userdb(call: Call, name: str, account: Account) -> dict[str, str]:
    home = f"/srv/mail/{account.user}"
    fields = {"uid": "999", "gid": "999", "home": home}
    if call.version == "2.4":
        fields["mail_path"] = f"{home}/Maildir"
    else:
        fields["mail"] = "" if isinstance(call.host, Director) else "maildir:~/Maildir"
    if name != account.user:
        fields = {"user": account.user} | fields
    field, expand = call.text("field"), call.text("expandField")
    if field is not None:
        return {field: fields[field]} if field in fields else {}
    if expand is not None:
        return {expand: expand if call.version == "2.4" else expand.replace("%h", home).replace("%u", account.user)}
    return fields


def auth_cache_flush(call: Call) -> Reply:
    """`authCacheFlush`: exact names on 2.3, patterns on 2.4.5; of nobody it flushes everything. 2.4.1 dies of every call."""
    cache = call.host.auth_cache
    if call.host.newer:
        masks = [pattern(mask) for mask in call.names("userMask") or ["*"]]
        gone = {user for user in cache if any(mask.match(user) for mask in masks)}
    else:
        names = call.names("user")
        if call.version == "2.4":
            raise Died("Panic: auth cache flush")
        if names is None:
            raise call.usage()
        gone = set(cache) if not names else cache & set(names)
    cache -= gone
    return Reply([{"entries": str(len(gone))}])
