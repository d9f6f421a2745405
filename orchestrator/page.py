"""What a page of another service answered, as expressions see it: `answer.status`, `answer.text`, `answer.json`, `rows`.

Rows are made of what such services usually answer: metrics in Prometheus' text format, the answer of its query API, or a
JSON list of objects. Everything else has no rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from orchestrator.errors import ExpressionError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """A page that was read.

    Attributes:
        status: HTTP status.
        text: the body.
    """

    readable: ClassVar = frozenset({"status", "text", "json", "rows"})

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether the service says that all is well."""
        return 200 <= self.status < 300

    @cached_property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ExpressionError: it is none.
        """
        try:
            return json.loads(self.text)
        except ValueError:
            raise ExpressionError(f"the page is not JSON; it begins with {self.text[:40]!r}") from None

    @cached_property
    def rows(self) -> list[Row]:
        """The rows: of metrics one a sample, with its labels, `name` and `value`.

        Raises:
            ExpressionError: an answer other than 2xx has none, and a page that has none either.
        """
        if not self.ok:
            raise ExpressionError(f"the page answered HTTP status {self.status}")
        if self.text.lstrip()[:1] in {"{", "["}:
            return list(_of_json(self.json))
        return list(_of_metrics(self.text))


def _of_json(value: Any) -> Iterator[Row]:
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        yield from value
        return
    data = value.get("data") if isinstance(value, dict) and value.get("status") == "success" else None
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(result, list) or data is None or data.get("resultType") != "vector":
        raise ExpressionError("the page has no rows: it is neither a list of objects nor a vector of Prometheus")
    for sample in result:
        labels = {("name" if key == "__name__" else key): text for key, text in sample["metric"].items()}
        yield {**labels, "value": float(sample["value"][1])}


def _of_metrics(text: str) -> Iterator[Row]:
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - takes long, and few runs need it

    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield {**sample.labels, "name": sample.name, "value": sample.value}
    except (ValueError, IndexError, KeyError):
        raise ExpressionError(f"the page is neither JSON nor metrics; it begins with {text[:40]!r}") from None
