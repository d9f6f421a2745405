"""Expressions as a reviewer reads them: what is known stands there as a value."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.text.filled import filled
from tests.strategies import fleet

HOST = fleet().hosts["b1"]
SCOPE: dict[str, Any] = {
    "backend": HOST, "batch": [HOST], "parallel": 100, "word": "it's", "long": "x" * 100, "ask": True, "hosts": [HOST], "address": "a", "words": ["w"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ backend.address }}", "10.0.1.1"),
        ("{{ parallel }} users of {{ backend.name }}, {{ later.rows | length }}", "100 users of b1, {{ later.rows | length }}"),
        ("{{ rows | where('ip', backend.address) | column('users') == ['0'] }}", "{{ rows | where('ip', '10.0.1.1') | column('users') == ['0'] }}"),
        ("{{ rows | where('ip', (batch | first).address) }}", "{{ rows | where('ip', '10.0.1.1') }}"),
        ("{{ (rows | first).address == backend.address }}", "{{ (rows | first).address == '10.0.1.1' }}"),
        ("{{ x == (batch | last).address }}", "{{ x == (batch | last).address }}"),
        ("{{ rows | length > parallel }}", "{{ rows | length > 100 }}"),
        ("{{ word }}", "it's"),
        ("{{ x == word }}", "{{ x == \"it's\" }}"),
        ("{{ ask and later.ok }}", "{{ true and later.ok }}"),
        ("{{ long == x }}", "{{ long == x }}"),
        ("{{ hosts | length }}", "{{ hosts | length }}"),
        ("{{ later.parallel }}", "{{ later.parallel }}"),
        ("{{ backend.endpoint }}", "{{ backend.endpoint }}"),
        ("{{ rows | sort(attribute=address) }}", "{{ rows | sort(attribute='a') }}"),
        ("{{ rows | sort(address='x') }}", "{{ rows | sort(address='x') }}"),
        ("{{ names | join(words | first) }}", "{{ names | join(words | first) }}"),
        ("{{ names | join((words | first)) }}", "{{ names | join('w') }}"),
        ("{{ ask or not later.rows }}", "{{ true or not later.rows }}"),
        ("{{ 'a' if word in later.rows else parallel }}", "{{ 'a' if \"it's\" in later.rows else 100 }}"),
        ("{{ later.rows is defined and none is none }}", "{{ later.rows is defined and none is none }}"),
        ("{{ parallel + 1 }}", "{{ 100 + 1 }}"),
        ("no expression", "no expression"),
        (True, "True"),
    ],
)  # fmt: skip
def test_what_is_known_is_filled_in(text: Any, shown: str) -> None:
    """Names of the plan become their values; what is known later, and what is long, stays as it is written."""
    assert filled(text, SCOPE) == shown
