"""The plans that schedules run: made once, copied for each schedule."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from orchestrator.fleet.config import load_config
from orchestrator.fleet.inventory import build_inventory
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite.create import create
from orchestrator.plan.layout import build_plan
from orchestrator.plan.steps import Plan
from orchestrator.playbook.source import Source
from orchestrator.text.document import parse

TIMEOUT = 10.0  # seconds; with evidence and a probe an attempt takes less than the grace of a stop

_KICK = """
  - name: Kick
    hosts: backends
    command: kick
    for_each: [{items}]
    parameters: {{mask: ["{{{{ item }}}}"]}}
"""
_COUNT = """
  - name: Count
    hosts: backends
    command: dictInc
    for_each: [{items}]
    parameters: {{dictUri: "file:/x", key: "shared/{{{{ item }}}}", difference: 1}}
"""
_PROBE = """
    probe:
      command: dictGet
      parameters: {{dictUri: "file:/x", key: "{{{{ parameters.key }}}}"}}
      done: "{{{{ (rows | first).value == '1' }}}}"
"""
_LOOK = """
  - name: Look
    hosts: backends
    command: who
    register: seen
  - name: Kick who is there
    hosts: backends
    command: kick
    for_each: "{{{{ seen.rows | column('username') | unique }}}}"
    parameters: {{mask: ["{{{{ item }}}}"]}}
"""
_POLL = """
  - name: Wait until it listens
    hosts: backends
    command: serviceStatus
    until: "{{{{ (rows | first).listening == 'y' }}}}"
    every: 5s
    within: 1m
"""
_UNDONE = """
  - name: First
    hosts: backends
    command: dictSet
    for_each: [{items}]
    parameters: {{dictUri: "file:/x", key: "shared/first-{{{{ item }}}}", value: "1"}}
    on_failure: undo
    undo: {{command: dictUnset, parameters: {{dictUri: "file:/x", key: "shared/first"}}}}
  - name: Second
    hosts: backends
    command: dictSet
    for_each: [{items}]
    parameters: {{dictUri: "file:/x", key: "shared/second-{{{{ item }}}}", value: "1"}}
    on_failure: undo
    undo: {{command: dictUnset, parameters: {{dictUri: "file:/x", key: "shared/second"}}}}
  - name: Third
    hosts: backends
    command: dictSet
    for_each: [{items}]
    parameters: {{dictUri: "file:/x", key: "shared/third-{{{{ item }}}}", value: "1"}}
    on_failure: undo
    undo: {{command: dictUnset, parameters: {{dictUri: "file:/x", key: "shared/third"}}}}
"""
_FINALLY = """
finally:
  - {{name: Look at last, hosts: backends, command: who}}
  - {{name: Kick at last, hosts: backends, for_each: [{items}], command: kick, parameters: {{mask: ["{{{{ item }}}}"]}}, retry: {{attempts: 1}}}}
"""

KINDS = {
    "repeatable": _KICK,
    "unrepeatable": _COUNT,
    "probed": _COUNT + _PROBE,
    "several": _KICK + _COUNT + _POLL + _FINALLY,
    "expanded": _LOOK + _COUNT,
    "undone": _UNDONE + _FINALLY,
}


@dataclass(frozen=True)
class Template:
    """A plan, and its run file to be copied."""

    plan: Plan
    path: Path


@cache
def _folder() -> Path:
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-simulation-", dir=parent))
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)  # at the end of a pool's process too
    return folder


def scratch() -> Path:
    """Where this process keeps its run files: in memory, where there is such a place."""
    return _folder()


@cache
def template(kind: str, hosts: int, items: int) -> Template:
    """The plan of a kind of playbook for so many hosts, with so many items."""
    folder = scratch()
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    config = folder / f"config-{hosts}.yaml"
    listed = ", ".join(f"b{n}: {{address: 10.0.0.{n}, tags: [t{n}]}}" for n in range(1, hosts + 1))
    config.write_text(
        f"defaults: {{scheme: http, auth: {{password: {{file: secret}}}}, timeout: {{request: {TIMEOUT:g}s}}}}\n"
        f"groups: {{backends: {{hosts: {{{listed}}}}}}}\n"
    )
    text = KINDS[kind].format(items=", ".join(f"item{number}" for number in range(items)))
    steps, _, end = text.partition("\nfinally:")
    playbook = f"name: {kind}\nsteps:\n{steps}\n" + (f"finally:{end}" if end else "")
    source = Source(parse(playbook, source=kind, folder=folder))
    plan = build_plan(source, build_inventory(load_config(config)), {})
    path = folder / f"{kind}-{hosts}-{items}.template"
    create([("simulated", path)], plan, Header(0, {}, str(config)))
    return Template(plan, path)
