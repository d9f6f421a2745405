"""The command catalogue's data: its schema, and that it says what real hosts say of themselves.

`tests/data/catalog-*.json` are answers of `GET /doveadm/v1`: a 2.3.19.1 backend with the quota and acl plugins, a
2.3.19.1 director, and of 2.4.1 and of 2.4.5 a backend with quota, acl, fts and fts_flatcurve and a proxy without plugins.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.dovecot import catalog
from orchestrator.dovecot.reply import read_replies
from orchestrator.text.expression import names_in
from orchestrator.text.reads import column_uses, members_in
from orchestrator.views.manual import manual
from tests.captured import ANSWERED, Captured

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "orchestrator" / "dovecot" / "commands"
DATA = ROOT / "tests" / "data"
GENERAL = COMMANDS / "_exit_codes.yaml"
FILES = sorted(COMMANDS.glob("[!_]*.yaml"))

HOSTS = {
    "catalog-2.3-backend.json": "2.3",
    "catalog-2.3-director.json": "2.3",
    "catalog-2.4.1-backend.json": "2.4",
    "catalog-2.4.1-proxy.json": "2.4",
    "catalog-2.4.5-backend.json": "2.4",
    "catalog-2.4.5-proxy.json": "2.4",
}
VERSIONS = ("2.2", "2.3", "2.4")
EFFECTS = {"read", "repeatable", "unrepeatable"}
OUTCOMES = {"unchanged", "failed", "temporary"}
FORMATS = {"address", "address_or_all", "ip", "user", "count", "file", "mask", "pattern"}
TYPES = {"string", "integer", "boolean", "array"}
GENERAL_CODES = {2, 64, 65, 67, 68, 73, 75, 77, 78}

COMMAND_KEYS = {
    "summary", "effect", "effect_when", "user_impact", "user_impact_unless", "versions", "where", "parameters", "exit_codes",
    "verify", "inverse", "doveadm", "notes", "changed", "one_of", "needs", "columns", "long", "found", "affects",
    "irreversible",
}  # fmt: skip
PARAMETER_KEYS = {
    "type", "required", "format", "minimum", "maximum", "versions", "option", "argument", "word", "help", "fatal", "void", "long",
}  # fmt: skip

COLUMN_KEYS = {"names", "asked", "open", "versions", "with", "without", "when"}

# Commands that no list in tests/data of these versions has, because their plugin (fts, mail_crypt) was not loaded.
NOT_LOADED = {
    "ftsExpand": ["2.3"],
    "ftsLookup": ["2.3"],
    "ftsOptimize": ["2.3"],
    "ftsRescan": ["2.3"],
    "ftsTokenize": ["2.3"],
    "mailboxCryptokeyExport": ["2.3", "2.4"],
    "mailboxCryptokeyGenerate": ["2.3", "2.4"],
    "mailboxCryptokeyList": ["2.3", "2.4"],
    "mailboxCryptokeyPassword": ["2.3", "2.4"],
}
# What a release of a family calls otherwise: the lists that have the one do not have the other.
RENAMED = {"authCacheFlush": {"user", "userMask"}}
ONLY_2_2 = {
    "statsReset": "2.3 renamed the old statistics to oldstats",
    "statsDump.type": "the old statistics' parameter",
    "statsDump.filter": "the old statistics' parameter",
}

IMPORTANT = """
serviceStop stop reload statsDump statsReset penalty kick who directorStatus directorMap directorAdd directorUpdate
directorUp directorDown directorRemove directorMove directorKick directorFlush directorDump directorRingAdd
directorRingRemove directorRingStatus proxyList proxyKick logErrors dictGet dictSet dictUnset dictInc dictIter fsGet
fsPut fsCopy fsStat fsMetadata fsDelete fsIter fsIterDirs authCacheFlush forceResync quotaRecalc purge
""".split()  # noqa: SIM905


# ---------------------------------------------------------------------------------------------------- reading


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"line {node.start_mark.line + 1}: given twice: {sorted(map(str, twice))}"
        return super().construct_mapping(node, deep=deep)


@cache
def read(path: Path) -> dict[str, Any]:
    """A file's value."""
    text = path.read_text(encoding="utf-8")
    strict = yaml.load(text, _Loader)
    assert strict == yaml.safe_load(text)
    return strict


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """All commands of all families."""
    return {name: entry for path in FILES for name, entry in read(path).items()}


