"""What the verbs share: the fleet, the state directory, options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.output import message

if TYPE_CHECKING:
    from orchestrator.cli.conduct import Options
    from orchestrator.journal.sqlite.store import FileRun, FileStore
    from orchestrator.playbook.source import Source
    from orchestrator.runs.planning import Fleet

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class App:
    """The global options.

    Attributes:
        program: this program as it was called, with its global options; what is to be typed next begins so.
    """

    config_option: str | None = None
    state_option: str | None = None
    program: str = "orchestrator"

    def take(self, config: str | None, state_dir: str | None) -> None:
        """Go by the options that were given."""
        self.config_option, self.state_option = config, state_dir
        self._name_program()

    def use_config(self, path: str) -> None:
        """Go by this configuration, unless the operator named another."""
        if self.config_option is not None:
            return
        before = self.store.folder
        self.config_option = path
        for name in ("fleet", "store"):
            self.__dict__.pop(name, None)
        if self.store.folder != before:  # else whoever types the next command finds the run without it
            self._name_program()

    def _name_program(self) -> None:
        typed = [("-c", self.config_option), ("--state-dir", self.state_option)]
        words = [word for option, value in typed if value is not None for word in (option, value)]
        self.program = shlex.join(["orchestrator", *words])

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet; its warnings go to stderr once."""
        from orchestrator.runs.planning import load_fleet

        fleet = load_fleet(self.config_option)
        for warning in fleet.warnings():
            message(f"warning: {warning}")
        return fleet

    @cached_property
    def store(self) -> FileStore:
        """The state directory; a configuration that cannot be read does not hide it."""
        from orchestrator.errors import OrchestratorError
        from orchestrator.runs.planning import load_fleet
        from orchestrator.runs.store import open_store

        try:
            fleet = load_fleet(self.config_option)
            fleet.state_dir  # noqa: B018 - its mistakes do not hide the runs either
        except OrchestratorError:
            fleet = None
        return open_store(self.state_option, fleet)

    def find(self, name: str | None) -> FileRun:
        """A run, or a saved plan: a path, or what the state directory has under that name.

        Raises:
            RunNotFoundError: neither.
        """
        import os.path

        from orchestrator.cli.suggest import operation_hint
        from orchestrator.errors import RunNotFoundError
        from orchestrator.journal.sqlite.store import open_file

        if name and os.path.isfile(name):  # noqa: PTH113 - a folder that may not be looked into is no error here
            return open_file(name)
        try:
            return self.store.find(name)
        except RunNotFoundError as error:
            raise RunNotFoundError(error.message, hint=operation_hint(name or "") or error.hint) from None


def load_source(name: str) -> Source:
    """A playbook by path or name."""
    from orchestrator.playbook.source import load_playbook

    return load_playbook(name)


def parse_given(pairs: tuple[str, ...]) -> dict[str, str]:
    """`-e name=value` as a mapping.

    Raises:
        click.UsageError: not name=value, or a name twice.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise click.UsageError(f"-e {pair!r} is not name=value")
        if name in given:
            raise click.UsageError(f"-e {name} is given twice")
        given[name] = value
    return given


FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="json: only JSON lines on stdout."
)
VERBOSE = click.option(
    "-v", "--verbose", count=True, help="Show more: all requests of a plan, each retry of a run; -vv: each attempt."
)
GIVEN = click.option("-e", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the playbook.")
LIMIT = click.option("--limit", metavar="SELECTION", help="Run only on these of the playbook's hosts.")
TICKET = click.option("--ticket", metavar="ID", default="", help="The change that it belongs to, such as CHG-1234.")
REASON = click.option("--reason", metavar="TEXT", default="", help="Why it is done, for the review and the report.")
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask; questions of the playbook are answered yes too.")


def _duration(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    from orchestrator.text.units import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _share(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    from orchestrator.text.units import parse_share

    try:
        return None if text is None else str(parse_share(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def working(function: F) -> F:
    """The options of every verb that works on a run; they arrive as keywords, for `options_of`."""
    for option in (
        FORMAT,
        VERBOSE,
        click.option("--break-glass", metavar="REASON", help="Ignore windows, freezes and approvals; asks twice."),
        click.option(
            "--takes",
            metavar="DURATION",
            callback=_duration,
            help="The longest that a batch, or a step that must not be interrupted, can take.",
        ),
        click.option("--wait", is_flag=True, help="Wait for the window to open."),
        click.option("--until", metavar="TIME", help="Stop at this time (04:30); the run can be resumed."),
        click.option("--window", metavar="NAME|SPAN", help="Work within this maintenance window only."),
        click.option("--ask", is_flag=True, help="Ask before each step that changes something."),
        click.option("--force", is_flag=True, help="Run even while another run changes the same hosts."),
        click.option(
            "--max-failed",
            metavar="N|P%",
            callback=_share,
            help="How many operations of a step may fail before the run stops.",
        ),
        click.option(
            "--rate", type=click.FloatRange(min=0, min_open=True), help="Requests per second in the whole run."
        ),
        click.option("--in-flight", type=click.IntRange(min=1, max=10_000), help="Operations under way at a time."),
        YES,
    ):
        function = option(function)
    return function


def options_of(values: dict[str, Any], *, quiet: bool = False) -> Options:
    """What the shared options of a verb that works on a run say.

    Raises:
        click.UsageError: one of them is not what it should be.
    """
    from orchestrator.cli.conduct import Options
    from orchestrator.runs.work import Choices

    names = (
        "in_flight",
        "rate",
        "max_failed",
        "window",
        "until",
        "wait",
        "takes",
        "break_glass",
        "force",
        "take_over",
        "ask",
    )
    if values["ask"] and values["yes"]:
        raise click.UsageError("give either --ask or --yes")
    try:
        choices = Choices(**{name: values[name] for name in names if values.get(name) is not None})
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return Options(choices, values["form"], values["verbose"], values["yes"], quiet=quiet)


def plan_name(playbook: str) -> str:
    """What a saved plan of a playbook, or of a command, might be called."""
    from pathlib import PurePath

    return re.sub(r"[^\w.-]+", "-", PurePath(playbook).stem) + ".plan"


def planned_so_far(count: int) -> None:
    """Tell the operator that a long planning goes on."""
    message(f"planning: {count} operations so far")
