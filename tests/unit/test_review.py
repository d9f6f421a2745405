"""The review of a saved plan: what is known stands there, what is not is said to be unknown, and it is never long."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.dovecot.ask import Asker
from orchestrator.engine.live_plan import look, reviewed
from orchestrator.plan.steps import Plan
from orchestrator.ranges import Range
from orchestrator.review.make import make_review
from orchestrator.review.model import Approvals, Review, Schedule
from orchestrator.views.document_html import document_html
from orchestrator.views.document_markdown import document_markdown
from orchestrator.views.document_text import document_text
from orchestrator.views.objects import review_object
from orchestrator.views.review_document import review_document, sentence
from tests.engine.hosts import Answer, Hosts, code, rows
from tests.journal.journals import HEADER, Sqlite
from tests.strategies import FLEET, fleet, plan, steps

NOW = 1_700_000_000_000
SERVERS = [
    {"mail server ip": f"10.0.1.{n}", "tag": "", "vhosts": "100", "state": "up", "state-changed": "", "users": users}
    for n, users in ((1, "1204"), (2, "18800"), (3, "18807"))
]
CAPACITY = FLEET.replace('backends: {hosts: {"b[1-3]"', 'backends: {defaults: {capacity: 19500}, hosts: {"b[1-3]"')
DRAIN = """
name: Drain a backend
description: |
  Empties a backend.
  What users notice: each is cut off once.
parameters:
  backend: {type: host, group: backends, required: true}
on_failure: undo
conditions:
  - name: users on the backend
    ask: {hosts: directors, run_once: true, command: directorStatus}
    value: "{{ rows | where('mail server ip', backend.address) | column('users') | max }}"
    that: "{{ now <= reviewed * 1.2 + 50 }}"
steps:
  - {name: See where users are, hosts: directors, command: directorStatus, register: before}
  - name: Refuse an unknown one
    require:
      - that: "{{ before.rows | where('mail server ip', backend.address) | length == 2 }}"
        message: "{{ backend.name }} is not a mail server of every director"
  - name: Set the vhost count to 0
    hosts: directors
    run_once: true
    command: directorUpdate
    parameters: {host: "{{ backend.address }}", vhostCount: "0"}
    undo:
      command: directorUpdate
      parameters:
        host: "{{ backend.address }}"
        vhostCount: "{{ before.rows | where('mail server ip', backend.address) | column('vhosts') | first }}"
    verify:
      hosts: directors
      command: directorStatus
      until: "{{ rows | where('mail server ip', backend.address) | column('vhosts') == ['0'] }}"
      register: mapped
  - name: Move its users
    hosts: directors
    run_once: true
    command: directorFlush
    parameters: {host: "{{ backend.address }}"}
    timeout: "{{ 60 + (mapped.rows | where('mail server ip', backend.address) | column('users') | max) }}"
    irreversible: users that moved stay where they are
    affects: {users: "{{ before.rows | where('mail server ip', backend.address) | column('users') | max }}"}
finally:
  - {name: Look again, hosts: d1, command: directorStatus}
