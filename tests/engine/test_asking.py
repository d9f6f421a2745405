"""What is asked besides: lists of commands before a step, probes of what was lost, and the look at a fleet of `plan --live`."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dovecot.ask import Asker
from orchestrator.engine.live_plan import MOST, LivePlan, look
from orchestrator.engine.pace import Pace
from orchestrator.engine.preflight import LONGEST_24, MOST_24, Preflight
from orchestrator.engine.probing import ask
from orchestrator.journal.base import Verdict
from orchestrator.plan.steps import CommandStep
from orchestrator.playbook.action import Probe
from tests.engine.hosts import LISTED, Answer, Hosts, Request, code, late, lost, of_version, on, refused, rows
from tests.strategies import fleet, plan, steps

pytestmark = pytest.mark.anyio
FLEET = fleet()


# before a step


def preflight(hosts: Hosts) -> Preflight:
    """The lists of a fleet."""
    return Preflight(Asker(hosts), FLEET.hosts)


async def problems(hosts: Hosts, command: str, *names: str, of: str = "b1 b2 b3") -> list[str]:
    """Why a command cannot be sent."""
    return await preflight(hosts).problems(command, iter(names), of.split())


async def test_a_command_that_all_hosts_have_is_no_problem() -> None:
    """Where the lists have command and parameters nothing is said; also where there is no list to be had."""
    assert await problems(Hosts({"b2": None}), "kick", "mask") == []
    assert await problems(Hosts({"b2": None}), "nosuch", of="b2") == []


async def test_hosts_with_the_same_reason_are_named_together() -> None:
    """Each reason is said once, with all hosts that have it."""
    without = {name: names for name, names in LISTED.items() if name != "kick"}
    found = await problems(Hosts({"b1": without, "b2": without, "b3": {**LISTED, "kick": ["user"]}}), "kick", "mask")
    assert found == [
        "b[1-2]: Dovecot 2.3 there has no command kick (a plugin that is not loaded, or another version)",
        "b3: Dovecot 2.3 there does not know the parameter 'mask' of kick (it knows user)",
    ]


@pytest.mark.parametrize(
    ("version", "command", "names", "message"),
    [
        ("2.3", "directorStatus", ["user"], ""),
        ("2.4.1", "directorStatus", ["user"], "Dovecot 2.4 before 2.4.3 there has no command directorStatus"),
        ("2.4.1", "authCacheFlush", ["user"], "Dovecot 2.4 before 2.4.3 there crashes on authCacheFlush with user"),
        ("2.4.1", "authCacheFlush", [], ""),
        ("2.4.5", "authCacheFlush", ["user"], "Dovecot 2.4.3 or later there does not know the parameter 'user' of authCacheFlush"),
        ("2.4.5", "authCacheFlush", ["userMask"], ""),
        ("2.3", "authCacheFlush", ["userMask"], "; use user there"),
        ("2.3", "purge", ["userFile"], "purge with userFile does nothing on Dovecot 2.3: the text is lost there"),
        ("2.4.5", "purge", ["userFile"], ""),
    ],
)  # fmt: skip
async def test_real_lists_are_understood(version: str, command: str, names: list[str], message: str) -> None:
    """What real hosts of each version list says what they do not have, and what they have instead."""
    found = await problems(Hosts({"b1": of_version(version)}), command, *names, of="b1")
    assert [message in problem for problem in found] == [True] * bool(message)


async def test_a_list_is_asked_for_once_a_session() -> None:
    """A list that was had, or could not be had, is not asked for again."""
    hosts = Hosts({"b2": None})
    found = preflight(hosts)
    for of in (["b1", "b2"], ["b2", "b3"]):
        await found.problems("kick", iter(["mask"]), of)
    assert sorted(hosts.lists_asked) == ["b1", "b2", "b3"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ('{"mask":[' + ",".join(['"u"'] * MOST_24) + "]}", ""),
        ('{"mask":[' + ",".join(['"u"'] * (MOST_24 + 1)) + "]}", "mask has 1025 items"),
        ('{"mask":["' + "u" * LONGEST_24 + '"]}', ""),
        ('{"mask":["' + "ü" * LONGEST_24 + '"]}', "mask is longer than the 32768 bytes"),
        ('{"user":"' + "u" * (LONGEST_24 + 1) + '"}', "user is longer"),
    ],
)
async def test_what_2_4_cannot_take_is_known(parameters: str, message: str) -> None:
    """Long values and long lists are refused for hosts of 2.4 alone, and only when their list was had."""
    hosts = Hosts({"b1": of_version("2.4.1"), "b3": None})
    found = preflight(hosts)
    assert found.too_large("b1", parameters) == ""
    await found.problems("kick", iter(["mask"]), ["b1", "b2", "b3"])
    assert message in found.too_large("b1", parameters)
    assert bool(message) == bool(found.too_large("b1", parameters))
    assert found.too_large("b2", parameters) == found.too_large("b3", parameters) == ""


# what became of a lost operation


def probe(done: str = "{{ (rows | first).value == '1' }}", **changes: Any) -> Probe:
    """A playbook's question."""
    usual = {
        "command": "dictGet",
        "parameters": {"dictUri": "d", "key": "k/{{ parameters.key }}", "user": "{{ host.name }}"},
    }
    return Probe.model_validate({**usual, "done": done, **changes})


