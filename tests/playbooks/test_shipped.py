"""Every shipped playbook is valid, documented, and planned without a network."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from orchestrator.cli.main import run
from orchestrator.dovecot import catalog
from orchestrator.errors import InputError
from orchestrator.outcome import Effect
from orchestrator.playbook.action import effect_of
from orchestrator.playbook.advice import advice
from orchestrator.playbook.model import Playbook, Step, steps_of
from orchestrator.playbook.source import Source, load_playbook
from orchestrator.text.document import parse

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
SHIPPED = sorted(path.stem for path in PLAYBOOKS.glob("*.yaml"))
USERS = PLAYBOOKS / "examples" / "users.txt"
DICTIONARY = ("via=b1", "dict=file:/tmp/x.dict", "key=shared/x")

# What must be given; what is not listed needs nothing.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "dict-count": (*DICTIONARY, "add=1"),
    "dict-set": (*DICTIONARY, "value=1"),
    "director-in": ("director=d1",),
    "director-out": ("director=d1",),
    "drain-backend": ("backend=b1",),
    "force-resync": (f"users={USERS}",),
    "fs-clean": ("via=b1", f"files={USERS}", "arguments=prefix=/tmp/"),
    "kick-users": (f"users={USERS}",),
    "kick-users-proxied": (f"users={USERS}",),
    "move-users": (f"moves={PLAYBOOKS / 'examples' / 'moves.csv'}",),
    "purge": (f"users={USERS}",),
    "quota-recalc": (f"users={USERS}",),
    "restore-backend": ("backend=b1",),
    "ring-add": ("director=d2",),
    "ring-remove": ("director=d2",),
    "rolling-stop": ("backends=b1,b2",),
    "set-vhosts": ("backend=b1", "vhosts=50"),
    "start-service": ("hosts=backends",),
    "stop-service": ("hosts=backends", "services=imap-login"),
}

# For fleets without directors.
WITHOUT_DIRECTORS: dict[str, tuple[str, ...]] = {
    "collect-errors": (),
    "collect-sessions": ("proxied=false",),
    "collect-stats": (),
    "flush-auth-cache": (),
    "force-resync": (f"users={USERS}", "on=b1", "users_are_local=true"),
    "kick-users": (f"users={USERS}",),
    "purge": (f"users={USERS}", "on=b1"),
    "quota-recalc": (f"users={USERS}", "on=b1"),
    "rolling-reload": ("drain=false",),
    "start-service": ("hosts=backends",),
    "stop-service": ("hosts=b1", "services=imap"),
}

BACKENDS = "  backends: {hosts: {'b[1-3]': '192.0.2.[11-13]'}}\n"
DIRECTORS = "  directors: {hosts: {'d[1-2]': '192.0.2.[1-2]'}}\n"


COLUMNS = [
    re.compile(r"(?:where|where_not|matching|not_matching|column|agree)\('([^']*)'"),
    re.compile(r"agree\('[^']*', '([^']*)'"),
    re.compile(r"(?:item|\((?:\w+\.)?rows \| first\))\.(\w+)"),
    re.compile(r"item\['([^']*)'\]"),
]
# What cannot be told from the text: the userdb's fields may have any name, and items that are no rows of an answer.
OPEN = re.compile(r"known\.(?:answered\.)?rows(?: \| where\('\w+', ''\))* \| (?:column|where)\('(?:user|uid|home)'$")
OF_ITEMS = {("move-users", "user"), ("move-users", "backend"), ("rebalance", "address")}


def misspelt() -> Iterator[Any]:
    """Each column that a shipped playbook reads by its name: the playbook, and its text with this one name misspelt."""
    for name in SHIPPED:
        text = (PLAYBOOKS / f"{name}.yaml").read_text(encoding="utf-8")
        for found in (match for pattern in COLUMNS for match in pattern.finditer(text)):
            start, end = found.span(1)
            if (found[0].startswith("item") and (name, found[1]) in OF_ITEMS) or OPEN.search(text[: end + 1]):
                continue
            line = text.count("\n", 0, start) + 1
            yield pytest.param(text[:end] + "x" + text[end:], line, id=f"{name}-line-{line}-{start}-{found[1]}")


MISSPELT = list(misspelt())


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails the test."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)


def plan(tmp_path: Path, name: str, given: tuple[str, ...], groups: str) -> int:
    """Plan a playbook; the command's exit code."""
    config = tmp_path / "config.yaml"
    config.write_text(f"defaults: {{auth: {{password: {{env: NOBODY_READS_IT}}}}}}\ngroups:\n{groups}")
    values = [word for value in given for word in ("-e", value)]
    return run(["-c", str(config), "--state-dir", str(tmp_path / "state"), "plan", path_of(name), *values])


