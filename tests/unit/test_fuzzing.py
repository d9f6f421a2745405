"""Whatever stands in a file or comes over the wire: it is read, or refused with an error of the product's own.

The texts are the shipped playbooks, the example configuration and captured answers, each changed in a few places. What
once went wrong is kept as an example.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.dovecot import catalog
from orchestrator.dovecot.classify import classify
from orchestrator.dovecot.exchange import Answered
from orchestrator.dovecot.listing import read_listing
from orchestrator.dovecot.reply import ReplyError, read_reply
from orchestrator.errors import ExpressionError, InputError, RefusedError
from orchestrator.fleet.config import Config
from orchestrator.fleet.inventory import Inventory, build_inventory
from orchestrator.outcome import Kind
from orchestrator.plan.expand import expand, known_now
from orchestrator.plan.layout import build_plan
from orchestrator.plan.steps import CommandStep
from orchestrator.playbook.source import Source
from orchestrator.playbook.values import given_values
from orchestrator.text.document import parse
from tests.captured import SINGLE
from tests.command_line import ROOT
from tests.strategies import fleet

EXAMPLES = 150
PLAYBOOKS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "playbooks").rglob("*.yaml"))]
CONFIG = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
BODIES = [found.raw for found in SINGLE if len(found.raw) < 20_000 and found.tags == ["t1"]]
LISTINGS = [path.read_bytes() for path in sorted((ROOT / "tests/data").glob("catalog-*.json"))]
OURS = (InputError, ExpressionError, RefusedError)

WORDS = (
    "{{", "}}", "{{ ", " }}", "{%", "{#", "[", "]", "{", "}", "- ", ": ", ":", "? ", "&a ", "*a", "!!int ", "!x ", "|\n", ">\n",
    "'", '"', "\\", "\n", "\t", "\r", "\0", "\x85", "\u2028", "\ufeff", "\ud7ff", "ä", "\U0001f4a9", "#", "%", "@", "`", "---\n",
    "...\n", "<<: ", "~", "null", "true", "yes", "0", "-1", "1e999", ".inf", ".nan", "1" * 40, "0x1f", "012", "1:30", "2026-01-01",
    "1h", "99999999999d", "110%", "-5%", "[1-99999999]", "b[1-", "b[3-1]", "all", "all,!b1", "!all", "", " ", "  ", "0.0.0.0", "::1",
    "item", "host.name", "seen.rows", "run.id", "given", "{{ item }}", "{{ 1 / 0 }}", "{{ 9 * 9 }}", "{{ [1] | first | first }}",
    "{{ 'a' + 1 }}", "{{ host }}", "{{ undefined_name }}", "{{ groups.backends }}", "{{ 'x' | default(1) }}", "/", "../..", "file:",
    "command", "hosts", "steps", "name", "for_each", "parameters", "until", "within", "when", "verify", "undo", "batches", "probe",
    "address", "groups", "defaults", "auth", "password", "tls", "limits",
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text that was changed in a few places: words put in, spans taken out or doubled, lines moved, the end cut off."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        kind = draw(
            st.sampled_from(("put in", "instead", "take out", "double", "value", "value", "move", "indent", "cut"))
        )
        if kind in {"put in", "instead", "take out", "double", "cut"}:
            begin = draw(st.integers(0, len(text)))
            end = min(len(text), begin + draw(st.integers(0, 12)))
            if kind == "cut":
                text = text[:begin]
                continue
            word = draw(st.sampled_from(WORDS) | st.text(max_size=4)) if kind in {"put in", "instead"} else ""
            word = text[begin:end] * 2 if kind == "double" else word
            text = text[:begin] + word + text[begin if kind == "put in" else end :]
            continue
        at, to = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        if kind == "value":
            key, colon, _ = lines[at].partition(":")
            lines[at] = key + colon + " " + draw(st.sampled_from(WORDS))
        elif kind == "move":
            lines.insert(to, lines.pop(at))
        else:
            lines[at] = " " * draw(st.integers(0, 8)) + lines[at].lstrip()
        text = "\n".join(lines)
    return text


@st.composite
def changed_bytes(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """A body that was changed in a few places."""
    body = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(body)))
        end = min(len(body), begin + draw(st.integers(0, 40)))
        put = draw(
            st.binary(max_size=3)
            | st.sampled_from((body[begin:end] * 2, b"", b"[", b"]", b'"', b"\\", b",", b"{", b"}", b"null", b'\\"', b"\\ud800", b"1e999", b"\xff"))
        )  # fmt: skip
        body = body[:begin] + put + body[end:]
    return body


HOSTS: Inventory = fleet()


def plan_of(text: str) -> None:
    """Read a playbook, and plan what can be planned of it."""
    source = Source(parse(text, source="playbook.yaml", folder=ROOT / "playbooks"))
    words = {"integer": "2", "boolean": "true", "duration": "5s", "host": "b1", "list": "a,b", "share": "10%"}
    given_words = {name: words.get(str(p.type), "b1") for name, p in source.playbook.parameters.items()}
    plan = build_plan(source, HOSTS, given_values(source, given_words, HOSTS))
    for step in plan.steps:
        if isinstance(step, CommandStep) and known_now(step, plan.scope(step)):
            for number, _ in enumerate(expand(step, plan, plan.scope(step))):
                if number > 50:
                    break


def inventory_of(text: str) -> None:
    """Read a configuration, and the fleet in it."""
    build_inventory(Config(Path("/nowhere/config.yaml"), parse(text, source="config.yaml", folder=Path("/nowhere"))))


@settings(max_examples=EXAMPLES)
@given(changed(st.sampled_from(PLAYBOOKS)))
def test_a_changed_playbook_is_planned_or_refused(text: str) -> None:
    """A shipped playbook with anything changed in it is planned, or refused with words."""
    try:
        plan_of(text)
    except OURS as error:
        assert str(error)


@settings(max_examples=EXAMPLES)
@given(changed(st.just(CONFIG)))
def test_a_changed_configuration_is_read_or_refused(text: str) -> None:
    """The example configuration with anything changed in it is read, or refused with words."""
    try:
        inventory_of(text)
    except OURS as error:
        assert str(error)


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=30).map("".join))
def test_anything_like_yaml_is_read_or_refused(text: str) -> None:
    """Whatever words stand in a file, in whatever order, it is no playbook and no configuration, and that is said."""
    for read in (plan_of, inventory_of):
        try:
            read(text)
        except OURS as error:
            assert str(error)


@settings(max_examples=EXAMPLES)
@given(changed_bytes(BODIES))
@example(b'[["doveadmResponse",[{"a":"' + b'x\\"y' * 100_000)  # cut within a text that is full of quotes
@example(b'\\"' * 200_000)
@example(b"]" + b" " * 500_000 + b"]")
@example(b"[" * 300_000)
@example(b'[["doveadmResponse",' + b"[" * 300_000)
def test_a_changed_answer_is_an_outcome(body: bytes) -> None:
    """An answer with anything changed in it is this command's, or it cannot be read; nothing else, and at once."""
    try:
        read_reply(body, "t1")
    except ReplyError as error:
        assert str(error)
    for command in ("who", "kick", "dictInc", "user"):
        outcome = classify(Answered(200, body), catalog.find(command), "t1")
        assert outcome.kind in {Kind.DONE, Kind.UNCHANGED} or outcome.error


@settings(max_examples=EXAMPLES)
@given(changed_bytes(LISTINGS) | st.binary(max_size=200))
def test_a_changed_command_list_is_read_or_none(body: bytes) -> None:
    """A host's list of commands with anything changed in it is a list, or none."""
    listing = read_listing(Answered(200, body))
    assert listing is None or listing.version in {"2.3", "2.4", "unknown"}