@cache
def host(name: str) -> dict[str, dict[str, str]]:
    """A host's own catalogue: command -> parameter -> type."""
    listed = json.loads((DATA / name).read_text(encoding="utf-8"))
    return {c["command"]: {p["name"]: p["type"] for p in c["parameters"]} for c in listed}


def parameters_of(entry: dict[str, Any], version: str) -> dict[str, dict[str, Any]]:
    """The parameters that an entry claims for a version."""
    everything = entry.get("parameters", {})
    return {name: spec for name, spec in everything.items() if version in spec.get("versions", entry["versions"])}


def type_in(spec: dict[str, Any], version: str) -> str:
    """A parameter's type in a version."""
    kind = spec["type"]
    return kind[version] if isinstance(kind, dict) else kind


every_command = pytest.mark.parametrize("name", sorted(catalogue()))


def is_sentence(text: Any) -> bool:
    """A text on one line that ends like a sentence."""
    return isinstance(text, str) and text == text.strip() and "\n" not in text and text.endswith(".")


def check_versions(versions: Any) -> None:
    """A list of known versions, each once, oldest first."""
    assert isinstance(versions, list)
    assert versions
    assert versions == [version for version in VERSIONS if version in versions]


# ---------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("path", [*FILES, GENERAL], ids=lambda path: path.name)
def test_files_are_plain_yaml(path: Path) -> None:
    """No words that YAML reads otherwise than people do, no merge keys, few aliases, lines that fit."""
    text = path.read_text(encoding="utf-8")
    aliases = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        aliases += isinstance(event, yaml.AliasEvent)
        if isinstance(event, yaml.ScalarEvent) and event.style is None:
            assert event.value.lower() not in {"yes", "no", "on", "off", "y", "n", "null", "~", "<<"}, event.start_mark
            assert not re.fullmatch(r"[0-9]+\.[0-9]+", event.value), event.start_mark
    assert aliases <= 5000
    assert max(map(len, text.splitlines())) <= 120
    assert text.isascii()
    assert "\t" not in text


@pytest.mark.parametrize("path", [*COMMANDS.iterdir()], ids=lambda path: path.name)
def test_files_name_nothing_of_our_own(path: Path) -> None:
    """No paths but those of examples, no loopback addresses, no ticket numbers."""
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w.*/:}>-])/[a-z0-9]+/", text)) <= {"/srv/", "/var/", "/private/", "/shared/"}
    assert not re.search(r"127\.0\.[0-9]|#[0-9]", text)


def test_families_are_apart() -> None:
    """A command stands in one file, and every top-level key is a command."""
    names = [name for path in FILES for name in read(path)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]*", name) for name in names)


