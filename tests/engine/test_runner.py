"""A session of a run: step after step, what is taken back, what comes last, and what goes on after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.engine.rules import Settings
from orchestrator.engine.runner import Runner
from orchestrator.errors import JournalError
from orchestrator.journal.base import Intent, Session, Start, Verdict
from orchestrator.limits import Limits, Retry
from orchestrator.status import RESUMABLE, Ending, Status
from tests.engine.hosts import LISTED, Answer, Held, Hosts, Request, Rig, code, in_turn, late, lost, on, refused, rows
from tests.strategies import steps

pytestmark = pytest.mark.anyio
FINALLY = "finally: [{name: F, hosts: d1, command: who}]"
UNDOES = (
    steps(
        "hosts: b1, command: reload, undo: {command: reload}",
        "hosts: b2, command: reload, undo: {command: reload}, on_failure: undo",
        "hosts: b3, command: reload, undo: {command: reload}, on_failure: undo",
    )
    + FINALLY
)
COUNT = "command: dictInc, parameters: {dictUri: d, key: k, difference: 1}"


# one step after the other


async def test_steps_are_run_in_order(tmp_path: Path) -> None:
    """Each step is sent when the one before is through, then what comes last; all is recorded, and told."""
    rig = Rig(tmp_path, steps("hosts: 'b[1-2]', command: reload", "hosts: b3, command: who") + FINALLY)
    assert await rig.session() == Ending(Status.DONE)
    assert sorted(rig.hosts.trace[:2]) == ["b1:1.1", "b2:1.2"]
    assert rig.hosts.trace[2:] == ["b3:2.1", "d1:finally.1.1"]
    assert set(rig.report().values()) == {"done"}
    assert rig.watcher.started == ["1", "2", "finally.1"]
    assert rig.watcher.ended == rig.steps() == {"1": "done", "2": "done", "finally.1": "done"}
    with rig.run.read() as reader:
        assert reader.status() == (Status.DONE, "")


async def test_answers_are_what_later_steps_are_made_of(tmp_path: Path) -> None:
    """Items, hosts and conditions come from what hosts answered, and from the run itself."""
    found = rows({"username": "u1"}, {"username": "u2"})
    rig = Rig(
        tmp_path,
        steps(
            "hosts: b1, command: who, register: seen",
            "hosts: b2, for_each: \"{{ seen.rows | column('username') }}\", command: kick, parameters: {mask: ['{{ item }}', '{{ run.id }}']}",
            "hosts: b3, command: reload, when: '{{ seen.rows | length > 2 }}', verify: {command: who, until: true}",
        ),
        Hosts(who=found),
    )
    assert await rig.session() == Ending(Status.DONE)
    assert [request.parameters["mask"] for request in rig.hosts.of("kick")] == [["u1", rig.run.id], ["u2", rig.run.id]]
    assert rig.steps() == {"1": "done", "2": "done", "3": "skipped", "3.verify": "skipped"}


async def test_a_condition_that_does_not_hold_stops_all(tmp_path: Path) -> None:
    """A `require` that fails is a refusal with its message; nothing after it is sent but what comes last."""
    line = "require: [{that: '{{ seen.rows | length > 1 }}', message: 'only {{ seen.rows | length }}'}]"
    rig = Rig(tmp_path, steps("hosts: b1, command: who, register: seen", line, "hosts: b1, command: reload") + FINALLY)
    assert await rig.session() == Ending(Status.REFUSED, "step 2 (S2): only 0")
    assert rig.hosts.trace == ["b1:1.1", "d1:finally.1.1"]
    assert rig.steps() == {"1": "done", "2": "failed", "3": "skipped", "finally.1": "done"}
    assert rig.report()["3.1"] == "skipped"


async def test_an_expression_that_fails_is_a_refusal(tmp_path: Path) -> None:
    """What answers do not allow is told with its step, and nothing of it is sent."""
    text = steps(
        "hosts: b1, command: who, register: seen",
        "hosts: b1, command: kick, parameters: {mask: '{{ (seen.rows | first).username }}'}",
    )
    rig = Rig(tmp_path, text)
    ending = await rig.session()
    assert (ending.status, ending.reason.startswith("step 2 (S2): ")) == (Status.REFUSED, True)
    assert rig.hosts.of("kick") == []


@pytest.mark.parametrize(
    "line",
    [
        "command: who, timeout: \"{{ seen.rows | column('username') | first }}\"",
        "command: who, until: true, within: \"{{ seen.rows | column('username') | first }}\"",
    ],
)
async def test_an_answer_that_is_no_duration_is_a_refusal(tmp_path: Path, line: str) -> None:
    """A timeout that is made of an answer, and is none, ends the run before the step sends anything."""
    hosts = Hosts(who=rows({"username": "jane"}))
    rig = Rig(tmp_path, steps("hosts: b1, command: who, register: seen", f"hosts: b2, {line}"), hosts)
    ending = await rig.session()
    assert ending.status is Status.REFUSED
    assert "jane" in ending.reason
    assert rig.hosts.trace == ["b1:1.1"]


async def test_a_command_that_a_host_does_not_have_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """A step goes to all of its hosts or to none, as far as their lists tell."""
    without = {name: names for name, names in LISTED.items() if name != "kick"}
    rig = Rig(
        tmp_path,
        steps("hosts: 'b[1-3]', command: kick, parameters: {mask: [u]}"),
        Hosts({"b2": without, "b3": None}),
    )
    ending = await rig.session()
    assert ending.status is Status.REFUSED
    assert "b2: Dovecot 2.3 there has no command kick" in ending.reason
    assert rig.hosts.sent == []
    assert sorted(rig.hosts.lists_asked) == ["b1", "b2", "b3"]


# pauses


async def yes(_question: str) -> bool:
    """To everything."""
    return True


async def test_a_pause_is_waited_for(tmp_path: Path) -> None:
    """A pause is told and passed, and what comes after it is sent."""
    rig = Rig(tmp_path, steps("pause: 1ms", "hosts: b1, command: who"))
    assert await rig.session() == Ending(Status.DONE)
    assert [note for note in rig.watcher.notes if note.startswith("waiting ")]
    assert rig.steps() == {"1": "done", "2": "done"}


async def test_a_question_is_asked_with_its_values(tmp_path: Path) -> None:
    """The operator is asked what the playbook says; a yes goes on."""
    asked: list[str] = []

    async def approve(question: str) -> bool:
        asked.append(question)
        return True

    text = steps("hosts: b1, command: who, register: s", "pause: {confirm: '{{ s.rows | length }} of them?'}")
    rig = Rig(tmp_path, text, approve=approve)
    assert await rig.session() == Ending(Status.DONE)
    assert asked == ["0 of them?"]


async def test_without_a_yes_the_run_stops_and_asks_again(tmp_path: Path) -> None:
    """A no stops with work left; whoever resumes the run is asked again."""
    rig = Rig(tmp_path, steps("pause: {confirm: 'sure?'}", "hosts: b1, command: reload"))
    assert await rig.session() == Ending(Status.STOPPED, "step 1 (S1) was not confirmed")
    assert rig.hosts.sent == []
    rig.approve = yes
    assert await rig.session(Start({}, expected=RESUMABLE)) == Ending(Status.DONE)
    assert rig.hosts.trace == ["b1:2.1"]


async def test_an_interruption_ends_a_question(tmp_path: Path) -> None:
    """Who is asked and does not answer holds up no signal."""
    asked = anyio.Event()

    async def never(_question: str) -> bool:
        asked.set()
        await anyio.sleep_forever()
        return True

    async def interrupt(runner: Runner, _session: Session) -> None:
        await asked.wait()
        runner.interrupt("Ctrl-C")

    rig = Rig(tmp_path, steps("pause: {confirm: 'sure?'}"), approve=never)
    assert await rig.session(during=interrupt) == Ending(Status.INTERRUPTED, "Ctrl-C")


@pytest.mark.parametrize("pause", ["1h", "{for: 1h}"])
async def test_an_interruption_ends_a_pause(tmp_path: Path, pause: str) -> None:
    """A pause is over when the run is; it starts again when the run is resumed."""

    async def interrupt(runner: Runner, _session: Session) -> None:
        while not rig.watcher.notes:
            await anyio.lowlevel.checkpoint()
        runner.interrupt("Ctrl-C")

    rig = Rig(tmp_path, steps(f"pause: {pause}"))
    assert await rig.session(during=interrupt) == Ending(Status.INTERRUPTED, "Ctrl-C")
    assert rig.steps() == {"1": "running"}


# failures


async def test_a_failure_stops_the_run(tmp_path: Path) -> None:
    """More failures than may be leave the later steps for a retry; what comes last is done all the same."""
    rig = Rig(
        tmp_path,
        steps("hosts: 'b[1-2]', command: reload", "hosts: b3, command: reload") + FINALLY,
        Hosts(reload=on({"b2": code(64)}, rows())),
    )
    ending = await rig.session()
    assert ending.status is Status.STOPPED
    assert ending.reason.startswith("step 1 (S1): ")
    assert rig.steps() == {"1": "failed", "2": "pending", "finally.1": "done"}
    assert rig.report() == {"1.1": "done", "1.2": "failed", "2.1": "pending", "finally.1.1": "done"}


async def test_what_failed_before_is_not_gone_over(tmp_path: Path) -> None:
    """Going on with a run that failed stops at the same step; a retry sends what failed, and goes on."""
    text = steps("hosts: 'b[1-2]', command: reload", "hosts: b3, command: reload")
    rig = Rig(tmp_path, text, Hosts(reload=on({"b2": in_turn(code(64), rows())}, rows())))
    await rig.session()
    assert await rig.session() == Ending(Status.STOPPED, "step 1 (S1) failed earlier")
    assert len(rig.hosts.of("reload")) == 2
    assert await rig.session(Start({}, retry=True)) == Ending(Status.DONE)
    assert rig.hosts.trace[2:] == ["b2:1.2", "b3:2.1"]


async def test_failures_that_may_be_end_as_a_run_with_failures(tmp_path: Path) -> None:
    """Where a failure does not stop, all steps are run, and the end says that some failed."""
    text = steps("hosts: 'b[1-2]', command: reload, on_failure: continue", "hosts: b3, command: reload")
    rig = Rig(tmp_path, text, Hosts(reload=on({"b2": code(64)}, rows())))
    assert await rig.session() == Ending(Status.FAILED)
    assert rig.steps() == {"1": "done", "2": "done"}


async def test_what_was_done_is_taken_back_last_first(tmp_path: Path) -> None:
    """The undo of each step that was begun is sent, the last one's first; that of a step that was not begun is not."""
    rig = Rig(tmp_path, UNDOES, Hosts(reload=on({"b2": in_turn(code(64), rows())}, rows())))
    ending = await rig.session()
    assert ending.status is Status.UNDONE
    assert rig.hosts.trace == ["b1:1.1", "b2:2.1", "b2:2.undo.1", "b1:1.undo.1", "d1:finally.1.1"]
    assert rig.steps() == {
        "1": "done",
        "2": "failed",
        "3": "skipped",
        "3.undo": "skipped",
        "2.undo": "done",
        "1.undo": "done",
        "finally.1": "done",
    }
    assert any(note.endswith("undoing what was done") for note in rig.watcher.notes)