@pytest.mark.parametrize(
    ("answer", "done", "verdict"),
    [
        (rows({"value": "1"}), "{{ (rows | first).value == '1' }}", Verdict.DONE),
        (rows({"value": "0"}), "{{ (rows | first).value == '1' }}", Verdict.RETRY),
        (rows(), "{{ (rows | first).value == '1' }}", None),
        (rows({"value": "1"}), "{{ answer.rows | length == 1 and seen == 7 }}", Verdict.DONE),
        (rows({"value": "1"}), "{{ (rows | first).value }}", None),
        (code(64), "{{ true }}", None),
        (code(68), "{{ answer.exit_code != 68 }}", Verdict.RETRY),
        (code(75), "{{ true }}", None),
        (lost, "{{ true }}", None),
        (late, "{{ true }}", None),
        (refused, "{{ true }}", None),
    ],
)
async def test_a_probe_says_what_became_of_it_or_nothing(answer: Answer, done: str, verdict: Verdict | None) -> None:
    """Only an answer that can be judged is a verdict; trouble, and a condition that cannot be evaluated, is none."""
    hosts = Hosts(dictGet=answer)
    found = await ask(probe(done, accept=[68]), FLEET.hosts["b1"], '{"key":"x"}', {"seen": 7}, Asker(hosts))
    assert found is verdict
    [request] = hosts.sent
    assert (request.host, request.command, request.tag) == ("b1", "dictGet", "probe")
    assert request.parameters == {"dictUri": "d", "key": "k/x", "user": "b1"}


async def test_a_probe_that_cannot_be_asked_is_no_verdict() -> None:
    """A question whose parameters the values do not allow is not sent, and leaves the doubt."""
    hosts = Hosts()
    wrong = probe(parameters={"dictUri": "d", "key": "{{ parameters.nothing }}"})
    assert await ask(wrong, FLEET.hosts["b1"], '{"key":"x"}', {}, Asker(hosts)) is None
    assert hosts.sent == []


@pytest.mark.parametrize(("changes", "timeout"), [({}, 60.0), ({"timeout": 2.0}, 2.0)])
async def test_a_probe_has_its_own_timeout(changes: dict[str, Any], timeout: float) -> None:
    """It is waited for as long as it says, or as the host's settings do."""
    hosts = Hosts()
    await ask(probe(**changes), FLEET.hosts["b1"], '{"key":"x"}', {}, Asker(hosts))
    assert hosts.sent[0].timeout == timeout


async def test_questions_take_their_turn() -> None:
    """What is asked besides goes in the pace of the run: no more a second than all may be together."""
    hosts, pace = Hosts(), Pace(1000)
    asker = Asker(hosts, pace)
    before = pace.take(0.0)
    await ask(probe(), FLEET.hosts["b1"], '{"key":"x"}', {}, asker)
    await asker.command_list("b1", 5.0)
    assert pace.take(before) > before


# plan --live


def counting(request: Request) -> bool:
    """Whether a request only counts who will notice a step."""
    return request.tag.startswith("impact.")


