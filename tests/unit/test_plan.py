"""Plans: the operations of each step, in order, known now or known later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.answers import Answer, Recorded, collect
from orchestrator.errors import ExpressionError, InputError, RefusedError
from orchestrator.outcome import Effect, State
from orchestrator.plan.expand import changed_hosts, known_now, skipped_now
from orchestrator.plan.kept import keep
from orchestrator.plan.steps import CommandStep, Plan
from tests.strategies import drafts, plan, steps

KICK = "command: kick, parameters: {mask: ['{{ item }}']}"


def sent(made: Plan, key: str = "1", **names: Any) -> list[tuple[str, Any]]:
    """Host and parameters of a step's operations."""
    return [(draft.host, json.loads(draft.parameters)) for draft in drafts(made, key, **names)]


def hosts(made: Plan, key: str = "1", **names: Any) -> str:
    """The hosts of a step's operations, in order."""
    return " ".join(draft.host for draft in drafts(made, key, **names))


def keys(made: Plan) -> str:
    """The steps of a plan, in the order of running."""
    return " ".join(step.key for step in made.steps)


def answer(*rows: dict[str, str], host: str = "d1") -> Answer:
    """What one host answered."""
    return collect([Recorded(host, State.DONE, None, "", list(rows))])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hosts: backends, command: who", "b1 b2 b3 b9"),
        ("hosts: 'b3,b1', command: who", "b1 b3"),
        ("hosts: [directors, '!d1'], command: who", "d2"),
        ("hosts: directors, run_once: true, command: directorStatus", "d1"),
        ("hosts: 10.0.1.2, command: who", "b2"),
        ("hosts: '{{ groups.backends }}', command: who", "b1 b2 b3 b9"),
        ("hosts: '{{ groups.backends | last }}', command: who", "b9"),
        (f"hosts: 'b1,b2', for_each: [u1, u2], {KICK}", "b1 b2 b1 b2"),
        (f"hosts: b1, for_each: [], {KICK}", ""),
        ("hosts: '{{ item }}', for_each: [b3, 10.0.1.1, 'b[1-2]'], command: who", "b3 b1 b1 b2"),
        ("hosts: backends, when: false, command: who", "b1 b2 b3 b9"),
    ],
)
def test_hosts_are_chosen_in_order(line: str, expected: str) -> None:
    """Operations come item by item, and within an item host by host in inventory order."""
    assert hosts(plan(steps(line))) == expected


@pytest.mark.parametrize("value", ["all", "*", "b1,b2", "b1:b2", "backends", "b[1-2]", "!b1", "b1, all", "B1", "[b1]"])
@pytest.mark.parametrize("written", ["{{ item.backend }}", "b1,{{ item.backend }}", "backends:!{{ item.backend }}"])
def test_an_item_of_a_file_is_no_selection(tmp_path: Path, written: str, value: str) -> None:
    """A list that says `all` where a host belongs is told with its line: an item names one host, by its name or address."""
    (tmp_path / "moves.csv").write_text(f'user,backend\njane,b1\njoe,"{value}"\n')
    line = f"hosts: '{written}', for_each: {{csv: moves.csv}}, command: kick, parameters: {{mask: x}}"
    with pytest.raises(InputError, match="no host is called .* or has that address") as error:
        drafts(plan(steps(line), folder=tmp_path))
    if written == "{{ item.backend }}":
        (problem,) = error.value.problems
        assert repr(value) in problem.message
        assert str(problem.place).startswith(f"{tmp_path}/moves.csv:3")


def test_an_item_of_a_file_names_a_host(tmp_path: Path) -> None:
    """By its name or its address."""
    (tmp_path / "moves.csv").write_text("user,backend\njane,b2\njoe, 10.0.1.1\n")
    line = 'hosts: "{{ item.backend }}", for_each: {csv: moves.csv}, command: kick, parameters: {mask: "x"}'
    assert hosts(plan(steps(line), folder=tmp_path)) == "b2 b1"


def test_what_the_operator_types_may_be_a_selection() -> None:
    """It is chosen by a person, who sees in the plan what it means."""
    text = "parameters: {where: {type: string, required: true}}\n" + steps('hosts: "{{ where }}", command: who')
    assert hosts(plan(text, {"where": "backends:!b3"})) == "b1 b2 b9"


ASKED = steps(
    "hosts: d1, command: directorStatus, register: s", "hosts: '{{ s.rows | column(\"tag\") }}', command: who"
)


EACH_ASKED = steps(
    "hosts: d1, command: directorStatus, register: s", "hosts: '{{ item.tag }}', for_each: '{{ s.rows }}', command: who"
)


