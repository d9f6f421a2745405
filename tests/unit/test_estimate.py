"""How long plans take: from earlier runs, from what was seen of the fleet, from the catalogue's models, and what nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.engine.estimate import Estimate, Known, Requests
from orchestrator.engine.past import Past, Timed, kind_of
from orchestrator.engine.rules import Settings
from orchestrator.limits import Limits
from orchestrator.plan.steps import Plan, PlannedStep
from orchestrator.ranges import Range
from tests.strategies import plan, steps

KICKS = "hosts: 'b[1-2]', for_each: [u1, u2], command: kick, parameters: {mask: ['{{ item }}']}"
POLL = "hosts: b1, command: who, until: '{{ rows }}'"
FLUSH = "hosts: d1, command: directorFlush, parameters: {host: 10.0.1.1, maxParallel: 10}"
SEEN = {"b1": [0.1, 0.2], "b2": [0.3], "d1": [0.1]}


def earlier(key: str, seconds: float, command: str = "who", **more: Any) -> Timed:
    """A step of an earlier run."""
    usual: dict[str, Any] = {
        "run": "r1",
        "batch": "",
        "playbook": "P",
        "polled": False,
        "hosts": frozenset({"b1"}),
        "operations": 1,
        "busiest": 1,
        "attempt": seconds,
    }
    return Timed(kind=kind_of(key), command=command, seconds=seconds, **{**usual, **more})


def several(key: str, *seconds: float, **more: Any) -> list[Timed]:
    """The same step of several runs."""
    return [earlier(key, taken, run=f"r{number}", **more) for number, taken in enumerate(seconds)]


def of(made: Plan, known: Mapping[str, Any], counts: Mapping[str, Mapping[str, int] | None], **limits: Any) -> Estimate:
    """The estimate of a plan, of whose steps so many requests go to each host; one to b1 where nothing is said."""

    def requests(step: PlannedStep) -> Requests | None:
        found = counts.get(step.key, {"b1": 1})
        return None if found is None else Requests(found, getattr(step, "parameters", {}))

    past = Past(known.get("past", ()))
    return Estimate(made, Known(**{**known, "past": past}, requests=requests), Settings(Limits(**limits)))


def whole(line: str, known: Mapping[str, Any], counts: Mapping[str, int] | None = None, **limits: Any) -> Range:
    """The estimate of a plan of one step."""
    return of(plan(steps(line)), known, {"1": counts or {"b1": 1}}, **limits).whole


def around(found: Range, seconds: float) -> bool:
    """Whether a range is about a time, and no wider than one run alone makes it."""
    return found.high is not None and found.low < seconds < found.high <= 3 * found.low


# nothing is known


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hosts: b1, command: who", Range(0, None, missing="who")),
        ("pause: 90s", Range(90, 90, "its pauses")),
        ("pause: {confirm: Go on?}", Range(answers=1)),
        ("require: [{that: '{{ true }}', message: m}]", Range()),
        ("hosts: b1, command: who, takes: 15m", Range(0, 900, "what the playbook says")),
        ("takes: 15m, batches: {hosts: b1, steps: [{name: W, command: who}, {name: A, pause: {confirm: x}}]}", Range(0, 900, "what the playbook says")),
    ],
)  # fmt: skip
def test_without_anything(line: str, expected: Range) -> None:
    """Nothing is made up: unknown is unknown, unless the playbook says how long it takes; pauses are as long as they are."""
    assert whole(line, {}) == expected


def test_a_step_without_requests_takes_no_time() -> None:
    """What is skipped, what is done, and what has no items is not waited for."""
    assert of(plan(steps("hosts: b1, command: who")), {}, {"1": {}}).whole == Range()


# earlier runs


def test_the_same_step_tells_most() -> None:
    """The same step of the same playbook goes before the same command elsewhere."""
    past = [*several("1", 10, 10, 10), *several("7", 500, 500, playbook="Other")]
    assert around(whole("hosts: b1, command: who", {"past": past}), 10)


@pytest.mark.parametrize(
    ("same_hosts", "same_group", "expected"), [(True, True, 10), (False, True, 50), (False, False, 300)]
)
def test_the_same_command_elsewhere(same_hosts: bool, same_group: bool, expected: float) -> None:
    """Then the same command to the same hosts, to hosts of the same group, to any."""
    past = several("7", 300, 300, playbook="Other", hosts=frozenset({"d1"}))
    past += several("8", 50, 50, playbook="Other", hosts=frozenset({"b3"})) if same_group else []
    past += several("9", 10, 10, playbook="Other") if same_hosts else []
    assert around(whole("hosts: b1, command: who", {"past": past}), expected)


@pytest.mark.parametrize(
    ("line", "command", "polled"),
    [
        (POLL, "who", True),
        ("hosts: b1, command: who", "who", True),
        ("hosts: b1, command: forceResync, parameters: {user: u, mailboxMask: '*'}", "forceResync", False),
        (FLUSH, "directorFlush", False),
    ],
)
def test_what_other_steps_do_not_tell(line: str, command: str, polled: bool) -> None:
    """How long a poll takes, or a command that takes as long as there is mail or users, no other step tells."""
    past = several("9", 10, 10, playbook="Other", command=command, polled=polled, attempt=0.0)
    found = whole(line, {"past": past})
    assert (found.high, found.missing) == (None, command)


@pytest.mark.parametrize(
    ("then", "now", "seconds"),
    [
        (1000, 1000, 100),
        (1000, 4000, 400),  # a second each ten, of the busiest host
        (1000, 100, 10),
        (1000, 1, 0.3),  # one request takes what a request takes
    ],
)
def test_more_requests_take_longer(then: int, now: int, seconds: float) -> None:
    """The throughput of the busiest host says how long more or fewer requests take."""
    past = several("1", *[100] * 3, command="kick", operations=then, busiest=then, attempt=0.3)
    assert around(whole(KICKS, {"past": past}, {"b1": now}), seconds)


def test_a_few_requests_say_little_of_many() -> None:
    """After a few requests, sent at once, many may take as long as if they were sent one after the other, or a fourth of it."""
    past = several("1", *[1.0] * 3, command="kick", operations=1, busiest=1)
    found = whole(KICKS, {"past": past}, {"b1": 400})
    assert not found.known
    assert 50 < found.low < 100
    assert 400 < (found.high or 0) < 550


@pytest.mark.parametrize(
    ("then", "now", "low", "high"), [(4, 5, 5 / 4, 2.0), (2, 3, 1.0, 1.5), (3, 2, 1.0, 1.0), (1, 4, 1.0, 4.0)]
)
def test_a_few_requests_more(then: int, now: int, low: float, high: float) -> None:
    """Four at a time make one round; one more may make a second one, or take as long as each of them did."""
    past = several("1", *[1.0] * 20, command="kick", operations=then, busiest=then, attempt=0.01)
    found = whole(KICKS, {"past": past}, {"b1": now})
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.05)


def test_tighter_limits_take_longer() -> None:
    """Each request takes its time, and no more may be sent at a time than limits allow."""
    past = several("1", *[100] * 3, command="kick", operations=1000, busiest=500, attempt=0.4)
    loose, tight = (whole(KICKS, {"past": past}, {"b1": 500, "b2": 500}, in_flight=n) for n in (100, 1))
    assert around(loose, 100)
    assert around(tight, 400)


def test_a_rate_is_exact() -> None:
    """Where the rate is what holds a step back, the range is as narrow as the rate is certain."""
    past = several("1", *[100] * 3, command="kick", operations=1000, busiest=1000, attempt=0.4)
    found = whole(KICKS, {"past": past}, {"b1": 1000}, rate=1.0)
    assert found.low == found.high == 999


def test_conditions_go_as_they_went() -> None:
    """A step that earlier runs did not need takes no time now, either."""
    skipped = several("1", 0, 0, 0, hosts=frozenset(), operations=0, busiest=0)
    assert whole("hosts: b1, command: who, when: '{{ run.started > 1 }}'", {"past": skipped}).high == 0


def test_batches_tell_of_batches() -> None:
    """Batches of one step are of one kind: three took a minute each, ten take ten, and one piece is one batch."""
    made = plan(steps("batches: {hosts: 'b[1-3]', soak: 5s, steps: [{name: R, command: reload}, {name: W, command: who}]}"))  # fmt: skip
    past = [
        earlier(f"1[{n}].{part}", 30, command, run=f"r{run}", batch=f"[{n}]")
        for run in range(4)
        for n in range(1, 4)
        for part, command in ((1, "reload"), (2, "who"))
    ]
    found = of(made, {"past": past}, {})
    assert around(found.whole, 3 * 60 + 2 * 5)
    assert found.whole.low > 10
    assert around(found.over([step for step in made.steps if step.key.startswith("1[2].")][:2]), 60)
    assert found.whole.basis == "4 earlier runs, its pauses"


def test_requests_that_are_known_later_are_as_many_as_before() -> None:
    """A step whose requests depend on answers takes what it took."""
    made = plan(steps("hosts: b1, command: who, register: w", "hosts: '{{ w.failed }}', command: reload"))
    past = [*several("1", 1, 1, 1), *several("2", 50, 50, 50, command="reload", operations=900, busiest=900)]
    assert around(of(made, {"past": past}, {"2": None}).step(made.steps[1]), 50)
    assert of(made, {"seen": SEEN}, {"2": None}).step(made.steps[1]) == Range(0, None, missing="reload")


# what was seen


@pytest.mark.parametrize(
    ("line", "counts", "low", "high"),
    [
        ("hosts: b1, command: who", {"b1": 1}, 0.1, 0.45),
        ("hosts: 'b[1-2]', command: who", {"b1": 1, "b2": 1}, 0.3, 0.65),  # the slower of the two
        ("hosts: b3, command: who", {"b3": 1}, 0.1, 0.65),  # it was not asked: it may be like any
        (KICKS, {"b1": 400}, 10.0, 160.05),  # four at a time, or one after the other
        ("hosts: b1, command: reload", {"b1": 1}, 0.1, 0.45),
    ],
)
def test_from_a_look(line: str, counts: dict[str, int], low: float, high: float) -> None:
    """Commands that cost no more than any request take as long as hosts just took; how many at a time they do nobody saw."""
    found = whole(line, {"seen": SEEN}, counts)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.basis == "answers seen just now"


@pytest.mark.parametrize(
    "line",
    [FLUSH, "hosts: b1, command: forceResync, parameters: {user: u, mailboxMask: '*'}", "hosts: b1, command: fooBar, effect: read"],
)  # fmt: skip
def test_what_a_look_does_not_tell(line: str) -> None:
    """How long a command takes that takes longer than a request, or that nobody knows, is not seen by asking something else."""
    assert whole(line, {"seen": SEEN}).high is None


@pytest.mark.parametrize(
    ("limits", "low"), [({}, 10.0), ({"per_host": 10}, 4.0), ({"per_host": "auto"}, 2.5), ({"in_flight": 1}, 40.0)]
)
def test_limits_say_how_many_at_a_time(limits: dict[str, Any], low: float) -> None:
    """At least it takes as many rounds as limits make of the requests; adaptive concurrency may come to its ceiling."""
    assert whole(KICKS, {"seen": SEEN}, {"b1": 400}, **limits).low == pytest.approx(low)


def test_a_look_at_a_rate() -> None:
    """A rate that is slower than any host is all that matters."""
    found = whole(KICKS, {"seen": SEEN}, {"b1": 100}, rate=0.5)
    assert (found.low, found.high, found.basis) == (198, 198, "its rate")


@pytest.mark.parametrize(
    ("line", "high"),
    [
        (POLL, 60),
        (POLL + ", within: 10s", 10),
        (POLL + ", within: '{{ run.started }}'", None),
    ],
)
def test_polls_take_as_long_as_they_may(line: str, high: float | None) -> None:
    """Of a check of which nothing is known only its `within` is: it says how long it takes at most."""
    found = whole(line, {"seen": SEEN})
    assert (found.high, found.missing) == (high, "" if high else "who")


@pytest.mark.parametrize(
    ("verify", "high"),
    [("every: 500ms, within: 2m", 2 + 0.5 + 0.8 + 0.05), ("every: 500ms, within: 1s", 1.0), ("", 2 + 1 + 0.8 + 0.05)],
)
def test_a_check_is_true_when_its_step_has_settled(verify: str, high: float) -> None:
    """The catalogue says when a command's effect is complete; then the next poll sees it."""
    made = plan(steps(f"{FLUSH}, verify: {{hosts: b1, command: who, until: '{{{{ rows }}}}', {verify}}}"))
    found = of(made, {"seen": SEEN}, {}).step(made.steps[1])
    assert (found.low, found.high) == pytest.approx((0.1, high))