def test_readme_is_short_and_names_every_key() -> None:
    """An administrator finds all keys explained on one screen or two."""
    text = (COMMANDS / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 42
    for key in COMMAND_KEYS | PARAMETER_KEYS | COLUMN_KEYS:
        assert re.search(rf"`{key}[`:]", text), key


def test_general_exit_codes() -> None:
    """Every code that doveadm uses has a name, a meaning and a remedy."""
    codes = read(GENERAL)
    assert set(codes) == GENERAL_CODES
    for code, entry in codes.items():
        assert set(entry) <= {"name", "means", "remedy", "outcome"}, code
        assert {"name", "means", "remedy"} <= set(entry), code
        assert entry.get("outcome", "failed") == ("temporary" if code == 75 else "failed"), code


# ---------------------------------------------------------------------------------------------------- the schema


@every_command
def test_command(name: str) -> None:
    """Known keys with values of the right form."""
    entry = catalogue()[name]
    assert set(entry) <= COMMAND_KEYS
    assert {"summary", "effect", "versions", "doveadm", "columns"} <= set(entry)
    assert is_sentence(entry["summary"])
    assert len(entry["summary"]) <= 120
    assert entry["effect"] in EFFECTS
    check_versions(entry["versions"])
    assert entry.get("where", "any") in {"backend", "director", "any"}
    assert is_sentence(entry.get("user_impact", "Nobody."))
    notes = entry.get("notes", ["Nothing."])
    assert isinstance(notes, list)
    assert notes
    assert all(is_sentence(note) for note in notes)
    if "user_impact" in entry:
        assert entry["effect"] != "read"


@every_command
def test_doveadm_words_match_the_name(name: str) -> None:
    """`director ring add` is directorRingAdd."""
    words = re.split("[ -]", catalogue()[name]["doveadm"])
    assert words[0] + "".join(word.capitalize() for word in words[1:]) == name


@every_command
def test_conditions_name_parameters(name: str) -> None:
    """effect_when and user_impact_unless speak of parameters that exist, and of values these can have."""
    entry = catalogue()[name]
    tests = list(entry.get("effect_when", []))
    for test in tests:
        assert set(test) == {"parameter", "equals", "effect"}
        assert test["effect"] in EFFECTS
        assert test["effect"] != entry["effect"]
    if "user_impact_unless" in entry:
        assert "user_impact" in entry
        assert set(entry["user_impact_unless"]) == {"parameter", "equals"}
        tests.append(entry["user_impact_unless"])
    for test in tests:
        assert test["parameter"] in entry["parameters"]
        assert (entry["parameters"][test["parameter"]]["type"] == "boolean") == isinstance(test["equals"], bool)


@every_command
def test_references_name_commands(name: str) -> None:
    """Verify names a reading command, inverse a writing one, and each exists in a version that this one has."""
    entry = catalogue()[name]
    if "verify" in entry:
        assert entry["effect"] != "read"
        other = catalogue()[entry["verify"]]
        assert other["effect"] == "read"
        assert set(entry["versions"]) & set(other["versions"])
    if "inverse" in entry:
        assert set(entry["inverse"]) <= {"command", "note"}
        other = catalogue()[entry["inverse"]["command"]]
        assert other["effect"] != "read"
        assert set(entry["versions"]) & set(other["versions"])


COUNTED = [name for name, entry in catalogue().items() if "affects" in entry]


@pytest.mark.parametrize("name", COUNTED)
def test_affects(name: str) -> None:
    """Reading commands with parameters that exist, expressions that name columns that exist, and where that is known from."""
    entry = catalog.find(name)
    assert entry is not None
    assert entry.affects is not None
    assert entry.user_impact
    assert re.search(r"2\.[34]\.[0-9]", entry.affects.source)
    for question in entry.affects.questions:
        asked = catalog.find(question.ask)
        assert asked is not None
        assert asked.effect == "read"
        assert set(question.parameters) <= set(asked.parameters)
        assert set(question.with_ + question.without) <= set(entry.parameters)
        assert question.users
        assert names_in(list(question.parameters.values())) <= {"parameters"}
        assert members_in(list(question.parameters.values()), "parameters") <= set(entry.parameters)
        for written in (question.users, question.sessions):
            assert names_in(written) <= {"rows", "parameters"}
            assert members_in(written, "parameters") <= set(entry.parameters)
            columns = asked.columns_of(question.parameters)
            assert columns is not None
            assert {use.column for use in column_uses(written) if "rows" in use.origins} <= columns


def test_what_ends_sessions_is_counted() -> None:
    """Every command that ends sessions has a question that counts them, and says that nothing brings them back."""
    assert set(COUNTED) >= {
        "kick", "proxyKick", "directorKick", "directorMove", "directorFlush", "reload", "stop", "serviceStop",
    }  # fmt: skip
    assert all(catalogue()[name].get("irreversible") for name in COUNTED)
    assert all(is_sentence(entry.get("irreversible", "Nothing.")) for entry in catalogue().values())


@every_command
def test_exit_codes(name: str) -> None:
    """Known codes with a meaning; what counts as done is never said of a reading command."""
    entry = catalogue()[name]
    for code, meaning in entry.get("exit_codes", {}).items():
        assert code in GENERAL_CODES
        assert set(meaning) <= {"means", "outcome", "versions"}
        assert isinstance(meaning["means"], str)
        assert not meaning["means"].endswith(".")
        assert meaning["outcome"] in OUTCOMES
        assert meaning["outcome"] != "unchanged" or entry["effect"] == "repeatable"
        if "versions" in meaning:
            check_versions(meaning["versions"])
            assert set(meaning["versions"]) <= set(entry["versions"])


@every_command
def test_columns(name: str) -> None:
    """Groups with names, or with the parameter that asks for them, or with the reason why they are open; each name once."""
    entry = catalogue()[name]
    said = []
    for group in entry["columns"]:
        assert set(group) <= COLUMN_KEYS
        assert {"names", "asked", "open"} & set(group)
        assert not ("open" in group and {"names", "asked"} & set(group))
        parameters = [*filter(None, (group.get("asked"), group.get("with"))), *group.get("without", [])]
        assert set(parameters) <= set(entry.get("parameters", {}))
        for column in group.get("names", []):
            assert isinstance(column, str)
            conditions = {key: group.get(key) for key in ("versions", "with", "without")}
            assert (column, conditions) not in said, column
            said.append((column, conditions))
        if "versions" in group:
            check_versions(group["versions"])
            assert set(group["versions"]) < set(entry["versions"]), name
    if not entry["columns"]:
        assert "changed" not in entry
        assert entry["effect"] != "read" or name in {"aclDebug", "logFind", "mailboxMutf7"}  # their output is lost


@pytest.mark.parametrize("exchange", [found for found in ANSWERED if found.version in {"2.3", "2.4"}], ids=str)
def test_columns_are_those_of_real_answers(exchange: Captured) -> None:
    """No row that a real server ever answered has a column that the catalogue does not know for its version."""
    entry = catalog.find(exchange.asked)
    if entry is None:  # several commands in one request, or an unknown one
        return
    known = [c.of({}) for c in entry.columns if exchange.version in (c.versions or entry.versions)]
    if None in known:
        return
    there = frozenset().union(*filter(None, known))
    for reply in read_replies(exchange.raw):
        for row in reply.rows:
            assert set(row) <= there


@pytest.mark.parametrize(
    ("name", "parameters", "version", "columns"),
    [
        ("who", {}, "2.3", "connections ips pids service username"),
        ("who", {"separateConnections": True}, "2.3", "ip pid service username"),
        ("who", {"separateConnections": "true"}, "2.4", "dest_ip ip pid service user_* username"),
        ("who", {"separateConnections": "false"}, "2.4", "connections ips pids service username"),
        ("who", {"separateConnections": "{{ x }}"}, "2.3", "connections ip ips pid pids service username"),
        ("kick", {}, "", "count result"),
        ("kick", {}, "2.3", "result"),
        ("directorUpdate", {}, "", ""),
        ("mailboxStatus", {"field": ["messages", "unseen"]}, "", "mailbox messages unseen username"),
        ("mailboxStatus", {"field": "messages unseen"}, "", "mailbox messages unseen username"),
        ("mailboxStatus", {"field": ["all"], "totalSum": True}, "2.3", "messages recent unseen username vsize"),
        ("fetch", {"field": ["uid", "hdr.subject"]}, "", "hdr.subject uid username"),
        ("fetch", {"field": ["{{ x }}"]}, "", None),
        ("statsDump", {"fields": "count %99"}, "2.3", "%99 count field metric_name"),
        ("user", {}, "", None),
        ("user", {"field": "home"}, "", "home user"),
        ("ftsLookup", {}, "", None),
    ],
)
def test_columns_follow_from_version_and_parameters(
    name: str, parameters: dict[str, Any], version: str, columns: str | None
) -> None:
    """What a playbook writes, expressions included, says which columns its rows can have."""
    found = catalog.find(name).columns_of(parameters, version)
    assert found == (None if columns is None else set(columns.split()))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("who", ["    pid, ip  with separateConnections", "    dest_ip [2.4]  with separateConnections"]),
        ("kick", ["  columns of its rows:", "    result [2.2, 2.3]", "    count [2.4]"]),
        ("mailboxStatus", ["    deleted that field asks for [2.4]  from 2.4.2 on"]),
        ("directorUpdate", ["  answers no rows"]),
        ("user", ["    any (the fields of the userdb)  without field"]),
        ("ftsLookup", ["    any (not measured)"]),
    ],
)
def test_a_commands_page_lists_its_columns(name: str, lines: list[str]) -> None:
    """`orchestrator commands NAME` says which columns there are, in which versions, and with which parameters."""
    page = list(manual(name, catalog.find(name)))
    assert [line for line in page if line in lines] == lines


