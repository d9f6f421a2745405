"""Whatever is printed, and wherever: what hosts, playbooks and lists say does nothing to a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.command_line import CommandLine
from tests.integration.raw_server import Raw, answered, http, only
from tests.terminal import Terminal

EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202etxt\u2066.exe\x7f"
RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

SAID = r"\u202eyes\u2066no"  # what YAML lets a playbook's author write, as in a text that was copied from a web page
PLAYBOOK = f"""
name: "Look {SAID}"
description: "For {SAID}"
parameters:
  word: {{type: string, default: "{SAID}", help: "a word {SAID}"}}
steps:
  - {{name: "Ask {SAID}", hosts: b1, command: who, register: seen}}
  - {{name: Fail, hosts: b1, command: user, parameters: {{userMask: [a]}}, on_failure: continue}}
  - {{name: Until, hosts: b1, command: who, until: "{{{{ (rows | first).username == 'x' }}}}", every: 20ms, within: 50ms, on_failure: continue}}
  - {{name: Sure, pause: {{confirm: "{{{{ (seen.rows | first).username }}}} {SAID}?"}}}}
  - {{name: Count, hosts: b1, command: dictInc, parameters: {{dictUri: x, key: shared/n, difference: 1}}, on_failure: continue}}
  - {{name: Refuse, require: {{that: "{{{{ (seen.rows | first).username == word }}}}", message: "{{{{ (seen.rows | first).username }}}} {SAID}"}}}}
"""


def evil(_head: bytes, body: bytes) -> bytes:
    """A host that says odd things: rows, errors, a log, and of a count nothing at all."""
    if b'"dictInc"' in body:
        return b""
    if b'"user"' in body:
        return http(b"<b>" + EVIL.encode() + b"</b>", "400 Bad")
    return answered(b'[{"username":%s,"text":%s,%s:"c"}]' % ((json.dumps(EVIL).encode(),) * 3), body)


@pytest.fixture
def cli(cli_for: Callable[..., CommandLine]) -> Iterator[CommandLine]:
    """A command line for such a host."""
    with Raw(only(evil)) as server:
        yield cli_for(server)


SINKS = [
    ("plan", "PLAYBOOK"),
    ("plan", "PLAYBOOK", "--live"),
    ("plan", "PLAYBOOK", "--live", "--format", "json"),
    ("plan", "PLAYBOOK", "-e", "wrod=x"),
    ("validate", "PLAYBOOK"),
    ("playbooks", "PLAYBOOK"),
    ("run", "PLAYBOOK"),
    ("run", "PLAYBOOK", "--yes"),
    ("run", "PLAYBOOK", "--yes", "-vv"),
    ("run", "PLAYBOOK", "--yes", "--format", "json"),
    ("exec", "b1", "who"),
    ("exec", "b1", "who", "--format", "json"),
    ("exec", "b1", "user", "userMask=a", "--format", "json"),
    ("exec", "b1", "kick", f"mask={SAID}".encode().decode("unicode_escape")),
    ("show", "RUN"),
    ("show", "RUN", "--format", "json"),
    ("show", "RUN", "--all"),
    ("show", "RUN", "--all", "--format", "json"),
    ("show", "RUN", "--in-doubt"),
    ("show", "RUN", "1.1"),
    ("show", "RUN", "1.1", "--format", "json"),
    ("show", "RUN", "2.1"),
    ("report", "RUN"),
    ("report", "RUN", "--format", "json"),
    ("resume", "RUN"),
    ("retry", "RUN"),
    ("runs",),
    ("runs", "--format", "json"),
    ("export", "RUN"),
    ("export", "RUN", "--format", "csv"),
    ("check",),
    ("check", "--format", "json"),
    ("show", f"RUN{EVIL}".replace("\x00", "")),
    ("exec", f"b1{EVIL}", "who"),
    ("run", f"no{EVIL}.yaml"),
    (f"ver{EVIL}",),
]


def test_no_sink_prints_what_a_terminal_obeys(cli: CommandLine) -> None:
    """Every verb, in text, JSON and CSV, on stdout and stderr: escapes are written out; JSON lines still say the same."""
    playbook = cli.playbook(PLAYBOOK)
    first = cli("run", playbook, "--yes")
    assert first.code == 4, first.said
    run = cli("runs", "--format", "json").json()[-1]["run"]
    bad = {}
    for words in SINKS:
        result = cli(*(word.replace("PLAYBOOK", playbook).replace("RUN", run) for word in words))
        assert "Traceback" not in result.said, result.said
        assert result.code != 70, result.said
        if found := set(RAW.findall(result.said.replace("\r\n", "\n"))):
            bad[words] = found
    assert bad == {}
    shown = cli("show", run, "1.1", "--format", "json").json()[0]
    assert shown["rows"][0]["username"] == EVIL


def test_no_question_and_no_display_prints_what_a_terminal_obeys(cli: CommandLine) -> None:
    """On a terminal the plan, the bar, the failures, the questions and the end show the odd text as text."""
    with Terminal(cli, "run", cli.playbook(PLAYBOOK)) as terminal:
        terminal.wait_for("Run it? [y/N]")
        terminal.type("y\n")
        terminal.wait_for("txt\\x2066.exe")
        terminal.wait_for("yes\\x2066no? [y/N]")
        terminal.type("n\n")
        assert terminal.end() == 3
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown)  # rich's own: colours, and how the bar moves
        assert "\x1b[2J" not in terminal.shown
        assert set(RAW.findall(plain)) == set()
        assert "]0;pwned" in plain