@pytest.mark.parametrize("text", [ASKED, EACH_ASKED])
@pytest.mark.parametrize("answered", ["all", "backends", "b1,b2", "b[1-2]", "new", "!b1", ""])
def test_an_answer_is_no_selection(text: str, answered: str) -> None:
    """What a host answers names hosts one by one: a text that would select others, or several, is refused."""
    with pytest.raises(InputError, match="no host is called .* or has that address"):
        hosts(plan(text), "2", s=answer({"tag": "b1"}, {"tag": answered}))


def test_an_answer_names_hosts() -> None:
    """By name or by address, with a line end or without; each once, in the order of the inventory."""
    answered = answer({"tag": "b3"}, {"tag": "10.0.1.1\n"}, {"tag": " b3 "}, {"tag": "b2"})
    assert hosts(plan(ASKED), "2", s=answered) == "b1 b2 b3"


CONDITIONS = ["true", "false", "'{{ x }}'", "'{{ not x }}'", ""]


@pytest.mark.parametrize("outer", CONDITIONS)
@pytest.mark.parametrize("inner", CONDITIONS)
def test_conditions_of_batches_and_of_their_steps_both_hold(outer: str, inner: str) -> None:
    """A step within batches is sent where the condition of the batches holds and its own too; a soak, where the former does."""
    made = plan(f"""
name: P
parameters: {{x: {{type: boolean, default: true}}}}
steps:
  - name: B
    batches: {{hosts: 'b[1-2]', size: 1, soak: 1s, steps: [{{name: S, command: who{inner and f", when: {inner}"}}}]}}
    {outer and f"when: {outer}"}
""")
    false = {"false", "'{{ not x }}'"}
    skipped = [skipped_now(step, made.scope(step)) for step in made.of("step")]
    assert skipped == [bool({outer, inner} & false), outer in false, bool({outer, inner} & false)]


@pytest.mark.parametrize(("number", "column"), [(1, 29), (2, 66)])
def test_a_mistake_of_a_final_step_is_told_where_it_stands(number: int, column: int) -> None:
    """What is wrong with the hosts of the second step of `finally` is told at the second."""
    final = ", ".join(f"{{name: F{n}, hosts: {'nosuch' if n == number else 'd1'}, command: who}}" for n in (1, 2, 3))
    with pytest.raises(InputError) as caught:
        drafts(plan(steps("hosts: b1, command: who") + f"finally: [{final}]"), f"finally.{number}")
    [problem] = caught.value.problems
    assert (problem.place.line, problem.place.column) == (4, column)


def test_a_polled_step_keeps_how_it_is_polled() -> None:
    """What is asked, how often, how long, and when to give up stand in the step that is sent."""
    line = "hosts: b1, command: who, until: '{{ rows }}', every: 3s, within: 5m, stall: 40s"
    step = plan(steps(f"hosts: b1, command: reload, verify: {{{line}}}")).of("verify")[0]
    assert isinstance(step, CommandStep)
    assert (step.until, step.every, step.within, step.stall) == ("{{ rows }}", 3.0, 300.0, 40.0)


def test_parameters_are_evaluated_for_each_item_and_host() -> None:
    """Item and host may stand in parameters, and a wholly evaluated value keeps its type."""
    made = plan(steps("hosts: 'b1,b2', for_each: [{u: x, n: 5}], command: dictInc, effect: repeatable, parameters: "
                      "{dictUri: 'file:/{{ host.name }}', user: '{{ item.u }}', key: 'k', difference: '{{ item.n }}'}"))  # fmt: skip
    rest = {"user": "x", "key": "k", "difference": 5}
    assert sent(made) == [("b1", {"dictUri": "file:/b1", **rest}), ("b2", {"dictUri": "file:/b2", **rest})]


def test_when_may_be_decided_for_each_operation() -> None:
    """A `when` that reads item or host marks the single operations that are skipped."""
    made = plan(
        steps(f"hosts: 'b1,b2', for_each: [u1, u2], when: \"{{{{ item == 'u1' or host.name == 'b2' }}}}\", {KICK}")
    )
    assert [(draft.host, draft.skipped) for draft in drafts(made)] == [
        ("b1", False),
        ("b2", False),
        ("b1", True),
        ("b2", False),
    ]
    assert not skipped_now(made.steps[0], made.scope())


@pytest.mark.parametrize(
    ("when", "skipped"), [("true", False), ("false", True), ("'{{ groups.backends | length > 9 }}'", True)]
)
def test_a_step_whose_condition_is_known_is_skipped_now(when: str, skipped: bool) -> None:
    """A `when` that needs no answer is decided by the plan."""
    made = plan(steps(f"hosts: b1, command: who, when: {when}"))
    assert skipped_now(made.steps[0], made.scope()) is skipped


