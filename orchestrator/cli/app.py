"""What the verbs share: the fleet, the state directory, playbooks by name, options."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.output import message

if TYPE_CHECKING:
    from orchestrator.config import Config
    from orchestrator.inventory import Inventory
    from orchestrator.journal.store import Store
    from orchestrator.source import Source

F = TypeVar("F", bound=Callable[..., Any])

SHIPPED = (Path(__file__).parent.parent / "playbooks", Path(__file__).parent.parent.parent / "playbooks")


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
        typed = [("-c", config), ("--state-dir", state_dir)]
        words = [word for option, value in typed if value is not None for word in (option, value)]
        self.program = shlex.join(["orchestrator", *words])

    @cached_property
    def config(self) -> Config:
        """The configuration; its warnings go to stderr once."""
        from orchestrator.config import find_config, load_config

        return load_config(find_config(self.config_option))

    def use_config(self, path: str) -> None:
        """Go by this configuration, unless the operator named another."""
        if self.config_option is None:
            self.config_option = path
            self.__dict__.pop("config", None)
            self.__dict__.pop("inventory", None)

    @cached_property
    def inventory(self) -> Inventory:
        """The fleet."""
        from orchestrator.inventory import build_inventory

        inventory = build_inventory(self.config)
        for warning in sorted(set(_warnings(inventory))):
            message(f"warning: {warning}")
        return inventory

    @cached_property
    def store(self) -> Store:
        """The state directory; a configuration that cannot be read does not hide it."""
        from orchestrator.errors import OrchestratorError
        from orchestrator.journal.store import Store, state_dir
        from orchestrator.user import expand

        try:
            given = self.config.file.state_dir
            configured = str(self.config.path.parent / expand(given)) if given else None
        except OrchestratorError:
            configured = None
        return Store(state_dir(self.state_option, configured))

    def run_file(self, name: str | None) -> Path:
        """The file of a run or of a saved plan: a path, or what the state directory has under that name.

        Raises:
            RunNotFoundError: neither.
        """
        return Path(name) if name and Path(name).is_file() else self.store.find(name)


def _warnings(inventory: Inventory) -> Iterator[str]:
    for host in inventory.hosts.values():
        if warning := host.endpoint.secret.warning():
            yield warning
        if host.endpoint.scheme == "https" and not host.endpoint.tls.verify:
            yield "tls verify is false: any certificate is accepted, so anyone in between can read the secret"


def find_playbook(name: str) -> Path:
    """A playbook's file: a path, or the name of a shipped one.

    Raises:
        InputError: neither.
    """
    from orchestrator.errors import InputError, nearest

    path = Path(name)
    if path.exists() or "/" in name or name.endswith((".yaml", ".yml")):
        return path
    known = shipped()
    if name in known:
        return known[name]
    raise InputError.at(
        f"there is no file {name!r}, and no shipped playbook of that name",
        "playbook",
        suggestion=nearest(name, known),
        hint="`orchestrator playbooks` lists the shipped ones",
    )


def shipped() -> dict[str, Path]:
    """The shipped playbooks' files by name, in alphabetical order."""
    return dict(sorted((file.stem, file) for folder in SHIPPED for file in folder.glob("*.yaml")))


def load_source(name: str) -> Source:
    """A playbook by path or name."""
    from orchestrator.source import load_playbook

    return load_playbook(find_playbook(name))


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
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="json: JSON lines alone on stdout."
)
VERBOSE = click.option("-v", "--verbose", count=True, help="Show more; twice shows every attempt.")
GIVEN = click.option("-e", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the playbook.")
LIMIT = click.option("--limit", metavar="SELECTION", help="Only these of the playbook's hosts.")
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def limits(function: F) -> F:
    """The options that limit a run."""
    for option in (
        click.option("--force", is_flag=True, help="Even while another run changes the same hosts."),
        click.option("--max-failed", metavar="N|P%", help="How many operations of a step may fail before all stops."),
        click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a second in the whole run."),
        click.option("--in-flight", type=click.IntRange(min=1, max=10_000), help="Operations under way at a time."),
    ):
        function = option(function)
    return function