def test_other_commands_of_earlier_runs_are_as_good_as_a_look() -> None:
    """How long a host took for any request in earlier runs says how long it takes for another."""
    past = [earlier("9", 0.2, "directorStatus", playbook="Other"), earlier("8", 99, "purge", playbook="Other")]
    found = whole("hosts: b1, command: who", {"past": past})
    assert (found.low, found.high) == pytest.approx((0.2, 0.45))
    assert found.basis == "other commands of earlier runs"


# models


def users(**counts: int) -> dict[str, list[dict[str, str]]]:
    """What directorStatus answers, by the last number of each backend's address."""
    return {"directorStatus": [{"mail server ip": f"10.0.1.{n[1:]}", "users": str(c)} for n, c in counts.items()]}


def test_a_model_of_a_command() -> None:
    """DirectorFlush takes 2 s for every ten users, ten at a time; how many there are was just seen."""
    found = whole(FLUSH, {"seen": SEEN, "rows": users(b1=95, b2=10)}, {"d1": 1})
    assert (found.low, found.high) == pytest.approx((18.1, 20.25))
    assert found.basis == "the model of directorFlush"
    assert whole(FLUSH, {"seen": SEEN, "rows": users(b2=10)}, {"d1": 1}).high is None
    assert whole(FLUSH, {"rows": users(b1=95)}, {"d1": 1}).high == pytest.approx(20 + 1 + 0.05)


def test_a_model_goes_before_earlier_runs() -> None:
    """How many users there are tonight says more than how long it took with those of another night."""
    past = several("1", 500, 500, 500, command="directorFlush")
    assert around(whole(FLUSH, {"past": past}), 500)
    assert (whole(FLUSH, {"past": past, "seen": SEEN, "rows": users(b1=95)}, {"d1": 1}).high or 0) < 25


def test_users_that_were_moved_are_somewhere() -> None:
    """Whoever was moved off one backend is moved off another one later: up to twice an even share of them."""
    second = FLUSH.replace("10.0.1.1", "10.0.1.2")
    made = plan(steps(FLUSH, second))
    rows = users(b1=90, b2=10, b3=10, b4=10)
    found = of(made, {"seen": SEEN, "rows": rows}, {"1": {"d1": 1}, "2": {"d1": 1}}).step(made.steps[1])
    assert (found.low, found.high) == pytest.approx((0.1, 2 * 7 + 0.25))  # 10 and 2 x 90 / 3 users, ten at a time