"""


def of_plan(folder: Path, laid_out: Plan) -> Review:
    """The review of a plan."""
    run = Sqlite(folder / "state").store.create(laid_out, HEADER)
    with run.read() as reader:
        return make_review(laid_out, reader, "b1.plan")


async def looked(folder: Path, text: str = DRAIN, config: str = CAPACITY, **commands: Answer) -> Review:
    """The review of a drain of b1."""
    laid_out = plan(text, {"backend": "b1"}, inventory=fleet(config))
    hosts = Hosts(**{"directorStatus": rows(*SERVERS), **commands})
    seen = await look(laid_out, Asker(hosts))
    return of_plan(folder, reviewed(laid_out, seen, NOW))


def markdown(review: Review) -> str:
    """As a ticket has it."""
    return "\n".join(document_markdown(review_document(review, "orchestrator")))


@pytest.mark.anyio
async def test_the_summary_is_one_sentence_with_names_and_numbers(tmp_path: Path) -> None:
    """Who, how many, which share of the fleet, where they go, and which hosts."""
    review = await looked(tmp_path)
    assert sentence(review) == (
        "Drain a backend: b1 (10.0.1.1): 1204 users (3.1 % of 38 811) affected; users of b1 move to b2 b3; "
        "changes 1 of 6 hosts (d1)."
    )
    assert review.verdict is not None
    assert (review.verdict.stops, review.verdict.at) == (False, NOW)


@pytest.mark.anyio
async def test_headroom_is_held_against_the_capacity(tmp_path: Path) -> None:
    """A backend that would get more users than it can serve is a problem that nobody can overlook."""
    review = await looked(tmp_path)
    assert [(room.host, room.before, room.after, room.is_full) for room in review.rooms] == [
        ("b2", 18800, 19402, False),
        ("b3", 18807, 19409, False),
    ]
    assert "| b2 | 18 800 | 19 402 | 19 500 | 99.5 % |" in markdown(review)
    tight = await looked(tmp_path / "tight", config=CAPACITY.replace("19500", "19405"))
    assert "**Problem:** b3 would have 19 409 users, and its capacity is 19 405." in markdown(tight)
    unsaid = await looked(tmp_path / "unsaid", config=FLEET)
    assert "| b2 | 18 800 | 19 402 |" in markdown(unsaid)
    assert "Whether b[2-3] can take more users: the configuration has no capacity there." in unsaid.unchecked


@pytest.mark.anyio
async def test_nothing_that_is_known_is_left_as_an_expression(tmp_path: Path) -> None:
    """Values of the plan, of the look at the fleet, and of what an undo would restore are filled in, in all forms."""
    review = await looked(tmp_path)
    document = review_document(review, "orchestrator")
    for text in (markdown(review), "".join(document_html(document)), "\n".join(document_text(document))):
        assert "{{" not in text
    back = review.backouts[0]
    assert back.restores == [("vhostCount", "0", "100")]
    assert back.automatic
    assert "vhostCount back to 100, from 0" in markdown(review)
    assert "doveadm director update 10.0.1.1 100" in markdown(review)
    flush = next(step for step in review.steps if step.command == "directorFlush")
    assert flush.waits == 60 + 1204


@pytest.mark.anyio
async def test_checks_are_said_in_words_with_the_value_of_that_moment(tmp_path: Path) -> None:
    """A condition with its limit worked out, a require with whether it holds, a verify with what it looks at."""
    condition, require, verify = (await looked(tmp_path)).checks
    assert condition.what.startswith("the value is at most 1494.8 (the value: the highest of 'users' of rows")
    assert (condition.now, condition.holds, condition.moment) == ("1204", True, "at the start")
    assert (require.now, require.holds) == ("2 rows", True)
    assert require.what == "exactly 2 rows that step 1 answered whose 'mail server ip' is 10.0.1.1"
    assert require.otherwise == "the run stops: b1 is not a mail server of every director"
    assert verify.what == "'vhosts' of rows whose 'mail server ip' is 10.0.1.1 is 0"
    assert (verify.now, verify.moment) == ("vhosts=100 on d[1-2]", "after step 3")


@pytest.mark.anyio
async def test_what_cannot_be_undone_is_told(tmp_path: Path) -> None:
    """In the author's words; and what nothing checks."""
    text = markdown(await looked(tmp_path))
    assert "- **Step 4** Move its users: users that moved stay where they are" in text
    assert "Step 4: no check sees whether the change took effect" in text
    assert "At the end, whether it failed or not: Look again (directorStatus on d1)." in text


@pytest.mark.anyio
async def test_a_run_that_would_stop_says_so_at_the_top(tmp_path: Path) -> None:
    """With the reason, as a problem."""
    without = re.sub("^conditions:.*?(?=^steps)", "", DRAIN, flags=re.MULTILINE | re.DOTALL)
    review = await looked(tmp_path, without, directorStatus=rows(*SERVERS[1:]))
    text = markdown(review)
    assert "> **Problem:** **would stop at step 2" in text
    assert "DOES NOT HOLD: 0 rows | the run stops: b1 is not a mail server of every director" in text
    assert review.affected == {}


@pytest.mark.anyio
async def test_hosts_that_do_not_answer_are_no_data(tmp_path: Path) -> None:
    """Numbers that nobody gave are not known, rather than 0."""
    review = await looked(tmp_path, directorStatus=code(75))
    assert (review.affected, review.fleet_users, review.rooms) == ({}, None, [])
    assert "users notice it, and how many is not known" in markdown(review)
    assert "where their users go is not known" in markdown(review)