def test_files_are_relative_to_the_playbook(tmp_path: Path) -> None:
    """Items come from files beside the playbook."""
    (tmp_path / "users.txt").write_text("u1\nu2\n")
    (tmp_path / "moves.csv").write_text("user,host\nu1,b1\nu2,b2\n")
    made = plan(
        steps(
            f"hosts: b1, for_each: {{file: users.txt}}, {KICK}",
            "hosts: '{{ item.host }}', for_each: {csv: moves.csv}, command: kick, parameters: {mask: '{{ item.user }}'}",
        ),
        folder=tmp_path,
    )
    assert [parameters["mask"] for _, parameters in sent(made)] == [["u1"], ["u2"]]
    assert sent(made, "2") == [("b1", {"mask": ["u1"]}), ("b2", {"mask": ["u2"]})]


def test_items_are_text_and_never_evaluated(tmp_path: Path) -> None:
    """A line of a file, or a host's answer, that looks like an expression is sent as it stands."""
    (tmp_path / "users.txt").write_text("{{ groups }}\n")
    made = plan(steps(f"hosts: b1, for_each: {{file: users.txt}}, {KICK}"), folder=tmp_path)
    assert sent(made) == [("b1", {"mask": ["{{ groups }}"]})]


def test_what_depends_on_answers_is_known_later() -> None:
    """A step that reads an earlier answer says on what it waits, and is expanded once that is there."""
    made = plan(
        steps(
            "hosts: directors, command: who, parameters: {separateConnections: true}, register: seen",
            "hosts: '{{ item.ip }}', for_each: '{{ seen.rows }}', command: kick, parameters: {mask: '{{ item.username }}'}",
        )
    )
    first, second = made.steps
    assert (known_now(first, made.scope()), known_now(second, made.scope())) == (True, False)
    assert second.depends_on == {"seen": "1"}
    rows = answer({"ip": "10.0.1.2", "username": "u1"}, {"ip": "b1", "username": "u2"})
    assert sent(made, "2", seen=rows) == [("b2", {"mask": ["u1"]}), ("b1", {"mask": ["u2"]})]


def test_a_list_of_answers_is_known_later() -> None:
    """A step whose list follows from answers has no operations before these are there."""
    made = plan(
        steps("hosts: d1, command: directorStatus, register: s", "hosts: b1, for_each: '{{ s.failed }}', command: who")
    )
    assert isinstance(made.steps[1], CommandStep)
    assert made.steps[1].depends_on == {"s": "1"}


def test_what_is_read_of_answers_is_known() -> None:
    """A step says which names its `until` and its probe read, which are those of answers of earlier steps too."""
    probe = "probe: {command: who, done: '{{ rows | length == seen.rows | length }}'}"
    made = plan(steps("hosts: d1, command: directorStatus, register: seen", f"hosts: b1, command: reload, {probe}"))
    assert isinstance(made.steps[1], CommandStep)
    assert {"rows", "seen"} <= made.steps[1].read_later


def test_what_a_condition_depends_on_is_in_order() -> None:
    """A step says what it depends on in the same order in every process."""
    asked = [f"hosts: d1, command: directorStatus, register: {name}" for name in "fbdaec"]
    made = plan(
        steps(*asked, f"hosts: b1, command: who, when: '{{{{ {' and '.join(f'{name}.ok' for name in 'fbdaec')} }}}}'")
    )
    assert list(made.steps[-1].condition_depends_on) == list("abcdef")
    asking = ", ".join(f"'{{{{ {name}.ok }}}}'" for name in "fbdaec")
    made = plan(steps(*asked, f"hosts: b1, command: who, parameters: {{mask: [{asking}]}}"))
    assert isinstance(made.steps[-1], CommandStep)
    assert list(made.steps[-1].depends_on) == list("abcdef")


def test_a_condition_that_depends_on_answers_is_known_later() -> None:
    """A `when` that reads an answer decides nothing before the answer is there."""
    made = plan(
        steps("hosts: d1, command: directorStatus, register: seen", "hosts: b1, command: who, when: '{{ seen.rows }}'")
    )
    second = made.steps[1]
    assert (second.condition_depends_on, second.depends_on) == ({"seen": "1"}, {})
    assert not skipped_now(second, made.scope())
    assert skipped_now(second, {**made.scope(), "seen": answer()})
    assert not skipped_now(second, {**made.scope(), "seen": answer({"a": "b"})})


ALL_ROLES = """
name: P
steps:
  - {name: A, hosts: backends, command: reload, undo: {command: logReopen}, verify: {command: who, until: true}}
  - {name: B, require: {that: true, message: m}}
  - {name: C, pause: 1s}
  - {name: D, hosts: directors, run_once: true, command: directorUp, parameters: {host: b1},
     undo: {command: directorDown, parameters: {host: b1}}}
finally:
  - {name: E, hosts: b1, command: who}
"""


