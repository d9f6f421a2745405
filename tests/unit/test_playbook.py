"""Playbooks: what can be written, and how each mistake is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.errors import InputError
from orchestrator.outcome import Effect
from orchestrator.playbook.action import RESERVED, effect_of, fault_of_name
from orchestrator.playbook.model import CsvSource, FileSource, Parameter, Playbook
from orchestrator.playbook.source import Source, load_playbook
from orchestrator.text.units import Share
from tests.strategies import document, playbook, steps

SHIPPED = sorted((Path(__file__).parents[2] / "playbooks").glob("*.yaml"))
WHO = "hosts: backends, command: who"
INC = "hosts: backends, command: dictInc, parameters: {dictUri: x, key: k, difference: 1}"
STATUS = "command: directorStatus"

EVERYTHING = """
name: All words
description: |
  Of the language.
parameters:
  text: {type: string, default: a, help: a text, choices: [a, b]}
  many: {type: integer, required: true, min: 1, max: 10}
  share: {type: number, default: 0.5}
  sure: {type: boolean, default: false}
  long: {type: duration, default: 30s}
  one: {type: host, group: backends, required: true}
  some: {type: hosts}
  listed: {type: list, default: [x]}
  path: {type: file, default: users.txt}
limits: {in_flight: 50, per_host: auto, rate: 10.5, max_failed: 5%}
retry: {attempts: 3, base: 2s, max: 1m, deadline: 5m, budget: 0.5}
on_failure: undo
steps:
  - name: See
    hosts: [directors, "!d2"]
    run_once: true
    command: directorStatus
    timeout: "{{ 2 * many }}"
    register: before
    until: "{{ rows | length > 0 and answer.ok and host.name == 'd1' }}"
    every: 500ms
    within: "{{ long }}"
    stall: 10s
    when: "{{ sure }}"
  - name: Refuse
    require:
      - {that: "{{ before.ok }}", message: "{{ text }} is wrong"}
      - {that: true, message: never}
  - name: Refuse in short
    require: {that: "{{ before.hosts['d1'].rows }}", message: none is there}
  - name: Increment
    hosts: "{{ one.name }}"
    for_each: {csv: "{{ path }}"}
    when: "{{ item.user != host.name }}"
    command: dictInc
    parameters: {dictUri: x, user: "{{ item.user }}", key: "shared/{{ host.name }}", difference: 1}
    accept: [68]
    effect: unrepeatable
    retry: {attempts: 1}
    limits: {rate: 1}
    on_failure: continue
    probe: {command: dictGet, parameters: {dictUri: x, key: "{{ parameters.key }}"}, done: "{{ rows | length and answer.ok }}"}
    undo: {command: dictInc, parameters: {dictUri: x, key: k, difference: -1}, effect: unrepeatable, accept: [68]}
    verify: {hosts: directors, command: directorStatus, until: "{{ rows == before.rows }}", register: after, every: 1s}
  - {name: Lines, hosts: backends, for_each: {file: a.txt}, command: kick, parameters: {mask: ["{{ item }}"]}}
  - {name: List, hosts: "{{ item.host }}", for_each: [{host: b1}], command: who}
  - {name: Rows, hosts: "{{ item['mail server ip'] }}", for_each: "{{ before.rows }}", command: who}
  - {name: Plugin, hosts: "{{ some }}", command: myPluginCommand, parameters: {a: 1}, effect: repeatable}
  - {name: Wait, pause: 30s}
  - {name: Wait longer, pause: {for: 1h}}
  - {name: Ask, pause: {confirm: go on?}, when: "{{ groups.backends | length > 2 }}"}
  - name: Batches
    batches:
      hosts: backends
      size: [1, 10%, 100%]
      soak: 2m
      steps:
        - {name: Reload, command: reload, verify: {command: who, until: "{{ rows | length == 0 }}"}}
        - {name: Elsewhere, hosts: directors, command: directorStatus, when: "{{ batch | length > batch_number }}"}
finally:
  - {name: Look, hosts: directors, command: logErrors, parameters: {since: "{{ run.started }}"}}
