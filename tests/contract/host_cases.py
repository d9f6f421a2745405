"""Commands of every host: sessions that are not there, users, mailboxes, dictionaries, files, services."""

from __future__ import annotations

from tests.contract.cases import (
    Scenario,
    Step,
    bad,
    before_245,
    dies,
    differs,
    fails,
    invalid,
    ok,
    on_23,
    on_24,
    on_241,
    on_245,
    scenario,
    unknown,
)

_STATUS = {"user": "user150", "field": ["messages"], "mailboxMask": ["INBOX"]}
_FILE = {"userFile": "user150\n", "field": ["messages"], "mailboxMask": ["INBOX"]}
_NOBODY = '{"count":"0"}'
_WRONG_FLAG = "Parameter `separate-connections' must be `true' or `false', not `%s'"
_SERVICE = (
    '{{"name":"{}","process_count":"0","process_avail":"0","process_limit":"{}","client_limit":"{}",'
    '"throttle_secs":"0","exit_failure_last":"0","exit_failures_in_sec":"0","last_drop_warning":"0",'
    '"listen_pending":"n","listening":"y","doveadm_stop":"n","process_total":"0"}}'
)

_DICT_23, _DICT_24 = {"dictUri": "file:@directory@/contract.dict"}, {"filterName": "mail_attribute"}
_FS_23 = {"fsDriver": "posix", "fsArgs": "prefix=@directory@/contract-fs/"}
_FS_24 = {"filterName": "mail_ext_attachment"}


def _dict(store: dict[str, str]) -> tuple[Step, ...]:
    """What is kept in a dictionary, and what is not there."""
    return (
        fails("b1", "dictGet", store | {"key": "shared/c1"}, 68),
        fails("b1", "dictInc", store | {"key": "shared/c1", "difference": 1}, 68),
        ok("b1", "dictSet", store | {"key": "shared/c1", "value": 'v é "q"'}),
        ok("b1", "dictSet", store | {"key": "shared/c1", "value": 'v é "q"'}),
        ok("b1", "dictGet", store | {"key": "shared/c1"}, '{"value":"v é \\"q\\""}'),
        ok("b1", "dictSet", store | {"key": "shared/c1", "value": "5"}),
        ok("b1", "dictInc", store | {"key": "shared/c1", "difference": 3}),
        ok("b1", "dictInc", store | {"key": "shared/c1", "difference": "-2"}),
        ok("b1", "dictGet", store | {"key": "shared/c1"}, '{"value":"6"}'),
        invalid("b1", "dictInc", store | {"key": "shared/c1", "difference": "x"}),
        ok("b1", "dictIter", store | {"prefix": "shared/"}, '{"key":"shared/c1","value":"6"}'),
        ok("b1", "dictIter", store | {"prefix": "shared/", "noValue": True}, '{"key":"shared/c1"}'),
        ok("b1", "dictIter", store | {"prefix": "shared/zz/"}),
        ok("b1", "dictUnset", store | {"key": "shared/c1"}),
        ok("b1", "dictUnset", store | {"key": "shared/c1"}),
        fails("b1", "dictGet", store | {"key": "shared/c1"}, 68),
        fails("b1", "dictGet", store | {"key": "priv/x", "user": "user001"}, 68),
        ok("b1", "dictSet", store | {"key": "priv/x", "user": "user001", "value": "1"}),
        ok("b1", "dictGet", store | {"key": "priv/x", "user": "user001"}, '{"value":"1"}'),
        ok("b1", "dictGet", store | {"key": "priv/x", "user": "user002"}, '{"value":"1"}'),
        ok("b1", "dictUnset", store | {"key": "priv/x", "user": "user001"}),
    )  # fmt: skip


def _bad_dict(store: dict[str, str]) -> tuple[Step, ...]:
    """Keys that are none, and none at all."""
    return (
        fails("b1", "dictGet", store | {"key": "nonsense"}, 64),
        fails("b1", "dictGet", store, 64),
        fails("b1", "dictSet", store | {"key": "shared/k"}, 64),
        fails("b1", "dictInc", store | {"key": "shared/k"}, 64),
        fails("b1", "dictIter", store, 64),
        fails("b1", "dictUnset", store | {"key": "x"}, 64),
        fails("b1", "dictSet", store | {"key": "x", "value": "1"}, 64),
    )  # fmt: skip