async def test_one_undo_that_fails_does_not_keep_the_others(tmp_path: Path) -> None:
    """All that can be taken back is, and the end says that not all could be."""
    rig = Rig(tmp_path, UNDOES, Hosts(reload=on({"b2": code(64)}, rows())))
    ending = await rig.session()
    assert (ending.status, ending.reason.endswith("; and some of the undo failed")) == (Status.UNDONE, True)
    assert rig.hosts.trace[2:4] == ["b2:2.undo.1", "b1:1.undo.1"]


async def test_an_undo_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    """Once it was undoing, a run goes no further forward: the next session takes back the rest, with the first reason."""
    held = Held()

    async def interrupt(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.interrupt("Ctrl-C")
        held.free.set()

    rig = Rig(tmp_path, UNDOES, Hosts(reload=on({"b2": in_turn(code(64), held)}, rows())))
    ending = await rig.session(during=interrupt)
    assert (ending.status, "; and the undo stopped: " in ending.reason) == (Status.INTERRUPTED, True)
    assert "b1:1.undo.1" not in rig.hosts.trace
    before = len(rig.hosts.trace)
    ending = await rig.session(Start({}, expected=RESUMABLE))
    assert ending.status is Status.UNDONE
    assert ending.reason.startswith("step 2 (S2): ")
    assert rig.hosts.trace[before:] == ["b1:1.undo.1", "d1:finally.1.1"]


async def test_a_failed_final_step_is_told(tmp_path: Path) -> None:
    """A failure of what comes last makes a good run one with failures, and no more."""
    rig = Rig(tmp_path, steps("hosts: b1, command: reload") + FINALLY, Hosts(who=code(64)))
    assert await rig.session() == Ending(Status.FAILED, "an operation of `finally` failed")


# doubt


async def test_an_intent_is_in_the_journal_before_its_request_is_sent(tmp_path: Path) -> None:
    """A command that must not be sent twice is noted as being sent when it leaves, with the number of the attempt."""
    seen: list[tuple[str, int]] = []

    def noted(answer: Answer) -> Answer:
        def answered(request: Request) -> Any:
            with rig.run.read() as reader:
                found = reader.operation(request.tag)
            assert found is not None
            seen.append((found[1].state.word, found[1].attempts))
            return answer(request)

        return answered

    hosts = Hosts(dictInc=in_turn(noted(refused), noted(rows())))
    rig = Rig(tmp_path, steps(f"hosts: b1, {COUNT}"), hosts)
    assert await rig.session() == Ending(Status.DONE)
    assert seen == [("running", 1), ("running", 2)]


async def test_a_lost_answer_is_in_doubt_and_nothing_goes_on(tmp_path: Path) -> None:
    """Whether it was executed nobody knows, so it is not sent again and not taken back; what comes last is done."""
    text = steps(f"hosts: b1, {COUNT}, on_failure: undo, undo: {{command: reload}}", "hosts: b2, command: reload")
    rig = Rig(tmp_path, text + FINALLY, Hosts(dictInc=lost))
    assert await rig.session() == Ending(Status.IN_DOUBT, "step 1 (S1): 1 in doubt")
    assert rig.hosts.trace == ["b1:1.1", "d1:finally.1.1"]
    assert await rig.session() == Ending(Status.IN_DOUBT, "step 1 (S1): 1 in doubt")
    assert len(rig.hosts.of("dictInc")) == 1
    rig.run.settle([1], Verdict.DONE, "looked")
    assert await rig.session() == Ending(Status.DONE)
    assert len(rig.hosts.of("dictInc")) == 1


@pytest.mark.parametrize(
    ("value", "ending", "sent"),
    [("1", Ending(Status.DONE), 0), ("0", Ending(Status.DONE), 1), ("x", Ending(Status.IN_DOUBT, "step 1 (S1): 1 in doubt"), 0)],
)  # fmt: skip
async def test_a_probe_settles_what_an_earlier_session_left(
    tmp_path: Path, value: str, ending: Ending, sent: int
) -> None:
    """What was executed is done, what was not is sent again, and what the probe cannot tell stays in doubt."""
    probe = 'probe: {command: dictGet, parameters: {dictUri: d, key: k}, done: "{{ (rows | first).value | int == 1 }}", after: 0s}'
    rig = Rig(tmp_path, steps(f"hosts: b1, {COUNT}, {probe}"), Hosts(dictGet=rows({"value": value})))
    await rig.journal.vanish(rig.run, Intent(1, 1, 5))  # type: ignore[arg-type]
    assert await rig.session() == ending
    assert (len(rig.hosts.of("dictInc")), len(rig.hosts.of("dictGet"))) == (sent, 1)
    assert any("were being sent when the run was interrupted" in note for note in rig.watcher.notes)


# interruptions


async def test_after_the_first_signal_answers_come_and_the_end_is_done(tmp_path: Path) -> None:
    """Nothing more of the steps is sent, what is under way is heard, what comes last is done; all can be resumed."""
    held = Held()

    async def interrupt(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.interrupt("Ctrl-C")
        runner.interrupt("another reason")
        held.free.set()

    text = steps("hosts: b1, for_each: [u1, u2, u3], command: kick, parameters: {mask: ['{{ item }}']}") + FINALLY
    settings = Settings(Limits(in_flight=1), Retry(base=0))
    rig = Rig(tmp_path, text, Hosts(kick=in_turn(held, rows())), settings=settings)
    assert await rig.session(during=interrupt) == Ending(Status.INTERRUPTED, "Ctrl-C")
    assert rig.hosts.trace == ["b1:1.1", "d1:finally.1.1"]
    assert rig.report() == {"1.1": "done", "1.2": "pending", "1.3": "pending", "finally.1.1": "done"}
    assert await rig.session(Start({}, expected=RESUMABLE)) == Ending(Status.DONE)
    assert rig.hosts.trace[2:] == ["b1:1.2", "b1:1.3", "d1:finally.1.1"]  # a look at the end is taken at the end
    with rig.run.read() as reader:
        assert reader.attempts(4)[0].number == 1


async def test_a_stop_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come within the time of grace is no longer waited for, and asked for by whoever resumes."""
    monkeypatch.setattr("orchestrator.engine.sending.GRACE", 0.1)
    held = Held()

    async def interrupt(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.interrupt("Ctrl-C")

    rig = Rig(tmp_path, steps("hosts: b1, command: who"), Hosts(who=held))
    with anyio.fail_after(60):
        assert await rig.session(during=interrupt) == Ending(Status.INTERRUPTED, "Ctrl-C")
    assert rig.report() == {"1.1": "pending"}


async def test_after_the_second_signal_the_end_is_left_to_who_resumes(tmp_path: Path) -> None:
    """Answers are not waited for: what may be sent twice is pending again, and `finally` is not begun."""
    held = Held()

    async def cancel(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.interrupt("Ctrl-C")
        runner.cancel()

    rig = Rig(tmp_path, steps("hosts: b1, command: reload") + FINALLY, Hosts(reload=in_turn(held, rows())))
    assert await rig.session(during=cancel) == Ending(Status.INTERRUPTED, "Ctrl-C")
    assert (rig.hosts.trace, rig.report()) == (["b1:1.1"], {"1.1": "pending", "finally.1.1": "pending"})
    assert await rig.session() == Ending(Status.DONE)
    assert rig.hosts.trace == ["b1:1.1", "b1:1.1", "d1:finally.1.1"]


async def test_a_command_that_was_not_waited_for_is_in_doubt(tmp_path: Path) -> None:
    """What must not be sent twice, and whose answer nobody waited for, is in doubt: that is told, not the signal."""
    held = Held()

    async def cancel(runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        runner.cancel()

    rig = Rig(tmp_path, steps(f"hosts: b1, {COUNT}"), Hosts(dictInc=held))
    assert await rig.session(during=cancel) == Ending(Status.IN_DOUBT, "step 1 (S1): 1 in doubt")


async def test_a_signal_before_the_first_step_sends_nothing(tmp_path: Path) -> None:
    """Whoever is interrupted before it begins does nothing but the end."""

    async def interrupt(runner: Runner, _session: Session) -> None:
        runner.interrupt("SIGTERM")

    rig = Rig(tmp_path, steps("pause: 1h", "hosts: b1, command: reload"))
    assert await rig.session(during=interrupt) == Ending(Status.INTERRUPTED, "SIGTERM")
    assert rig.hosts.sent == []


# the rest


async def test_a_step_is_polled_until_its_condition_holds(tmp_path: Path) -> None:
    """A host is polled until the answer is as it should be; that counts as no trouble."""
    answers = in_turn(rows({"n": "2"}), rows({"n": "1"}), rows())
    rig = Rig(
        tmp_path, steps("hosts: b1, command: who, until: '{{ not rows }}', every: 1ms, within: 1m"), Hosts(who=answers)
    )
    assert await rig.session() == Ending(Status.DONE)
    assert [attempt.outcome.kind.value for attempt in rig.watcher.attempts] == ["not_yet", "not_yet", "done"]
    with rig.run.read() as reader:
        assert [attempt.kind for attempt in reader.attempts(1)] == ["not_yet", "not_yet", "done"]


async def test_a_condition_that_never_holds_fails_its_step(tmp_path: Path) -> None:
    """When the time is over the operation has failed, and the last answer is not taken for a good one."""
    rig = Rig(
        tmp_path,
        steps("hosts: b1, command: who, until: '{{ not rows }}', every: 0s, within: 0s"),
        Hosts(who=rows({"n": "2"})),
    )
    assert (await rig.session()).status is Status.STOPPED
    assert rig.report() == {"1.1": "failed"}


async def test_who_was_taken_over_stops_at_once(tmp_path: Path) -> None:
    """A session whose run is another process's raises; nothing more is sent, and nothing of it is recorded."""
    held = Held()

    async def usurp(_runner: Runner, _session: Session) -> None:
        await held.asked.wait()
        rig.journal.usurp(rig.run, rig.journal.elsewhere)  # type: ignore[arg-type]
        held.free.set()

    rig = Rig(tmp_path, steps("hosts: b1, command: reload", "hosts: b2, command: reload"), Hosts(reload=held))
    with pytest.raises(ExceptionGroup) as caught:
        await rig.session(during=usurp)
    assert caught.group_contains(JournalError, match="another process has taken over")
    assert rig.hosts.trace == ["b1:1.1"]
    assert rig.report() == {"1.1": "pending", "2.1": "pending"}


async def test_a_step_of_no_operations_is_done(tmp_path: Path) -> None:
    """Where there is nothing to do, a step is done, and the run goes on."""
    text = steps(
        "hosts: b1, command: who, register: s",
        "hosts: b1, for_each: '{{ s.rows }}', command: kick, parameters: {mask: x}",
        "hosts: b2, command: reload",
    )
    rig = Rig(tmp_path, text)
    assert await rig.session() == Ending(Status.DONE)
    assert rig.steps() == {"1": "done", "2": "done", "3": "done"}


async def test_a_late_answer_of_a_repeatable_command_is_retried(tmp_path: Path) -> None:
    """What may be sent twice is, until it is answered or the attempts are used up."""
    rig = Rig(tmp_path, steps("hosts: b1, command: reload"), Hosts(reload=in_turn(late, lost, code(75), rows())))
    assert await rig.session() == Ending(Status.DONE)
    assert [attempt.outcome.kind.value for attempt in rig.watcher.attempts] == ["late", "unknown", "temporary", "done"]