"""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_playbooks_are_valid(path: Path) -> None:
    """Each procedure that is shipped loads without a problem."""
    assert load_playbook(path).playbook.steps


def test_every_word_of_the_language_is_read() -> None:
    """A playbook with all keys that there are loads, and keeps what was written."""
    read = playbook(EVERYTHING).playbook
    see, _, _, increment, lines, *_, batched = read.steps
    assert (see.hosts, see.run_once, see.every, see.stall, see.register_) == (
        "directors,!d2",
        True,
        0.5,
        10.0,
        "before",
    )
    assert (see.timeout, see.within) == ("{{ 2 * many }}", "{{ long }}")
    assert (increment.accept, increment.effect, increment.on_failure) == ([68], "unrepeatable", "continue")
    assert (increment.for_each, lines.for_each) == (CsvSource(csv="{{ path }}"), FileSource(file="a.txt"))
    assert batched.batches is not None
    assert batched.batches.size == [Share(1), Share(10, percent=True), Share(100, percent=True)]
    assert (read.limits.max_failed, read.retry.base, read.on_failure) == (Share(5, percent=True), 2.0, "undo")
    assert [step.name for step in read.finally_] == ["Look"]


@pytest.mark.parametrize(
    ("size", "shares"), [("2", [Share(2)]), ("50%", [Share(50, percent=True)]), ("[1, 2]", [Share(1), Share(2)])]
)
def test_a_batch_size_may_stand_alone(size: str, shares: list[Share]) -> None:
    """One size need not be written as a list."""
    read = playbook(steps(f"batches: {{hosts: backends, size: {size}, steps: [{{name: R, command: who}}]}}"))
    assert read.playbook.steps[0].batches.size == shares  # type: ignore[union-attr]


def problems(text: str) -> list[str]:
    """The first lines of a playbook's problems."""
    with pytest.raises(InputError) as caught:
        playbook(text)
    return [str(problem).partition("\n")[0] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("hosts: backends", 5, "a step has one of command, require, pause and batches"),
        (f"{WHO}, pause: 5s", 5, "a step has one of command, require, pause and batches"),
        (
            "require: {that: true, message: m}, hosts: d1",
            5,
            "hosts, parameters, for_each, verify and undo belong to a command",
        ),
        ("pause: 5s, for_each: [1]", 5, "belong to a command"),
        ("command: who", 5, "the step 'S1' needs hosts"),
        ("hosts: backends, comand: who", 33, "unknown key 'comand' (did you mean 'command'?)"),
        ("hosts: backends, command: directorstatus", 42, "did you mean 'directorStatus'?"),
        ("hosts: backends, command: nosuchcommand", 42, "the catalogue has no command 'nosuchcommand'"),
        ("hosts: backends, command: '{{ item }}'", 42, "a command's name is not an expression"),
        (f"{WHO}, parameters: {{maks: x}}", 60, "who has no parameter 'maks' (did you mean 'mask'?)"),
        ("hosts: backends, command: kick", 5, "kick needs the parameter 'mask'"),
        (
            "hosts: backends, command: directorMove, parameters: {user: u}",
            56,
            "directorMove needs the parameter 'host'",
        ),
        ("hosts: backends, command: [who]", 42, "must be text"),
        ("hosts: 5, command: who", 23, "must be text"),
        ("hosts: [], command: who", 23, "must be text"),
        ("hosts: '{{ backend.name }}', command: who", 23, "'backend' is not defined here"),
        ("hosts: '{{ group.backends }}', command: who", 23, "'group' is not defined here (did you mean 'groups'?)"),
        ("hosts: '{{ 1 + }}', command: who", 23, "not a valid expression"),
        (f"{WHO}, parameters: {{mask: ['{{{{ item }}}}']}}", 67, "'item' is not defined here"),
        (f"{WHO}, when: maybe", 53, "must be true, false or an expression in {{ }}"),
        (f"{WHO}, when: 1", 53, "must be true, false or an expression"),
        (f"{WHO}, when: '{{{{ item }}}}'", 53, "'item' is not defined here"),
        (f"{WHO}, when: '{{{{ rows }}}}'", 53, "'rows' is not defined here"),
        (f"{WHO}, for_each: users.txt", 57, "must be a list, {file: PATH}, {csv: PATH} or an expression"),
        (f"{WHO}, for_each: {{files: a}}", 57, "must be a list, {file: PATH}, {csv: PATH} or an expression"),
        (f"{WHO}, for_each: {{file: a, csv: b}}", 57, "must be a list, {file: PATH}, {csv: PATH} or an expression"),
        (f"{WHO}, for_each: {{file: 5}}", 64, "must be text"),
        (f"{WHO}, for_each: {{file: '{{{{ nope }}}}'}}", 64, "'nope' is not defined here"),
        (f"{WHO}, register: item", 57, "'item' has a meaning of its own in expressions"),
        (f"{WHO}, register: a-b", 57, "must be a name of letters, digits and _"),
        (f"{WHO}, register: 5", 57, "must be a name of letters"),
        (f"{WHO}, register: none", 57, "none"),
        (f"{WHO}, register: not", 57, "not"),
        (f"{WHO}, every: 5s", 5, "every, within and stall need an until"),
        (f"{WHO}, until: '{{{{ rows }}}}', every: often", 75, "is not a duration"),
        (f"{WHO}, until: '{{{{ row }}}}'", 54, "did you mean 'rows'?"),
        (f"{INC}, until: '{{{{ rows }}}}'", 107, "dictInc must not be repeated, so it cannot be polled"),
        (f"{WHO}, timeout: soon", 56, "is not a duration"),
        (f"{WHO}, timeout: '{{{{ nope }}}}'", 56, "'nope' is not defined here"),
        (f"{WHO}, accept: 68", 55, "must be a list"),
        (f"{WHO}, accept: [x]", 56, "valid integer"),
        (f"{WHO}, on_failure: carry on", 59, "must be one of 'stop', 'continue' or 'undo'"),
        (f"{WHO}, limits: {{max_failed: lots}}", 68, "is not a count or a percentage"),
        (f"{WHO}, verify: {{command: who}}", 55, "a verify needs a command and an until"),
        (f"{WHO}, verify: {{command: reload, until: true}}", 65, "a verify must be a read-only command"),
        (f"{WHO}, verify: {{command: who, until: '{{{{ item }}}}'}}", 77, "'item' is not defined here"),
        (f"{WHO}, undo: {{hosts: d1}}", 53, "an undo needs a command"),
        (f"{INC}, effect: read", 108, "dictInc changes something, so it cannot be effect: read"),
        (f"{INC}, probe: {{command: reload, done: true}}", 117, "a probe must be a read-only command"),
        (f"{INC}, probe: {{command: dictGet, parameters: {{dictUri: x, key: k}}}}", 100, "the key 'done' is missing"),
        (f"{INC}, probe: {{command: who, done: '{{{{ nope }}}}'}}", 128, "'nope' is not defined here"),
        ("pause: {}", 23, "give either for or confirm"),
        ("pause: {for: 5s, confirm: x}", 23, "give either for or confirm"),
        ("pause: soon", 23, "is not a duration"),
        ("require: [{that: 'true', message: m}]", 33, "must be true, false or an expression"),
        ("require: [{that: true}]", 26, "the key 'message' is missing"),
        ("require: [{that: true, message: '{{ nope }}'}]", 48, "'nope' is not defined here"),
        ("batches: {hosts: backends, steps: []}", 50, "at least 1 item"),
        (
            "batches: {hosts: backends, size: 0.5, steps: [{name: X, command: who}]}",
            49,
            "is not a count or a percentage",
        ),
        ("batches: {hosts: backends, size: [], steps: [{name: X, command: who}]}", 49, "at least 1 item"),
        (
            "batches: {hosts: '{{ before.rows }}', steps: [{name: X, command: who}]}",
            33,
            "'before' is not defined here",
        ),
        (
            "batches: {hosts: d1, steps: [{name: X, batches: {hosts: d1, steps: [{name: Y, command: who}]}}]}",
            5,
            "batches cannot stand within batches",
        ),
        ("batches: {hosts: d1, steps: [{name: X, command: wo}]}", 64, "the catalogue has no command 'wo'"),
    ],
)
def test_a_mistake_in_a_step_is_told_with_its_place(line: str, column: int, message: str) -> None:
    """A mistake is told at its line and column, in words that say what is valid, and alone."""
    found = problems(steps(line))
    assert len(found) == 1, found
    assert found[0].startswith(f"playbook.yaml:3:{column}: ")
    assert message in found[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{WHO}, with_items: [a]", "unknown key 'with_items': for_each does that here"),
        (f"{WHO}, ignore_errors: true", "on_failure: continue does that here"),
        (f"{WHO}, retries: 3", "retry: {attempts: N} does that here"),
        (f"{WHO}, become: true", "leave it out"),
        (f"{WHO}, verify: {{command: who, until: true, failed_when: x}}", "accept names exit codes"),
        (
            f"{WHO}, for_each: [a], verify: {{command: who, until: '{{{{ item }}}}'}}",
            "'item' is not defined here: a verify looks once at each host, after all items",
        ),
        (f"{WHO}, when: '{{{{ item }}}}'", "in the hosts, parameters and when of a step with for_each"),
        (f"{WHO}, when: '{{{{ rows }}}}'", "known in until and in a probe's done"),
        ("require: {that: '{{ batch }}', message: m}", "it is known in the steps of batches"),
        (f"{WHO}, for_each: [a], when: '{{{{ it }}}}'", "what for_each takes is called item"),
        (f"{WHO}, parameters: {{mask: ['{{{{ host.version }}}}']}}", "a host has no 'version'; it has address, groups"),
        (f"{WHO}, parameters: {{mask: ['{{{{ host.endpoint.secret }}}}']}}", "a host has no 'endpoint'"),
        (f"{WHO}, until: '{{{{ host.per_host }}}}'", "a host has no 'per_host'"),
        (f"{WHO}, when: '{{{{ groups.backends | count }}}}'", "no filter 'count' (did you mean 'length'?)"),
        (f"{WHO}, when: '{{{{ groups.backends | list }}}}'", "no filter 'list', and none is needed"),
        (f"{WHO}, when: '{{{{ groups.backends | lenght }}}}'", "no filter 'lenght' (did you mean 'length'?)"),
        (f"{WHO}, when: '{{{{ groups.backends | frobnicate }}}}'", "(filters: abs, agree, column"),
        (f"{WHO}, when: '{{{{ groups is callable }}}}'", "there is no test 'callable' (tests: defined"),
    ],
)
def test_what_other_tools_say_is_told_in_the_words_of_this_one(line: str, words: str) -> None:
    """Habits of Ansible and Jinja, and names at the wrong place, are told with what to write instead, or why it is unknown."""
    found = problems(steps(line))
    assert len(found) == 1, found
    assert words in found[0]