def _fs(store: dict[str, str]) -> tuple[Step, ...]:
    """Files that are not there."""
    return (
        fails("b1", "fsGet", store | {"path": "nope"}, 68),
        fails("b1", "fsStat", store | {"path": "nope"}, 68),
        fails("b1", "fsPut", store | {"inputPath": "/tmp/doesnotexist", "path": "put.txt"}, 75),
        fails("b1", "fsCopy", store | {"sourcePath": "nope", "destinationPath": "copy.txt"}, 68),
        fails("b1", "fsDelete", store | {"path": ["nope"]}, 68),
        ok("b1", "fsMetadata", store | {"path": "nope"}, '{"key":":/X-Dovecot-fs-api-OrigPath","value":"nope"}'),
        ok("b1", "fsIter", store | {"path": "nodir/"}),
        ok("b1", "fsIterDirs", store | {"path": "nodir/"}),
        fails("b1", "fsDelete", store | {"path": ["nodir/"]}, 68),
        ok("b1", "fsDelete", store | {"path": []}),
        dies("b1", "fsGet", store),
        dies("b1", "fsDelete", store),
    )  # fmt: skip


SCENARIOS: tuple[Scenario, ...] = (
    scenario("who: nobody",
        ok("b1", "who", {"mask": ["nobody"]}),
        ok("b1", "who", {"mask": ""}),
        ok("b1", "who", {"mask": ["10.9.9.0/24"]}),
        ok("b1", "who", {"mask": ["nobody"], "separateConnections": True}),
        *before_245(fails("b1", "who", {"mask": ["a", "b"]}, 64)),
        *on_245(ok("b1", "who", {"mask": ["a", "b"]})),
        fails("b1", "who", {"mask": ["10.0.0.0/8", "127.0.0.0/8"]}, 64),
        dies("b1", "who", {"mask": ["zz"], "socketPath": "/nonexistent"}),
        *differs(
            dies("b1", "who", {"mask": "", "separateConnections": 0, "socketPath": ""}),
            bad("b1", '[["who",{"mask":"","separateConnections":0,"socketPath":""},"t"]]', _WRONG_FLAG % 0),
        ),
        invalid("b1", "who", {"bogus": "x"}),
    ),
    scenario("kick: nobody",
        *on_23(
            *(fails("b1", "kick", {"mask": mask}, 68) for mask in (["nobody"], "nobody", ["10.9.9.0/24"], [], "")),
            fails("b1", "kick", {"mask": ["nobody"], "force": True}, 68),
            fails("b1", "kick", {"mask": ["127.0.0.1", "zz"]}, 68),
            fails("b1", "kick", {"mask": ["a", "b"]}, 64),
            fails("b1", "kick", {}, 64),
        ),
        *on_24(
            *(ok("b1", "kick", {"mask": mask}, _NOBODY) for mask in (["nobody"], "nobody", ["10.9.9.0/24"], "")),
            ok("b1", "kick", {"mask": ["127.0.0.1", "zz"]}, _NOBODY),
            ok("b1", "kick", {"mask": ["*"], "destHost": "127.0.99.9"}, _NOBODY),
            invalid("b1", "kick", {"mask": ["nobody"], "force": True}),
            dies("b1", "kick", {}),
        ),
        *on_241(*(dies("b1", "kick", {"mask": mask}) for mask in ([], ["a", "b"]))),
        *on_245(*(ok("b1", "kick", {"mask": mask}, _NOBODY) for mask in ([], ["a", "b"]))),
        invalid("b1", "kick", {"user": ["nobody"]}),
    ),
    scenario("proxyList and proxyKick without sessions",
        ok("b1", "proxyList"),
        dies("b1", "proxyKick"),
        dies("d1", "proxyKick"),
        ok("d1", "proxyKick", {"host": ""}, _NOBODY),
        *differs(ok("b1", "proxyKick", {"user": ["nobody"]}, _NOBODY), invalid("b1", "proxyKick", {"user": ["nobody"]})),
        *on_24(ok("b1", "proxyKick", {"mask": ["nobody"]}, _NOBODY)),
        *on_241(dies("b1", "proxyKick", {"mask": []})),
        *on_245(ok("b1", "proxyKick", {"mask": []}, _NOBODY)),
        ok("d1", "proxyKick", {"user": "nobody"}, _NOBODY),
        ok("d1", "proxyKick", {"user": ["user1*"]}, _NOBODY),
        ok("d1", "proxyKick", {"host": "127.0.99.9"}, _NOBODY),
    ),
    scenario("penalty",
        ok("b1", "penalty"),
        ok("b1", "penalty", {"netmask": "10.0.0.0/24"}),
        fails("b1", "penalty", {"netmask": "xx"}, 64),
        fails("b1", "penalty", {"netmask": ""}, 64),
    ),
    scenario("mailboxStatus",
        ok("b1", "mailboxStatus", _STATUS, '{"mailbox":"INBOX","messages":"0"}'),
        *differs(
            ok("b1", "mailboxStatus", _STATUS | {"field": "messages unseen"}, '{"mailbox":"INBOX","messages":"0","unseen":"0"}'),
            dies("b1", "mailboxStatus", _STATUS | {"field": "messages unseen"}),
        ),
        ok("b1", "mailboxStatus", _STATUS | {"field": ["unseen", "messages"]}, '{"mailbox":"INBOX","messages":"0","unseen":"0"}'),
        ok("b1", "mailboxStatus", _STATUS | {"mailboxMask": "*", "totalSum": True}, '{"messages":"0"}'),
        ok("b1", "mailboxStatus", _STATUS | {"mailboxMask": ["NoSuch*"]}),
        fails("b1", "mailboxStatus", _STATUS | {"mailboxMask": ["NoSuch"]}, 68),
        ok("b1", "mailboxStatus", _STATUS | {"mailboxMask": ["NoSuch", "INBOX"]}, '{"mailbox":"INBOX","messages":"0"}'),
        ok("b1", "mailboxStatus", _STATUS | {"mailboxMask": ["NoSuch", "No2"]}),
        ok("b1", "mailboxStatus", _STATUS | {"user": "USER150"}, '{"mailbox":"INBOX","messages":"0"}'),
        fails("b1", "mailboxStatus", _STATUS | {"user": ""}, 67),
        fails("b1", "mailboxStatus", _STATUS | {"user": "user15[0]"}, 67),
        *differs(
            dies("b1", "mailboxStatus", _STATUS | {"mailboxMask": []}),
            ok("b1", "mailboxStatus", _STATUS | {"mailboxMask": []}, '{"mailbox":"INBOX","messages":"0"}'),
        ),
        dies("b1", "mailboxStatus", _STATUS | {"field": []}),
        ok("b1", "mailboxStatus", _STATUS | {"user": "user15?"}, ",".join(
            f'{{"username":"user15{last}","mailbox":"INBOX","messages":"0"}}' for last in range(10)
        )),
        ok("b1", "mailboxStatus", _STATUS | {"user": "zz*"}),
        *differs(
            ok("b1", "mailboxStatus", _FILE),
            ok("b1", "mailboxStatus", _FILE, '{"username":"user150","mailbox":"INBOX","messages":"0"}'),
        ),
        fails("b1", "mailboxStatus", _STATUS | {"user": "nobody"}, 67),
        dies("b1", "mailboxStatus", {"field": ["messages"], "mailboxMask": ["*"]}),
        dies("b1", "mailboxStatus", {"user": "user150", "mailboxMask": ["*"]}),
        dies("b1", "mailboxStatus", {"user": "user150", "field": ["messages"]}),
        dies("b1", "mailboxStatus", _STATUS | {"field": ["bogus"]}),
    ),
    scenario("mailboxList",
        ok("b1", "mailboxList", {"user": "user151"}, '{"mailbox":"INBOX"}'),
        ok("b1", "mailboxList", {"user": "user151", "mailboxMask": ["X*"]}),
        ok("b1", "mailboxList", {"user": "user151", "mailboxMask": ["I*"]}, '{"mailbox":"INBOX"}'),
        ok("b1", "mailboxList", {"user": "user151", "mailboxMask": ["NoSuch"]}, '{"mailbox":"NoSuch"}'),
        ok("b1", "mailboxList", {"user": "user15[1]*"}),
        fails("b1", "mailboxList", {"user": "nobody"}, 67),
        dies("b1", "mailboxList"),
    ),
    scenario("forceResync, index, purge",
        ok("b1", "forceResync", {"user": "user152", "mailboxMask": "*"}),
        ok("b1", "forceResync", {"user": "user152", "mailboxMask": "NoSuch"}),
        ok("b1", "forceResync", {"user": "user15*", "mailboxMask": "*"}),
        ok("b1", "forceResync", {"user": "zz*", "mailboxMask": "*"}),
        fails("b1", "forceResync", {"user": "nobody", "mailboxMask": "*"}, 67),
        dies("b1", "forceResync", {"user": "user152"}),
        dies("b1", "forceResync", {"mailboxMask": "*"}),
        ok("b1", "index", {"user": "user152", "mailboxMask": "*"}),
        ok("b1", "index", {"user": "user152", "mailboxMask": "NoSuch"}),
        dies("b1", "index", {"user": "user152"}),
        ok("b1", "purge", {"user": "user152"}),
        fails("b1", "purge", {"user": "nobody"}, 67),
        dies("b1", "purge"),
        ok("b1", "purge", {"userFile": "user152\n"}),
    ),
    scenario("a home that cannot be read",
        ok("b1", "forceResync", {"user": "unreadable", "mailboxMask": "*"}),
        ok("b1", "quotaRecalc", {"user": "unreadable"}),
        ok("b1", "purge", {"user": "unreadable"}),
        ok("b1", "index", {"user": "unreadable", "mailboxMask": "*"}),
        fails("b1", "mailboxStatus", _STATUS | {"user": "unreadable"}, 75),
        fails("b1", "mailboxStatus", _STATUS | {"user": "unread*"}, 75),
        *(
            ok("b1", "mailboxStatus", _STATUS | {"user": "unreadable", "mailboxMask": masks})
            for masks in (["*"], ["I*"], ["%"], ["NoSuch*"], ["INBOX", "*"])
        ),
        ok("b1", "mailboxStatus", _STATUS | {"user": "unreadable", "mailboxMask": "*", "totalSum": True}, '{"messages":"0"}'),
        ok("b1", "forceResync", {"user": "unread*", "mailboxMask": "*"}),
        ok("b1", "mailboxList", {"user": "unreadable"}, '{"mailbox":"INBOX"}'),
        ok("b1", "quotaGet", {"user": "unreadable"},
            '{"root":"User quota","type":"STORAGE","value":"0","limit":"1048576","percent":"0"},'
            '{"root":"User quota","type":"MESSAGE","value":"0","limit":"-","percent":"0"}'),
    ),
    scenario("quota",
        ok("b1", "quotaGet", {"user": "user153"},
            '{"root":"User quota","type":"STORAGE","value":"0","limit":"1048576","percent":"0"},'
            '{"root":"User quota","type":"MESSAGE","value":"0","limit":"-","percent":"0"}'),
        ok("b1", "quotaRecalc", {"user": "user153"}),
        ok("b1", "quotaRecalc", {"user": "user15*"}),
        fails("b1", "quotaGet", {"user": "nobody"}, 67),
        fails("b1", "quotaRecalc", {"user": "nobody"}, 67),
        dies("b1", "quotaGet"),
    ),
    scenario("user",
        fails("b1", "user", {"userMask": ["user15[0]"]}, 67),
        fails("b1", "user", {}, 64),
        fails("b1", "user", {"userMask": ["nobody"]}, 67),
        fails("b1", "user", {"userMask": ["user001", "nobody"]}, 67),
        fails("b1", "user", {"userMask": ""}, 67),
        dies("b1", "user", {"userMask": ["user001"], "userdbOnly": True}),
    ),
    scenario("authCacheFlush",
        *on_23(
            dies("b1", "authCacheFlush"),
            ok("b1", "authCacheFlush", {"socketPath": "/nonexistent", "user": ["nobody"]}, '{"entries":"0"}'),
            ok("b1", "authCacheFlush", {"user": ["nobody"]}, '{"entries":"0"}'),
            ok("b1", "authCacheFlush", {"user": "nobody"}, '{"entries":"0"}'),
        ),
        *on_241(
            dies("b1", "authCacheFlush"),
            *(dies("b1", "authCacheFlush", {"user": user}) for user in (["nobody"], "nobody", [])),
            invalid("b1", "authCacheFlush", {"userMask": ["nobody"]}),
        ),
        *on_245(
            ok("b1", "authCacheFlush", {}, '{"entries":"0"}'),
            *(
                ok("b1", "authCacheFlush", {"userMask": users}, '{"entries":"0"}')
                for users in (["nobody"], "nobody", [], ["*"], ["a", "b"])
            ),
            invalid("b1", "authCacheFlush", {"user": ["nobody"]}),
        ),
    ),
    scenario("dict", *on_23(*_dict(_DICT_23)), *on_24(*_dict(_DICT_24))),
    scenario("dict: bad parameters",
        *on_23(
            *_bad_dict(_DICT_23),
            fails("b1", "dictGet", {"dictUri": "nosuchdriver:/x", "key": "shared/k"}, 75),
            invalid("b1", "dictGet", _DICT_24 | {"key": "shared/k"}),
        ),
        *on_24(
            *_bad_dict(_DICT_24),
            fails("b1", "dictGet", {"filterName": "nosuch", "key": "shared/k"}, 75),
            invalid("b1", "dictGet", _DICT_23 | {"key": "shared/k"}),
        ),
        fails("b1", "dictGet", {"key": "shared/k"}, 64),
    ),
    scenario("fs",
        *on_23(
            *_fs(_FS_23),
            ok("b1", "fsDelete", _FS_23 | {"path": ["nodir/"], "recursive": True}),
            dies("b1", "fsGet", {"fsDriver": "posix", "path": "/nonexistent"}),
            dies("b1", "fsGet", {"fsDriver": "nosuch", "fsArgs": "", "path": "x"}),
        ),
        *on_24(
            *_fs(_FS_24),
            fails("b1", "fsDelete", _FS_24 | {"path": ["nodir/"], "recursive": True}, 75),
            dies("b1", "fsGet", {"filterName": "nosuch", "path": "x"}),
        ),
        dies("b1", "fsGet"),
        dies("b1", "fsStat", {"path": "x"}),
    ),
    scenario("serviceStatus",
        ok("b1", "serviceStatus", {"service": ["nosuch"]}),
        ok("b1", "processStatus", {"service": ["nosuch"]}),
        *on_23(ok("b1", "serviceStatus", {"service": ["tcpwrap", "dns-client"]}, ",".join(
            _SERVICE.format(name, 100, 1) for name in ("tcpwrap", "dns-client")
        ), any_order=True)),
        *on_24(ok("b1", "serviceStatus", {"service": ["tcpwrap", "dns-client"]}, _SERVICE.format("dns-client", 100, 1))),
        fails("b1", "serviceStop", {"service": ["nosuch"]}, 68),
        dies("b1", "serviceStop"),
        ok("b1", "serviceStop", {"service": []}),
        ok("b1", "serviceStatus", {"service": []}),
        fails("b1", "serviceStop", {"service": ""}, 68),
    ),
    scenario("statistics and logs",
        dies("b1", "statsDump", {"fields": "bogus"}),
        invalid("b1", "statsDump", {"type": "global"}),
        ok("b1", "statsAdd", {"name": "contract", "filter": "event=nothing"}),
        ok("b1", "statsAdd", {"name": "contract", "filter": "event=nothing"}),
        ok("b1", "statsRemove", {"name": "contract"}),
        ok("b1", "statsRemove", {"name": "contract"}),
        ok("b1", "logReopen"),
        ok("b1", "statsAdd"),
        ok("b1", "statsRemove"),
        *on_23(
            ok("b1", "oldstatsReset"),
            ok("b1", "oldstatsDump", {"type": "session"}),
            fails("b1", "oldstatsDump", {}, 64),
            dies("b1", "oldstatsDump", {"type": "bogus"}),
        ),
        *on_24(unknown("b1", "oldstatsReset"), unknown("b1", "replicatorStatus"), ok("b1", "statsReopen")),
        *on_23(unknown("b1", "indexerAdd")),
        unknown("d1", "quotaGet", {"user": "user001"}),
    ),
)  # fmt: skip