async def live(hosts: Hosts, *lines: str) -> LivePlan:
    """A look for a plan of these steps."""
    return await look(plan(steps(*lines)), Asker(hosts))


async def test_a_look_asks_and_changes_nothing() -> None:
    """Read-only commands are sent once; what changes something is not, whatever it depends on."""
    hosts = Hosts(who=rows({"username": "u1"}))
    seen = await live(
        hosts,
        "hosts: 'b[1-2]', command: who, register: seen",
        "hosts: b1, for_each: \"{{ seen.rows | column('username') }}\", command: kick, parameters: {mask: '{{ item }}'}",
        "hosts: b1, command: reload",
    )
    assert [request.command for request in hosts.sent if not counting(request)] == ["who", "who"]
    assert {request.command for request in hosts.sent} == {"who", "proxyList"}
    assert seen.sent == len(hosts.sent)
    assert seen.notes[0] == ["answers 2 rows now"]
    assert [(draft.host, draft.parameters) for draft in seen.drafts[1]] == [("b1", '{"mask":["u1"]}')] * 2
    assert 2 not in seen.drafts


async def test_an_answer_before_a_change_is_called_so() -> None:
    """What a later step would answer cannot be known; its answer of now says before which change it is."""
    seen = await live(Hosts(), "hosts: b1, command: reload", "hosts: b1, command: who")
    assert seen.notes[1] == ["answers 0 rows now (before step 1)"]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("require: [{that: '{{ seen.rows | length == 1 }}', message: m}]", "true now: {{ seen.rows | length == 1 }}"),
        (
            "require: [{that: '{{ seen.rows | length > 1 }}', message: 'only {{ seen.rows | length }}'}]",
            "FALSE now: {{ seen.rows | length > 1 }} - only 1",
        ),
        ("hosts: b1, command: reload, when: '{{ seen.rows | length > 1 }}'", "FALSE now: {{ seen.rows | length > 1 }}"),
        ("require: [{that: '{{ 1 / (seen.rows | length - 1) > 0 }}', message: m}]", "unknown now: {{ 1 / (seen.rows | length - 1) > 0 }}"),
    ],
)  # fmt: skip
async def test_conditions_are_judged_as_of_now(line: str, note: str) -> None:
    """Each condition whose names are known says whether it holds, with its message where it does not."""
    seen = await live(Hosts(who=rows({"username": "u"})), "hosts: b1, command: who, register: seen", line)
    assert seen.notes[1] == [note]


async def test_a_step_that_would_be_skipped_is_not_asked() -> None:
    """A question whose condition is false is not sent."""
    hosts = Hosts()
    await live(
        hosts, "hosts: b1, command: who, register: s", "hosts: b2, command: who, when: '{{ s.rows | length > 0 }}'"
    )
    assert [request.host for request in hosts.sent] == ["b1"]


