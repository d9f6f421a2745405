"""Playbooks: what an operator wants done, as values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from orchestrator.limits import Limits, Retry
from orchestrator.playbook.action import TEMPLATE_SCHEMA, Polled, Probe, Selection, Sentence, Truth, Undo, Verify
from orchestrator.playbook.conditions import Affects, Condition, Keep
from orchestrator.playbook.habits import OF_PLAYBOOKS
from orchestrator.text.document import Strict, Suggested
from orchestrator.text.expression import is_template
from orchestrator.text.scalar import text_of
from orchestrator.text.units import Duration, Share, ShareField

OnFailure = Literal["stop", "continue", "undo"]
Overrun = Literal["finish", "stop", "undo"]
ParameterType = Literal["string", "integer", "number", "boolean", "duration", "host", "hosts", "list", "file", "users"]

_TEXTS = {"string", "host", "hosts", "list", "file"}  # types whose values are text, or made from text


class Parameter(Strict):
    """A value that the operator gives with -e name=value."""

    type: ParameterType = Field("string", description="What kind of value; it is checked before anything else.")
    required: bool = Field(default=False, description="Whether a value must be given.")
    default: Any = Field(None, description="The value when none is given.")
    help: str = Field("", description="One line for the operator.")
    group: str | None = Field(None, description="For host and hosts: the group that they must belong to.")
    min: float | None = Field(
        None, description="For numbers: the least value. For users: how many there must be (default 1)."
    )
    max: float | None = Field(None, description="For numbers: the greatest value. For users: how many there may be.")
    patterns: bool = Field(
        default=False, description="For users: whether lines may be patterns (*, ?) and addresses, as masks are."
    )
    choices: list[Any] | None = Field(None, description="The only values allowed.")

    @field_validator("default", "choices", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """As if they were given with -e: where text is wanted, a number is the text that it was written as."""
        kind = info.data.get("type")
        if kind not in _TEXTS or value is None:
            return value
        if isinstance(value, list) and (kind == "list" or info.field_name == "choices"):
            return [part if isinstance(part, dict) else text_of(part) for part in value]
        return text_of(value)


class CsvSource(Strict):
    """Items from a CSV file with a header line; `{{ item.user }}` is the column `user`."""

    csv: str = Field(description="Path; relative to the playbook.")


class FileSource(Strict):
    """Items from a text file, one a line; blank lines and lines that begin with # are left out."""

    file: str = Field(description="Path; relative to the playbook.")


def _items(value: Any) -> Any:
    if isinstance(value, str) and not is_template(value):
        raise Suggested("must be a list, {file: PATH}, {csv: PATH} or an expression in {{ }}")
    if isinstance(value, dict) and len(value) == 1:
        if "file" in value:
            return FileSource.model_validate(value)
        if "csv" in value:
            return CsvSource.model_validate(value)
    if isinstance(value, str | list):
        return value
    raise Suggested("must be a list, {file: PATH}, {csv: PATH} or an expression in {{ }}")


ForEach = Annotated[
    Any,
    BeforeValidator(_items),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array"},
                TEMPLATE_SCHEMA,
                {"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}}},
                {"type": "object", "required": ["csv"], "properties": {"csv": {"type": "string"}}},
            ]
        }
    ),
]


class Requirement(Strict):
    """A condition without which the run is refused."""

    that: Truth = Field(description="An expression that must hold.")
    message: Sentence = Field(description="What is wrong when it does not, and what to do; may contain expressions.")


