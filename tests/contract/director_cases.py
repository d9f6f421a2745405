"""Director commands on an idle ring: hosts, users, the ring itself."""

from __future__ import annotations

from tests.contract.cases import Scenario, Step, dies, differs, fails, invalid, ok, scenario, unknown

NEW = "127.0.99.9"


def _host(name: str, *, vhosts: str = "100", state: str = "up", changed: str = "-") -> str:
    return (
        f'{{"mail server ip":"@{name}@","tag":"","vhosts":"{vhosts}","state":"{state}",'
        f'"state-changed":"{changed}","users":"0"}}'
    )


def _plain(host: str, command: str) -> tuple[Step, ...]:
    return (dies(host, command), dies(host, command, {"host": ""}))


def _move(user: str, host: str) -> dict[str, str]:
    return {"user": user, "host": host}


SCENARIOS: tuple[Scenario, ...] = (
    scenario("directorUpdate: bad parameters",
        dies("d1", "directorUpdate"),
        dies("d1", "directorUpdate", {"host": "@b1@"}),
        dies("d1", "directorUpdate", {"vhostCount": "5"}),
        dies("d1", "directorUpdate", {"host": "@b1@", "vhostCount": "x"}),
        dies("d1", "directorUpdate", {"host": "@b1@", "vhostCount": "-1"}),
        dies("d1", "directorUpdate", {"host": "@b1@", "vhostCount": ""}),
        dies("d1", "directorUpdate", {"host": "5", "vhostCount": "5"}),
        fails("d1", "directorUpdate", {"host": "@b1@", "vhostCount": "1001"}, 75),
        dies("d1", "directorUpdate", {"host": "@b1@", "vhostCount": "4294967396"}),
        fails("d1", "directorUpdate", {"host": "all", "vhostCount": "70"}, 75),
        fails("d1", "directorUpdate", {"host": NEW, "vhostCount": "70"}, 75),
        fails("d1", "directorUpdate", {"host": "no.such.invalid", "vhostCount": "70"}, 75),
        invalid("d1", "directorUpdate", {"host": "@b1@", "vhosts": "70"}),
    ),
    scenario("directorUpdate: weights are seen on the other director",
        ok("d1", "directorUpdate", {"host": "@b1@", "vhostCount": "70"}),
        ok("d1", "directorUpdate", {"host": "@b1@", "vhostCount": 70}),
        ok("d2", "directorUpdate", {"host": "@b2@", "vhostCount": "0"}),
        ok("d2", "directorUpdate", {"host": "@b2@", "vhostCount": "1000"}),
        ok("d2", "directorUpdate", {"host": "@b2@", "vhostCount": "0"}),
        ok("d1", "directorDump", {}, ",".join(
            f'{{"command":"add","socket-path":"PATH","host":"@{name}@","vhost_count":"{vhosts}"}}'
            for name, vhosts in (("b1", "70"), ("b2", "0"), ("b3", "100"))
        )),
        ok("d1", "directorUpdate", {"host": "@b2@", "vhostCount": "100"}),
        ok("d1", "directorUpdate", {"host": "@b1@", "vhostCount": "100"}),
    ),
    scenario("directorUp, directorDown: bad parameters",
        *(step for command in ("directorUp", "directorDown") for step in (
            dies("d1", command),
            fails("d1", command, {"host": NEW}, 68),
            fails("d1", command, {"host": "all"}, 75),
            fails("d1", command, {"host": "5"}, 68),
            fails("d1", command, {"host": "no.such.invalid"}, 75),
        )),
    ),
    scenario("directorDown and directorUp twice",
        ok("d1", "directorDown", {"host": "@b3@"}),
        ok("d1", "directorDown", {"host": "@b3@"}),
        ok("d2", "directorUp", {"host": "@b3@"}),
        ok("d2", "directorUp", {"host": "@b3@"}),
    ),
    scenario("directorAdd: bad parameters",
        dies("d1", "directorAdd"),
        dies("d1", "directorAdd", {"host": "5"}),
        dies("d1", "directorAdd", {"host": NEW, "vhostCount": "x"}),
        dies("d1", "directorAdd", {"host": NEW, "vhostCount": ""}),
        fails("d1", "directorAdd", {"host": NEW, "vhostCount": "1001"}, 75),
        fails("d1", "directorAdd", {"host": NEW, "vhostCount": "100000"}, 75),
        dies("d1", "directorAdd", {"host": NEW, "vhostCount": "4294967396"}),
        fails("d1", "directorAdd", {"host": "all"}, 75),
        fails("d1", "directorAdd", {"host": "no.such.invalid"}, 75),
        fails("d1", "directorAdd", {"host": "@b1@", "tag": "t1"}, 75),
    ),
    scenario("directorAdd and directorRemove",
        ok("d1", "directorAdd", {"host": NEW}),
        ok("d1", "directorAdd", {"host": NEW}),
        ok("d1", "directorAdd", {"host": NEW, "vhostCount": "50"}),
        ok("d1", "directorAdd", {"host": NEW, "vhostCount": 60}),
        ok("d2", "directorDown", {"host": NEW}),
        ok("d1", "directorRemove", {"host": NEW}),
        fails("d1", "directorRemove", {"host": NEW}, 68),
        fails("d1", "directorRemove", {"host": "no.such.invalid"}, 75),
        fails("d1", "directorRemove", {"host": "all"}, 75),
        dies("d1", "directorRemove"),
    ),
    scenario("directorMove: bad parameters",
        dies("d1", "directorMove"),
        dies("d1", "directorMove", {"user": "user190"}),
        dies("d1", "directorMove", {"host": "@b1@"}),
        fails("d1", "directorMove", _move("user190", NEW), 68),
        fails("d1", "directorMove", _move("user190", "10.0.234"), 68),
        fails("d1", "directorMove", _move("user190", "no.such.invalid"), 75),
        fails("d1", "directorMove", _move("user190", "all"), 75),
    ),
    scenario("directorMove: a second move must wait",
        ok("d1", "directorMove", _move("@fresh@1", "@b1@")),
        fails("d1", "directorMove", _move("@fresh@1", "@b1@"), 75),
        fails("d1", "directorMove", _move("@fresh@1", "@b2@"), 75),
        fails("d2", "directorMove", _move("@fresh@1", "@b2@"), 75),
        ok("d2", "directorMove", _move("USER-@fresh@2", "@b3@")),
        fails("d2", "directorMove", _move("user-@fresh@2", "@b3@"), 75),
    ),
    scenario("directorKick: always ok",
        dies("d1", "directorKick"),
        ok("d1", "directorKick", {"user": "nobody"}),
        ok("d1", "directorKick", {"user": "user00*"}),
        ok("d1", "directorKick", {"user": ""}),
        ok("d1", "directorKick", {"user": "x", "passdbField": "user"}),
    ),
    scenario("directorFlush: bad parameters",
        dies("d1", "directorFlush"),
        fails("d1", "directorFlush", {"host": NEW}, 68),
        fails("d1", "directorFlush", {"host": "no.such.invalid"}, 75),
        fails("d1", "directorFlush", {"host": "ALL"}, 75),
        invalid("d1", "directorFlush", {"host": "@b1@", "maxParallel": "x"}),
        ok("d1", "directorFlush", {"host": "@b2@", "maxParallel": 5}),
        ok("d1", "directorFlush", {"host": "@b2@", "maxParallel": 0}),
        ok("d1", "directorFlush", {"host": "@b2@", "maxParallel": -1}),
    ),
    scenario("directorStatus, directorMap: parameters",
        invalid("d1", "directorStatus", {"host": "@b1@"}),
        dies("d1", "directorStatus", {"socketPath": "/nonexistent"}),
        dies("d1", "directorMap", {"hashMap": True}),
        dies("d1", "directorMap", {"userMap": True}),
        *(dies("d1", "directorMap", {"hashMap": True, "host": text}) for text in ("", "x", "-1", "4294967296")),
        ok("d1", "directorMap", {"hashMap": True, "host": "5"}),
        ok("d1", "directorMap", {"hashMap": True, "host": "2549335831"}, '{"user":"user001"}'),
        fails("d1", "directorMap", {"host": "all"}, 75),
        fails("d1", "directorMap", {"host": "no.such.invalid"}, 75),
        ok("d1", "directorMap", {"userMap": True, "host": "user001"}, '{"hash":"2549335831"}'),
        ok("d1", "directorMap", {"userMap": True, "host": "USER001"}, '{"hash":"2549335831"}'),
    ),
    scenario("directorRingStatus: two directors",
        ok("d1", "directorRingStatus", {}, ",".join((
            ('{"director ip":"@d1@","port":"9090","type":"self","last failed":"never","status":"ring synced",'
            '"ping ms":"N","input":"-","output":"-","buffered":"-","buffered peak":"-","last read":"-","last write":"-"}'),
            *(
                f'{{"director ip":"@d2@","port":"9090","type":"{side}","last failed":"never","status":"synced",'
                '"ping ms":"N","input":"N","output":"N","buffered":"N","buffered peak":"N",'
                '"last read":"TIME","last write":"TIME"}'
                for side in ("right", "left")
            ),
        )), any_order=True),
        invalid("d1", "directorRingStatus", {"host": "x"}),
    ),
    scenario("directorRingAdd, directorRingRemove: bad parameters",
        dies("d1", "directorRingAdd"),
        dies("d1", "directorRingAdd", {"ip": "x"}),
        *(dies("d1", "directorRingAdd", {"ip": "@d2@", "port": port}) for port in ("x", "0", "65536")),
        dies("d1", "directorRingRemove"),
        dies("d1", "directorRingRemove", {"ip": "x"}),
        fails("d1", "directorRingRemove", {"ip": NEW}, 68),
        ok("d1", "directorRingAdd", {"ip": "@d2@"}),
    ),
    scenario("mail and session commands on a director",
        fails("d1", "mailboxStatus", {"user": "user001", "field": ["messages"], "mailboxMask": ["INBOX"]}, 75),
        fails("d1", "forceResync", {"user": "user001", "mailboxMask": "*"}, 75),
        fails("d1", "forceResync", {"user": "nobody", "mailboxMask": "*"}, 67),
        fails("d1", "purge", {"user": "user001"}, 75),
        fails("d1", "mailboxList", {"user": "user001"}, 75),
        ok("d1", "who"),
        fails("d1", "kick", {"mask": ["*"]}, 68),
        *differs(dies("b1", "directorFlush"), unknown("b1", "directorFlush")),
    ),
)  # fmt: skip
