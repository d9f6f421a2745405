"""The manual says what the program does: verbs, options, keys, filters, exit codes, examples."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import click
import pytest
from pydantic import BaseModel

from orchestrator.cli import exit_codes
from orchestrator.cli.export import FIELDS
from orchestrator.cli.main import VERBS, cli
from orchestrator.fleet.config import ConfigFile, load_config
from orchestrator.fleet.inventory import build_inventory
from orchestrator.outcome import State
from orchestrator.playbook.model import Playbook
from orchestrator.playbook.source import Source, load_playbook
from orchestrator.policy import PolicyFile
from orchestrator.status import Status
from orchestrator.text.document import parse
from orchestrator.text.expression import _ENV

ROOT = Path(__file__).parent.parent.parent
MANUAL = ROOT / "docs" / "manual"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(MANUAL.glob("*.md"))]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yaml"))


def text(name: str) -> str:
    """A page of the manual."""
    return (MANUAL / name).read_text(encoding="utf-8")


def code_blocks(page: str, language: str) -> Iterator[str]:
    """The fenced blocks of a language."""
    yield from re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_of(part)


def keys_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """All keys that may be written in a model or below it."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in models_of(field.annotation):
            yield from keys_of(inner, seen)


def commands_in(page: str) -> Iterator[list[str]]:
    """The words of each `orchestrator ...` line in shell and console blocks, and of each in backquotes."""
    for language in ("sh", "console"):
        for block in code_blocks(page, language):
            for line in block.splitlines():
                command = line.removeprefix("$ ").split("#")[0].split(" | ")[0].split(" > ")[0]
                if command.startswith("orchestrator "):
                    yield shlex.split(command)
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`(orchestrator [^`]+)`", prose):
        yield span.split()


def verb_of(words: list[str]) -> str:
    """The verb of a command line."""
    rest = words[1:]
    while rest and (rest[0].startswith("-") or rest[0] in {"[-c", "FILE]", "[--state-dir", "DIR]"}):
        rest = rest[2:] if rest[0] in {"-c", "--config", "--state-dir"} else rest[1:]
    return rest[0] if rest else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_that_are_mentioned_exist(page: Path) -> None:
    """Every `orchestrator VERB` of the documentation is a verb of the program."""
    mentioned = {verb_of(words) for words in commands_in(page.read_text(encoding="utf-8"))}
    assert mentioned - {"", "VERB", "...", *VERBS} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_mentioned_exist(page: Path) -> None:
    """Every option in an example command line is an option of its verb."""
    for words in commands_in(page.read_text(encoding="utf-8")):
        verb = verb_of(words)
        if verb not in VERBS:
            continue
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        known = {option for c in (command, cli) for p in c.params for option in [*p.opts, *p.secondary_opts]}
        given = {word.strip("[]") for word in words if re.match(r"\[?--?[a-z]", word)}
        assert {option for option in given if option.rstrip("v") != "-"} - known - {"--help"} == set(), words


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented(verb: str) -> None:
    """The command line's page has a section for each verb."""
    assert f"\n## {verb}\n" in text("command-line.md")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented(verb: str) -> None:
    """The command line's page names each long option of each verb."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    known = {option for p in command.params if isinstance(p, click.Option) for option in [*p.opts, *p.secondary_opts]}
    documented = set(re.findall(r"`[^`\n]*?(--[a-z-]+)", text("command-line.md")))
    assert {option for option in known if option.startswith("--")} - documented == set()


def test_every_playbook_key_is_documented() -> None:
    """Each key of a playbook, a step and all within occurs in the playbooks' page."""
    page = text("playbooks.md") + text("configuration.md")
    assert {key for key in keys_of(Playbook, set()) if f"`{key}`" not in page} == set()


def test_every_configuration_key_is_documented() -> None:
    """Each key of the configuration and of the policy occurs in its page, or in that of playbooks, which have some of them too."""
    page = text("configuration.md") + text("playbooks.md")
    keys = {*keys_of(ConfigFile, set()), *keys_of(PolicyFile, set())}
    missing = {key for key in keys if f"`{key}`" not in page and f"{{{key}:" not in page}
    assert missing == set()


def test_every_filter_and_test_is_documented() -> None:
    """Each filter and test of expressions occurs in the playbooks' page."""
    page = text("playbooks.md")
    assert {name for name in _ENV.filters if name.isidentifier() and not re.search(rf"[`| ]{name}[`(]", page)} == set()
    assert {name for name in _ENV.tests if name.isalpha() and name != "in" and f"`{name}`" not in page} == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", MANUAL / "command-line.md"], ids=lambda page: page.name)
def test_exit_codes_are_documented(page: Path) -> None:
    """Every exit code of the table in the program is in the table of the page."""
    rows = re.findall(r"^\| ([0-9, ]+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(",")}
    assert {*exit_codes.MEANINGS, 143} <= listed


def test_export_fields_and_states_are_documented() -> None:
    """Every field of an export and every state of an operation is in the command line's page."""
    page = text("command-line.md")
    assert {name for name in (*FIELDS, *(state.word for state in State)) if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_playbooks_in_the_documentation_are_valid(page: Path) -> None:
    """Every block that is marked as a playbook is one."""
    for number, block in enumerate(code_blocks(page.read_text(encoding="utf-8"), "yaml playbook"), 1):
        source = Source(parse(block, source=f"{page.name}, playbook {number}", folder=ROOT))
        assert source.playbook.description


def test_the_manual_has_playbooks() -> None:
    """The playbooks' page has examples that are checked."""
    assert len(list(code_blocks(text("playbooks.md"), "yaml playbook"))) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_in_the_documentation_is_yaml(page: Path) -> None:
    """Every YAML block can be read by the program's strict reader."""
    for block in code_blocks(page.read_text(encoding="utf-8"), "yaml"):
        for part in re.split(r"^(?=auth: )", block, flags=re.MULTILINE):
            assert parse(part, source=page.name, folder=ROOT).problems == []


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_shipped_playbooks_are_valid_and_described(path: Path) -> None:
    """Every shipped playbook is valid, says what it is for and what users notice, and helps with its parameters."""
    playbook = load_playbook(path).playbook
    assert "What users notice" in playbook.description
    assert all(parameter.help for parameter in playbook.parameters.values())


def test_the_example_configuration_is_a_fleet() -> None:
    """config.example.yaml loads and names hosts."""
    inventory = build_inventory(load_config(ROOT / "config.example.yaml"))
    assert {"d1", "b1", "b9"} <= set(inventory.hosts)
    assert [host.name for host in inventory.hosts.values() if host.protected] == ["b9"]


def test_models_are_found_in_annotations() -> None:
    """The walk over keys sees models within optional and listed fields, so the tests above miss none."""
    assert get_origin(int | None) in {Union, UnionType}
    assert {"confirm", "soak", "done", "choices", "deadline"} <= set(keys_of(Playbook, set()))


def test_every_status_is_explained() -> None:
    """The table of the statuses, and the list of their codes, have all of them."""
    table = {line.split("|")[1].strip() for line in text("operations.md").splitlines() if line.startswith("| ")}
    codes = set(re.findall(r"`(\w+)`", text("command-line.md").partition("as a code: ")[2].partition("\n\n")[0]))
    for status in Status:
        assert status.word in table
        assert status.value in codes