@every_command
def test_changed(name: str) -> None:
    """How an answer shows a change."""
    changed = catalogue()[name].get("changed", {"rows": True})
    assert changed
    assert set(changed) <= {"column", "rows", "count", "row", "counted"}
    assert changed.get("rows", True) is True
    assert all(isinstance(changed.get(key, ""), str) for key in ("column", "count", "row", "counted"))
    assert changed.get("column", changed.get("rows")) or "row" not in changed, "a word for rows, and no column"
    assert changed.get("count") or "counted" not in changed, "a word for a number, and no column for it"


@every_command
def test_parameters(name: str) -> None:
    """Known keys, a type, a help text; required in all versions of the command or not at all."""
    entry = catalogue()[name]
    assert entry.get("parameters", True), "an empty mapping"
    for word, spec in entry.get("parameters", {}).items():
        assert re.fullmatch(r"[a-z][A-Za-z0-9]*", word), word
        assert set(spec) <= PARAMETER_KEYS, word
        assert {"type", "help"} <= set(spec), word
        types = spec["type"]
        if isinstance(types, dict):
            assert set(types) == {"2.3", "2.4"}, word
            assert len(set(types.values())) == 2, word
        assert set(types.values() if isinstance(types, dict) else [types]) <= TYPES, word
        check_versions(spec.get("versions", entry["versions"]))
        assert set(spec.get("versions", entry["versions"])) & set(entry["versions"]), word
        assert spec.get("required", True) is True, word
        if "required" in spec:
            assert set(entry["versions"]) <= set(spec.get("versions", entry["versions"])), word
        assert spec.get("format", "address") in FORMATS, word
        assert spec.get("format") == "count" or not {"minimum", "maximum"} & set(spec), word
        assert "word" not in spec or spec.get("argument"), word
        if "format" in spec:
            assert types in {"string", "array"}, word
        assert is_sentence(spec["help"]), word
        assert not ("option" in spec and "argument" in spec), word
        assert set(spec.get("fatal", {})) <= set(spec.get("versions", entry["versions"])), word
        assert set(spec.get("void", {})) <= {"2.2", "2.3", "2.4"}, word  # families share it
        for remedy in (*spec.get("fatal", {}).values(), *spec.get("void", {}).values()):
            assert not is_sentence(remedy), word  # the middle of one


