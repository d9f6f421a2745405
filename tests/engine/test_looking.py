"""One look at a condition: it holds, it does not, or there is no data; never an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dovecot.ask import Asker
from orchestrator.engine import looking
from orchestrator.engine.looking import Looker
from orchestrator.page import Page
from orchestrator.sighting import Sighting
from tests.engine.hosts import Hosts, rows
from tests.engine.test_gate import with_conditions
from tests.strategies import plan, steps

pytestmark = pytest.mark.anyio
FAILURES = "{{ rows | where('name', 'lmtp_failures') | column('value') | total < 10 }}"


async def look(text: str, answer: Any, tmp_path: Path, **changes: Any) -> Sighting:
    """Look at the condition of a playbook once; pages answer as told, or raise it."""

    async def fetch(url: str, _timeout: float) -> Page:
        if isinstance(answer, Exception):
            raise answer
        return Page(200, str(answer))

    made = plan(with_conditions(steps("hosts: b1, command: reload"), text), folder=tmp_path)
    made = replace(made, **changes)
    return await Looker(made, Asker(Hosts(directorStatus=rows({"users": "7"}))), fetch).look(
        made.conditions[0], "start"
    )


def of_page(that: str, more: str = "") -> str:
    """A condition on a page."""
    return f'\n  - name: c\n    ask: {{url: "http://127.0.0.1:9/metrics"}}\n    that: "{that}"\n{more}'


@pytest.mark.parametrize("body", ["", "# nothing yet\n", "other 3\n", "[]"])
async def test_a_page_without_the_metric_is_no_data(tmp_path: Path, body: str) -> None:
    """An exporter that has just started shows nothing: no failure was counted, and none was looked for."""
    assert (await look(of_page(FAILURES), body, tmp_path)).holds is None


@pytest.mark.parametrize("body", ["", "other 3\n", "[]"])
async def test_some_metrics_are_not_there_when_all_is_well(tmp_path: Path, body: str) -> None:
    """With `empty: holds` a metric that is not there is one without samples."""
    assert (await look(of_page(FAILURES, "    empty: holds\n"), body, tmp_path)).holds is True


@pytest.mark.parametrize(("empty", "holds"), [("", None), ("    empty: holds\n", True)])
async def test_rows_alone_are_not_enough(tmp_path: Path, empty: str, holds: bool | None) -> None:
    """A page without any rows says nothing of all its rows."""
    that = "{{ rows | column('value', 0) | total < 10 }}"
    assert (await look(of_page(that, empty), "", tmp_path)).holds is holds


async def test_a_bug_is_no_data(tmp_path: Path) -> None:
    """An error that nobody expected does not end a run whose requests are on the wire; it is told, without its words."""
    found = await look(of_page("{{ true }}"), RuntimeError("hunter2"), tmp_path)
    assert found.holds is None
    assert found.why.startswith("a bug in this program: RuntimeError at test_looking.py:")
    assert "hunter2" not in found.why


@pytest.mark.parametrize(
    "url", ["{{ [] }}", "file:///etc/passwd", "http://u:hunter2@127.0.0.1/", "http://[::1/", "http:// x/"]
)
async def test_an_address_that_is_none_is_not_read(tmp_path: Path, url: str) -> None:
    """What an expression gives for an address must be one, and is not shown where it has a password."""
    text = of_page("{{ true }}")
    [planned] = plan(with_conditions(steps("hosts: b1, command: reload"), text), folder=tmp_path).conditions
    ask = planned.condition.ask.model_copy(update={"url": url if "{{" in url else "{{ '" + url + "' }}"})
    conditions = (replace(planned, condition=planned.condition.model_copy(update={"ask": ask})),)
    found = await look(text, "", tmp_path, conditions=conditions)
    assert found.holds is None
    assert ": it must " in found.why


REVIEWED = """
  - name: users
    ask: {hosts: d1, command: directorStatus}
    value: "{{ rows | column('users') | max }}"
    that: "{{ now <= reviewed }}"
"""


async def test_a_review_without_data_is_none(tmp_path: Path) -> None:
    """A plan that somebody looked at, and of which this could not be seen, has nothing to compare with: it does not hold."""
    found = await look(REVIEWED, "", tmp_path, seen={"at": 1})
    assert (found.holds, found.why) == (None, "there was no data when the plan was reviewed; make a new plan")
    assert (await look(REVIEWED, "", tmp_path)).holds is True


async def test_what_is_compared_is_what_was_kept(tmp_path: Path) -> None:
    """Both values are in JSON's terms, so that lists and texts are equal to themselves after they were written down."""
    text = REVIEWED.replace("max }}", "unique }}").replace("now <= reviewed", "now == reviewed")
    made = plan(with_conditions(steps("hosts: b1, command: reload"), text), folder=tmp_path)
    planned = replace(made.conditions[0], seen=True, reviewed=["7"])
    assert (await look(text, "", tmp_path, conditions=(planned,))).holds is True


@pytest.mark.parametrize("reviewed", [None, "many", ["7"], {"a": 1}])
async def test_a_reviewed_value_of_another_type_is_no_data(tmp_path: Path, reviewed: Any) -> None:
    """What cannot be compared is no reason to go on."""
    made = plan(with_conditions(steps("hosts: b1, command: reload"), REVIEWED), folder=tmp_path)
    planned = replace(made.conditions[0], seen=True, reviewed=reviewed)
    assert (await look(REVIEWED, "", tmp_path, conditions=(planned,))).holds is None


def test_a_value_that_is_no_number_is_no_value() -> None:
    """NaN is equal to nothing, so that nothing could be compared with it later."""
    with pytest.raises(looking.ExpressionError, match="not a number"):
        looking.plain({"a": [float("nan")]})
