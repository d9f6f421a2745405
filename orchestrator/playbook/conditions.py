"""What must hold besides what steps require: at the start, before batches or steps, or all the time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from orchestrator.fleet.address import fault_of_url
from orchestrator.playbook.action import TEMPLATE_SCHEMA, Action, Sentence, Truth
from orchestrator.text.document import Strict, Suggested
from orchestrator.text.expression import is_template
from orchestrator.text.units import Duration

Moment = Literal["start", "batch", "step", "always"]
Otherwise = Literal["refuse", "pause", "stop", "undo"]
EVERY = 15.0  # seconds between two looks

_USUAL: dict[Moment, Otherwise] = {"start": "refuse", "batch": "stop", "step": "stop", "always": "pause"}


def _expression(value: Any) -> Any:
    if not is_template(value):
        raise Suggested("must be an expression in {{ }}")
    return value


def _address(value: str) -> str:
    if is_template(value):
        return value
    if fault := fault_of_url(value):
        raise Suggested(fault)
    return value


Expression = Annotated[Any, BeforeValidator(_expression), WithJsonSchema(TEMPLATE_SCHEMA)]


class Ask(Action):
    """A read-only question: a command to hosts, or a page of another service."""

    url: Annotated[str | None, AfterValidator(_address)] = Field(
        None,
        description="Instead of a command, a page that is read by HTTP: metrics (Prometheus), JSON, a health check.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Ask:
        if (self.command is None) == (self.url is None):
            raise Suggested("a question needs either a command or a url")
        if self.url and (self.hosts or self.parameters or self.run_once or self.effect or self.accept):
            raise Suggested("hosts and parameters belong to a command")
        if "retry" in self.model_fields_set:
            raise Suggested("a question that is not answered is asked again by itself; leave retry out")
        return self


class Condition(Strict):
    """What must hold, when it is looked at, and what follows when it does not hold."""

    name: str = Field(min_length=1, description="What it is about, as reports and reviews call it.")
    ask: Ask = Field(description="Where its answer comes from.")
    value: Expression | None = Field(
        None,
        description="The number or text that matters, of `rows` and `answer`; shown, kept, and called `now` in that.",
    )
    that: Truth | None = Field(
        None,
        description="Must be true; reads `rows`, `answer`, `now`, and `reviewed`: the value in the plan that was reviewed. "
        "Without it a page must answer 2xx.",
    )
    at: Moment = Field(
        "start", description="When it is looked at: start, batch, step (that changes something) or always."
    )
    every: Duration = Field(
        EVERY, gt=0, description="How often it is looked at, with at: always and while it is waited for."
    )
    otherwise: Otherwise | None = Field(
        None,
        description="What follows when it does not hold: refuse (usual at the start), pause until it holds (usual for always), "
        "stop (usual for batch and step), or undo.",
    )
    deadline: Duration = Field(600.0, description="How long a pause may last before the run stops.")
    empty: Literal["holds", "no_data"] | None = Field(
        None, description="What an answer without rows means; some metrics have none when there are no errors."
    )
    message: Sentence = Field("", description="What to do when it does not hold.")

    @model_validator(mode="after")
    def _complete(self) -> Condition:
        if self.that is None and self.ask.url is None:
            raise Suggested("a condition on a command's answer needs a that")
        if self.otherwise == "refuse" and self.at != "start":
            raise Suggested("a run that has begun cannot be refused; say pause, stop or undo")
        if self.otherwise == "undo" and self.at == "start":
            raise Suggested("at the start there is nothing to undo; say refuse, pause or stop")
        return self

    @property
    def follows(self) -> Otherwise:
        """What follows when it does not hold."""
        return self.otherwise or _USUAL[self.at]


class Keep(Strict):
    """What a step sets and nobody else may change until a later step."""

    ask: Ask = Field(description="Where it is seen.")
    value: Expression = Field(description="What of the answer must stay as this step left it.")
    until_step: str | None = Field(
        None,
        description="The name of the step from which on it may change (usual: to the end of the batch, or the run).",
    )


class Affects(Strict):
    """How many notice a step."""

    users: Expression | None = Field(None, description="How many users, or a list of them; reads earlier answers.")
    sessions: Expression | None = Field(None, description="How many sessions.")
