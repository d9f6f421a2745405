"""All commands that the simulator answers, by version, in the order of the real catalogue.

A real host's catalogue is longer. What is missing here is answered ``unknownMethod``, as by a host without the
plugin. Parameter lists are those of live 2.3.19.1, 2.4.1 and 2.4.5 servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.simulator.commands import dictionary, director, files, mail, ring, service, sessions
from orchestrator.simulator.parameters import Declared, declare

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAIL_23 = "allUsers:boolean socketPath:string user:string transFlags:integer userFile:string"
_MAIL_24 = "allUsers:boolean socketPath:string user:string transFlags:integer noUserdbLookup:boolean userFile:string"
_DIRECTOR_HOST = "socketPath:string host:string"
_METRIC = (
    "name:string filter:string exporter:string exporterInclude:string description:string fields:string groupBy:string"
)
_USER = "socketPath:string authInfo:array field:string expandField:string userdbOnly:boolean userMask:array"
_FS = "fsDriver:string fsArgs:string"

_BOTH_FIRST = (
    declare("serviceStop", service.service_stop, "service:array"),
    declare("serviceStatus", service.service_status, "service:array"),
    declare("processStatus", service.process_status, "service:array"),
    declare("stop", service.stop),
    declare("reload", service.reload),
    declare("statsDump", service.stats_dump, "socketPath:string reset:boolean fields:string"),
    declare("statsAdd", service.stats_add, _METRIC),
    declare("statsRemove", service.stats_remove, "name:string"),
)
_DIRECTOR = (
    declare("directorStatus", director.status, "socketPath:string user:string tag:string"),
    declare(
        "directorMap",
        director.directory,
        "socketPath:string usersFile:string hashMap:boolean userMap:boolean host:string",
    ),
    declare("directorAdd", director.add, "socketPath:string tag:string host:string vhostCount:string"),
    declare("directorUpdate", director.update, "socketPath:string host:string vhostCount:string"),
    declare("directorUp", director.up, _DIRECTOR_HOST),
    declare("directorDown", director.down, _DIRECTOR_HOST),
    declare("directorRemove", director.remove, _DIRECTOR_HOST),
    declare("directorMove", director.move, "socketPath:string user:string host:string"),
    declare("directorKick", director.kick, "socketPath:string passdbField:string user:string"),
    declare("directorFlush", director.flush, "socketPath:string forceFlush:boolean maxParallel:integer host:string"),
    declare("directorDump", director.dump, "socketPath:string"),
    declare("directorRingAdd", ring.add, "socketPath:string ip:string port:string"),
    declare("directorRingRemove", ring.remove, "socketPath:string ip:string port:string"),
    declare("directorRingStatus", ring.status, "socketPath:string"),
)
_ALL_23 = (
    *_BOTH_FIRST,
    declare("oldstatsDump", service.old_stats_dump, "socketPath:string type:string filter:string"),
    declare("oldstatsReset", service.old_stats_reset, "socketPath:string"),
    declare("penalty", sessions.penalty, "socketPath:string netmask:string"),
    declare("kick", sessions.kick, "socketPath:string force:boolean mask:array"),
    declare("who", sessions.who, "socketPath:string separateConnections:boolean mask:array"),
    *_DIRECTOR,
    declare("proxyList", sessions.proxy_list, "socketPath:string"),
    declare("proxyKick", sessions.proxy_kick, "socketPath:string passdbField:string host:string user:array"),
    declare("logReopen", service.log_reopen),
    declare("logErrors", service.log_errors, "since:integer"),
    declare("dictGet", dictionary.get, "user:string dictUri:string key:string"),
    declare("dictSet", dictionary.put, "user:string dictUri:string key:string value:string"),
    declare("dictUnset", dictionary.unset, "user:string dictUri:string key:string"),
    declare("dictInc", dictionary.increase, "user:string dictUri:string key:string difference:integer"),
    declare(
        "dictIter",
        dictionary.iterate,
        "user:string exact:boolean recurse:boolean noValue:boolean dictUri:string prefix:string",
    ),
    declare("fsGet", files.get, f"{_FS} path:string"),
    declare("fsPut", files.put, f"hash:string {_FS} inputPath:string path:string"),
    declare("fsCopy", files.copy, f"{_FS} sourcePath:string destinationPath:string"),
    declare("fsStat", files.stat, f"{_FS} path:string"),
    declare("fsMetadata", files.metadata, f"{_FS} path:string"),
    declare("fsDelete", files.delete, f"recursive:boolean maxParallel:integer {_FS} path:array"),
    declare("fsIter", files.iterate, f"noCache:boolean objectIds:boolean {_FS} path:string"),
    declare("fsIterDirs", files.iterate_directories, f"{_FS} path:string"),
    declare("authCacheFlush", mail.auth_cache_flush, "socketPath:string user:array"),
    declare("user", mail.user, _USER),
    declare("mailboxStatus", mail.mailbox_status, f"{_MAIL_23} totalSum:boolean field:array mailboxMask:array"),
    declare(
        "mailboxList",
        mail.mailbox_list,
        f"{_MAIL_23} mutf7:boolean utf8:boolean subscriptions:boolean mailboxMask:array",
    ),
    declare("index", mail.index, f"{_MAIL_23} queue:boolean maxRecent:string mailboxMask:string"),
    declare("forceResync", mail.force_resync, f"{_MAIL_23} fsck:boolean mailboxMask:string"),
    declare("purge", mail.purge, _MAIL_23),
    declare("quotaGet", mail.quota_get, _MAIL_23),
    declare("quotaRecalc", mail.quota_recalc, _MAIL_23),
)
_KICK_24 = "socketPath:string passdbField:string destHost:string mask:array"
_WHO_24 = "socketPath:string separateConnections:boolean passdbField:string mask:array"
_ALL_24 = (
    *_BOTH_FIRST,
    declare("statsReopen", service.stats_reopen),
    declare("penalty", sessions.penalty, "socketPath:string netmask:string"),
    declare("kick", sessions.kick, _KICK_24),
    declare("proxyKick", sessions.proxy_kick, _KICK_24),
    declare("who", sessions.who, _WHO_24),
    declare("proxyList", sessions.proxy_list, _WHO_24),
    declare("logReopen", service.log_reopen),
    declare("logErrors", service.log_errors, "since:integer"),
    declare("dictGet", dictionary.get, "user:string filterName:string key:string"),
    declare(
        "dictSet",
        dictionary.put,
        "user:string timestamp:integer expireSecs:integer filterName:string key:string value:string",
    ),
    declare("dictUnset", dictionary.unset, "user:string timestamp:integer filterName:string key:string"),
    declare(
        "dictInc",
        dictionary.increase,
        "user:string timestamp:integer filterName:string key:string difference:integer",
    ),
    declare(
        "dictIter",
        dictionary.iterate,
        "user:string exact:boolean recurse:boolean noValue:boolean filterName:string prefix:string",
    ),
    declare("fsGet", files.get, "filterName:string path:string"),
    declare("fsPut", files.put, "hash:string metadata:array filterName:string inputPath:string path:string"),
    declare("fsCopy", files.copy, "filterName:string sourcePath:string destinationPath:string"),
    declare("fsStat", files.stat, "filterName:string path:string"),
    declare("fsMetadata", files.metadata, "filterName:string path:string"),
    declare("fsDelete", files.delete, "recursive:boolean maxParallel:integer filterName:string path:array"),
    declare("fsIter", files.iterate, "noCache:boolean objectIds:boolean filterName:string path:string"),
    declare("fsIterDirs", files.iterate_directories, "filterName:string path:string"),
    declare("authCacheFlush", mail.auth_cache_flush, "socketPath:string user:array"),
    declare("user", mail.user, _USER),
    declare("mailboxStatus", mail.mailbox_status, f"{_MAIL_24} totalSum:boolean field:array mailboxMask:array"),
    declare(
        "mailboxList",
        mail.mailbox_list,
        f"{_MAIL_24} mutf7:boolean utf8:boolean subscriptions:boolean mailboxMask:array",
    ),
    declare("index", mail.index, f"{_MAIL_24} queue:boolean maxRecent:integer mailboxMask:array"),
    declare("forceResync", mail.force_resync, f"{_MAIL_24} fsck:boolean mailboxMask:string"),
    declare("purge", mail.purge, _MAIL_24),
    declare("quotaGet", mail.quota_get, _MAIL_24),
    declare("quotaRecalc", mail.quota_recalc, _MAIL_24),
)

_RENAMED_245 = {"authCacheFlush": declare("authCacheFlush", mail.auth_cache_flush, "socketPath:string userMask:array")}

# Directors do not load the quota plugin, whose commands they therefore do not know.
_BACKEND_ONLY = ("quotaGet", "quotaRecalc")

COMMANDS: Mapping[tuple[str, str], Mapping[str, Declared]] = {
    ("2.3", "backend"): {command.name: command for command in _ALL_23},
    ("2.3", "director"): {command.name: command for command in _ALL_23 if command.name not in _BACKEND_ONLY},
    ("2.4", "backend"): {command.name: command for command in _ALL_24},
    ("2.4.5", "backend"): {command.name: _RENAMED_245.get(command.name, command) for command in _ALL_24},
}
