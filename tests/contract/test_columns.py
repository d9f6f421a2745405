"""The columns that the catalogue gives to a command's rows are those of the simulator and of real servers."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.dovecot import catalog
from orchestrator.dovecot.reply import Reply, read_reply
from tests.contract.cases import V23, V24
from tests.contract.targets import targets

if TYPE_CHECKING:
    from tests.contract.targets import Target

BOTH = (V23, V24)
BOX = {"user": "user005", "mailboxMask": ["INBOX"]}
# host, command, parameters, versions: what every server answers with rows while users are logged in
ASKED: tuple[tuple[str, str, dict[str, Any], tuple[str, ...]], ...] = (
    ("d1", "directorStatus", {}, (V23,)),
    ("d1", "directorStatus", {"user": "user001"}, (V23,)),
    ("d1", "directorStatus", {"user": "nobody"}, (V23,)),
    ("d1", "directorMap", {}, (V23,)),
    ("d1", "directorMap", {"userMap": True, "host": "user001"}, (V23,)),
    ("d1", "directorRingStatus", {}, (V23,)),
    ("d1", "directorDump", {}, (V23,)),
    ("d1", "proxyList", {}, (V23,)),
    ("b1", "proxyList", {}, (V24,)),
    ("b1", "who", {}, BOTH),
    ("b1", "who", {"separateConnections": True}, BOTH),
    ("b1", "serviceStatus", {}, BOTH),
    ("b1", "processStatus", {}, BOTH),
    ("b1", "mailboxStatus", BOX | {"field": ["messages", "unseen"]}, BOTH),
    ("b1", "mailboxStatus", BOX | {"field": ["messages"], "totalSum": True}, BOTH),
    ("b1", "mailboxStatus", BOX | {"user": "user00?", "field": ["messages"]}, BOTH),
    ("b1", "mailboxList", {"user": "user005"}, BOTH),
    ("b1", "quotaGet", {"user": "user005"}, BOTH),
    ("b1", "user", {"userMask": ["user00*"]}, BOTH),
    ("b1", "authCacheFlush", {"user": ["nobody"]}, (V23,)),
    ("d1", "proxyKick", {"user": ["nobody"]}, (V23,)),
    ("b1", "kick", {"mask": ["nobody"]}, (V24,)),
    ("b1", "kick", {"mask": ["*"]}, BOTH),
)


@pytest.mark.parametrize("busy", targets(V23, V24), indirect=True)
def test_rows_have_the_columns_of_the_catalogue(busy: Target) -> None:
    """Every column of every row is one that the catalogue knows for this version and these parameters, and all of these come."""
    fullest = max(busy.backends, key=lambda host: len(busy.run(host, "who", separateConnections=True)))
    for host, command, parameters, versions in ASKED:
        if busy.version in versions:
            reply = busy.ask(fullest if host == "b1" else host, json.dumps([[command, parameters, "t"]]))
            _check(busy.version, command, parameters, read_reply(reply.body.encode(), "t"))


def _check(version: str, command: str, parameters: dict[str, Any], reply: Reply) -> None:
    entry = catalog.find(command)
    assert entry is not None
    assert reply.rows, f"{command} {parameters}: {reply}"
    seen = {column for row in reply.rows for column in row}
    known = entry.columns_of(parameters, version)
    if known is not None:
        unknown = {column for column in seen if not any(fnmatchcase(column, name) for name in known)}
        assert not unknown, f"{command} {parameters}: the catalogue does not know {sorted(unknown)}"
    sure: set[str] = set()
    for columns in entry.columns:
        if not columns.when and version in (columns.versions or entry.versions) and columns.appear(parameters):
            sure |= columns.of(parameters) or set()
    assert sure <= seen, f"{command} {parameters}: nobody answers {sorted(sure - seen)}"
