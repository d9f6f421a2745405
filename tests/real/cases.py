"""What `orchestrator exec` must say of each command on real servers: as a success, where nothing is to do, on bad input.

A request is written as an operator types it: `HOSTS COMMAND name=value ...`. What stands between @ is filled in:
names of hosts by their addresses, `@fresh@` and `@absent@` by addresses where no server is, `@dir@` by a directory on
the server, `@lf@` by a line feed, `@soon@` by a time that is still to come; `@dict@`, `@other@` and `@fs@` by the words
that name a dictionary or a store on that version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

V23, V24, V245 = "2.3", "2.4", "2.4.5"  # 2.4 is 2.4.1
VERSIONS = (V23, V24, V245)
LATER = (V24, V245)
STORES = {
    "@dict@": {V23: "dictUri=file:@dir@/dict/x", V24: "filterName=mail_attribute"},
    "@other@": {V23: "dictUri=file:@dir@/dict/y", V24: "filterName=acl_sharing_map"},
    "@fs@": {V23: "fsDriver=posix fsArgs=prefix=@dir@/files/", V24: "filterName=mail_ext_attachment"},
}

SUCCESS, NOTHING, BAD = "success", "nothing to do", "bad input"
KINDS = (SUCCESS, NOTHING, BAD)
LOST = "the connection was closed without an answer"
USAGE = "Client sent invalid command. Usage"


@dataclass(frozen=True)
class Expected:
    """How it ends.

    Attributes:
        state: done, failed, unreachable, in_doubt; `refused`: before anything is sent, by the rules of this program;
            `not there`: before the command is sent, by the host's own list of commands.
        code: the exit code of doveadm.
        rows: how many rows all hosts together answer; None: any number.
        has: what one of the rows contains.
        says: what the operator, or the host's log, is told.
    """

    state: str = "done"
    code: int | None = None
    rows: int | None = 0
    has: Mapping[str, str] = field(default_factory=dict)
    says: str = ""


@dataclass(frozen=True)
class Look:
    """A second opinion, asked without this program: what the server says afterwards.

    Attributes:
        line: the request.
        sees: what one row contains, how many rows there are, or the exit code as text.
    """

    line: str
    sees: Mapping[str, str] | int | str


@dataclass(frozen=True)
class Case:
    """One request and what becomes of it.

    Attributes:
        kind: success, nothing to do, bad input.
        title: what is special about it.
        line: the request.
        expected: how it ends.
        before: requests that prepare it.
        look: what is to be seen afterwards.
    """

    kind: str
    title: str
    line: str
    expected: Expected
    before: Sequence[str] = ()
    look: Look | None = None


@dataclass(frozen=True)
class Group:
    """A command's cases on one version, in the order in which they are sent.

    Attributes:
        command: its name.
        cases: its cases.
        doors: the hosts where sessions log in before.
        sessions: how many of them.
        leaves: whether the servers must be put right afterwards.
    """

    command: str
    cases: Sequence[Case]
    doors: Sequence[str] = ()
    sessions: int = 0
    leaves: bool = False


@dataclass(frozen=True)
class _Draft:
    kind: str
    title: str
    line: str
    expected: Mapping[str, Any]
    before: Sequence[str]
    look: Look | None
    versions: Sequence[str]
    on_24: Mapping[str, Any]
    on_245: Mapping[str, Any]


def _case(
    kind: str,
    line: str,
    title: str = "",
    *,
    before: Sequence[str] = (),
    look: tuple[str, Mapping[str, str] | int | str] | None = None,
    only: Sequence[str] = VERSIONS,
    on_24: Mapping[str, Any] | None = None,
    on_245: Mapping[str, Any] | None = None,
    **expected: Any,
) -> _Draft:
    """A case of all versions, or `only` of some; `on_24` is what is different on 2.4, `on_245` what on 2.4.5 besides."""
    found = Look(*look) if look else None
    return _Draft(kind, title, line, expected, before, found, only, on_24 or {}, on_245 or {})


def _success(line: str, title: str = "", **more: Any) -> _Draft:
    return _case(SUCCESS, line, title, **more)


def _nothing(line: str, title: str = "again", **more: Any) -> _Draft:
    return _case(NOTHING, line, title, **more)


def _bad(line: str, title: str, **more: Any) -> _Draft:
    return _case(BAD, line, title, **{"state": "refused"} | more)


def _lost(line: str, title: str, **more: Any) -> _Draft:
    """Bad input that the server answers by dying; what it logged tells why."""
    return _bad(line, title, **{"state": "failed", "says": USAGE} | more)


def _of(draft: _Draft, version: str) -> Case:
    changes = {**(draft.on_24 if version in LATER else {}), **(draft.on_245 if version == V245 else {})}
    expected = {**draft.expected, **changes}
    line = expected.pop("line", draft.line)
    before = expected.pop("before", draft.before)
    look = expected.pop("look", draft.look)
    if isinstance(look, tuple):
        look = Look(*look)
    if expected.get("state", "done") != "done":
        expected.setdefault("rows", None)
    return Case(draft.kind, draft.title, line, Expected(**expected), before, look)


def with_stores(line: str, version: str) -> str:
    """A request with the words that name a dictionary or a store on that version."""
    for name, words in STORES.items():
        line = line.replace(name, words[version[:3]])
    return line


FLUSHED = {"line": "b1 authCacheFlush userMask=root", "state": "done", "rows": 1, "has": {"entries": "1"}, "says": ""}
FLUSHED_ROOT = {"before": ("b1 user userMask=root",), "rows": 1, "has": {"entries": "1"}}

NO_SUCH_COMMAND = "has no command"

_DIRECTOR: dict[str, tuple[list[_Draft], dict[str, Any]]] = {
    "directorStatus": (
        [
            _success("d1 directorStatus", rows=3, has={"mail server ip": "@b1@", "vhosts": "100", "state": "up"}),
            _nothing("d1 directorStatus user=nobody", "a user who is nowhere", rows=1, has={"status": "n/a"}),
            _bad("d1 directorStatus user=", "an empty user"),
            _bad("d1 directorStatus user=x@lf@HOST-UPDATE", "a line feed, with which 2.3 would take in a command"),
            _bad("b1 directorStatus", "a host without a director", state="failed", says=LOST),
        ],
        {},
    ),
    "directorMap": (
        [
            _success(
                "d1 directorMap",
                before=("d1 directorMove user=user001 host=@b1@",),
                rows=1,
                has={"user": "user001", "mail server ip": "@b1@"},
            ),
            _nothing("d1 directorMap host=@b3@", "a backend without users"),
            _bad("d1 directorMap hashMap=maybe", "no boolean"),
            _bad("d1 directorMap hashMap=true", "hashMap without host, of which the process would die"),
            _bad(
                "d1 directorMap hashMap=true host=user001", "a hash that is no number, of which the process would die"
            ),
            _bad("d1 directorMap host=no.such.invalid", "a name without an address", state="failed", code=75),
        ],
        {"leaves": True},
    ),
    "directorAdd": (
        [
            _success(
                "d1 directorAdd host=@fresh@ vhostCount=50",
                look=("d2 directorStatus", {"mail server ip": "@fresh@", "vhosts": "50"}),
            ),
            _nothing("d1 directorAdd host=@fresh@ vhostCount=50"),
            _bad("d1 directorAdd vhostCount=50", "no host"),
            _bad("d1 directorAdd host=5", "a number, which 2.3 would take for 0.0.0.5"),
            _bad("d1 directorAdd host=@fresh@ vhostCount=many", "a weight that is no number"),
            _bad("d1 directorAdd host=@fresh@ vhostCount=1001", "a weight above 1000"),
            _bad("d1 directorAdd host=@fresh@ tag=other", "another tag", state="failed", code=75),
        ],
        {"leaves": True},
    ),
    "directorUpdate": (
        [
            _success(
                "d1 directorUpdate host=@b1@ vhostCount=50",
                look=("d2 directorStatus", {"mail server ip": "@b1@", "vhosts": "50"}),
            ),
            _nothing("d1 directorUpdate host=@b1@ vhostCount=50"),
            _bad("d1 directorUpdate host=@b1@", "no weight"),
            _bad("d1 directorUpdate host=10.0.234 vhostCount=50", "an address that 2.3 would take for 10.0.0.234"),
            _bad("d1 directorUpdate host=@absent@ vhostCount=50", "an unknown backend", state="failed", code=75),
        ],
        {"leaves": True},
    ),
    "directorDown": (
        [
            _success(
                "d1 directorDown host=@b1@", look=("d2 directorStatus", {"mail server ip": "@b1@", "state": "down"})
            ),
            _nothing("d1 directorDown host=@b1@"),
            _bad("d1 directorDown", "no host"),
            _bad("d1 directorDown host=5", "a number, which 2.3 would take for 0.0.0.5"),
            _bad("d1 directorDown host=@absent@", "an unknown backend", state="failed", code=68),
        ],
        {"leaves": True},
    ),
    "directorUp": (
        [
            _success(
                "d1 directorUp host=@b1@",
                before=("d1 directorDown host=@b1@",),
                look=("d2 directorStatus", {"mail server ip": "@b1@", "state": "up"}),
            ),
            _nothing("d1 directorUp host=@b1@"),
            _bad("d1 directorUp", "no host"),
            _bad("d1 directorUp host=5", "a number, which 2.3 would take for 0.0.0.5"),
            _bad("d1 directorUp host=@absent@", "an unknown backend", state="failed", code=68),
        ],
        {"leaves": True},
    ),
    "directorRemove": (
        [
            _success(
                "d1 directorRemove host=@fresh@",
                before=("d1 directorAdd host=@fresh@",),
                look=("d2 directorStatus", 3),
            ),
            _nothing("d1 directorRemove host=@fresh@", code=68),
            _bad("d1 directorRemove", "no host"),
            _bad("d1 directorRemove host=10.0.234", "an address that 2.3 would take for 10.0.0.234"),
        ],
        {"leaves": True},
    ),
    "directorMove": (
        [
            _success(
                "d1 directorMove user=user001 host=@b2@", look=("d2 directorStatus user=user001", {"status": "@b2@"})
            ),
            _nothing(
                "d1 directorMove user=user001 host=@b2@",
                "again, while the move is under way",
                state="failed",
                code=75,
                says="being moved already",
            ),
            _bad("d1 directorMove user=user001", "no host"),
            _bad("d1 directorMove host=@b2@", "no user"),
            _bad("d1 directorMove user=user001 host=10.0.234", "an address that 2.3 would take for 10.0.0.234"),
            _bad("d1 directorMove user=user002 host=@absent@", "an unknown backend", state="failed", code=68),
        ],
        {"leaves": True},
    ),
    "directorKick": (
        [
            _success("d1 directorKick user=user002", "a session through another director", look=("d2 proxyList", 0)),
            _nothing("d1 directorKick user=user002"),
            _nothing("d1 directorKick user=user00*", "a wildcard, which matches nobody", look=("d1 proxyList", 1)),
            _bad("d1 directorKick", "no user"),
            _bad("d1 directorKick user=", "an empty user"),
            _bad("d1 directorKick user=user001@lf@", "a line feed"),
        ],
        {"doors": ("d1", "d2"), "sessions": 2, "leaves": True},
    ),
    "directorFlush": (
        [
            _success(
                "d1 directorFlush host=@b1@",
                before=(
                    "d1 directorMove user=user001 host=@b1@",
                    "d1 directorMove user=user002 host=@b1@",
                    "d1 directorUpdate host=@b1@ vhostCount=0",
                ),
                look=("d2 directorStatus", {"mail server ip": "@b1@", "users": "0"}),
            ),
            _nothing("d1 directorFlush host=@b1@"),
            _nothing("d1 directorFlush host=all", "all users are where they belong"),
            _bad("d1 directorFlush", "no host"),
            _bad("d1 directorFlush host=5", "a number, which 2.3 would take for 0.0.0.5"),
            _bad("d1 directorFlush host=@b1@ maxParallel=few", "no number"),
            _bad("d1 directorFlush host=@absent@", "an unknown backend", state="failed", code=68),
        ],
        {"leaves": True},
    ),
    "directorDump": (
        [
            _success("d1 directorDump", rows=3, has={"command": "add", "host": "@b1@", "vhost_count": "100"}),
            _nothing("d2 directorDump", "the same of another director", rows=3, has={"command": "add"}),
            _bad("d1 directorDump host=@b1@", "a parameter that it does not have"),
            _bad("b1 directorDump", "a host without a director", state="failed", says=LOST),
        ],
        {},
    ),
    "directorRingRemove": (
        [
            _success("d1 directorRingRemove ip=@d3@", look=("d2 directorRingStatus", 3)),
            _nothing("d1 directorRingRemove ip=@d3@", code=68),
            _bad("d1 directorRingRemove", "no ip"),
            _bad("d1 directorRingRemove ip=5", "a number"),
        ],
        {},
    ),
    "directorRingAdd": (
        [
            _success("d1 directorRingAdd ip=@d3@", look=("d2 directorRingStatus", {"director ip": "@d3@"})),
            _nothing("d1 directorRingAdd ip=@d3@"),
            _bad("d1 directorRingAdd", "no ip"),
            _bad("d1 directorRingAdd ip=@d3@ port=imap", "a port that is no number"),
            _bad("d1 directorRingAdd ip=localhost", "a host name, of which the process would die"),
        ],
        {"leaves": True},
    ),
    "directorRingStatus": (
        [
            _success("d1 directorRingStatus", rows=3, has={"director ip": "@d1@", "status": "ring synced"}),
            _nothing("d2 directorRingStatus", "the same of another director", rows=3, has={"director ip": "@d1@"}),
            _bad("d1 directorRingStatus ip=@d2@", "a parameter that it does not have"),
            _bad("b1 directorRingStatus", "a host without a director", state="failed", says=LOST),
        ],
        {},
    ),
}

_SESSIONS: dict[str, tuple[list[_Draft], dict[str, Any]]] = {
    "penalty": (
        [
            _success("b1 penalty", "after a wrong password", rows=1, has={"IP": "127.0.0.1"}),
            _nothing("b1 penalty netmask=10.0.0.0/8", "nobody of that network"),
            _bad("b1 penalty netmask=x@lf@", "a line feed"),
            _bad("b1 penalty netmask=everybody", "no network", state="failed", code=64),
            _lost("b1 penalty socketPath=/nowhere", "a socket that is not there", says="/nowhere"),
        ],
        {},
    ),
    "who": (
        [
            _success("backends who", "30 sessions", rows=30, has={"username": "user001", "service": "imap"}),
            _success("backends who separateConnections=true", "a row for each", rows=30, has={"username": "user030"}),
            _success("backends who mask=user00?", "a pattern", rows=9),
            _nothing("backends who mask=nobody", "nobody of that name"),
            _bad("b1 who mask=user001@lf@", "a line feed"),
            _bad("b1 who user=user001", "a parameter that it does not have"),
            _bad(
                "b1 who mask=user001 mask=user002",
                "two names",
                state="failed",
                code=64,
                on_245={"state": "done", "code": None, "rows": 2},
            ),
            _lost("b1 who socketPath=/nowhere", "a socket that is not there", says="/nowhere"),
        ],
        {"doors": ("d1", "d2", "d3"), "sessions": 30, "leaves": True},
    ),
    "kick": (
        [
            _success(
                "b1 kick mask=user001",
                rows=1,
                has={"result": "user001"},
                look=("b1 who mask=user001", 0),
                on_24={"has": {"count": "1"}},
            ),
            _nothing("b1 kick mask=user001", code=68, on_24={"code": None, "rows": 1, "has": {"count": "0"}}),
            _bad("b1 kick", "no mask"),
            _bad("b1 kick mask=user002@lf@", "a line feed"),
            _bad(
                "b1 kick mask=user001 mask=user002",
                "two names",
                state="failed",
                code=64,
                look=("b1 who mask=user002", 1),
                on_24={"code": None, "says": LOST},
                on_245={
                    "line": "b1 kick mask=user001 mask=user003",
                    "state": "done",
                    "says": "",
                    "rows": 1,
                    "has": {"count": "1"},
                    "look": ("b1 who mask=user003", 0),
                },
            ),
            _lost(
                "b1 kick mask=user002 socketPath=/nowhere",
                "a socket that is not there",
                says="/nowhere",
                look=("b1 who mask=user002", 1),
                on_24={"code": 75},
            ),
            _bad(
                "b1 kick mask=user002 destHost=b2.example",
                "a host name for an address, of which the process would die",
                only=LATER,
                look=("b1 who mask=user002", 1),
            ),
            _bad(
                "b1 kick mask=user002 force=true",
                "a parameter of 2.3",
                only=LATER,
                state="not there",
                look=("b1 who mask=user002", 1),
            ),
        ],
        {"doors": ("b1",), "sessions": 3, "leaves": True},
    ),
    "proxyList": (
        [
            _success(
                "d1 proxyList",
                "30 sessions",
                rows=30,
                has={"username": "user001", "dest-port": "@imap@"},
                on_24={"line": "b1 proxyList", "has": {"username": "user001"}},
            ),
            _nothing("d2 proxyList", "nobody on that director", on_24={"line": "b1 proxyList mask=nobody"}),
            _bad(
                "d1 proxyList user=user001", "a parameter that it does not have", on_24={"line": "b1 proxyList user=x"}
            ),
            _bad("d1 proxyList mask=user001", "a parameter of 2.4", only=(V23,), state="not there"),
            _bad(
                "d1 proxyList socketPath=/nowhere",
                "a socket that is not there, which 2.3 does not tell",
                state="done",
                on_24={"line": "b1 proxyList socketPath=/nowhere", "state": "failed", "rows": None, "says": "/nowhere"},
            ),
        ],
        {"doors": ("d1",), "sessions": 30, "leaves": True},
    ),
    "proxyKick": (
        [
            _success(
                "d1 proxyKick user=user001 user=user002",
                rows=1,
                has={},
                look=("d1 proxyList", 1),
                on_24={"line": "b1 proxyKick mask=user001", "has": {"count": "1"}, "look": ("b1 who mask=user001", 0)},
            ),
            _nothing(
                "d1 proxyKick user=user001",
                rows=1,
                has={"count": "0"},
                on_24={"line": "b1 proxyKick mask=user001"},
            ),
            _bad("d1 proxyKick user=user003@lf@", "a line feed", on_24={"line": "b1 proxyKick mask=user003@lf@"}),
            _bad("d1 proxyKick host=5", "a number for an address", only=(V23,)),
            _bad(
                "d1 proxyKick user=user003 socketPath=/nowhere",
                "a socket that is not there",
                state="failed",
                code=75,
                look=("d1 proxyList", 1),
                on_24={"line": "b1 proxyKick mask=user003 socketPath=/nowhere", "look": ("b1 who", 2)},
            ),
            _bad("d1 proxyKick", "neither user nor host", on_24={"line": "b1 proxyKick"}),
            _bad("b1 proxyKick user=user001", "a parameter of 2.3", only=LATER, state="not there"),
        ],
        {"doors": ("d1",), "sessions": 3, "leaves": True},
    ),
    "authCacheFlush": (
        [
            _success(
                "b1 authCacheFlush user=root",
                before=("b1 user userMask=root",),
                rows=1,
                has={"entries": "1"},
                on_24={
                    "before": (),
                    "state": "not there",
                    "rows": None,
                    "has": {},
                    "says": "crashes on authCacheFlush",
                },
                on_245=FLUSHED | {"before": ("b1 user userMask=root",)},
            ),
            _nothing(
                "b1 authCacheFlush user=root",
                rows=1,
                has={"entries": "0"},
                on_24={"state": "not there", "rows": None, "has": {}, "says": "doveadm auth cache flush"},
                on_245=FLUSHED | {"has": {"entries": "0"}},
            ),
            _bad(
                "b1 authCacheFlush user=root",
                "the name that it had before 2.4.3",
                only=(V245,),
                state="not there",
                says="use userMask there",
            ),
            _bad(
                "b1 authCacheFlush userMask=root",
                "the name that it has from 2.4.3 on",
                state="not there",
                only=(V23, V24),
                says="use user there",
                on_24={"says": "doveadm auth cache flush"},
            ),
            _success("b1 authCacheFlush userMask=r*t", "a pattern", only=(V245,), **FLUSHED_ROOT),
            _success(
                "b1 authCacheFlush userMask=[]", "everybody", before=("b1 user userMask=root",), only=(V245,), rows=1
            ),
            _success(
                "b1 authCacheFlush user=[]",
                "everybody",
                before=("b1 user userMask=root",),
                rows=1,
                only=(V23,),
            ),
            _bad("b1 authCacheFlush", "no user"),
            _bad("b1 authCacheFlush user=root@lf@", "a line feed"),
            _bad(
                "b1 authCacheFlush user=root socketPath=/nowhere",
                "a socket that is not there, which 2.3 does not tell",
                only=(V23,),
                state="done",
                rows=1,
                has={"entries": "0"},
            ),
        ],
        {},
    ),
}

_HOST: dict[str, tuple[list[_Draft], dict[str, Any]]] = {
    "statsDump": (
        [
            _success("b1 statsDump", rows=1, has={"metric_name": "imap_commands"}),
            _success("b1 statsDump reset=true fields=count", "and back to zero", rows=1),
            _bad("b1 statsDump reset=maybe", "no boolean"),
            _bad("b1 statsDump type=session", "a parameter of 2.2", state="not there"),
            _lost("b1 statsDump fields=nonsense", "an unknown field", says=LOST),
            _nothing("b1 statsDump", "no metric is set up", before=("b1 statsRemove name=imap_commands",)),
        ],
        {},
    ),
    "statsReset": (
        [
            _success("b1 statsReset", "unknown since 2.3", state="not there", says=NO_SUCH_COMMAND),
            _nothing("b1 statsReset", state="not there", says=NO_SUCH_COMMAND),
            _bad("b1 statsReset filter=x", "a parameter that it does not have"),
        ],
        {},
    ),
    "logErrors": (
        [
            _success(
                "b1 logErrors",
                "after a refused request",
                before=("b1 penalty netmask=x",),
                rows=None,
                has={"type": "Error"},
            ),
            _nothing("b1 logErrors since=@soon@", "nothing since then"),
            _bad("b1 logErrors since=yesterday", "no number"),
        ],
        {},
    ),
    "reload": (
        [
            _success("b1 reload", look=("b1 processStatus service=stats", 1)),
            _nothing("b1 reload"),
            _bad("b1 reload service=imap", "a parameter that it does not have"),
        ],
        {"leaves": True},
    ),
    "serviceStop": (
        [
            _success(
                "b1 serviceStop service=imap-login",
                look=("b1 serviceStatus service=imap-login", {"doveadm_stop": "y", "listening": "n"}),
            ),
            _nothing("b1 serviceStop service=imap-login"),
            _bad("b1 serviceStop", "no service"),
            _bad("b1 serviceStop service=imap@lf@", "a line feed"),
            _bad(
                "b1 serviceStop service=nonsense service=imap",
                "an unknown name beside a known one, which is stopped",
                state="failed",
                code=68,
                look=("b1 serviceStatus service=imap", {"doveadm_stop": "y"}),
            ),
        ],
        {"leaves": True},
    ),
    "stop": (
        [
            _bad("b1 stop now=true", "a parameter that it does not have"),
            _success("b1 stop", look=("b1 who", "refused")),
            _nothing("b1 stop", state="unreachable", says="connection refused"),
        ],
        {"leaves": True},
    ),
}

_NO_PREFIX = "a key without shared/ or priv/"
_NO_DICT = "no dictionary"

_DICT: dict[str, tuple[list[_Draft], dict[str, Any]]] = {
    "dictSet": (
        [
            _success("b1 dictSet @dict@ key=shared/a value=7", look=("b1 dictGet @dict@ key=shared/a", {"value": "7"})),
            _nothing("b1 dictSet @dict@ key=shared/a value=7"),
            _bad("b1 dictSet @dict@ key=shared/a", "no value"),
            _bad("b1 dictSet @dict@ key=shared/a value=1@lf@2", "a line feed"),
            _bad("b1 dictSet @dict@ key=a value=7", _NO_PREFIX, state="failed", code=64),
            _bad("b1 dictSet @dict@ key=priv/a value=7", "priv/ without user", state="failed", code=64),
            _bad("b1 dictSet key=shared/a value=7", _NO_DICT),
            _bad(
                "b1 dictSet dictUri=nonsense:x key=shared/a value=7",
                "an unknown driver",
                state="failed",
                code=75,
                on_24={"line": "b1 dictSet filterName=nonsense key=shared/a value=7"},
            ),
            _bad(
                "b1 dictSet dictUri=file:x key=shared/a value=7",
                "a parameter of the other version",
                state="not there",
                only=LATER,
            ),
            _bad(
                "b1 dictSet filterName=mail_attribute key=shared/a value=7",
                "a parameter of the other version",
                state="not there",
                only=(V23,),
            ),
        ],
        {},
    ),
    "dictGet": (
        [
            _success(
                "b1 dictGet @dict@ key=shared/a",
                before=("b1 dictSet @dict@ key=shared/a value=7",),
                rows=1,
                has={"value": "7"},
            ),
            _nothing("b1 dictGet @dict@ key=shared/none", "no such key", state="failed", code=68),
            _bad("b1 dictGet @dict@", "no key"),
            _bad("b1 dictGet @dict@ key=shared/a@lf@", "a line feed"),
            _bad("b1 dictGet @dict@ key=a", _NO_PREFIX, state="failed", code=64),
            _bad("b1 dictGet key=shared/a", _NO_DICT),
        ],
        {},
    ),
    "dictInc": (
        [
            _success(
                "b1 dictInc @dict@ key=shared/n difference=-2",
                before=("b1 dictSet @dict@ key=shared/n value=7",),
                look=("b1 dictGet @dict@ key=shared/n", {"value": "5"}),
            ),
            _nothing("b1 dictInc @dict@ key=shared/none difference=1", "no such key", state="failed", code=68),
            _bad("b1 dictInc @dict@ key=shared/n", "no difference"),
            _bad("b1 dictInc @dict@ key=shared/n difference=1.5", "no whole number"),
            _bad("b1 dictInc @dict@ key=n difference=1", _NO_PREFIX, state="failed", code=64),
            _bad(
                "b1 dictInc @other@ key=shared/text difference=1",
                "a value that is no number, of which the process dies",
                before=("b1 dictSet @other@ key=shared/text value=abc",),
                look=("b1 dictGet @other@ key=shared/text", {"value": "abc"}),
                state="in_doubt",
                says=LOST,
            ),
        ],
        {},
    ),
    "dictIter": (
        [
            _success(
                "b1 dictIter @dict@ prefix=shared/list/",
                before=(
                    "b1 dictSet @dict@ key=shared/list/1 value=one",
                    "b1 dictSet @dict@ key=shared/list/2 value=two",
                ),
                rows=2,
                has={"key": "shared/list/2", "value": "two"},
            ),
            _nothing("b1 dictIter @dict@ prefix=shared/none/", "no such key"),
            _bad("b1 dictIter @dict@", "no prefix"),
            _bad("b1 dictIter @dict@ prefix=list/", _NO_PREFIX, state="failed", code=64),
        ],
        {},
    ),
    "dictUnset": (
        [
            _success(
                "b1 dictUnset @dict@ key=shared/a",
                before=("b1 dictSet @dict@ key=shared/a value=7",),
                look=("b1 dictGet @dict@ key=shared/a", "68"),
            ),
            _nothing("b1 dictUnset @dict@ key=shared/a"),
            _bad("b1 dictUnset @dict@", "no key"),
            _bad("b1 dictUnset @dict@ key=a", _NO_PREFIX, state="failed", code=64),
        ],
        {},
    ),
}

_PUT = "b1 fsPut @fs@ inputPath=@dir@/input path=f1"
_NO_STORE = "no store"

_FS: dict[str, tuple[list[_Draft], dict[str, Any]]] = {
    "fsPut": (
        [
            _success(_PUT, look=("b1 fsGet @fs@ path=f1", {"content": "hello"})),
            _nothing(_PUT, "again, which replaces it"),
            _bad("b1 fsPut @fs@ inputPath=@dir@/input", "no path"),
            _bad("b1 fsPut @fs@ inputPath=@dir@/input path=f1@lf@", "a line feed"),
            _bad("b1 fsPut @fs@ inputPath=@dir@/none path=f1", "no such file on the host", state="failed", code=75),
            _bad("b1 fsPut inputPath=@dir@/input path=f1", _NO_STORE),
            _lost(f"{_PUT} hash=00", "another hash than that of the content", says=LOST),
            _lost(
                f"{_PUT} metadata=key=value",
                "metadata, which posix does not have",
                says="No metadata support",
                only=LATER,
            ),
            _bad(f"{_PUT} metadata=key=value", "a parameter of 2.4", state="not there", only=(V23,)),
        ],
        {},
    ),
    "fsGet": (
        [
            _success("b1 fsGet @fs@ path=f1", before=(_PUT,), rows=1, has={"content": "hello"}),
            _nothing("b1 fsGet @fs@ path=none", "no such file", state="failed", code=68),
            _bad("b1 fsGet @fs@", "no path"),
            _bad("b1 fsGet path=f1", _NO_STORE),
            _lost(
                "b1 fsGet fsDriver=nonsense fsArgs= path=f1",
                "an unknown driver",
                says="nonsense",
                on_24={"line": "b1 fsGet filterName=nonsense path=f1", "says": LOST},
            ),
        ],
        {},
    ),
    "fsStat": (
        [
            _success("b1 fsStat @fs@ path=f1", before=(_PUT,), rows=1, has={"path": "f1", "size": "6"}),
            _nothing("b1 fsStat @fs@ path=none", "no such file", state="failed", code=68),
            _bad("b1 fsStat @fs@", "no path"),
            _bad("b1 fsStat path=f1", _NO_STORE),
        ],
        {},
    ),
    "fsMetadata": (
        [
            _success("b1 fsMetadata @fs@ path=f1", before=(_PUT,), rows=None),
            _nothing("b1 fsMetadata @fs@ path=none", "no such file, which is no error", rows=None),
            _bad("b1 fsMetadata @fs@", "no path"),
            _bad("b1 fsMetadata path=f1", _NO_STORE),
        ],
        {},
    ),
    "fsCopy": (
        [
            _success(
                "b1 fsCopy @fs@ sourcePath=f1 destinationPath=f2",
                before=(_PUT,),
                look=("b1 fsGet @fs@ path=f2", {"content": "hello"}),
            ),
            _nothing("b1 fsCopy @fs@ sourcePath=f1 destinationPath=f2"),
            _bad("b1 fsCopy @fs@ sourcePath=f1", "no destination"),
            _bad("b1 fsCopy @fs@ sourcePath=none destinationPath=f2", "no such file", state="failed", code=68),
            _bad("b1 fsCopy sourcePath=f1 destinationPath=f2", _NO_STORE),
        ],
        {},
    ),
    "fsIter": (
        [
            _success(
                "b1 fsIter @fs@ path=folder/",
                before=(_PUT.replace("path=f1", "path=folder/f1"), _PUT.replace("path=f1", "path=folder/f2")),
                rows=2,
                has={"path": "f2"},
            ),
            _nothing("b1 fsIter @fs@ path=none/", "no such folder"),
            _bad("b1 fsIter @fs@", "no path"),
            _bad("b1 fsIter path=folder/", _NO_STORE),
        ],
        {},
    ),
    "fsIterDirs": (
        [
            _success(
                "b1 fsIterDirs @fs@ path=tree/",
                before=(_PUT.replace("path=f1", "path=tree/one/f1"), _PUT.replace("path=f1", "path=tree/two/f1")),
                rows=2,
                has={"path": "two"},
            ),
            _nothing("b1 fsIterDirs @fs@ path=none/", "no such folder"),
            _bad("b1 fsIterDirs @fs@", "no path"),
            _bad("b1 fsIterDirs path=tree/", _NO_STORE),
        ],
        {},
    ),
    "fsDelete": (
        [
            _success("b1 fsDelete @fs@ path=f1", before=(_PUT,), look=("b1 fsStat @fs@ path=f1", "68")),
            _success(
                "b1 fsDelete @fs@ path=f1 path=none",
                "one is there, one is not",
                before=(_PUT,),
                code=68,
                look=("b1 fsStat @fs@ path=f1", "68"),
            ),
            _success(
                "b1 fsDelete @fs@ recursive=true path=gone/",
                "a folder",
                before=(_PUT.replace("path=f1", "path=gone/f1"),),
                look=("b1 fsStat @fs@ path=gone/f1", "68"),
            ),
            _nothing("b1 fsDelete @fs@ path=f1", code=68),
            _nothing(
                "b1 fsDelete @fs@ recursive=true path=gone/",
                "a folder again",
                on_24={"state": "failed", "code": 75},
            ),
            _bad("b1 fsDelete @fs@", "no path"),
            _bad(
                "b1 fsDelete @fs@ path=folder/",
                "a folder without recursive",
                before=(_PUT.replace("path=f1", "path=folder/f1"),),
                state="failed",
                code=75,
                look=("b1 fsStat @fs@ path=folder/f1", {"path": "folder/f1"}),
            ),
            _bad("b1 fsDelete path=f1", _NO_STORE),
        ],
        {},
    ),
}


def _mail(command: str, more: str = "") -> list[_Draft]:
    line = f"b1 {command} {more}".strip()
    return [
        _success(
            f"{line} user=user001",
            look=("b1 mailboxStatus user=user001 field=messages mailboxMask=INBOX", {"messages": "0"}),
        ),
        _nothing(f"{line} user=user001"),
        _bad(f"{line} user=user001@lf@", "a line feed"),
        _bad(f"{line} user=", "an empty user"),
        _bad(f"{line} user=nobody-here", "an unknown user", state="failed", code=67),
        _bad(
            f"{line} user=unreadable",
            "a home that cannot be read, which Dovecot does not tell",
            state="done",
            look=("b1 mailboxStatus user=unreadable field=messages mailboxMask=INBOX", "75"),
        ),
        _bad(line, "nobody named"),
    ]


_MAIL: dict[str, tuple[list[_Draft], dict[str, Any]]] = {
    "forceResync": (
        [
            *_mail("forceResync", "mailboxMask=*"),
            _nothing("b1 forceResync user=user001 mailboxMask=none*", "a mask that matches nothing"),
            _bad("b1 forceResync user=user001", "no mask"),
        ],
        {},
    ),
    "quotaRecalc": (_mail("quotaRecalc"), {}),
    "purge": (_mail("purge"), {}),
}

# Those that take services away come last.
_ALL = {
    **_MAIL,
    **_DICT,
    **_FS,
    **_SESSIONS,
    **_DIRECTOR,
    **{name: _HOST[name] for name in ("statsDump", "statsReset", "logErrors", "reload", "serviceStop", "stop")},
}


def groups(version: str) -> dict[str, Group]:
    """Every command's cases on a version, in the order in which they are to be run."""
    return {command: _group(command, drafts, options, version) for command, (drafts, options) in _ALL.items()}


def _group(command: str, drafts: Sequence[_Draft], options: Mapping[str, Any], version: str) -> Group:
    if version in LATER and command in _DIRECTOR:
        return Group(command, list(_without_directors(drafts)))
    if version in LATER and "doors" in options:
        options = {**options, "doors": ("b1",)}
    return Group(command, [_of(draft, version) for draft in drafts if version in draft.versions], **options)


def _without_directors(drafts: Sequence[_Draft]) -> list[Case]:
    """2.4 has no directors: the host's own list of commands says so, and what is refused here is refused all the same."""
    found = []
    for draft in drafts:
        here = draft.expected.get("state") == "refused"
        expected = Expected("refused", rows=None) if here else Expected("not there", rows=None, says=NO_SUCH_COMMAND)
        line = f"b1 {draft.line.split(' ', 1)[1]}"
        if not draft.line.startswith("b1 "):
            found.append(Case(draft.kind, draft.title, line, expected))
    return found


__all__ = [
    "BAD",
    "KINDS",
    "NOTHING",
    "SUCCESS",
    "V23",
    "V24",
    "V245",
    "Case",
    "Expected",
    "Group",
    "Look",
    "groups",
    "with_stores",
]