def test_a_plan_that_nobody_looked_at_says_so(tmp_path: Path) -> None:
    """What only the run will know is told with the step that it comes from; the value stands as an ellipsis."""
    review = of_plan(tmp_path, plan(DRAIN, {"backend": "b1"}))
    text = markdown(review)
    assert "> **Warning:** Nobody looked at the fleet when this plan was made" in text
    assert "{{" not in text
    undo = next(step for step in review.steps if step.role == "undo")
    assert (undo.total, undo.later_from) == (None, "1")
    assert undo.listed[0].doveadm == "doveadm director update 10.0.1.1 …"
    assert undo.listed[0].curl == ""
    name, what = undo.later[0]
    assert (name, what) == (
        "vhostCount",
        "the first of 'vhosts' of rows that step 1 answered whose 'mail server ip' is 10.0.1.1",
    )


ROLLING = """
name: Reload
parameters: {backends: {type: hosts, default: "b[1-3]"}}
steps:
  - {name: See, hosts: directors, command: directorStatus}
  - name: One after the other
    batches:
      hosts: "{{ backends }}"
      size: 1
      steps:
        - {name: Empty, hosts: d1, command: directorFlush, parameters: {host: "{{ (batch | first).address }}"}}
        - {name: Fill, hosts: d1, command: directorUpdate, parameters: {host: "{{ (batch | first).address }}", vhostCount: "100"}}
"""


@pytest.mark.anyio
async def test_batches_move_users_one_after_the_other(tmp_path: Path) -> None:
    """Who moved in one batch may move again in the next; the first batch is shown, of the others what differs."""
    few = [{**row, "users": users} for row, users in zip(SERVERS, ("20", "20", "20"), strict=True)]
    review = await looked_at(tmp_path, ROLLING, directorStatus=rows(*few))
    assert [(room.batch, room.host, room.before, room.after, room.moving) for room in review.rooms] == [
        ("2[1]", "b2", 20, 30, 20), ("2[1]", "b3", 20, 30, 20),
        ("2[2]", "b1", 0, 15, 30), ("2[2]", "b3", 30, 45, 30),
        ("2[3]", "b1", 15, 37, 45), ("2[3]", "b2", 0, 22, 45),
    ]  # fmt: skip
    assert review.affected == {"users": 60}
    assert [(found.hosts, found.affected) for found in review.by_batch] == [(f"b{n}", {"users": 20}) for n in (1, 2, 3)]
    text = markdown(review)
    assert "### Step 2\\[1\\].1: Empty (b1)" in text
    assert "Step 2\\[2\\].1: Empty" not in text.split("## Appendix")[0]
    assert "- **Batch 2\\[3\\]**: b3" in text


async def looked_at(folder: Path, text: str, **commands: Answer) -> Review:
    """The review of a playbook without parameters that are needed."""
    laid_out = plan(text)
    seen = await look(laid_out, Asker(Hosts(**commands)))
    return of_plan(folder, reviewed(laid_out, seen, NOW))


@pytest.mark.anyio
async def test_batches_that_are_skipped_empty_nothing(tmp_path: Path) -> None:
    """With drain: false no user moves."""
    text = ROLLING.replace("{name: Empty,", "{name: Empty, when: false,")
    review = await looked_at(tmp_path, text, directorStatus=rows(*SERVERS))
    assert (review.rooms, review.emptied) == ([], "")


LATE = steps(
    "hosts: backends, command: who, register: sessions",
    "hosts: b1, for_each: \"{{ sessions.rows | column('username') }}\", command: kick, parameters: {mask: ['{{ item }}']}",
).replace("P\n", "P\nparameters: {}\n")


@pytest.mark.anyio
async def test_requests_of_now_are_marked_as_such(tmp_path: Path) -> None:
    """They are shown, with the step whose answers the run takes them from."""
    found = [{"username": f"u{number}"} for number in range(3)]
    review = await looked_at(tmp_path, LATE, who=rows(*found))
    kick = review.steps[1]
    assert (kick.now, kick.total, kick.later_from) == (True, 12, "1")  # of 4 hosts
    assert kick.listed[0].doveadm == "doveadm kick u0"
    assert ("one request for each of", "'username' of rows that step 1 answered") in kick.later
    assert "As of now, from the look at the fleet; the run takes them from the answers of step 1" in markdown(review)


