"""What hosts answer stays data: on terminals, in spreadsheets, and when it is odd JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.command_line import CommandLine, records
from tests.integration.conftest import Site
from tests.integration.raw_server import Answer, Raw, answered, http, only

EVIL = "\x1b]0;pwned\x07\x1b[31mred\x1b[2J\x9b31m\x00\x7f\u202etxt.exe\r\n"
EVIL_JSON = json.dumps(EVIL).encode()
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def raw_characters(text: str) -> set[str]:
    """Control characters in what was printed, without line ends and tabs."""
    return set(RAW.findall(text))


EVIL_ANSWERS: dict[str, Answer] = {
    "value": lambda _head, body: answered(b'[{"a":%s,"b":[%s]}]' % (EVIL_JSON, EVIL_JSON), body),
    "error type": lambda _head, _body: http(b'[["error",{"type":%s,"exitCode":1},"1.1"]]' % EVIL_JSON),
    "kind": lambda _head, _body: http(b'[[%s,[],"1.1"]]' % EVIL_JSON),
    "tag": lambda _head, _body: http(b'[["doveadmResponse",[],%s]]' % EVIL_JSON),
    "page": lambda _head, _body: http(EVIL.encode(), "400 Bad Request"),
    "latin": lambda _head, _body: http(EVIL.encode("latin-1", "replace"), "502 Bad Gateway"),
    "challenge": lambda _head, _body: http(b"", "401 No", "WWW-Authenticate: \u202e\x9b31m x".encode()),
}


@pytest.mark.parametrize("kind", EVIL_ANSWERS)
def test_control_characters_stay_off_the_terminal(cli_for: Callable[..., CommandLine], kind: str) -> None:
    """Escape sequences in whatever a host answers are printed as text by exec, run, show, report and check."""
    with Raw(only(EVIL_ANSWERS[kind])) as server:
        cli = cli_for(server)
        playbook = cli.playbook("name: Look\nsteps: [{name: Look, hosts: b1, command: who, register: seen}]\n")
        for words in (
            ("exec", "b1", "who"),
            ("exec", "b1", "who", "-vv"),
            ("run", playbook, "--yes", "-vv"),
            ("show", "last", "1.1"),
            ("show", "--all"),
            ("report",),
            ("check",),
        ):
            result = cli(*words)
            assert result.code in {0, 1, 3}, result.said
            assert raw_characters(result.said) == set(), words


def test_control_characters_in_a_columns_name(cli_for: Callable[..., CommandLine]) -> None:
    """Escape sequences in the keys of an answer's rows are printed as text."""
    with Raw(only(lambda _head, body: answered(b'[{%s:"x"}]' % EVIL_JSON, body))) as server:
        result = cli_for(server)("exec", "b1", "who")
        assert result.code == 0, result.said
        assert raw_characters(result.said) == set()


def test_control_characters_in_a_list_of_commands(cli_for: Callable[..., CommandLine]) -> None:
    """Escape sequences in the list of commands that a host gives are printed as text."""
    listing = b'[{"command":%s,"parameters":[{"name":%s,"type":"string"}]}]' % (EVIL_JSON, EVIL_JSON)
    with Raw(lambda _head, _body: http(listing)) as server:
        cli = cli_for(server)
        said = [cli("commands", "--host", "b1").said, cli("exec", "b1", "who").said, cli("check").said]
        assert raw_characters("".join(said)) == set()


def test_json_lines_escape_what_terminals_obey(cli_for: Callable[..., CommandLine]) -> None:
    r"""JSON output writes escape sequences as \u001b, and every line can be read again."""
    with Raw(only(EVIL_ANSWERS["value"])) as server:
        cli = cli_for(server)
        result = cli("exec", "b1", "who", "--format", "json")
        assert "\x1b" not in result.out
        assert "\x07" not in result.out
        rows = next(line["rows"] for line in map(json.loads, result.out.split("\n")) if line.get("event") == "answer")
        assert rows[0]["a"] == EVIL


def test_a_live_display_shows_no_escape_sequence(cli_for: Callable[..., CommandLine]) -> None:
    """On a terminal of its own, with the moving display, a host's escape sequences do not get through."""
    with Raw(only(EVIL_ANSWERS["page"])) as server:
        cli = cli_for(server)
        playbook = cli.playbook("name: Look\nsteps: [{name: Look, hosts: b1, command: who}]\n")
        said = on_a_terminal(cli, "run", playbook, "--yes")
        assert "failed" in said
        assert "]0;pwned" in said  # as text
        assert "\x1b]0;pwned" not in said
        assert "\x1b[2J" not in said
        assert "\x9b31m" not in said