@every_command
def test_needs(name: str) -> None:
    """A parameter that needs another names parameters of the command."""
    entry = catalogue()[name]
    for need in entry.get("needs", []):
        assert set(need) - {"maximum"} == {"parameter", "equals", "needs"}
        assert entry["parameters"][need["parameter"]]["type"] == "boolean"
        assert need["needs"] in entry["parameters"]


@every_command
@pytest.mark.parametrize("version", VERSIONS)
def test_command_line(name: str, version: str) -> None:
    """Each flag and each place is used once in a version, and the places leave no gap."""
    entry = catalogue()[name]
    renamed = sorted(RENAMED.get(name, [])) if version == "2.4" else []
    for former in renamed or [""]:
        check_command_line(entry, [spec for word, spec in parameters_of(entry, version).items() if word != former])


def check_command_line(entry: dict[str, Any], specs: list[dict[str, Any]]) -> None:
    """Flags and places of the parameters that one host has."""
    options = [spec["option"] for spec in specs if "option" in spec]
    assert all(re.fullmatch(r"-[A-Za-z0-9]|--[a-z-]+", option) for option in options)
    assert len(options) == len(set(options))
    places = [spec["argument"] for spec in specs if "argument" in spec]
    assert len(places) == len(set(places))
    everywhere = {spec["argument"] for spec in entry.get("parameters", {}).values() if "argument" in spec}
    assert everywhere == set(range(len(everywhere)))
    assert places == sorted(places)
    arrays = [spec["argument"] for spec in specs if spec["type"] == "array" and "argument" in spec]
    assert arrays in ([], [max(places, default=0)]), "a list of words comes last"


# ---------------------------------------------------------------------------------------------------- the facts