def test_a_play_is_told_how_a_playbook_is_written() -> None:
    """The keys of a play are told with what does the same here."""
    found = problems("name: X\ntasks: []\nvars: {a: b}\nhosts: b1\nsteps: [{name: A, hosts: b1, command: who}]\n")
    assert [line.split(": ", 2)[2].splitlines()[0] for line in (problem.split("\n")[0] for problem in found)] == [
        "the procedure stands in steps",
        "what is given with -e stands in parameters",
        "each step has its hosts",
    ]


def test_a_name_that_is_registered_later_is_told_so() -> None:
    """A name of a later step is not merely unknown."""
    found = problems(steps("require: {that: '{{ late.ok }}', message: m}", f"{WHO}, register: late"))
    assert "'late' is not defined here: the step that registers it comes later" in found[0]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("name: P", "1:1", "the key 'steps' is missing"),
        (f"steps: [{{name: S, {WHO}}}]", "1:1", "the key 'name' is missing"),
        ("name: P\nsteps: []", "2:8", "at least 1 item"),
        ("name: ''\nsteps: [{name: S, pause: 1s}]", "1:7", "at least 1 character"),
        ("name: P\nsteps: {}", "2:8", "must be a list"),
        ("- name: P", "1:1", "must be a mapping"),
        ("", "playbook.yaml", "must be a mapping"),
        ("name: P\nstesp: []\nsteps: [{name: S, pause: 1s}]", "2:1", "did you mean 'steps'?"),
        (
            "name: P\nparameters: {item: {default: a}}\nsteps: [{name: S, pause: 1s}]",
            "2:14",
            "'item' has a meaning of its own in expressions",
        ),
        (
            "name: P\nparameters: {a-b: {default: a}}\nsteps: [{name: S, pause: 1s}]",
            "2:14",
            "must be a name of letters, digits and _",
        ),
        ("name: P\nparameters: {a: {}}\nsteps: [{name: S, pause: 1s}]", "2:14", "needs a default, or required: true"),
        (
            "name: P\nparameters: {a: {required: true, default: 1}}\nsteps: [{name: S, pause: 1s}]",
            "2:43",
            "a required parameter has no default",
        ),
        ("name: P\nparameters: {a: {type: int, default: 1}}\nsteps: [{name: S, pause: 1s}]", "2:24", "must be one of"),
        (
            "name: P\nparameters: {a: {default: {b: 1}}}\nsteps: [{name: S, pause: 1s}]",
            "2:27",
            "a mapping cannot become text",
        ),
        (
            "name: P\nparameters: {a: {default: [b]}}\nsteps: [{name: S, pause: 1s}]",
            "2:27",
            "a list cannot become text",
        ),
        (
            "name: P\nparameters: {a: {default: b, choices: [b, ~]}}\nsteps: [{name: S, pause: 1s}]",
            "2:39",
            "nothing (null) cannot become text",
        ),
        ("name: P\nsteps: [{name: S, pause: no}]", "2:26", "no is a boolean in YAML"),
        (
            "name: P\nsteps: [{name: S, pause: 1s}]\nfinally: [{name: F, command: who}]",
            "3:11",
            "the step 'F' needs hosts",
        ),
    ],
)
def test_a_mistake_in_a_playbook_is_told_with_its_place(text: str, place: str, message: str) -> None:
    """The same holds for what stands around the steps."""
    found = problems(text)
    assert any(
        line.startswith(f"playbook.yaml:{place}: " if ":" in place else place) and message in line for line in found
    ), found


