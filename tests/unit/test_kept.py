"""What a run keeps of its plan: it is the same plan again, whatever became of the playbook and its files meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.fleet.inventory import Inventory
from orchestrator.plan.expand import contents
from orchestrator.plan.kept import keep, recall
from orchestrator.plan.layout import build_plan
from orchestrator.plan.steps import CommandStep, Draft, Plan
from orchestrator.playbook.items import Lists
from orchestrator.playbook.source import Source, load_playbook
from orchestrator.playbook.values import given_values
from orchestrator.text.scalar import Written
from tests.command_line import ROOT
from tests.playbooks.test_shipped import PARAMETERS
from tests.strategies import drafts, fleet, json_values, plan, playbook, steps

FLEET = fleet("""
    defaults: {scheme: http, auth: {password: {env: X}}}
    groups: {directors: {hosts: {'d[1-2]': '192.0.2.[1-2]'}}, backends: {hosts: {'b[1-3]': '192.0.2.[11-13]'}}}
""")
SHIPPED = sorted(ROOT.glob("playbooks/*.yaml"))


def made(source: Source, inventory: Inventory, given_texts: dict[str, str]) -> Plan:
    """A plan as a run makes it: values and steps read the same lists."""
    lists = Lists()
    return build_plan(source, inventory, given_values(source, given_texts, inventory, lists), lists=lists)


def known(found: Plan) -> dict[str, list[Draft] | None]:
    """The operations that are known before anything was asked; None of a step that is skipped for certain."""
    return {step.key: None if drafts is None else list(drafts) for step, drafts in contents(found)}


def check(before: Plan) -> Plan:
    """What is recalled is what was kept: the same texts, steps, values and operations; returns it."""
    kept = keep(before)
    after = recall(kept, before.inventory)
    assert keep(after) == kept
    assert after.steps == before.steps
    assert (after.terms, after.origin, after.limited) == (before.terms, before.origin, before.limited)
    assert after.warnings == before.warnings
    assert {name: str(value) for name, value in after.values.items()} == {
        name: str(value) for name, value in before.values.items()
    }
    assert known(after) == known(before)
    return after


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_playbook_is_recalled(path: Path) -> None:
    """The plan of each shipped playbook is the same plan again."""
    given_texts = dict(text.split("=", 1) for text in PARAMETERS.get(path.stem, ()))
    found = check(made(load_playbook(path), FLEET, given_texts))
    assert found.steps


ODD = """
name: P
parameters:
  n: {type: number, default: 1.50}
  hosts: {type: hosts, default: backends}
  one: {type: host, default: d1}
  wait: {type: duration, default: 1m}
  things: {type: list, default: [{user: a, n: 012x}, b]}
limits: {in_flight: 7, max_failed: 5%}
retry: {attempts: 3, base: 0}
steps:
  - {name: A, hosts: backends, command: who, register: seen, when: false, timeout: "{{ wait }}"}
  - {name: B, hosts: "{{ one }}", for_each: [+5, 1.50, 1e3, -0, 2024.10, x], command: dictSet, effect: repeatable,
     parameters: {dictUri: d, key: "k/{{ item }}", value: "{{ item }}"}, accept: [68, 75], on_failure: undo,
     undo: {command: dictUnset, parameters: {dictUri: d, key: k}}, limits: {max_failed: 3}, retry: {deadline: 5s}}
  - {name: C, hosts: b1, command: dictInc, parameters: {dictUri: d, key: k, difference: 1}, for_each: "{{ seen.rows }}",
     probe: {command: dictGet, parameters: {dictUri: d, key: k}, done: "{{ (rows | first).value == '1' }}", after: 1s}}
  - {name: D, require: [{that: true, message: m}, {that: "{{ n > 1 }}", message: "{{ n }}"}]}
  - {name: E, pause: 1s}
  - {name: F, pause: {confirm: "go on with {{ one }}?"}}
  - {name: G, batches: {hosts: backends, size: [1, 50%], soak: 2m, steps: [{name: R, command: reload, verify:
     {command: who, until: true, every: 0s, within: "{{ wait }}", stall: 5s}}]}}
finally:
  - {name: H, hosts: "{{ hosts }}", for_each: [], command: kick, parameters: {mask: "{{ item }}"}}