def test_steps_are_in_the_order_of_running() -> None:
    """Steps come with their checks, then what takes them back (the last first), then what is done in the end."""
    made = plan(ALL_ROLES.replace("backends", "'b[1-3]'"))
    assert keys(made) == "1 1.verify 2 3 4 4.undo 1.undo finally.1"
    assert [step.role for step in made.steps] == ["step", "verify", "step", "step", "step", "undo", "undo", "finally"]
    assert [step.index for step in made.steps] == list(range(8))
    assert [step.command for step in made.steps][:5] == ["reload", "who", "require", "pause", "directorUp"]


def test_checks_and_undo_go_to_the_steps_hosts() -> None:
    """A verify without hosts asks all hosts of its step; an undo goes where its step went."""
    made = plan(ALL_ROLES.replace("backends", "'b[1-3]'"))
    assert (hosts(made, "1.verify"), hosts(made, "1.undo"), hosts(made, "4.undo")) == ("b1 b2 b3", "b1 b2 b3", "d1")


def test_the_check_of_a_final_step_runs_in_the_end() -> None:
    """What belongs to a step of `finally` is no part of the main run: its check must not come before it."""
    text = (
        steps("hosts: b1, command: who")
        + "finally: [{name: F, hosts: b1, command: reload, verify: {command: who, until: true}}]"
    )
    made = plan(text)
    assert keys(made) == "1 finally.1 finally.1.verify"
    assert [step.key for step in made.of("step", "verify")] == ["1"]


def test_batches_of_a_final_step_run_in_the_end() -> None:
    """Batches within `finally` are no part of the main run either."""
    text = steps("hosts: b1, command: who") + (
        "finally: [{name: F, batches: {hosts: 'b1,b2', soak: 1s, steps: [{name: R, command: who}]}}]"
    )
    assert [step.key for step in plan(text).of("step", "verify")] == ["1"]


@pytest.mark.parametrize(
    ("size", "batches"),
    [
        ("1", ["b1", "b2", "b3", "b9"]),
        ("3", ["b1 b2 b3", "b9"]),
        ("[1, 2]", ["b1", "b2 b3", "b9"]),
        ("[1, 100%]", ["b1", "b2 b3 b9"]),
        ("50%", ["b1 b2", "b3 b9"]),
        ("1%", ["b1", "b2", "b3", "b9"]),
        ("99", ["b1 b2 b3 b9"]),
        ("0", ["b1", "b2", "b3", "b9"]),
    ],
)
def test_hosts_are_cut_into_batches(size: str, batches: list[str]) -> None:
    """Sizes are counts or shares of all; the last goes on; a batch has one host at least."""
    made = plan(steps(f"batches: {{hosts: backends, size: {size}, steps: [{{name: R, command: who}}]}}"))
    assert [hosts(made, step.key) for step in made.steps] == batches


def test_batches_repeat_their_steps() -> None:
    """Each batch has all steps, its own names and label, and a soak between two batches."""
    inner = "{name: R, command: who, register: seen}, {name: Q, hosts: d1, command: who, when: '{{ seen.ok }}'}"
    made = plan(steps(f"batches: {{hosts: 'b[1-3]', size: 2, soak: 2m, steps: [{inner}]}}"))
    assert keys(made) == "1[1].1 1[1].2 1[1].soak 1[2].1 1[2].2"
    assert made.steps[0].name == "batch 1 of 2 (b[1-2]): R"
    assert [step.local["batch_number"] for step in made.steps] == [1, 1, 1, 2, 2]
    assert made.steps[4].condition_depends_on == {"seen": "1[2].1"}
    assert made.steps[2].command == "pause"


@pytest.mark.parametrize("outer", ["true", "false", "'{{ x == 1 or x == 2 }}'", "'{{ x == 3 }}'"])
@pytest.mark.parametrize(
    "inner", ["true", "false", "'{{ x == 2 or x == 1 }}'", "'{{- x == 3 -}}'", "'{{ not (x == 1) }}'"]
)
def test_a_step_within_batches_needs_both_conditions(outer: str, inner: str) -> None:
    """The condition of the batches and its own must both hold, whatever operators they are made of."""
    step = f"{{name: R, command: who, when: {inner}}}"
    text = steps(f"batches: {{hosts: b1, steps: [{step}]}}, when: {outer}")
    made = plan(f"parameters: {{x: {{type: integer, default: 1}}}}\n{text}")
    holds = {
        "true": True,
        "false": False,
        "'{{ x == 3 }}'": False,
        "'{{- x == 3 -}}'": False,
        "'{{ not (x == 1) }}'": False,
    }
    wanted = holds.get(outer, True) and holds.get(inner, True)
    assert skipped_now(made.steps[0], made.scope(made.steps[0])) == (not wanted)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hosts: nosuch, command: who", "'nosuch' is not a host, group or tag"),
        ("hosts: 'b1:!b1', command: who", "the step 'S1' selects no host"),
        ("hosts: '{{ [] }}', command: who", "the step 'S1' selects no host"),
        ("hosts: '', command: who", "names no host"),
        ("batches: {hosts: nosuch, steps: [{name: R, command: who}]}", "'nosuch' is not a host, group or tag"),
        ("batches: {hosts: 'b1:!b1', steps: [{name: R, command: who}]}", "selects no host"),
        (
            "hosts: b1, command: reload, verify: {hosts: nosuch, command: who, until: true}",
            "'nosuch' is not a host, group or tag",
        ),
        ("hosts: b1, command: reload, undo: {hosts: nosuch, command: reload}", "'nosuch' is not a host, group or tag"),
    ],
)
def test_a_selection_without_hosts_is_an_error_of_the_plan(line: str, message: str) -> None:
    """A step that would go nowhere is told at its place, before anything is sent."""
    with pytest.raises(InputError) as caught:
        plan(steps(line))
    assert message in caught.value.message
    assert "playbook.yaml:3:" in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "hosts: backends, command: reload",
        "hosts: b9, command: reload",
        "hosts: d1, command: who, undo: {hosts: b9, command: reload}",
        "hosts: b9, command: nosuch, effect: repeatable",
        "batches: {hosts: backends, steps: [{name: R, command: reload}]}",
        "hosts: b9, command: statsDump, parameters: {reset: 'true'}",
        "hosts: b9, command: statsDump, parameters: {reset: '{{ groups.backends | length > 1 }}'}",
    ],
)
def test_protected_hosts_are_never_changed(line: str) -> None:
    """A step that would change a protected host is refused when it is planned."""
    with pytest.raises(RefusedError, match="b9, which the configuration protects"):
        plan(steps(line))


