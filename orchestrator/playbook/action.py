"""What a step of a playbook may send, as values: a command to hosts, polled or not, and the words that all share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from orchestrator.dovecot import catalog
from orchestrator.limits import Retry
from orchestrator.outcome import Effect
from orchestrator.playbook.habits import OF_STEPS
from orchestrator.text.document import Strict, Suggested
from orchestrator.text.expression import is_template
from orchestrator.text.units import Duration, parse_duration

_WORDS = {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "self", "loop"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

# Names that every expression may read, and where they are known.
BUILTIN = {"groups": "plan", "run": "run"}
BATCH = {"batch", "batch_number"}  # known to the steps of a batch
RESERVED = {"item", "host", "rows", "answer", "parameters", "now", "reviewed", *BATCH, *BUILTIN}


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


TEMPLATE_SCHEMA = {"type": "string", "pattern": r"\{\{"}
Truth = Annotated[Any, BeforeValidator(_condition), WithJsonSchema({"anyOf": [{"type": "boolean"}, TEMPLATE_SCHEMA]})]
TemplatedDuration = Annotated[
    Any,
    BeforeValidator(_duration_or_template),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]
Sentence = Annotated[str, AfterValidator(str.rstrip)]  # a YAML block ends with a line end
Identifier = Annotated[str, BeforeValidator(_identifier)]


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

    until: Truth | None = Field(
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


class Probe(Action):
    """A read-only question that settles what became of an operation whose answer was lost."""

    done: Truth = Field(
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


def effect_of(action: Action, values: Mapping[str, Any]) -> Effect:
    """What sending an action's command twice means: the playbook's word, or the catalogue's."""
    entry = catalog.find(action.command or "")
    known = entry.effect_of(values) if entry else Effect.UNREPEATABLE
    if action.effect is None or (entry and known is Effect.READ):
        return known
    return Effect(action.effect)


def irreversible_of(action: Action) -> str:
    """What of an action's command cannot be undone, as the catalogue has it; empty where it says nothing."""
    entry = catalog.find(action.command or "")
    return entry.irreversible if entry and effect_of(action, action.parameters) is not Effect.READ else ""
