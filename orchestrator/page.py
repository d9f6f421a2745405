"""What a page of another service answered, as expressions see it: `answer.status`, `answer.text`, `answer.json`, `rows`.

Rows are made of what such services usually answer: metrics in Prometheus' text format, the answer of its query API, or a
JSON list of objects. Everything else has no rows. What a page with another status than 2xx says is not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any, ClassVar, NoReturn

from orchestrator.errors import ExpressionError
from orchestrator.text.filters import Samples

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """A page that was read.

    Attributes:
        status: HTTP status.
        body: what it says, whatever its status.
    """

    readable: ClassVar = frozenset({"status", "text", "json", "rows"})

    status: int
    body: str

    def __bool__(self) -> NoReturn:
        """Neither true nor false."""
        raise ExpressionError("a page is neither true nor false; use its .status, .text, .json or .rows")

    @property
    def ok(self) -> bool:
        """Whether the service says that all is well."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body; what a page of errors says is nothing that a condition may hold by.

        Raises:
            ExpressionError: the status is another one than 2xx.
        """
        if not self.ok:
            raise ExpressionError(f"the page answered HTTP status {self.status}")
        return self.body

    @cached_property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ExpressionError: it is none, or the status is another one than 2xx.
        """
        try:
            return json.loads(self.text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise ExpressionError(f"the page is not JSON; it begins with {self.text[:40]!r}") from None

    @cached_property
    def rows(self) -> list[Row]:
        """The rows: of metrics one a sample, with its labels, `name` and `value`.

        Raises:
            ExpressionError: an answer other than 2xx has none, and a page that has none either.
        """
        if self.text.lstrip()[:1] in {"{", "["}:
            return _of_json(self.json)
        return Samples(_of_metrics(self.text))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _of_json(value: Any) -> list[Row]:
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return value
    data = value.get("data") if isinstance(value, dict) and value.get("status") == "success" else None
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(result, list) or data is None or data.get("resultType") != "vector":
        raise ExpressionError("the page has no rows: it is neither a list of objects nor a vector of Prometheus")
    try:
        return [_of_vector(sample["metric"], sample["value"]) for sample in result]
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ExpressionError("the page has no rows: it is no vector as Prometheus makes them") from None


def _of_vector(metric: dict[str, Any], value: list[Any]) -> Row:
    labels = {("name" if key == "__name__" else key): text for key, text in metric.items()}
    return {**labels, "value": _number(float(value[1]))}


def _number(value: float) -> float | str:
    """A sample's value; one that is not a number is told so, since NaN is neither more nor less than anything."""
    return "NaN" if isnan(value) else value


def _of_metrics(text: str) -> Iterator[Row]:
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - takes long, and few runs need it

    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield {**sample.labels, "name": sample.name, "value": _number(sample.value)}
    except (ValueError, IndexError, KeyError):
        raise ExpressionError(f"the page is neither JSON nor metrics; it begins with {text[:40]!r}") from None