def test_protected_hosts_are_refused_when_they_are_known_late() -> None:
    """Also a host that an item or an answer names is refused."""
    made = plan(steps("hosts: '{{ item }}', for_each: [b1, b9], command: reload"))
    with pytest.raises(RefusedError):
        drafts(made)


@pytest.mark.parametrize("line", ["hosts: backends, command: who", "hosts: backends, run_once: true, command: reload"])
def test_protected_hosts_may_be_asked(line: str) -> None:
    """A question to a protected host is allowed, and so is a step that spares it."""
    assert hosts(plan(steps(line)))


@pytest.mark.parametrize(
    ("line", "limit", "expected"),
    [
        ("hosts: backends, command: who", "b2,b3,d1", "b2 b3"),
        ("hosts: directors, run_once: true, command: who", "d2", "d2"),
        ("hosts: '{{ item }}', for_each: ['b[1-2]', b2], command: who", "b2", "b2 b2"),
        ("hosts: backends, command: reload", "!b9", "b1 b2 b3"),
    ],
)
def test_nothing_is_sent_outside_the_limit(line: str, limit: str, expected: str) -> None:
    """--limit takes hosts away from every step."""
    assert hosts(plan(steps(line), limit=limit)) == expected


def test_a_limit_that_leaves_nothing_is_an_error() -> None:
    """A step without a host within --limit is told, and so is a limit that names nothing."""
    with pytest.raises(InputError, match="selects no host within --limit"):
        plan(steps("hosts: backends, command: who"), limit="d1")
    with pytest.raises(InputError, match="'nosuch' is not a host, group or tag"):
        plan(steps("hosts: backends, command: who"), limit="nosuch")


def test_batches_keep_within_the_limit() -> None:
    """Batches are made of the hosts within --limit."""
    text = steps("batches: {hosts: backends, steps: [{name: R, command: reload}]}")
    assert keys(plan(text, limit="b2,b3")) == "1[1].1 1[2].1"


@pytest.mark.parametrize("bad", ["a\\u0007b", "a\\nb", ""])
def test_a_bad_item_is_named(tmp_path: Path, bad: str) -> None:
    """A parameter that must not be sent is told with the line and column of its file, and nothing of the step is kept."""
    (tmp_path / "moves.csv").write_text(f'user,note\nu1,x\n"{json.loads(chr(34) + bad + chr(34))}",y\nu3,z\n')
    line = (
        "hosts: d1, for_each: {csv: moves.csv}, command: directorMove, parameters: {user: '{{ item.user }}', host: b1}"
    )
    with pytest.raises(InputError) as caught:
        drafts(plan(steps(line), folder=tmp_path))
    assert "moves.csv:3:1: column 'user': user " in caught.value.message


def test_the_first_bad_items_are_told_together(tmp_path: Path) -> None:
    """Of many bad items the first twenty are told, not one and not a million."""
    (tmp_path / "counts.csv").write_text("key,by\n" + "k,x\n" * 1000)
    line = "for_each: {csv: counts.csv}, command: dictInc, effect: repeatable, parameters: {dictUri: d, user: u, key: '{{ item.key }}', difference: '{{ item.by }}'}"
    with pytest.raises(InputError) as caught:
        drafts(plan(steps(f"hosts: b1, {line}"), folder=tmp_path))
    assert [problem.place.line for problem in caught.value.problems] == list(range(2, 22))


