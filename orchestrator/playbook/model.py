"""Playbooks: what an operator wants done, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from orchestrator.dovecot import catalog
from orchestrator.limits import Limits, Retry
from orchestrator.outcome import Effect
from orchestrator.playbook.habits import OF_PLAYBOOKS, OF_STEPS
from orchestrator.text.document import Strict, Suggested
from orchestrator.text.expression import is_template
from orchestrator.text.scalar import text_of
from orchestrator.text.units import Duration, Share, ShareField, parse_duration

OnFailure = Literal["stop", "continue", "undo"]
Overrun = Literal["finish", "stop", "undo"]
ParameterType = Literal["string", "integer", "number", "boolean", "duration", "host", "hosts", "list", "file", "users"]

_WORDS = {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "self", "loop"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

# Names that every expression may read, and where they are known.
BUILTIN = {"groups": "plan", "run": "run"}
BATCH = {"batch", "batch_number"}  # known to the steps of a batch
RESERVED = {"item", "host", "rows", "answer", "parameters", *BATCH, *BUILTIN}


def _condition(value: Any) -> Any:
    if isinstance(value, bool) or is_template(value):
        return value
    raise Suggested("must be true, false or an expression in {{ }}")


def _duration_or_template(value: Any) -> Any:
    return value if is_template(value) else parse_duration(value)


def fault_of_name(name: Any) -> str:
    """Why expressions could not use this as a name; empty when they can."""
    if not isinstance(name, str) or not _NAME.match(name):
        return "must be a name of letters, digits and _ that starts with a letter"
    if name.lower() in _WORDS:
        return f"{name!r} is a word of the expression language; take another name"
    if name in RESERVED:
        return f"{name!r} has a meaning of its own in expressions; take another name"
    return ""


def _identifier(value: Any) -> Any:
    if fault := fault_of_name(value):
        raise Suggested(fault)
    return value


_TEMPLATE_SCHEMA = {"type": "string", "pattern": r"\{\{"}
Condition = Annotated[
    Any, BeforeValidator(_condition), WithJsonSchema({"anyOf": [{"type": "boolean"}, _TEMPLATE_SCHEMA]})
]
TemplatedDuration = Annotated[
    Any,
    BeforeValidator(_duration_or_template),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]
Sentence = Annotated[str, AfterValidator(str.rstrip)]  # a YAML block ends with a line end
Identifier = Annotated[str, BeforeValidator(_identifier)]


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
                _TEMPLATE_SCHEMA,
                {"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}}},
                {"type": "object", "required": ["csv"], "properties": {"csv": {"type": "string"}}},
            ]
        }
    ),
]


def _selection(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return ",".join(value)
    return value


Selection = Annotated[
    str,
    BeforeValidator(_selection),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Action(Strict):
    """A command to hosts."""

    elsewhere = OF_STEPS

    hosts: Selection | None = Field(
        None, description='Which hosts: a group, a host, "backends:!b3", "backend[01-20]", or an expression.'
    )
    run_once: bool = Field(default=False, description="Sent once, through the first of the hosts, for all of them.")
    command: str | None = Field(None, description="The doveadm command, as its HTTP API calls it (directorStatus).")
    parameters: dict[str, Any] = Field(default={}, description="The command's parameters.")
    timeout: TemplatedDuration | None = Field(None, description="How long to wait for each answer.")
    accept: list[int] = Field(default=[], description="Exit codes that count as done here.")
    effect: Literal["read", "repeatable", "unrepeatable"] | None = Field(
        None,
        description="What sending it twice means; overrides the catalogue, required for commands it does not know.",
    )
    retry: Retry = Field(default_factory=Retry, description="When operations are retried.")


class Polled(Action):
    """A command that may be polled until a condition holds."""

    until: Condition | None = Field(
        None, description="Polled until this is true; `rows` and `answer` are what the host answered just now."
    )
    every: Duration | None = Field(None, description="How often to poll (default 1s).")
    within: TemplatedDuration | None = Field(None, description="How long to poll (default 60s).")
    stall: TemplatedDuration | None = Field(
        None, description="Give up earlier when the answer has not changed for this long."
    )
    register_: Identifier | None = Field(
        None, alias="register", description="A name under which later expressions find the answer."
    )

    @model_validator(mode="after")
    def _polling(self) -> Polled:
        if self.until is None and (self.every or self.within or self.stall):
            raise Suggested("every, within and stall need an until")
        return self


class Verify(Polled):
    """A read-only check that must come true on each of its hosts after the step."""

    @model_validator(mode="after")
    def _complete(self) -> Verify:
        if self.command is None or self.until is None:
            raise Suggested("a verify needs a command and an until")
        return self


class Undo(Action):
    """The command that takes a step back when a later one fails."""

    @model_validator(mode="after")
    def _complete(self) -> Undo:
        if self.command is None:
            raise Suggested("an undo needs a command")
        return self


class Requirement(Strict):
    """A condition without which the run is refused."""

    that: Condition = Field(description="An expression that must hold.")
    message: Sentence = Field(description="What is wrong when it does not, and what to do; may contain expressions.")


def _requirements(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Probe(Action):
    """A read-only question that settles what became of an operation whose answer was lost."""

    done: Condition = Field(
        description="Whether the operation was executed; `rows` and `answer` are the probe's, `parameters` the operation's."
    )
    after: Duration = Field(
        10.0,
        description="How long after the attempt a probe that sees no effect is believed; `resume` waits until then.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Probe:
        if self.command is None:
            raise Suggested("a probe needs a command")
        return self


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
    size: Annotated[list[ShareField], BeforeValidator(_sizes)] = Field(
        default_factory=lambda: [Share(1)],
        min_length=1,
        description="How many hosts (or which percentage) make a batch; the last value of a list repeats.",
    )
    soak: Duration | None = Field(None, description="How long to wait between two batches.")
    steps: list[Step] = Field(
        min_length=1,
        description="What is done with each batch: `batch` is its hosts, and the hosts of steps that name none.",
    )


class Step(Polled):
    """One step of a procedure."""

    name: str = Field(min_length=1, description="What the step does, in the operator's words.")
    when: Condition | None = Field(None, description="The step is skipped unless this holds.")
    for_each: ForEach | None = Field(None, description="One operation for each item, as `item`, on each of the hosts.")
    require: Annotated[list[Requirement], BeforeValidator(_requirements)] = Field(
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
    pause: Annotated[Pause | None, BeforeValidator(_pause)] = Field(
        None, description="Wait a while (pause: 30s), or ask the operator (pause: {confirm: ...})."
    )
    batches: Batches | None = Field(
        None, description="Nested steps for hosts in batches; stops at the first that fails."
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


def effect_of(action: Action, values: Mapping[str, Any]) -> Effect:
    """What sending an action's command twice means: the playbook's word, or the catalogue's."""
    entry = catalog.find(action.command or "")
    known = entry.effect_of(values) if entry else Effect.UNREPEATABLE
    if action.effect is None or (entry and known is Effect.READ):
        return known
    return Effect(action.effect)