"""


def test_every_kind_of_step_is_recalled() -> None:
    """All that a step may say is there again: numbers, times, lists, hosts, conditions, probes, batches."""
    after = check(made(playbook(ODD), FLEET, {}))
    assert [host.name for host in after.values["hosts"]] == ["b1", "b2", "b3"]
    assert after.values["one"] is FLEET.hosts["d1"]
    assert after.steps[0].when is False


def test_no_items_are_not_one(tmp_path: Path) -> None:
    """A step for each of no items sends nothing also when it is recalled before its hosts are known."""
    before = plan(
        steps(
            "hosts: d1, command: who, register: seen",
            "hosts: '{{ groups.backends }}', for_each: [], when: '{{ seen.ok }}', command: kick, parameters: {mask: x}",
        ),
        inventory=FLEET,
    )
    assert drafts(recall(keep(before), FLEET), "2") == drafts(before, "2") == []


def test_a_number_keeps_its_text() -> None:
    """A name that looks like a number is sent as it was written also by the session that goes on with a run."""
    after = recall(keep(made(playbook(ODD), FLEET, {})), FLEET)
    sent = [json.loads(draft.parameters)["value"] for draft in known(after)["2"] or ()]
    assert sent == ["+5", "1.50", "1e3", "-0", "2024.10", "x"]
    [step] = [step for step in after.steps if step.key == "2"]
    assert isinstance(step, CommandStep)
    assert all(isinstance(item, Written) for item in step.for_each[:-1])


def test_lists_come_from_what_was_kept(tmp_path: Path) -> None:
    """The items of a run are those that stood in the files when it was planned, though the files are gone."""
    (tmp_path / "users.txt").write_text("u1\nu2\n")
    (tmp_path / "moves.csv").write_text("user;to\nu1;b1\nu2;b2\n")
    text = "name: P\nparameters: {users: {type: users, required: true}}\n" + steps(
        "hosts: b1, for_each: {file: '{{ users }}'}, command: kick, parameters: {mask: '{{ item }}'}",
        "hosts: '{{ item.to }}', for_each: {csv: moves.csv}, command: kick, parameters: {mask: '{{ item.user }}'}",
        "hosts: b1, command: who, register: seen",
        "hosts: '{{ seen.failed }}', for_each: {file: '{{ users }}'}, command: kick, parameters: {mask: '{{ item }}'}",
    ).removeprefix("name: P\n")
    before = made(playbook(text, tmp_path), FLEET, {"users": str(tmp_path / "users.txt")})
    expected, kept = known(before), keep(before)
    for path in tmp_path.iterdir():
        path.unlink()
    after = recall(kept, FLEET)
    assert known(after) == expected
    assert [draft.host for draft in expected["2"] or ()] == ["b1", "b2"]
    assert str(after.values["users"]) == str(tmp_path / "users.txt")
    assert [p.parameters for p in drafts(after, "4", seen=_Failed())] == ['{"mask":["u1"]}', '{"mask":["u2"]}']


class _Failed:
    """An answer of which one host failed."""

    readable = frozenset({"failed"})
    failed = ("b3",)


def test_a_place_in_the_playbook_is_told_again(tmp_path: Path) -> None:
    """An error of a recalled step names line and column of the playbook as it was."""
    before = plan(steps("hosts: d1, command: who, register: s", "hosts: '{{ s.failed }}', command: who"))
    after = recall(keep(before), before.inventory)
    assert after.origin.place("steps", 1, "hosts") == before.origin.place("steps", 1, "hosts")
    assert after.origin.place("steps", 1, "hosts").line == 4


def test_warnings_are_kept(tmp_path: Path) -> None:
    """Whoever applies a saved plan is warned of what its maker was warned of."""
    (tmp_path / "users.txt").write_text("u1\n*\nu1\n")
    before = plan(
        steps("hosts: b1, for_each: {file: users.txt}, command: kick, parameters: {mask: '{{ item }}'}"),
        folder=tmp_path,
    )
    assert len(before.warnings) == 2
    check(before)


def test_a_limit_is_kept() -> None:
    """A recalled plan sends nothing outside of --limit."""
    before = plan(steps("hosts: backends, command: who"), limit="b2,b3")
    assert [draft.host for draft in drafts(check(before))] == ["b2", "b3"]
    assert check(plan(steps("hosts: backends, command: who"))).limited is None


WHO = plan(steps("hosts: b1, command: who"))

lines = st.builds(
    "hosts: {0}, {1}command: kick, parameters: {{mask: [{2}]}}{3}".format,
    st.sampled_from(["b1", "'b[1-3]'", "directors", "'{{ groups.directors }}'", "'all:!b9'"]),
    st.sampled_from(
        [
            "",
            "run_once: true, ",
            'for_each: [u1, 2, 3.0, 1.50, +1, null, true], when: "{{ item == 2 }}", ',
            "for_each: [{a: 1.10}, {a: [x, {b: -0}]}], when: \"{{ host.name == 'b1' }}\", ",
            "for_each: [], ",
        ]
    ),
    st.sampled_from(["u1", "'{{ host.name }}'", "x*"]),
    st.sampled_from(
        [
            "",
            ", limits: {rate: 0.5, max_failed: 10%}, retry: {attempts: 2, base: 1m}",
            ", timeout: 5, accept: [68]",
            ", on_failure: undo, undo: {command: reload}, verify: {command: who, until: true, within: 5s}",
            ', when: "{{ groups.backends | length > 2 }}"',
        ]
    ),
)


@given(st.lists(lines, min_size=1, max_size=4), st.sampled_from([None, "b1,d1", "all"]))
def test_whatever_was_planned_is_recalled(chosen: list[str], limit: str | None) -> None:
    """A plan is the same plan again, whatever its playbook says."""
    check(plan(steps("pause: 1s", *[line for line in chosen if line.count("when:") < 2]), limit=limit))


@given(json_values)
def test_any_value_of_a_document_is_recalled(value: Any) -> None:
    """Whatever stands in a list of items is there again, of the same type."""
    [step] = WHO.steps
    assert isinstance(step, CommandStep)
    [after] = recall(keep(replace(WHO, steps=(replace(step, for_each=[value]),))), WHO.inventory).steps
    assert isinstance(after, CommandStep)
    assert repr(after.for_each) == repr([value])