def test_a_bad_item_that_is_in_no_file_is_named(tmp_path: Path) -> None:
    """A parameter that must not be sent is told at its step, with the number of its item, when items are answers."""
    made = plan(
        steps(
            "hosts: b1, command: who, register: seen",
            "hosts: d1, for_each: '{{ seen.rows }}', command: directorMove, parameters: {user: '{{ item.username }}', host: b1}",
        )
    )
    with pytest.raises(InputError) as caught:
        drafts(made, "2", seen=answer({"username": "u1"}, {"username": ""}))
    assert "playbook.yaml:4:" in caught.value.message
    assert "item 2: user must not be empty" in caught.value.message


def test_a_host_of_a_file_is_told_at_its_line(tmp_path: Path) -> None:
    """A host in a CSV file that the inventory does not have is told with the file's line and column, and the nearest name."""
    (tmp_path / "moves.csv").write_text("user;to\nu1;b1\nu2;b22\nu3;10.9.9.9\n")
    line = "hosts: '{{ item.to }}', for_each: {csv: moves.csv}, command: kick, parameters: {mask: '{{ item.user }}'}"
    with pytest.raises(InputError) as caught:
        drafts(plan(steps(line), folder=tmp_path))
    assert [problem.place.line for problem in caught.value.problems] == [3, 4]
    assert "moves.csv:3:1: column 'to': no host is called 'b22' or has that address" in caught.value.message
    assert "did you mean 'b2'?" in caught.value.message


def test_columns_are_told_in_the_same_order_in_every_process(tmp_path: Path) -> None:
    """Where an item is wrong by several of its columns, they are in order of the alphabet."""
    columns = "fbdaec"
    (tmp_path / "it").write_text(f"{','.join(columns)}\n{','.join('x' * 6)}\n")
    line = f"hosts: 'b1{{{{ {' ~ '.join(f'item.{column}' for column in columns)} }}}}', for_each: {{csv: it}}, command: who"
    with pytest.raises(InputError, match="it:2:1: column 'a', 'b', 'c', 'd', 'e', 'f': no host is called"):
        drafts(plan(steps(line), folder=tmp_path))


LATER = "hosts: b1, command: who, register: seen"


@pytest.mark.parametrize(
    ("line", "content", "message"),
    [
        ("for_each: {csv: it}, parameters: {mask: '{{ item.user }}'}", b"User,Host\nu,b\n", "it:1:1: no column 'user', which step 2 (S2) reads; the columns are 'User', 'Host' (did you mean 'User'?)"),
        ("for_each: {csv: it}, parameters: {mask: '{{ item.user }}'}", b"user host\nu b\n", "the columns are 'user host'"),
        ("for_each: {csv: it}, when: \"{{ item.on == '1' }}\", parameters: {mask: '{{ item[\"user\"] }}'}", b"\nuser\nu\n", "it:2:1: no column 'on'"),
        ("for_each: {file: it}, parameters: {mask: '{{ item.user }}'}", b"u\n", "the lines of a file have no columns, and the step reads item.user"),
        ("for_each: {file: it}, parameters: {mask: '{{ item }}'}", None, "it: cannot read the items: No such file"),
        ("for_each: {csv: it}, parameters: {mask: '{{ item.user }}'}", None, "it: cannot read the items: No such file"),
        ("for_each: {file: it}, parameters: {mask: '{{ item }}', socketPath: '{{ seen.rows | first }}'}", None, "No such file"),
        ("for_each: {file: it}, parameters: {mask: '{{ item }}', socketPath: '{{ seen.rows | first }}'}", b"a\xff", "it:1:2: not UTF-8 text"),
    ],
)  # fmt: skip
def test_files_are_checked_when_the_plan_is_made(
    tmp_path: Path, line: str, content: bytes | None, message: str
) -> None:
    """A file that is missing or lacks a column is an error of the plan, also when its step depends on answers."""
    if content is not None:
        (tmp_path / "it").write_bytes(content)
    with pytest.raises(InputError) as caught:
        plan(steps(LATER, f"hosts: b1, command: kick, {line}"), folder=tmp_path)
    assert message in caught.value.message


def test_a_column_may_be_optional(tmp_path: Path) -> None:
    """A column that an expression can do without is not asked for."""
    (tmp_path / "it").write_text("user\nu\n")
    line = "for_each: {csv: it}, when: '{{ item.off is undefined }}', parameters: {mask: \"{{ item.mask | default('x') }}\"}"
    made = plan(steps(f"hosts: b1, command: kick, {line}"), folder=tmp_path)
    assert sent(made) == [("b1", {"mask": ["x"]})]


def test_a_file_of_a_skipped_step_is_not_needed() -> None:
    """A step whose condition is known to say no reads nothing."""
    made = plan(steps(f"when: false, hosts: b1, for_each: {{file: nowhere.txt}}, {KICK}"))
    assert made.warnings == ()