@pytest.mark.parametrize("name", HOSTS)
def test_has_what_hosts_have(name: str) -> None:
    """Every command and every parameter of each host, with type and version, in the host's order."""
    version = HOSTS[name]
    for command, theirs in host(name).items():
        assert command in catalogue(), command
        entry = catalogue()[command]
        assert version in entry["versions"], command
        ours = {word: type_in(spec, version) for word, spec in parameters_of(entry, version).items()}
        if command in RENAMED and version == "2.4":
            ours = {word: kind for word, kind in ours.items() if word in theirs or word not in RENAMED[command]}
        assert ours == theirs, command
        assert list(ours) == list(theirs), command


@every_command
@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_claims_nothing_that_hosts_lack(name: str, version: str) -> None:
    """What is said to be in a version is in a host of that version, but for the exceptions above."""
    entry = catalogue()[name]
    if version not in entry["versions"] or version in NOT_LOADED.get(name, []):
        return
    hosts = [host(file) for file, of in HOSTS.items() if of == version]
    found: dict[str, str] = {}
    for commands in hosts:
        found |= commands.get(name, {})
    assert any(name in commands for commands in hosts)
    assert set(parameters_of(entry, version)) == set(found)


def test_exceptions_are_needed() -> None:
    """The lists of exceptions hold nothing that a host has, and nothing that is not in the catalogue."""
    for command, versions in NOT_LOADED.items():
        assert set(versions) <= set(catalogue()[command]["versions"])
        assert not [name for name, version in HOSTS.items() if version in versions and command in host(name)]
    for command, names in RENAMED.items():
        assert {name for file in HOSTS for name in names & set(host(file).get(command, {}))} == names
    for exception in ONLY_2_2:
        command, _, parameter = exception.partition(".")
        entry = catalogue()[command]
        assert (entry["parameters"][parameter] if parameter else entry)["versions"] == ["2.2"]


def test_only_the_listed_are_2_2_only() -> None:
    """Whatever exists in 2.2 alone is in the list of exceptions."""
    found = {name for name, entry in catalogue().items() if entry["versions"] == ["2.2"]}
    found |= {
        f"{name}.{word}"
        for name, entry in catalogue().items()
        for word, spec in entry.get("parameters", {}).items()
        if spec.get("versions") == ["2.2"]
    }
    assert found == set(ONLY_2_2)


def test_mail_commands_share_their_parameters() -> None:
    """The parameters that all mail commands have look alike within a family."""
    for path in FILES:
        seen: dict[str, Any] = {}
        for name, entry in read(path).items():
            parameters = entry.get("parameters", {})
            if "transFlags" not in parameters:
                continue
            for word in ("allUsers", "socketPath", "user", "transFlags", "noUserdbLookup", "userFile"):
                if word in parameters:
                    assert seen.setdefault(word, parameters[word]) == parameters[word], (name, word)


# ---------------------------------------------------------------------------------------------------- what matters


@pytest.mark.parametrize("name", IMPORTANT)
def test_important_commands_are_described(name: str) -> None:
    """The commands that operators use every day have help for every parameter, and say what to beware of."""
    entry = catalogue()[name]
    assert all(len(spec["help"]) >= 9 for spec in entry.get("parameters", {}).values())
    assert entry.get("notes") or entry.get("exit_codes")


UNREPEATABLE = {
    "batch", "copy", "dictInc", "dsyncServer", "import", "logTest", "mailDictInc", "mailboxCryptokeyPassword", "save",
}  # fmt: skip


def test_what_must_not_be_sent_twice() -> None:
    """Only these commands do something else when they are sent again."""
    assert {name for name, entry in catalogue().items() if entry["effect"] == "unrepeatable"} == UNREPEATABLE
    assert catalogue()["statsDump"]["effect_when"] == [{"parameter": "reset", "equals": True, "effect": "unrepeatable"}]


LONG = {
    "aclRecalc", "altmove", "backup", "batch", "copy", "deduplicate", "dsyncServer", "expunge", "fetch", "flagsAdd",
    "flagsRemove", "flagsReplace", "forceResync", "fsDelete", "fsIter", "ftsFlatcurveCheck", "ftsFlatcurveRemove",
    "ftsFlatcurveRotate", "ftsFlatcurveStats", "ftsOptimize", "ftsRescan", "import", "index", "mailFsDelete",
    "mailFsIter", "mailboxCachePurge", "mailboxCryptokeyGenerate", "mailboxDelete", "move", "purge", "quotaRecalc",
    "rebuildAttachments", "save", "search", "sisDeduplicate", "sisFind", "sync",
}  # fmt: skip


