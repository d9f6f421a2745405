"""What is known of each doveadm command: parameters, columns of its rows, effect, what its exit codes mean.

The knowledge is data, in `commands/*.yaml` beside this file, one file a family, which an administrator can read and
correct. A family is read when one of its commands is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from orchestrator.dovecot.impact import Impact, is_given
from orchestrator.errors import InputError, nearest
from orchestrator.outcome import Effect
from orchestrator.text.document import Document, Strict, build, load

FOLDER = Path(__file__).parent / "commands"

LONG_TIMEOUT = 600.0  # seconds that a command that may run long is given where nobody says how long

ParameterType = Literal["string", "integer", "boolean", "array"]
Version = Literal["2.2", "2.3", "2.4"]


class Parameter(Strict):
    """A command's parameter."""

    type: ParameterType | dict[Version, ParameterType] = "string"
    required: bool = False
    help: str = ""
    versions: list[Version] = Field([])
    format: Literal["", "address", "address_or_all", "ip", "user", "count", "file", "mask", "pattern"] = ""
    minimum: int = 0
    maximum: int | None = None
    option: str = ""
    argument: int | None = None
    word: str = ""
    fatal: dict[str, str] = Field({})
    void: dict[str, str] = Field({})
    long: bool | Literal["pattern"] = False

    def lengthens(self, value: Any) -> bool:
        """Whether a command that is given it with this value may run for long: for many users, not for one."""
        if self.long == "pattern":
            return isinstance(value, str) and bool({*value} & {*"*?"})
        return self.long and value not in {None, "", False, "false"}

    def types(self) -> set[str]:
        """The types it has in any version."""
        return set(self.type.values()) if isinstance(self.type, dict) else {self.type}


class ExitCode(Strict):
    """What an exit code means."""

    means: str
    outcome: Literal["unchanged", "failed", "temporary"] = "failed"
    versions: list[Version] = Field([])
    name: str = ""
    remedy: str = ""


class ParameterTest(Strict):
    """A condition on a parameter's value."""

    parameter: str
    equals: Any = None
    effect: Literal["read", "repeatable", "unrepeatable"] | None = None

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the parameter has that value, written in whatever way, or may have it once an expression is known."""
        value = parameters.get(self.parameter)
        if isinstance(value, str):
            return "{{" in value or value.strip().lower() == str(self.equals).lower()
        return bool(value == self.equals)


class Need(Strict):
    """A parameter that another one does not work without; up to `maximum` when it must then be a number."""

    parameter: str
    equals: bool
    needs: str
    maximum: int | None = None


class Inverse(Strict):
    """The command that takes another's effect back."""

    command: str
    note: str = ""


class Changed(Strict):
    """How an answer shows whether something was changed; what one version never answers does no harm to another.

    Attributes:
        row, counted: what a row with the column is about, and what is counted, each in a word for one.
    """

    rows: bool = False
    count: str = ""
    column: str = ""
    row: str = ""
    counted: str = ""

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of the answer says that something was changed."""
        if self.rows or (self.column and self.column in row):
            return True
        number = str(row.get(self.count, ""))
        return number.isdigit() and int(number) > 0


class Columns(Strict):
    """Some columns of a command's rows, and when they are there; all conditions hold together.

    Attributes:
        names: their names.
        asked: a parameter whose values are the columns; only of `names`, if there are any, and `all` means all of these.
        open: why there may be any others, in words.
        versions: Dovecot versions that have them; all of the command's when empty.
        with_, without: a parameter that is given (and not false), or several that are not.
        when: a condition that no parameter tells, in words; rows may lack these columns.
    """

    names: list[str] = Field([])
    asked: str = ""
    open: str = ""
    versions: list[Version] = Field([])
    with_: str = Field("", alias="with")
    without: list[str] = Field([])
    when: str = ""

    def appear(self, parameters: Mapping[str, Any]) -> bool:
        """Whether rows may have them with these parameters; an expression may turn out to be anything."""
        given = {name for name, value in parameters.items() if is_given(value)}
        for_sure = {name for name in given if not _is_open(parameters[name])}
        return not (self.with_ and self.with_ not in given) and for_sure.isdisjoint(self.without)

    def of(self, parameters: Mapping[str, Any]) -> frozenset[str] | None:
        """The names with these parameters; None when they may be any."""
        if self.open:
            return None
        if not self.asked:
            return frozenset(self.names)
        value = parameters.get(self.asked, [])
        if not value or _is_open(value):
            return frozenset(self.names) or None
        wanted = {word for text in (value if isinstance(value, list) else [value]) for word in str(text).split()}
        return frozenset(name for name in self.names if {name, "all"} & wanted) if self.names else frozenset(wanted)

    @property
    def words(self) -> str:
        """Which they are, for people."""
        named = ", ".join(self.names)
        if self.asked:
            return f"{named or 'those'} that {self.asked} asks for"
        return f"any ({self.open})" if self.open else named

    @property
    def condition(self) -> str:
        """When they are there, in words; empty for always."""
        parts = [
            f"with {self.with_}" if self.with_ else "",
            f"without {' and '.join(self.without)}" if self.without else "",
            self.when,
        ]
        return ", ".join(filter(None, parts))


def _is_open(value: Any) -> bool:
    """Whether a parameter's value is an expression, or has one in it."""
    return any(map(_is_open, value)) if isinstance(value, list) else isinstance(value, str) and "{{" in value