def test_a_file_is_read_once_for_a_plan(tmp_path: Path) -> None:
    """All steps, whenever they are expanded, have the items that stood in the file when the plan was made."""
    path = tmp_path / "users.txt"
    path.write_text("u1\n")
    line = "hosts: b1, for_each: {file: users.txt}, command: kick, parameters: {mask: '{{ item }}'"
    made = plan(steps(line + "}", LATER, line + ", socketPath: '{{ seen.rows | length }}'}"), folder=tmp_path)
    path.write_text("u2\nu3\n")
    assert [p["mask"] for _, p in [*sent(made), *sent(made, "3", seen=answer())]] == [["u1"], ["u1"]]
    path.unlink()
    assert hosts(made, "3", seen=answer()) == "b1"


@pytest.mark.parametrize(
    ("line", "content", "expected"),
    [
        (f"for_each: {{file: it}}, {KICK}", "u1\n*\n10.1.2.3\nj?n\nu*\n", "it: 4 lines for more than one user: line 2: '*' is a pattern: every user; line 3: '10.1.2.3' is an address"),
        (f"for_each: {{file: it}}, {KICK}", "username\nu1\nu2,b1\nuser\n", "it: 2 lines that look like a header, columns or output, and not like names: line 1: 'username'; line 3: 'u2,b1'"),
        ("for_each: {csv: it}, command: kick, parameters: {mask: ['{{ item.user }}']}", "user,n\n*,1\n", "it: 1 line for more than one user: line 2: '*' is a pattern: every user"),
        ("for_each: {csv: it}, command: kick, parameters: {mask: ['{{ item.user }}']}", "user,n\nu,*\n", ""),
        ("for_each: {file: it}, command: user, parameters: {userMask: ['{{ item }}']}", "u?\n10.1.2.3\n", "it: 1 line for more than one user: line 1: 'u?' is a pattern: every user that matches it"),
        ("for_each: {file: it}, command: forceResync, parameters: {user: x, mailboxMask: '{{ item }}'}", "*\n", ""),
        (f"for_each: {{file: it}}, {KICK}", "u1\nu2\nu1\nu2\nu2\n", "it: 3 lines repeat earlier ones, the first 'u1' on lines 1 and 3"),
        ("for_each: {csv: it}, command: kick, parameters: {mask: ['{{ item.user }}']}", "user,n\nu,1\nu,2\n", "it: 1 line repeats an earlier one, the first 'u' on lines 2 and 3"),
        ("for_each: {csv: it}, command: kick, parameters: {mask: ['{{ item.u }}']}", "u,n\nu,1\nu,2\n", ""),
        (f"for_each: {{file: it}}, {KICK}", "# nobody\n\n", "it has no items: step 1 (S1) sends 0 requests"),
        ("for_each: {csv: it}, command: kick, parameters: {mask: ['{{ item.user }}']}", "user,n\n", "it has no items: step 1 (S1) sends 0 requests"),
        (f"for_each: [], {KICK}", "", ""),
        (f"for_each: ['*'], {KICK}", "", ""),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_list_is_told(tmp_path: Path, line: str, content: str, expected: str) -> None:
    """A plan warns of items that mean more than one user, of repeated ones, and of a list without any."""
    (tmp_path / "it").write_text(content)
    warnings = plan(steps(f"hosts: b1, {line}"), folder=tmp_path).warnings
    assert [str(tmp_path / expected) in warning for warning in warnings] == [True] * bool(expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"hosts: b1, for_each: '{{{{ groups }}}}', {KICK}", "step 1 (S1): for_each needs a list"),
        (
            "hosts: b1, for_each: [{a: 1}], command: kick, parameters: {mask: '{{ item.b }}'}",
            "step 1 (S1): cannot evaluate",
        ),
        (
            "hosts: b1, for_each: [1], when: '{{ item }}', command: who",
            "step 1 (S1): a condition must be true or false",
        ),
        (
            "hosts: b1, for_each: [1], command: kick, parameters: {mask: '{{ [item.b] }}'}",
            "step 1 (S1): cannot evaluate",
        ),
    ],
)
def test_an_expression_that_fails_names_its_step(line: str, message: str) -> None:
    """An expression that the values do not allow is told with the step."""
    with pytest.raises(ExpressionError) as caught:
        drafts(plan(steps(line)))
    assert message in caught.value.message