def path_of(name: str) -> str:
    """Where a shipped playbook is."""
    return str(PLAYBOOKS / f"{name}.yaml")


def test_all_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """`validate` finds nothing wrong with any of them."""
    assert run(["validate", *map(path_of, SHIPPED)]) == 0, capsys.readouterr()
    assert capsys.readouterr().out.count(": valid (") == len(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_reviewer_misses_nothing(name: str) -> None:
    """Each change can be undone, or it says what remains; each is checked; and who notices it can be counted."""
    source = load_playbook(Path(path_of(name)))
    assert [str(problem) for problem in advice(source)] == []
    for step in all_steps(source.playbook):
        entry = catalog.find(step.command or "")
        if entry and entry.user_impact_of(step.parameters):
            assert step.affects or entry.affects, step.name


@pytest.mark.parametrize("name", SHIPPED)
def test_is_planned_without_a_network(tmp_path: Path, name: str) -> None:
    """A plan is made of each shipped playbook, and not one connection is opened."""
    assert plan(tmp_path, name, PARAMETERS.get(name, ()), DIRECTORS + BACKENDS) == 0


@pytest.mark.parametrize("name", sorted(WITHOUT_DIRECTORS))
def test_is_planned_where_there_are_no_directors(tmp_path: Path, name: str) -> None:
    """What does not need directors is planned for a fleet without any."""
    assert plan(tmp_path, name, WITHOUT_DIRECTORS[name], BACKENDS) == 0


@pytest.mark.parametrize("name", SHIPPED)
def test_is_documented(name: str) -> None:
    """Each tells what users notice, how to undo it if it changes anything, and what its parameters are."""
    playbook = load_playbook(Path(path_of(name))).playbook
    assert "What users notice" in playbook.description
    assert "To undo it" in playbook.description or not changes(playbook)
    assert [key for key, parameter in playbook.parameters.items() if not parameter.help] == []


def changes(playbook: Playbook) -> bool:
    """Whether a playbook's commands are more than questions."""
    return any(step.command and effect_of(step, step.parameters) is not Effect.READ for step in all_steps(playbook))


def all_steps(playbook: Playbook) -> list[Step]:
    """The steps of a playbook, those within batches too."""
    steps = [step for _, step in steps_of(playbook)]
    return steps + [inner for step in steps if step.batches for inner in step.batches.steps]


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`playbooks` lists each with what it must be given."""
    assert run(["playbooks"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == SHIPPED
    for name, line in lines.items():
        required = {
            given for given, spec in load_playbook(Path(path_of(name))).playbook.parameters.items() if spec.required
        }
        assert {word.split("=")[0] for word in line.split() if "=" in word} == required


@pytest.mark.parametrize("name", SHIPPED)
def test_they_are_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`playbooks NAME` tells what it is for, each parameter and each step, and what to type next."""
    assert run(["playbooks", name]) == 0
    page = capsys.readouterr().out
    shown = load_playbook(Path(path_of(name))).playbook
    assert all(line.strip() in page for line in shown.description.splitlines())
    assert all(f"    {given} ({spec.type}" in page and spec.help in page for given, spec in shown.parameters.items())
    steps = [step for _, outer in steps_of(shown) for step in (outer, *(outer.batches.steps if outer.batches else ()))]
    assert all(f"  {step.name}" in page for step in steps)
    assert f"orchestrator plan {name}" in page.splitlines()[-1]


def test_they_are_described_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON lines, from the list and one by one."""
    assert run(["playbooks", "--format", "json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["playbook"] for record in records] == SHIPPED
    assert run(["playbooks", "kick-users", "--format", "json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one in records
    assert one["parameters"]["users"]["required"] is True


def test_an_unknown_one_is_told_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name gets the nearest, and the verb that lists them."""
    assert run(["playbooks", "drain-bakend"]) == 2
    shown = capsys.readouterr().err
    assert "drain-backend" in shown
    assert "orchestrator playbooks" in shown


def test_many_columns_are_read_by_name() -> None:
    """The table of misspelt columns is not empty by mistake: most shipped playbooks are in it."""
    assert len(MISSPELT) > 100
    assert len({str(case.id).partition("-line-")[0] for case in MISSPELT}) >= 18


@pytest.mark.parametrize(("text", "line"), MISSPELT)
def test_no_shipped_playbook_with_a_misspelt_column_is_valid(text: str, line: int) -> None:
    """One letter more in the name of a column, in any expression of a shipped playbook, is found where it stands."""
    with pytest.raises(InputError) as caught:
        Source(parse(text, source="misspelt.yaml", folder=PLAYBOOKS))
    assert {problem.place.line for problem in caught.value.problems} == {line}
    assert "no column" in caught.value.message