def test_a_long_step_is_cut_and_counted(tmp_path: Path) -> None:
    """The first and the last request of 20 000, the counts by group, and how to get all; the document stays short."""
    users = tmp_path / "users.txt"
    users.write_text("".join(f"u{number}\n" for number in range(10_000)))
    text = steps("hosts: 'b[1-2]', for_each: {file: users.txt}, command: kick, parameters: {mask: ['{{ item }}']}")
    review = of_plan(tmp_path, plan(text, folder=tmp_path))
    [step] = review.steps
    assert [request.id for request in step.listed] == ["1.1", "1.2", "1.20000"]
    assert step.listed[-1].doveadm == "doveadm kick u9999"
    assert step.left_out == 19_997
    [on] = step.on
    assert (on.group, on.hosts, on.requests, on.least, on.most) == ("backends", "b[1-2]", 20_000, 10_000, 10_000)
    document = review_document(review, "orchestrator")
    assert sum(map(len, document_html(document))) < 40_000
    assert "orchestrator export b1.plan > b1.jsonl" in markdown(review)


def test_only_so_many_requests_are_listed_in_all(tmp_path: Path) -> None:
    """However many steps there are."""
    line = (
        "hosts: b1, for_each: ["
        + ", ".join(f"u{n}" for n in range(90))
        + "], command: kick, parameters: {mask: ['{{ item }}']}"
    )
    review = of_plan(tmp_path, plan(steps(*[line] * 30)))
    listed = [len(step.listed) for step in review.steps]
    assert sum(listed[:11]) == 990
    assert set(listed[12:]) == {3}


def test_estimate_and_approvals_have_their_place(tmp_path: Path) -> None:
    """What is known of them stands under its heading; what is not is said to be unknown."""
    review = of_plan(tmp_path, plan(steps("hosts: b1, command: reload")))
    text = markdown(review)
    assert "- **Takes:** not estimated" in text
    assert "Nobody has to approve it" in text
    assert "- **Ticket:** CHG-1" in text
    lasting = Range(720, 1080, "3 earlier runs")
    schedule = Schedule(lasting, [("1", lasting), ("2", Range(0, None, missing="reload"))])
    approvals = Approvals(2, "ssh-keygen -Y sign …", ["jane (SHA256:x)"], "1 more is needed")
    text = markdown(replace(review, schedule=schedule, approvals=approvals, authors=["kim on mx1"], version="0.9"))
    for part in ("12 to 18 min (from 3 earlier runs), if nothing fails", "| 2 | unknown; no earlier run tells of reload |",
                 "2 approvals needed, 1 verified: 1 more is needed.", "Approved by jane", "ssh-keygen -Y sign", "kim on mx1", "0.9"):  # fmt: skip
        assert part in text


HOSTILE = "</script><script>alert(1)</script>|`[x](javascript:alert(1)) @all\u202e"


def test_what_others_wrote_is_no_markup(tmp_path: Path) -> None:
    """Names, messages, values of users and answers do nothing in a browser, and JSON has them as they are."""
    quoted = json.dumps(HOSTILE)
    text = f"name: {quoted}\nsteps: [{{name: {quoted}, hosts: b1, command: kick, parameters: {{mask: [{quoted}]}}}}]"
    text = text.replace("\u202e", "").replace("\\u202e", "")
    review = of_plan(tmp_path, plan(text))
    html = "".join(document_html(review_document(review, "orchestrator")))
    assert "<script" not in html
    assert not re.search(r'href="(?!data:,)', html)
    assert review_object(review)["steps"][0]["name"] == HOSTILE.replace("\u202e", "")
    json.dumps(review_object(review))


def test_the_secret_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A review names where the secret is, and never has it."""
    monkeypatch.setenv("DOVEADM_PASSWORD", "never-to-be-seen")
    review = of_plan(tmp_path, plan(steps("hosts: b1, command: reload")))
    document = review_document(review, "orchestrator")
    forms = [
        markdown(review),
        "".join(document_html(document)),
        "\n".join(document_text(document)),
        json.dumps(review_object(review)),
    ]
    assert all("never-to-be-seen" not in form and "$DOVEADM_PASSWORD" in form for form in forms)
