"""What unit tests are made from: small fleets, playbooks and plans from text, and Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from hypothesis import strategies as st

from orchestrator.fleet.config import Config
from orchestrator.fleet.inventory import Inventory, build_inventory
from orchestrator.plan.expand import expand
from orchestrator.plan.layout import build_plan
from orchestrator.plan.steps import Draft, Plan
from orchestrator.playbook.source import Source
from orchestrator.playbook.values import given_values
from orchestrator.text.document import Document, parse

NOWHERE = Path("/nowhere")

FLEET = """
    defaults: {scheme: http, auth: {password: {env: DOVEADM_PASSWORD}}}
    groups:
      directors: {hosts: {d1: 10.0.0.1, d2: 10.0.0.2}}
      backends: {hosts: {"b[1-3]": "10.0.1.[1-3]", b9: {address: 10.0.1.9, tags: [new]}}}
    protect: [b9]
"""


def document(text: str, folder: Path = NOWHERE, source: str = "a.yaml") -> Document:
    """A parsed text."""
    return parse(dedent(text), source=source, folder=folder)


def config(text: str = FLEET) -> Config:
    """A configuration."""
    return Config(NOWHERE / "config.yaml", document(text, source="config.yaml"))


def fleet(text: str = FLEET) -> Inventory:
    """An inventory."""
    return build_inventory(config(text))


def playbook(text: str, folder: Path = NOWHERE) -> Source:
    """A checked playbook."""
    return Source(document(text, folder, "playbook.yaml"))


def plan(
    text: str,
    given: Mapping[str, str] | None = None,
    *,
    inventory: Inventory | None = None,
    limit: str | None = None,
    folder: Path = NOWHERE,
) -> Plan:
    """A plan of a playbook."""
    source, hosts = playbook(text, folder), inventory or fleet()
    return build_plan(source, hosts, given_values(source, given or {}, hosts), limit=limit)


def steps(*lines: str) -> str:
    """A playbook of steps, each given as the inside of a YAML flow mapping."""
    return "name: P\nsteps:\n" + "".join(f"  - {{name: S{number}, {line}}}\n" for number, line in enumerate(lines, 1))


def drafts(made: Plan, key: str = "1", **names: object) -> list[Draft]:
    """The operations of a step, with the names that a run would know."""
    step = next(step for step in made.steps if step.key == key)
    return list(expand(step, made, {**made.scope(step), **names}))


host_names = st.from_regex(r"[a-c]{1,2}(-?[0-9]{1,3}){0,2}(\.?[xy]){0,1}", fullmatch=True).filter(lambda n: n != "all")


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """Fleets of up to 25 hosts in one or two groups."""
    names = draw(st.lists(host_names, min_size=1, max_size=25, unique=True))
    cut = draw(st.integers(1, len(names)))
    groups = {"one": names[:cut], "two": names[cut:]}
    lines = [f"  {group}: {{hosts: [{', '.join(map(repr, members))}]}}" for group, members in groups.items()]
    return fleet("defaults: {auth: {api_key: {env: KEY}}}\ngroups:\n" + "\n".join(lines))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