@pytest.mark.parametrize(
    "lines",
    [
        (f"{WHO}, register: a", f"{WHO}, register: a"),
        (f"{WHO}, register: a, verify: {{{STATUS}, until: true, register: a}}",),
    ],
)
def test_a_name_is_given_once(lines: tuple[str, ...]) -> None:
    """Two answers cannot have the same name."""
    assert "the name 'a' is taken" in problems(steps(*lines))[0]


def test_a_registered_name_cannot_be_a_parameters() -> None:
    """An answer cannot hide a parameter."""
    found = problems(f"name: P\nparameters: {{a: {{default: x}}}}\nsteps: [{{name: S, {WHO}, register: a}}]")
    assert "the name 'a' is taken" in found[0]


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_names_are_refused(name: str) -> None:
    """Names that mean something in expressions are neither parameters nor answers."""
    assert "meaning of its own" in problems(steps(f"{WHO}, register: {name}"))[0]
    text = f"name: P\nparameters: {{{name}: {{default: x}}}}\nsteps: [{{name: S, pause: 1s}}]"
    assert "meaning of its own" in problems(text)[0]


@pytest.mark.parametrize("kind", ["string", "host", "hosts", "list", "file"])
def test_what_cannot_be_text_is_no_default_where_text_is_wanted(kind: str) -> None:
    """Of each type that is made from text; told where it is written."""
    found = problems(
        f"name: P\nparameters: {{a: {{type: {kind}, default: {{b: 1}}}}}}\nsteps: [{{name: S, pause: 1s}}]"
    )
    assert any("a mapping cannot become text" in line for line in found)