def _requirements(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Pause(Strict):
    """A wait, or a question to the operator."""

    for_: Duration | None = Field(None, alias="for", description="How long to wait.")
    confirm: Sentence | None = Field(
        None, description="What to ask; without a yes the run stops here and can be resumed."
    )

    @model_validator(mode="after")
    def _one(self) -> Pause:
        if (self.for_ is None) == (self.confirm is None):
            raise Suggested("give either for or confirm")
        return self


def _pause(value: Any) -> Any:
    return value if value is None or isinstance(value, dict | Pause) else {"for": value}


def _sizes(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class Batches(Strict):
    """Hosts in groups, one group after the other."""

    hosts: Selection = Field(description="All hosts; known at planning.")
    size: Annotated[list[ShareField], BeforeValidator(_sizes, json_schema_input_type=list[ShareField] | ShareField)] = (
        Field(
            default_factory=lambda: [Share(1)],
            min_length=1,
            description="How many hosts (or which percentage) make a batch; the last value of a list repeats.",
        )
    )
    soak: Duration | None = Field(None, description="How long to wait between two batches.")
    steps: list[Step] = Field(
        min_length=1,
        description="What is done with each batch: `batch` is its hosts, and the hosts of steps that name none.",
    )


class Step(Polled):
    """One step of a procedure."""

    name: str = Field(min_length=1, description="What the step does, in the operator's words.")
    when: Truth | None = Field(None, description="The step is skipped unless this holds.")
    for_each: ForEach | None = Field(None, description="One operation for each item, as `item`, on each of the hosts.")
    require: Annotated[
        list[Requirement], BeforeValidator(_requirements, json_schema_input_type=list[Requirement] | Requirement)
    ] = Field(
        default=[],
        description="Conditions that must be true; otherwise the run stops here, before this step sends anything.",
    )
    verify: Verify | None = Field(None, description="A read-only check after this step, polled until it is true.")
    limits: Limits = Field(default_factory=Limits, description="Limits of this step.")
    on_failure: OnFailure | None = Field(
        None, description="When more fail than max_failed allows: stop (default), continue, or undo what was done."
    )
    undo: Undo | None = Field(None, description="Undoes this step if it or a later one fails with on_failure: undo.")
    probe: Probe | None = Field(
        None,
        description="Asked when an operation that must not be repeated got no answer, to learn whether it was executed.",
    )
    pause: Annotated[Pause | None, BeforeValidator(_pause, json_schema_input_type=Pause | Duration | None)] = Field(
        None, description="Wait a while (pause: 30s), or ask the operator (pause: {confirm: ...})."
    )
    batches: Batches | None = Field(
        None, description="Nested steps for hosts in batches; stops at the first that fails."
    )
    affects: Affects | None = Field(
        None, description="How many users and sessions notice it: for the review, and the question before the run."
    )
    irreversible: Sentence = Field("", description="What of it cannot be undone, in a sentence, for the review.")
    verified: Sentence = Field(
        "", description="How its effect is checked, in a sentence, where it has no verify of its own; or why it is not."
    )
    keep: Keep | None = Field(
        None, description="What this step sets and must stay so: later steps stop the run if somebody else changes it."
    )
    takes: Duration | None = Field(
        None,
        description="How long the step, or one batch, takes at most; what does not fit into a window is not started.",
    )
    overrun: Overrun | None = Field(
        None,
        description="Start it even if it may not finish within the window; at the window's end finish it, stop, or undo.",
    )

    @model_validator(mode="after")
    def _one_subject(self) -> Step:
        subjects = [self.command, self.require or None, self.pause, self.batches]
        if sum(subject is not None for subject in subjects) != 1:
            raise Suggested("a step has one of command, require, pause and batches")
        if self.command is None and (self.hosts or self.parameters or self.verify or self.undo or self.for_each):
            raise Suggested("hosts, parameters, for_each, verify and undo belong to a command")
        if self.command is None and (self.affects or self.irreversible or self.verified or self.keep):
            raise Suggested("affects, irreversible, verified and keep belong to a command")
        if self.batches and any(nested.batches for nested in self.batches.steps):
            raise Suggested("batches cannot stand within batches")
        if self.batches and any(nested.takes or nested.overrun for nested in self.batches.steps):
            raise Suggested("takes and overrun belong to the batches as a whole")
        return self


class Playbook(Strict):
    """A procedure: parameters and steps."""

    elsewhere = OF_PLAYBOOKS

    name: str = Field(min_length=1, description="What the procedure does, in a few words.")
    description: str = Field("", description="What it is for, what users notice, how to undo it.")
    parameters: dict[str, Parameter] = Field(default={}, description="What the operator gives with -e.")
    limits: Limits = Field(default_factory=Limits, description="Limits of the run; they lower the configuration's.")
    retry: Retry = Field(default_factory=Retry, description="When operations are retried.")
    on_failure: OnFailure = Field("stop", description="What steps do on failure unless they say otherwise.")
    conditions: list[Condition] = Field(
        default=[], description="What must hold: at the start, before batches or steps, or all the time."
    )
    steps: list[Step] = Field(min_length=1, description="One after the other; each is complete before the next begins.")
    finally_: list[Step] = Field(
        default=[], alias="finally", description="Steps that run at the end, whether or not the others succeeded."
    )


def steps_of(playbook: Playbook) -> Iterator[tuple[tuple[str | int, ...], Step]]:
    """The steps with their paths in the document; those of batches are within theirs."""
    for index, step in enumerate(playbook.steps):
        yield ("steps", index), step
    for index, step in enumerate(playbook.finally_):
        yield ("finally", index), step
