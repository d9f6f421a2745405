"""Pages of other services: what conditions may read of them, and what is said where there is nothing to read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.errors import ExpressionError
from orchestrator.page import Page
from orchestrator.text.expression import compile_value

METRICS = """# TYPE lmtp_failures counter
lmtp_failures{backend="b1"} 3
lmtp_failures{backend="b2"} 4
latency NaN
free +Inf
"""
TOTAL = "{{ rows | where('name', 'lmtp_failures_total') | column('value') | total }}"


def value(text: str, page: Page) -> Any:
    """What an expression gives of a page."""
    names = {"answer": page, **({"rows": page.rows} if "rows" in text else {})}
    return compile_value(text)(names)


def vector(*result: Any) -> str:
    """What Prometheus' query API answers."""
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def test_samples_are_rows() -> None:
    """Of metrics each sample is a row, with its labels, its name (of a counter with `_total`) and its value."""
    page = Page(200, METRICS)
    assert page.rows[0] == {"name": "lmtp_failures_total", "backend": "b1", "value": 3.0}
    assert value("{{ rows | where('backend', 'b2') | column('value') | total }}", page) == 4


def test_the_query_api_gives_the_same_rows() -> None:
    """A vector of Prometheus likewise."""
    page = Page(200, vector({"metric": {"__name__": "up", "job": "lmtp"}, "value": [1, "2"]}))
    assert page.rows == [{"name": "up", "job": "lmtp", "value": 2.0}]


@pytest.mark.parametrize("name", ["where('name', 'lmtp_failures')", "matching('name', 'lmtp_e*')"])
def test_a_metric_that_is_not_there_is_not_0(name: str) -> None:
    """A metric that was renamed, or an exporter that has just started, says nothing; the nearest name is told."""
    with pytest.raises(
        ExpressionError, match=r"no metric is called 'lmtp_.*; metrics: free, latency, lmtp_failures_total"
    ):
        value(TOTAL.replace("where('name', 'lmtp_failures_total')", name), Page(200, METRICS))


def test_what_a_metric_has_none_of_is_none() -> None:
    """Samples of a metric that is there may be none with a label."""
    text = "{{ rows | where('name', 'lmtp_failures_total') | where('backend', 'b9') | column('value') | total }}"
    assert value(text, Page(200, METRICS)) == 0


@pytest.mark.parametrize(
    "text",
    ["{{ not (rows | where('name', 'latency') | first).value > 10 }}", TOTAL.replace("lmtp_failures_total", "latency")],
)
def test_what_is_no_number_is_compared_with_nothing(text: str) -> None:
    """NaN is neither more nor less than anything: a condition on it must not hold, however it is written."""
    with pytest.raises(ExpressionError):
        value(text, Page(200, METRICS))


@pytest.mark.parametrize("text", ["{{ answer.text }}", "{{ answer.json.errors | length == 0 }}", "{{ rows }}"])
def test_what_a_page_of_errors_says_is_not_read(text: str) -> None:
    """A proxy's page of errors has no errors listed; that is no reason to go on. Its status can be read."""
    page = Page(502, '{"errors": []}')
    with pytest.raises(ExpressionError, match="the page answered HTTP status 502"):
        value(text, page)
    assert value("{{ answer.status == 502 }}", page) is True


@pytest.mark.parametrize(
    "body",
    [
        "<html>down for maintenance</html>",
        "[" * 100_000,
        '{"status": "success"}',
        '{"status": "error", "data": {"resultType": "vector", "result": []}}',
        vector("x"),
        vector({"metric": {}}),
        vector({"metric": "x", "value": [1, "2"]}),
        vector({"metric": {}, "value": [1, "two"]}),
        vector({"metric": {}, "value": []}),
        vector({"metric": {}, "value": None}),
        "[1, 2]",
        "[NaN]",
        "a three",
    ],
)
def test_nonsense_has_no_rows(body: str) -> None:
    """Whatever is neither metrics nor a list of objects is told to be so."""
    with pytest.raises(ExpressionError, match="the page"):
        _ = Page(200, body).rows


def test_numbers_that_json_does_not_have_are_no_json() -> None:
    """NaN and Infinity, which some services write."""
    with pytest.raises(ExpressionError, match="the page is not JSON"):
        value("{{ not answer.json.load > 5 }}", Page(200, '{"load": NaN}'))


def test_a_page_itself_is_neither_true_nor_false() -> None:
    """`not answer` would be taken for "it did not answer"."""
    with pytest.raises(ExpressionError, match="neither true nor false"):
        value("{{ not answer }}", Page(200, ""))
