"""What a condition looks at, in short."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.answers import HostAnswer
from orchestrator.text.watched import seen

ROWS = [
    {"mail server ip": "10.0.0.1", "users": "13", "state": "up"},
    {"mail server ip": "10.0.0.2", "users": "8", "state": "up"},
    {"mail server ip": "10.0.0.1", "users": "14"},
]
SCOPE = {
    "rows": ROWS,
    "address": "10.0.0.1",
    "known": ROWS[:1],
    "answer": HostAnswer(ok=True, rows=ROWS, exit_code=68, error=""),
}


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("{{ rows | where('mail server ip', address) | column('users') == ['0'] }}", "users=13,14"),
        ("{{ ['0'] == rows | column('users') }}", "users=13,8,14"),
        ("{{ rows | where('mail server ip', '10.0.0.2') | column('users') | first == '0' }}", "users=8"),
        ("{{ rows | column('users') | total < 3 }}", "users=35"),
        ("{{ rows | column(key='users') == ['0'] }}", "3 rows"),
        ("{{ rows | length == 0 }}", "3 rows"),
        ("{{ rows | where('users', '8') | length == 0 }}", "1 row"),
        ("{{ rows }}", "3 rows"),
        ("{{ not rows | where('state', 'up') }}", "2 rows"),
        ("{{ rows and not rows | where('users', '99') }}", "3 rows, 0 rows"),
        ("{{ (rows | first).state == 'down' }}", "state=up"),
        ("{{ (rows | first).users | int > 20 }}", "users=13"),
        ("{{ answer.exit_code == 0 }}", "exit_code=68"),
        ("{{ rows | agree('mail server ip', 'users') }}", "agree=false"),
        ("{{ rows | where('users', '99') | column('state') == [] }}", "state=nothing"),
        ("{{ rows | column('users') == [] and rows | column('nonsense') == [] }}", "users=13,8,14"),
        ("{{ known | length == 0 }}", ""),
        ("{{ 1 == 2 }}", ""),
        (True, ""),
        ("{{ [rows, rows] | length }} rows", ""),
    ],
)  # fmt: skip
def test_the_value_that_is_compared_is_shown(condition: Any, shown: str) -> None:
    """Columns by their names, counted rows by their number; what cannot be said is left out."""
    assert seen(condition, SCOPE) == shown


def test_many_values_are_few_words() -> None:
    """Of many different values the first are shown, and long ones are cut."""
    rows = [{"users": str(number) + "x" * 100} for number in range(9)]
    shown = seen("{{ rows | column('users') == [] }}", {"rows": rows})
    assert shown.endswith(",…")
    assert len(shown) < 150