def test_which_names_are_reserved() -> None:
    """All names that some expression reads without a playbook's doing."""
    of_requests = {"item", "host", "parameters", "rows", "answer"}
    of_conditions = {"now", "reviewed"}
    assert {"groups", "run", "batch", "batch_number", *of_requests, *of_conditions} == RESERVED


@pytest.mark.parametrize(
    "word", ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "self", "loop", "None", "LOOP"]
)
def test_words_of_the_language_are_no_names(word: str) -> None:
    """What an expression would take for something else cannot be a name, however it is written."""
    assert f"{word!r} is a word of the expression language" in fault_of_name(word)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a", True), ("_a1", True), ("A_b", True), ("android", True), ("1a", False), ("a-b", False), ("a\n", False), ("ä", False), ("", False)],
)  # fmt: skip
def test_what_is_a_name(name: str, is_one: bool) -> None:
    """Letters, digits and _, and no digit first."""
    assert (fault_of_name(name) == "") == is_one


def test_what_is_not_said_is_the_usual() -> None:
    """A playbook of what must be said has the defaults that the manual names."""
    read = playbook(
        steps(f"{INC}, probe: {{{STATUS}, done: true}}", "batches: {hosts: all, steps: [{name: R, command: who}]}")
    ).playbook
    step, batched = read.steps
    assert step.probe is not None
    assert batched.batches is not None
    assert (read.description, read.parameters, read.on_failure, read.finally_) == ("", {}, "stop", [])
    assert (step.run_once, step.accept, step.require, step.on_failure, step.effect) == (False, [], [], None, None)
    assert (step.probe.after, step.probe.parameters) == (10.0, {})
    assert batched.batches.size == [Share(1)]
    parameter = Parameter()
    assert (parameter.type, parameter.required, parameter.default, parameter.patterns) == ("string", False, None, False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pause: 5s, hosts: d1", "belong to a command"),
        ("pause: 5s, parameters: {a: b}", "belong to a command"),
        ("pause: 5s, for_each: [1]", "belong to a command"),
        ("pause: 5s, verify: {command: who, until: true}", "belong to a command"),
        ("pause: 5s, undo: {command: reload}", "belong to a command"),
        (f"{WHO}, every: 5s", "every, within and stall need an until"),
        (f"{WHO}, within: 5s", "every, within and stall need an until"),
        (f"{WHO}, stall: 5s", "every, within and stall need an until"),
        (f"{WHO}, verify: {{until: true}}", "a verify needs a command and an until"),
        (f"{INC}, probe: {{done: true}}", "a probe needs a command"),
        ("batches: {hosts: d1, steps: [{name: X, command: who, takes: 5s}]}", "takes and overrun belong to the batches"),
        ("batches: {hosts: d1, steps: [{name: X, command: who, overrun: stop}]}", "takes and overrun belong to the batches"),
        ("batches: {hosts: d1, steps: [{name: X, command: who}, {name: Y, command: who, takes: 5s}]}", "belong to the batches"),
        ("batches: {hosts: d1, steps: [{name: X, command: who}, {name: Y, batches: {hosts: d1, steps: [{name: Z, command: who}]}}]}", "within batches"),
        ("hosts: [b1, 5], command: who", "must be text"),
        ("hosts: {b1: b2}, command: who", "must be text"),
        (f"{WHO}, for_each: {{file: a.txt, kind: b}}", "must be a list, {file: PATH}, {csv: PATH}"),
        (f"{WHO}, for_each: 5", "must be a list, {file: PATH}, {csv: PATH}"),
        (f"{WHO}, require: [{{that: true, message: m}}]", "a step has one of command, require, pause and batches"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(line: str, message: str) -> None:
    """Keys that would have no effect where they stand are mistakes, each by itself."""
    assert any(message in found for found in problems(steps(line)))


def test_a_name_is_known_only_after_its_step() -> None:
    """An expression cannot use what a later step will register, nor its own step's answer."""
    assert (
        "'late' is not defined"
        in problems(steps("require: {that: '{{ late.ok }}', message: m}", f"{WHO}, register: late"))[0]
    )
    assert "'own' is not defined" in problems(steps("hosts: '{{ own.failed }}', command: who, register: own"))[0]


@pytest.mark.parametrize("kind", ["file", "csv"])
@pytest.mark.parametrize(
    ("written", "late"),
    [
        ("{{ (seen.rows | first).username }}", "seen"),
        ("lists/{{ seen.rows | length }}.txt", "seen"),
        ("{{ run.id }}", "run"),
    ],
)
def test_no_answer_says_which_file_is_read(kind: str, written: str, late: str) -> None:
    """A list is read when the plan is made: what is known later names no file, least of all what a host answered."""
    kick = f'hosts: b1, command: kick, parameters: {{mask: x}}, for_each: {{{kind}: "{written}"}}'
    (found,) = problems(steps(f"{WHO}, register: seen", kick))
    assert f"a list is read when the plan is made; {late!r} is known only in the run" in found


def test_a_file_may_be_named_by_what_is_known() -> None:
    """By parameters, and within batches by the batch."""
    kick = "command: kick, parameters: {mask: '{{ item }}'}, for_each: {file: 'users-{{ u }}.txt'}"
    playbook(f"parameters: {{u: {{required: true}}}}\n{steps(f'hosts: b1, {kick}')}")
    inner = kick.replace("{{ u }}", "{{ batch[0].name }}")
    playbook(steps(f"batches: {{hosts: all, steps: [{{name: R, {inner}}}]}}"))


def test_a_steps_own_answer_is_known_to_its_check_and_undo() -> None:
    """`verify` and `undo` may use what their own step registered, and later steps what a verify did."""
    checked = "verify: {command: who, until: '{{ own.ok }}', register: checked}"
    undone = "undo: {command: kick, parameters: {mask: '{{ own.rows }}'}}"
    playbook(steps(f"{WHO}, register: own, {checked}, {undone}", "require: {that: '{{ checked.ok }}', message: m}"))


SEEN = "hosts: d1, command: directorStatus, register: seen"
WHOM = "command: who, parameters: {separateConnections: true}"
ROWS = "{{ seen.rows | where('%s', '0') | length == 0 }}"


def requires(expression: str) -> str:
    """A step that requires an expression."""
    return f'require: {{that: "{expression}", message: m}}'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((SEEN, requires(ROWS % "usrs")), "rows of 'seen' have no column 'usrs'"),
        ((SEEN, requires("{{ not seen.hosts['d1'].rows | column('usrs') }}")), "did you mean 'users'?"),
        ((SEEN, requires("{{ seen.answered.rows | column('usrs') }}")), "did you mean 'users'?"),
        ((SEEN, requires("{{ (seen.rows | first).usrs == '0' }}")), "did you mean 'users'?"),
        ((SEEN, 'require: {that: true, message: "{{ seen.rows | column(\'usrs\') }}"}'), "did you mean 'users'?"),
        ((SEEN, f'{WHO}, when: "{ROWS % "usrs"}"'), "did you mean 'users'?"),
        ((f"hosts: d1, {STATUS}, until: \"{{{{ rows | column('usrs') == ['0'] }}}}\"",), "rows of 'rows' have no column 'usrs'"),
        ((f"hosts: d1, {STATUS}, until: \"{{{{ answer.rows | agree('tag', 'vhost') }}}}\"",), "did you mean 'vhosts'?"),
        ((f"hosts: b1, {WHOM}, until: \"{{{{ not rows | column('pids') }}}}\"",), "did you mean 'pid'?"),
        ((f"{WHO}, until: \"{{{{ not rows | column('pid') }}}}\"",), "did you mean 'pids'?"),
        ((f"{WHO}, verify: {{{STATUS}, until: \"{{{{ rows | column('pids') }}}}\"}}",), "no column 'pids'"),
        ((f"{WHO}, verify: {{{STATUS}, until: true, register: seen}}", requires(ROWS % "usrs")), "did you mean 'users'?"),
        ((f"{INC}, probe: {{command: dictGet, parameters: {{dictUri: x, key: k}}, done: \"{{{{ rows | column('val') }}}}\"}}",), "did you mean 'value'?"),
        ((SEEN, "hosts: \"{{ item.ip }}\", for_each: \"{{ seen.rows | where('state', 'up') }}\", command: who"), "rows of 'item' have no column 'ip'"),
        ((SEEN, "hosts: d1, for_each: '{{ seen.rows }}', when: '{{ item.user }}', command: who"), "did you mean 'users'?"),
        ((SEEN, "hosts: d1, for_each: '{{ seen.rows }}', command: kick, parameters: {mask: '{{ item.user }}'}"), "did you mean 'users'?"),
        ((SEEN, f"{WHO}, undo: {{command: kick, parameters: {{mask: \"{{{{ seen.rows | column('user') }}}}\"}}}}"), "did you mean 'users'?"),
        ((SEEN, f"{WHO}, timeout: \"{{{{ seen.rows | column('user') | max }}}}\""), "did you mean 'users'?"),
        (("hosts: d1, command: directorStatus, parameters: {user: u}, register: seen", requires(ROWS % "users")), "they have expires, hashed, initial-config, status"),
        (("hosts: d1, command: directorFlush, parameters: {host: all}, register: seen", requires(ROWS % "users")), "its command answers no rows"),
        (("hosts: b1, command: mailboxStatus, parameters: {user: u, field: [unseen], mailboxMask: [x]}, register: seen", requires(ROWS % "messages")), "no column 'messages'"),
        (('batches: {hosts: backends, steps: [{name: R, command: directorStatus, register: seen}, {name: Q, when: "' + ROWS % "usrs" + '", pause: 1s}]}',), "did you mean 'users'?"),
        ((f"{SEEN}, parameters: {{user: '{{{{ groups.d | first }}}}'}}", requires(ROWS % "usrs")), "did you mean 'users'?"),
    ],
)  # fmt: skip
def test_a_misspelt_column_is_found(lines: tuple[str, ...], said: str) -> None:
    """Wherever an expression reads a column by its name, a name that the command's rows never have is a mistake with a place."""
    found = problems(steps(*lines))
    assert len(found) == 1, found
    assert said in found[0]
    assert re.match(r"[^:]+:[0-9]+:[0-9]+: ", found[0])