def test_what_may_run_long() -> None:
    """What works on all mail of a user may, and so may whatever is given many users.

    Seen on 2.4.1: a `sync` of all users, sent again each minute, ran three times at once. 2.3.19.1 and 2.4.1 go on with a
    command whose client has gone.
    """
    assert {name for name, entry in catalogue().items() if entry.get("long")} == LONG
    for name, entry in catalogue().items():
        many = {word for word, spec in entry.get("parameters", {}).items() if spec.get("long")}
        assert many == ({"allUsers", "user", "userFile"} if "allUsers" in entry.get("parameters", {}) else set()), name


@pytest.mark.parametrize(
    ("command", "parameters", "long"),
    [
        ("sync", {"user": "u1"}, True),
        ("mailboxStatus", {"user": "u1", "field": ["messages"]}, False),
        ("mailboxStatus", {"user": "u*"}, True),
        ("mailboxStatus", {"allUsers": True}, True),
        ("mailboxStatus", {"allUsers": "true"}, True),
        ("mailboxStatus", {"allUsers": False, "user": "u1"}, False),
        ("mailboxStatus", {"userFile": "u1\nu2\n"}, True),
        ("directorMove", {"user": "u*", "host": "b1"}, False),
        ("kick", {"mask": ["*"]}, False),
    ],
)
def test_many_users_take_long(command: str, parameters: dict[str, Any], long: bool) -> None:
    """One command for many users may run long, whatever it does; the same for one user need not."""
    entry = catalog.find(command)
    assert entry is not None
    assert entry.may_run_long(parameters) is long
    assert entry.ever_long or not long


def test_user_impact() -> None:
    """Commands that end sessions or stop services say so."""
    for name in (
        "serviceStop", "stop", "reload", "kick", "proxyKick", "directorKick", "directorMove", "directorFlush",
    ):  # fmt: skip
        assert catalogue()[name]["user_impact"], name
    assert catalogue()["directorFlush"]["user_impact_unless"] == {"parameter": "forceFlush", "equals": True}
    for name in ("directorUpdate", "directorUp", "directorDown", "directorAdd", "directorRemove", "authCacheFlush"):
        assert "user_impact" not in catalogue()[name], name


@pytest.mark.parametrize(
    ("name", "code", "outcome"),
    [
        ("kick", 68, "unchanged"),
        ("directorRemove", 68, "unchanged"),
        ("directorRingRemove", 68, "unchanged"),
        ("directorUp", 68, "failed"),
        ("directorDown", 68, "failed"),
        ("directorFlush", 68, "failed"),
        ("directorMove", 68, "failed"),
        ("directorMove", 75, "temporary"),
        ("fsDelete", 68, "unchanged"),
        ("dictInc", 68, "failed"),
        ("mailboxCreate", 65, "failed"),
        ("mailboxDelete", 68, "unchanged"),
        ("mailboxRename", 68, "failed"),
        ("replicatorRemove", 64, "unchanged"),
        ("serviceStop", 68, "failed"),
    ],
)
def test_codes_that_are_easily_misread(name: str, code: int, outcome: str) -> None:
    """Codes whose meaning differs from one command to the next."""
    assert catalogue()[name]["exit_codes"][code]["outcome"] == outcome


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("serviceStop", {"service"}),
        ("kick", {"mask"}),
        ("directorUpdate", {"host", "vhostCount"}),
        ("directorMove", {"user", "host"}),
        ("directorFlush", {"host"}),
        ("proxyKick", set()),
        ("authCacheFlush", set()),
        ("dictSet", {"key", "value"}),
        ("fsCopy", {"sourcePath", "destinationPath"}),
        ("forceResync", {"mailboxMask"}),
        ("quotaRecalc", set()),
    ],
)
def test_what_must_be_given(name: str, required: set[str]) -> None:
    """Parameters without which the host's process dies."""
    specs = catalogue()[name].get("parameters", {})
    assert {word for word, spec in specs.items() if spec.get("required")} == required