@pytest.mark.parametrize("number", [10**19, -(10**25)])
def test_a_number_that_no_host_can_hold_is_an_input_error(number: int) -> None:
    """A number beyond 64 bits is refused like any unsuitable value."""
    text = "name: P\nparameters: {n: {type: integer, default: 1}}\n" + steps(
        "hosts: d1, command: directorFlush, parameters: {host: b1, maxParallel: '{{ n }}'}"
    ).removeprefix("name: P\n")
    with pytest.raises(InputError):
        drafts(plan(text, {"n": str(number)}))


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("hosts: b1, command: who", False),
        ("hosts: b1, command: who, verify: {command: who, until: true}", False),
        ("hosts: b1, command: reload", True),
        ("hosts: b1, command: who, undo: {command: reload}", True),
        ("pause: 1s}\nfinally:\n  - {name: F, hosts: b1, command: reload", True),
        ("pause: 1s}\nfinally:\n  - {name: F, hosts: b1, command: who", False),
        ("pause: 1s", False),
    ],
)
def test_a_plan_knows_whether_it_changes_anything(line: str, changes: bool) -> None:
    """Questions and pauses change nothing."""
    assert plan(steps(line)).changes_anything is changes


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["hosts: 'b[1-2]', command: reload"], "b1 b2"),
        (["hosts: 'b[1-2]', run_once: true, command: reload", "hosts: b3, command: who"], "b1"),
        (["hosts: backends, command: who"], ""),
        (["hosts: b3, command: who, undo: {hosts: b2, command: reload}"], "b2"),
        (
            ["hosts: b1, command: who, register: seen", "hosts: '{{ seen.hosts }}', command: reload"],
            "b1 b2 b3 b9 d1 d2",
        ),
        (["hosts: '{{ item }}', for_each: [b1], command: reload"], "b1 b2 b3 b9 d1 d2"),
    ],
)
def test_the_hosts_that_may_be_changed_are_known(lines: list[str], expected: str) -> None:
    """Two runs that may change the same host are not worked on at a time: what only the run will know may be any host."""
    assert " ".join(sorted(changed_hosts(plan(steps(*lines))))) == expected


def test_a_planned_step_knows_its_effect() -> None:
    """Each step has the effect of its command, and those without a command are harmless."""
    made = plan(ALL_ROLES.replace("backends", "'b[1-3]'"))
    assert {step.effect for step in made.steps} == {Effect.READ, Effect.REPEATABLE}
    assert made.steps[2].effect is Effect.READ


lines = st.builds(
    "hosts: {0}, {1}command: kick, parameters: {{mask: [{2}]}}".format,
    st.sampled_from(["b1", "'b[1-3]'", "directors", "'{{ groups.directors }}'", "'all:!b9'"]),
    st.sampled_from(
        ["", "run_once: true, ", "for_each: [u1, u2, u3], ", "for_each: [u1], when: \"{{ host.name == 'b1' }}\", "]
    ),
    st.sampled_from(["u1", "'{{ host.name }}'", "x*"]),
)


@given(st.lists(lines, min_size=1, max_size=4), st.sampled_from([None, "b1,d1", "all"]))
def test_the_same_inputs_give_the_same_operations(chosen: list[str], limit: str | None) -> None:
    """Planning twice gives the same steps and operations, whatever the playbook."""
    made, again = (plan(steps(*chosen), limit=limit) for _ in range(2))
    for step in made.steps:
        found = drafts(made, step.key)
        assert found == drafts(again, step.key)
        assert all(made.limited is None or draft.host in made.limited for draft in found)
    assert keep(made) == keep(again)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hosts: b1, command: stop", "Dovecot cannot be started over the API; somebody must start it on the host."),
        ("hosts: b1, command: stop, irreversible: Ask Joe.", "Ask Joe."),
        ("hosts: b1, command: stop, undo: {command: reload}", ""),
        ("hosts: b1, command: who", ""),
        ("hosts: d1, command: directorUp, parameters: {host: 10.0.1.1}", ""),
    ],
)
def test_what_cannot_be_undone(line: str, said: str) -> None:
    """The playbook's sentence, or the catalogue's where nothing takes the step back."""
    step = plan(steps(line)).steps[0]
    assert isinstance(step, CommandStep)
    assert step.irreversible == said


def test_a_step_knows_where_it_was_written() -> None:
    """Steps, those of batches, checks, undos and what comes last have their own places in the playbook."""
    text = """name: P
steps:
  - {name: A, hosts: d1, command: reload, verify: {command: who, until: true}, undo: {command: reload}}
  - name: B
    batches:
      hosts: 'b[1-3]'
      size: 2
      soak: 1s
      steps:
        - {name: C, command: who}
        - {name: D, command: reload}
finally:
  - {name: E, hosts: d1, command: who}
"""
    made = plan(text)
    assert [(step.key, made.origin.place(*step.path).line) for step in made.steps] == [
        ("1", 3), ("1.verify", 3), ("2[1].1", 10), ("2[1].2", 11), ("2[1].soak", 8), ("2[2].1", 10), ("2[2].2", 11), ("1.undo", 3), ("finally.1", 13),
    ]  # fmt: skip
    assert made.steps[1].path == ("steps", 0, "verify")
    assert [step.index for step in made.steps] == list(range(9))
