"""Conditions in words, for people who read no expressions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.playbook.source import load_playbook
from orchestrator.text.spoken import spoken, spoken_value
from tests.strategies import fleet, plan, steps

PLAYBOOKS = sorted((Path(__file__).parents[2] / "playbooks").glob("*.yaml"))

ANSWERS = {"before": "3", "known": "1"}
HOSTS = [fleet().hosts[name] for name in ("b1", "b2")]
SCOPE = {"batch": HOSTS, "backend": {"address": "10.0.1.1", "name": "b1"}, "parallel": 100, "hosts": ["b1", "b2"]}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (True, "true"),
        ("{{ batch | first }} is one of {{ batch }}", "b1 is one of b1, b2"),
        ("{{ parallel > 5 }}", "always true"),
        ("{{ (rows | first).status in ['n/a', (rows | first).hashed] }}", "'status' of the first of rows is one of n/a, 'hashed' of the first of rows"),
        ("{{ rows | length == 0 }}", "no rows"),
        ("{{ rows }}", "there are rows"),
        ("{{ not rows | where('pid', 1) }}", "no rows whose 'pid' is 1"),
        ("{{ rows | where('ip', backend.address) | column('users') == ['0'] }}", "'users' of rows whose 'ip' is 10.0.1.1 is 0"),
        ("{{ rows | where_not('type', '') | not_matching('status', '*synced') | length <= 2 }}",
         "at most 2 rows whose 'type' is not empty and 'status' does not match *synced"),
        ("{{ before.rows | where('name', hosts) | length > hosts | length }}",
         "more than 2 rows that step 3 answered whose 'name' is one of b1, b2"),
        ("{{ before.rows | agree('ip', 'vhosts') }}", "'vhosts' is the same everywhere for each 'ip' in rows that step 3 answered"),
        ("{{ rows | column('users') | max <= reviewed * 1.2 + 50 }}",
         "the highest of 'users' of rows is at most ((the value of the review * 1.2) + 50)"),
        ("{{ now <= reviewed }}", "the value is at most the value of the review"),
        ("{{ before.hosts[host.name].rows | column('v') == rows | column('v') }}",
         "'v' of rows that step 3 answered by the same host is 'v' of rows"),
        ("{{ rows and not known.rows }}", "there are rows, and no rows that step 1 answered"),
        ("{{ rows | column('users') | max | default(0) < 5 }}",
         "the highest of 'users' of rows (or 0 where there is none) is less than 5"),
        ("{{ answer.status == 200 }}", "the HTTP status of rows is 200"),
        ("{{ rows | where('ip', host.address) }}", "there are rows whose 'ip' is the host's address"),
        ("users of {{ backend.name }}: {{ before.rows | column('users') | total }}",
         "users of b1: the sum of 'users' of rows that step 3 answered"),
    ],
)  # fmt: skip
def test_conditions_are_said_in_words(written: object, words: str) -> None:
    """What is known is a value, what an earlier step answers is named by that step."""
    say = spoken_value if isinstance(written, str) and " is one of {{" in written else spoken
    assert say(written, SCOPE, ANSWERS) == words


def test_what_is_known_of_the_review_is_a_number() -> None:
    """What can be worked out is worked out."""
    condition = "{{ now <= reviewed * 1.2 + 50 }}"
    assert spoken(condition, SCOPE | {"reviewed": 1000}, ANSWERS) == "the value is at most 1250.0"


def test_what_has_no_words_stands_there_as_it_is_written() -> None:
    """With what is known of it filled in, so that nothing is hidden."""
    assert spoken("{{ rows[0:parallel] == unheard }}", SCOPE, ANSWERS) == "{{ rows[0:100] == unheard }}"


def conditions(value: Any) -> Iterator[Any]:
    """The conditions of a playbook, wherever they stand."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key in {"that", "until", "when"} or (key == "value" and "ask" in value):
                yield part
            else:
                yield from conditions(part)
    elif isinstance(value, list):
        for part in value:
            yield from conditions(part)


def registered(value: Any) -> Iterator[str]:
    """The names that a playbook registers."""
    if isinstance(value, dict):
        yield from ([value["register"]] if "register" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from registered(part)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_no_condition_of_a_shipped_playbook_is_left_as_an_expression(path: Path) -> None:
    """Every require, verify, until and when of the shipped playbooks has words."""
    source, made = load_playbook(path), plan(steps("hosts: b1, command: who"))
    host = made.inventory.hosts["b1"]
    usual = {"host": host, "hosts": [host], "integer": 1, "boolean": True}
    values = {name: usual.get(spec.type, "x") for name, spec in source.playbook.parameters.items()}
    scope = {**made.scope(), **values, "batch": [host], "batch_number": 1}
    answers = dict.fromkeys(registered(source.document.value), "1")
    left = [written for written in conditions(source.document.value) if "{{" in spoken(written, scope, answers)]
    assert left == []