class Command(Strict):
    """One doveadm command."""

    summary: str
    effect: Literal["read", "repeatable", "unrepeatable"]
    effect_when: list[ParameterTest] = Field([])
    long: bool = False
    user_impact: str = ""
    user_impact_unless: ParameterTest | None = None
    affects: Impact | None = None
    irreversible: str = ""
    versions: list[Version] = Field([])
    where: Literal["backend", "director", "any"] = "any"
    parameters: dict[str, Parameter] = Field({})
    one_of: list[list[str]] = Field(
        []
    )  # of each list one is needed; a required one, unless another of its list is given
    needs: list[Need] = Field([])
    exit_codes: dict[str, ExitCode] = Field({})
    verify: str = ""
    inverse: Inverse | None = None
    doveadm: str = ""
    notes: list[str] = Field([])
    changed: Changed | None = None
    found: str = ""
    columns: list[Columns] = Field([Columns(open="not known")])

    def columns_of(self, parameters: Mapping[str, Any], version: str = "") -> frozenset[str] | None:
        """The columns that its rows can have with these parameters; None when they can be any.

        Args:
            parameters: as a playbook gives them, expressions included.
            version: of Dovecot; of any version when empty, since a playbook does not know which its hosts are.
        """
        found: set[str] = set()
        for columns in self.columns:
            if (version and version not in (columns.versions or self.versions)) or not columns.appear(parameters):
                continue
            names = columns.of(parameters)
            if names is None:
                return None
            found |= names
        return frozenset(found)

    def effect_of(self, parameters: Mapping[str, Any]) -> Effect:
        """What sending it twice with these parameters means."""
        for test in self.effect_when:
            if test.effect and test.holds(parameters):
                return Effect(test.effect)
        return Effect(self.effect)

    def may_run_long(self, parameters: Mapping[str, Any]) -> bool:
        """Whether with these parameters it may take as long as there is mail, so that an answer may come late."""
        given = ((self.parameters[name], value) for name, value in parameters.items() if name in self.parameters)
        return self.long or any(spec.lengthens(value) for spec, value in given)

    @cached_property
    def ever_long(self) -> bool:
        """Whether it may run long with any parameters; a cheap question before the other one."""
        return self.long or any(spec.long for spec in self.parameters.values())

    def user_impact_of(self, parameters: Mapping[str, Any]) -> str:
        """What users notice of it with these parameters, in a sentence; empty for nothing."""
        if self.user_impact_unless and self.user_impact_unless.holds(parameters):
            return ""
        return self.user_impact

    def changes(self, rows: Iterable[Mapping[str, Any]]) -> bool | None:
        """Whether an answer says that something was changed; None when it does not say."""
        if not self.changed:
            return None
        return any(self.changed.holds(row) for row in rows)


UNLISTED = Command.model_validate({"summary": "A command that the catalogue does not know.", "effect": "unrepeatable"})


@cache
def _families() -> dict[str, Path]:
    """Command -> the file that describes it, from the files' top-level keys alone."""
    return {
        name: path
        for path in sorted(FOLDER.glob("[!_]*.yaml"))
        for name in re.findall(r"^([A-Za-z0-9]+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


@cache
def _family(path: Path) -> Document:
    return load(path, what="command catalogue")


def names() -> list[str]:
    """All known commands, in alphabetical order."""
    return sorted(_families())


@cache
def find(name: str) -> Command | None:
    """What is known of a command, or None.

    Raises:
        InputError: the catalogue has mistakes there, each with its place.
    """
    path = _families().get(name)
    if path is None:
        return None
    document = _family(path)
    return build(Command, document, document.value[name], (name,))


def suggest(name: str) -> str:
    """The known command that a misspelt one most likely meant, or empty."""
    return nearest(name, _families())


@cache
def general_exit_codes() -> Mapping[int, ExitCode]:
    """What exit codes mean where the command itself says nothing."""
    document = load(FOLDER / "_exit_codes.yaml", what="command catalogue")
    return {int(code): build(ExitCode, document, value, (code,)) for code, value in document.value.items()}


def exit_code(command: Command, code: int) -> ExitCode:
    """What an exit code of a command means: the command's own meaning, the general one, or none."""
    own = command.exit_codes.get(str(code))
    if own:
        return own
    known = general_exit_codes().get(code)
    return known or ExitCode(means="no meaning is known", outcome="temporary" if code == 75 else "failed")


__all__ = ["UNLISTED", "Command", "ExitCode", "InputError", "Parameter", "exit_code", "find", "names", "suggest"]