def test_a_misspelt_property_of_hosts_is_found() -> None:
    """Hosts that are a parameter have what the groups' hosts have; a list of texts may have anything."""
    text = steps(f"{WHO}, when: \"{{{{ some | column('adress') == [] }}}}\"")
    [said] = problems(f"parameters: {{some: {{type: hosts}}}}\n{text}")
    assert "did you mean 'address'?" in said
    playbook(f"parameters: {{some: {{type: list}}}}\n{text}")


@pytest.mark.parametrize(
    "lines",
    [
        ("hosts: b1, command: kick, parameters: {mask: x}, register: seen", requires(ROWS % "result")),
        ("hosts: b1, command: kick, parameters: {mask: x}, register: seen", requires(ROWS % "count")),
        (f"hosts: b1, {WHOM}, until: \"{{{{ rows | column('user_backend') }}}}\"",),
        ("hosts: b1, command: who, parameters: {separateConnections: '{{ groups.x }}'}, register: seen", requires(ROWS % "pid"), requires(ROWS % "pids")),
        ("hosts: d1, command: directorStatus, parameters: {user: '{{ groups.x }}'}, register: seen", requires(ROWS % "users"), requires(ROWS % "hashed")),
        ("hosts: b1, command: user, parameters: {userMask: x}, register: seen", requires(ROWS % "quota_rule")),
        ("hosts: b1, command: fetch, parameters: {user: x, query: y, field: [uid, hdr.subject]}, register: seen", requires(ROWS % "hdr.subject")),
        ("hosts: b1, command: fetch, parameters: {user: x, query: y, field: '{{ groups.x }}'}, register: seen", requires(ROWS % "any")),
        ("hosts: b1, command: pluginWord, effect: repeatable, register: seen", requires(ROWS % "any")),
        ("hosts: b1, for_each: [{any: 1}], command: who, when: '{{ item.any }}'",),
        ("hosts: b1, for_each: {csv: x.csv}, command: who, when: '{{ item.any }}'",),
        ("hosts: b1, command: pluginWord, effect: repeatable, register: other", SEEN, requires("{{ (seen.rows + other.rows) | column('any') }}")),
        (SEEN, f"{WHO}, register: other", requires("{{ (seen.rows + other.rows) | column('pids') }}")),
        ("hosts: d1, command: directorRingStatus, register: seen", requires(ROWS % "type")),
        (f"{WHO}, when: '{{{{ groups.directors | column(\"name\") }}}}'",),
    ],
)  # fmt: skip
def test_a_column_that_may_be_there_is_no_mistake(lines: tuple[str, ...]) -> None:
    """Of other versions, parameters not known yet, open sets of columns, plugins and other data nothing is claimed."""
    assert playbook(steps(*lines)).playbook.steps