STATUS = "hosts: b1, command: who, register: seen"


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([STATUS], "every question was answered"),
        ([STATUS, "require: [{that: '{{ seen.ok }}', message: m}]"], "the condition holds"),
        (
            [STATUS, "require: [{that: '{{ seen.ok }}', message: m}, {that: '{{ seen.rows | length == 1 }}', message: m}]"],
            "all 2 conditions hold",
        ),
        (
            [STATUS, "require: [{that: '{{ seen.rows | length > 4 }}', message: 'only {{ seen.rows | length }}'}]", "hosts: b2, command: stop"],
            "would stop at step 2 (S2): only 1",
        ),
        (
            [STATUS, "require: [{that: '{{ (seen.rows | first).service == 1 }}', message: m}]"],
            "would stop at step 2 (S2): cannot evaluate {{ (seen.rows | first).service == 1 }}: there is no 'service'; there are: username",
        ),
        (
            ["hosts: b1, command: reload", STATUS, "require: [{that: '{{ seen.rows | length > 4 }}', message: m}]"],
            "no condition to look at before the run; 1 more depends on what the run does",
        ),
        (
            [STATUS, "hosts: b1, command: reload", "require: [{that: '{{ seen.rows | length > 4 }}', message: few}]"],
            "would stop at step 3 (S3): few",
        ),
        (
            [STATUS, "hosts: b1, for_each: \"{{ seen.rows | column('service') }}\", command: kick, parameters: {mask: '{{ item }}'}"],
            "would stop at step 2 (S2): cannot evaluate",
        ),
        (["hosts: 'b[1-2]', command: whoo, effect: read"], "every question was answered"),
    ],
)  # fmt: skip
async def test_a_look_ends_with_a_verdict(lines: list[str], verdict: str) -> None:
    """Whether the run would get to its first change: all that must hold holds, or the first step that stops it, and why."""
    assert (await live(Hosts(who=rows({"username": "u"})), *lines)).verdict.startswith(verdict)


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ("", "would stop at step 1 (S1): b2: the connection was closed"),
        (", on_failure: continue", "every question was answered"),
        (", limits: {max_failed: 1}", "every question was answered"),
        (", limits: {max_failed: 40%}", "would stop at step 1"),
    ],
)
async def test_a_host_that_is_not_there_stops_a_run_as_its_limits_say(more: str, verdict: str) -> None:
    """Conditions that hold of the other hosts' answers are no comfort; what may fail may fail in the look too."""
    hosts = Hosts(who=on({"b2": lost}, rows({"username": "u"})))
    assert (await live(hosts, f"hosts: 'b[1-2]', command: who{more}")).verdict.startswith(verdict)


async def test_what_undo_would_send_is_shown_and_not_asked() -> None:
    """An undo is laid out with the answers of now: the value that would be put back is known before anything is changed."""
    hosts = Hosts(who=rows({"username": "u9"}))
    seen = await live(
        hosts,
        STATUS,
        "hosts: b2, command: reload, undo: {command: kick, parameters: {mask: ['{{ (seen.rows | first).username }}']}}",
    )
    assert [drafts[0].parameters for drafts in seen.drafts.values()] == ['{"mask":["u9"]}']
    assert [request.command for request in hosts.sent if not counting(request)] == ["who"]


async def test_a_polled_condition_says_what_it_sees_now() -> None:
    """The value that a step will wait for is told as it is now, by host."""
    hosts = Hosts(who=on({"b2": rows({"username": "u"})}, rows()))
    seen = await live(hosts, "hosts: 'b[1-2]', command: who, until: '{{ rows | length == 0 }}'")
    assert seen.notes[0] == ["answers 1 row now; 0 rows on b1; 1 row on b2"]


async def test_a_look_that_fails_says_so() -> None:
    """A host that does not answer is named, and what depends on it is not guessed; what the others answer is told."""
    seen = await live(
        Hosts(who=refused),
        "hosts: b1, command: who, register: seen",
        "hosts: b2, for_each: '{{ seen.rows }}', command: kick, parameters: {mask: x}",
    )
    assert seen.notes[0] == ["b1: connection refused"]
    assert seen.notes[1][0].startswith("cannot be planned now: step 2 (S2): ")
    assert 1 not in seen.drafts
    seen = await live(Hosts(who=on({"b2": lost}, rows({"username": "u"}))), "hosts: 'b[1-2]', command: who")
    assert seen.notes[0] == ["b2: the connection was closed", "answers 1 row now"]


async def test_a_look_is_not_a_run() -> None:
    """A step of very many questions is not asked for a look."""
    hosts = Hosts()
    items = ", ".join(str(number) for number in range(MOST + 1))
    seen = await live(hosts, f"hosts: b1, for_each: [{items}], command: who")
    assert (hosts.sent, seen.notes[0]) == ([], [f"more than {MOST} requests; not asked"])


async def test_undo_steps_are_not_looked_at() -> None:
    """What would only be done after a failure is no part of the look; what comes last is."""
    text = (
        steps("hosts: b1, command: logReopen, undo: {command: reload}")
        + "finally: [{name: F, hosts: d1, command: who}]"
    )
    hosts = Hosts()
    made = plan(text)
    seen = await look(made, Asker(hosts))
    assert [request.host for request in hosts.sent] == ["d1"]
    assert {made.steps[index].role for index in seen.notes} == {"finally"}
    assert all(isinstance(step, CommandStep) for step in made.steps)