def on_a_terminal(cli: CommandLine, *arguments: str) -> str:
    """Run a command on a terminal; all that it wrote."""
    controller, terminal = pty.openpty()
    environment = {**cli.environment, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR")
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=environment,
        cwd=cli.folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    parts, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([controller], [], [], 1)[0]:
            try:
                part = os.read(controller, 65536)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
    os.close(controller)
    process.wait(timeout=30)
    return b"".join(parts).decode(errors="replace")


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_formula_in_a_spreadsheet(cli_for: Callable[..., CommandLine], word: str) -> None:
    """No cell of a CSV export begins like a formula, wherever the text came from."""
    with Raw(only(lambda _head, _body: http(word.encode(), "400 Bad Request"))) as server:
        cli = cli_for(server)
        text = {
            "name": word,
            "steps": [{"name": word, "hosts": "b1", "command": "kick", "parameters": {"mask": [word]}}],
        }
        cli("run", cli.playbook(json.dumps(text)), "--yes")
        exported = cli("export", "--format", "csv").out
        cells = [cell for row in csv.reader(io.StringIO(exported)) for cell in row]
        assert any(word in cell for cell in cells)
        assert [
            cell
            for cell in cells
            if cell[:1] in {"=", "+", "@", "\t", "\r"} or (cell[:1] == "-" and not cell[1:].isdigit())
        ] == []


# odd answers


ODD = {
    "half a character": b'[{"a":"\\ud800"}]',
    "a large number": b'[{"a":123456789012345678901234567890,"b":1e999}]',
    "nested deeply": b'[{"a":' + b"[" * 400 + b"]" * 400 + b"}]",
    "no rows": b'[[],null,"x",7]',
    "a null character": b'[{"a\\u0000":"\\u0000"}]',
    "many keys": b"[{" + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}]",
}


def odd_answers(kind: str) -> Answer:
    """The first two commands are answered oddly, the others well."""
    count = 0

    def reply(_head: bytes, body: bytes) -> bytes:
        nonlocal count
        count += 1
        return answered(ODD[kind] if count <= 2 else b"[]", body)

    return only(reply)


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_answer_ends_one_operation(cli_for: Callable[..., CommandLine], kind: str) -> None:
    """Whatever JSON a host answers, that operation alone ends with it, in either way; the others go on, and it is recorded."""
    pytest.importorskip("orjson")
    odd_answer_ends_one_operation(cli_for, kind, [sys.executable, "-m", "orchestrator"])


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_answer_without_orjson(cli_for: Callable[..., CommandLine], kind: str) -> None:
    """The same where only the standard library reads JSON."""
    without = "import sys; sys.modules['orjson'] = None; from orchestrator.__main__ import main; main()"
    odd_answer_ends_one_operation(cli_for, kind, [sys.executable, "-c", without])


def odd_answer_ends_one_operation(cli_for: Callable[..., CommandLine], kind: str, program: list[str]) -> None:
    """Run four reads of which the first two are answered oddly."""
    with Raw(odd_answers(kind)) as server:
        cli = cli_for(server)
        playbook = cli.playbook(
            "name: Look\nsteps:\n  - {name: Look, hosts: b1, command: who, for_each: [a, b, c, d], register: seen,"
            " parameters: {mask: ['{{ item }}']}, limits: {max_failed: 100%, per_host: 1}}\n"
        )
        done = subprocess.run(
            [*program, "run", playbook, "--yes"],
            env=cli.environment, cwd=cli.folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        states = [operation["state"] for operation in cli.exported()]
        assert states[2:] == ["done", "done"]
        assert set(states) <= {"done", "failed"}
        assert cli("show", "last", "1.1").code == 0


def test_an_odd_header_ends_one_operation(cli_for: Callable[..., CommandLine]) -> None:
    """A 401 whose challenge is no UTF-8 is a failure like any other."""
    with Raw(lambda _head, _body: http(b"", "401 No", b"WWW-Authenticate: B\xff\xfe realm")) as server:
        cli = cli_for(server)
        result = cli("exec", "b1", "who", timeout=60)
        assert result.code == 1, result.said
        assert cli("show").code == 0
        assert cli("check").code == 1


def test_a_commands_name_is_no_payload(cli_for: Callable[..., CommandLine]) -> None:
    """A command's name with quotes in it cannot add a second command to the request."""
    with Raw(only(lambda _head, _body: http(b"[]"))) as server:
        cli = cli_for(server)
        cli("exec", "b1", 'who",{},"x"],["kick', "--effect=repeatable", "--yes")
        bodies = [body for _head, body in server.seen if body]
        assert all(len(json.loads(body)) == 1 for body in bodies)


def test_a_hosts_answer_is_never_evaluated(site: Callable[..., Site]) -> None:
    """Braces in what a host answers, or in a file of items, are sent on as they stand."""
    here = site(users=0, directors=0, backends=1)
    (here.cli.folder / "items.txt").write_text("{{ groups }}\n{% raw %}\n")
    playbook = here.cli.playbook(
        "name: x\nsteps:\n"
        "  - {name: a, hosts: b1, command: dictSet, for_each: {file: items.txt},"
        " parameters: {dictUri: 'file:/x', key: 'shared/k', value: '{{ item }}'}}\n"
        "  - {name: b, hosts: b1, command: dictGet, register: seen, parameters: {dictUri: 'file:/x', key: shared/k}}\n"
        "  - {name: c, hosts: b1, command: kick, for_each: '{{ seen.rows | column(\"value\") }}', parameters: {mask: ['{{ item }}']}}\n"
    )
    result = here.cli("run", playbook, "--yes")
    assert result.code == 0, result.said
    sent = [record["parameters"] for record in records(here.record)]
    assert [parameters.get("value") for parameters in sent[:2]] == ["{{ groups }}", "{% raw %}"] or [
        parameters.get("value") for parameters in sent[:2]
    ] == ["{% raw %}", "{{ groups }}"]
    assert sent[3]["mask"][0] in {"{{ groups }}", "{% raw %}"}