def test_names_of_a_batch_end_with_it() -> None:
    """What a batch's steps register, and `batch` itself, is not known after the batches."""
    inner = "batches: {hosts: backends, steps: [{name: R, command: who, register: inner}]}"
    assert "'batch' is not defined" in problems(steps(inner, "require: {that: '{{ batch }}', message: m}"))[0]
    assert "'inner' is not defined" in problems(steps(inner, "require: {that: '{{ inner.ok }}', message: m}"))[0]


def test_five_mistakes_are_shown_at_once() -> None:
    """Mistakes of every kind come together, in the order of the text."""
    found = problems("""name: P
parameters: {a-b: {default: x}}
limits: {in_flight: 0}
steps:
  - {name: A, hosts: backends, comand: who}
  - {name: B, hosts: backends, command: directorstatus}
  - {name: C, hosts: '{{ backend }}', command: who}
  - {name: D, hosts: backends, command: kick, parameters: {maks: x}}
""")
    places = [line.split(": ")[0].removeprefix("playbook.yaml:") for line in found]
    assert places == ["2:14", "3:21", "5:32", "6:41", "7:22", "8:47", "8:60"]


def test_no_message_shows_its_machinery() -> None:
    """Messages are the product's words, without types, URLs or the input of the validation library."""
    with pytest.raises(InputError) as caught:
        playbook(
            steps(f"{WHO}, for_each: {{file: 5}}", f"{WHO}, limits: 5", "hosts: {{}}, command: who", f"{WHO}, retry: x")
        )
    assert not [word for word in ("pydantic", "type=", "input_", "validation error") if word in caught.value.message]


