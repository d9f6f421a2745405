"""How much at a time, when to stop, and when to retry: what configuration, playbooks and steps all may say."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from orchestrator.text.document import Strict, Suggested
from orchestrator.text.units import Duration, ShareField


def _per_host(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64):
        return value
    raise Suggested("must be a number from 1 to 64, or auto")


PerHost = Annotated[
    Any,
    BeforeValidator(_per_host),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 64}, {"const": "auto"}]}),
]


class Limits(Strict):
    """How much at a time, and when to stop."""

    in_flight: int | None = Field(
        None, ge=1, le=10_000, description="Operations sent and not yet recorded, in the whole run (default 100)."
    )
    per_host: PerHost | None = Field(
        None,
        description="Requests at a time on one host (default 4), or auto (adaptive concurrency), at most 16. "
        "A stock host gains nothing above 4, and 100 lock it up.",
    )
    rate: float | None = Field(None, gt=0, description="Requests per second in the whole run (default: no limit).")
    max_failed: ShareField | None = Field(
        None,
        description="How many operations of a step (or which percentage) may fail before the run stops (default 0).",
    )


class Retry(Strict):
    """When an operation is retried: after exit code 75, an unreachable host, or an unknown outcome."""

    attempts: int | None = Field(None, ge=1, le=100, description="Attempts in all (default 6).")
    base: Duration | None = Field(None, description="Longest wait after the first attempt; doubles (default 1s).")
    max: Duration | None = Field(None, description="Longest wait between two attempts (default 30s).")
    deadline: Duration | None = Field(None, description="No attempt starts later than this after the first (10m).")
    budget: float | None = Field(
        None,
        gt=0,
        description="Retries for each operation of a step, on average (default 2); more of them stop the run.",
    )