@pytest.mark.parametrize(
    ("line", "effect"),
    [
        (WHO, Effect.READ),
        (f"{WHO}, effect: unrepeatable", Effect.READ),
        ("hosts: d1, command: reload", Effect.REPEATABLE),
        ("hosts: d1, command: reload, effect: unrepeatable", Effect.UNREPEATABLE),
        (INC, Effect.UNREPEATABLE),
        (f"{INC}, effect: repeatable", Effect.REPEATABLE),
        ("hosts: d1, command: nosuch, effect: repeatable", Effect.REPEATABLE),
        ("hosts: d1, command: nosuch, effect: unrepeatable", Effect.UNREPEATABLE),
        ("hosts: d1, command: nosuch, effect: read", Effect.READ),
        ("hosts: d1, command: statsDump", Effect.READ),
        ("hosts: d1, command: statsDump, parameters: {reset: true}", Effect.UNREPEATABLE),
        ("hosts: d1, command: statsDump, parameters: {reset: 'true'}", Effect.UNREPEATABLE),
        ("hosts: d1, command: statsDump, parameters: {reset: 1}", Effect.UNREPEATABLE),
        (
            "hosts: d1, command: statsDump, parameters: {reset: '{{ groups.directors | length > 1 }}'}",
            Effect.UNREPEATABLE,
        ),
        ("hosts: d1, command: statsDump, parameters: {reset: false}", Effect.READ),
    ],
)
def test_what_repeating_means(line: str, effect: Effect) -> None:
    """The catalogue knows what sending a command twice means, the playbook may correct it, but not for questions."""
    action: Any = playbook(steps(line)).playbook.steps[0]
    assert effect_of(action, action.parameters) is effect


@pytest.mark.parametrize(
    "line",
    [
        WHO,
        "hosts: [b1, b2], command: who",
        "hosts: [b1, 5], command: who",
        "hosts: 5, command: who",
        "hosts: {b1: b2}, command: who",
        f"{WHO}, for_each: [1, a]",
        f"{WHO}, for_each: {{file: a.txt}}",
        f"{WHO}, for_each: {{csv: a.csv}}",
        f"{WHO}, for_each: {{file: 5}}",
        f"{WHO}, for_each: {{csv: 5}}",
        f"{WHO}, for_each: {{}}",
        f"{WHO}, for_each: a.txt",
        f"{WHO}, for_each: 5",
        f"{WHO}, for_each: '{{{{ groups.backends }}}}'",
        f"{WHO}, when: true",
        f"{WHO}, when: '{{{{ groups.backends }}}}'",
        f"{WHO}, when: maybe",
        f"{WHO}, when: 1",
        f"{WHO}, timeout: 5",
        f"{WHO}, timeout: 5s",
        f"{WHO}, timeout: -5",
        f"{WHO}, timeout: [5]",
        f"{WHO}, nosuch: 1",
        "pause: 30s",
        "pause: 30",
        "pause: {for: 30s}",
        "pause: {confirm: Go on?}",
        "pause: [30s]",
        "require: {that: true, message: m}",
        "require: [{that: true, message: m}]",
        "require: [m]",
        "batches: {hosts: backends, size: 1, steps: [{name: R, command: reload}]}",
        "batches: {hosts: backends, size: 10%, steps: [{name: R, command: reload}]}",
        "batches: {hosts: backends, size: [1, 10%], steps: [{name: R, command: reload}]}",
        "batches: {hosts: backends, size: {a: 1}, steps: [{name: R, command: reload}]}",
    ],
)
def test_an_editor_knows_a_step_as_the_program_does(line: str) -> None:
    """The schema takes and refuses what the program takes and refuses."""
    text = steps(line)
    try:
        playbook(text)
    except InputError:
        taken = False
    else:
        taken = True
    assert jsonschema.Draft202012Validator(Playbook.model_json_schema()).is_valid(document(text).value) == taken


def test_a_source_keeps_its_text() -> None:
    """The run file keeps the playbook's text, which gives the same playbook again."""
    source = playbook(EVERYTHING)
    assert Source(source.document).playbook == playbook(source.document.text).playbook
