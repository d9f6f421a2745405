"""The fleet's configuration: hosts and their settings, limits, timeouts, references to secrets. Text to values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.errors import InputError
from orchestrator.limits import Limits, PerHost, Retry
from orchestrator.playbook.conditions import Condition
from orchestrator.secret import SecretReference
from orchestrator.text.document import Document, Strict, Suggested, build, load
from orchestrator.text.units import Duration
from orchestrator.user import expand, home
from orchestrator.windows import FreezeSpec, WindowSpec

ENVIRONMENT = "ORCHESTRATOR_CONFIG"
FILE_NAME = "config.yaml"


class SecretSpec(Strict):
    """Where a secret is to be had; exactly one of the keys. The secret itself never stands in a file of ours."""

    env: str | None = Field(None, description="Name of an environment variable.")
    file: str | None = Field(None, description="A file that contains only the secret; relative to this file.")
    command: list[str] | None = Field(None, min_length=1, description="A command, as a list, that prints the secret.")

    @model_validator(mode="before")
    @classmethod
    def _no_literal(cls, value: Any) -> Any:
        if isinstance(value, str | int | float):
            raise Suggested(
                "a secret is never written here; refer to it: {env: NAME}, {file: PATH} or {command: [...]}"
            )
        return value

    @model_validator(mode="after")
    def _one(self) -> SecretSpec:
        if sum(part is not None for part in (self.env, self.file, self.command)) != 1:
            raise Suggested("give exactly one of env, file and command")
        return self

    def reference(self, folder: Path) -> SecretReference:
        """The reference, with a file's path made absolute."""
        if self.env is not None:
            return SecretReference("env", self.env)
        if self.file is not None:
            return SecretReference("file", str(folder / expand(self.file)))
        return SecretReference("command", tuple(self.command or ()))


class AuthSpec(Strict):
    """Exactly one of the two ways that Dovecot knows."""

    password: SecretSpec | None = Field(None, description="`doveadm_password`: HTTP Basic with the user doveadm.")
    api_key: SecretSpec | None = Field(None, description="`doveadm_api_key`: the X-Dovecot-API header.")

    @model_validator(mode="after")
    def _one(self) -> AuthSpec:
        if (self.password is None) == (self.api_key is None):
            raise Suggested("give exactly one of password and api_key")
        return self


class TlsSpec(Strict):
    """TLS towards the hosts. Certificates are verified unless `verify: false` is said, which is shown as a warning."""

    ca_file: str | None = Field(None, description="CA certificates (PEM) that sign the hosts' certificates.")
    verify: bool = Field(default=True, description="false accepts any certificate; every command then warns.")
    server_name: str | None = Field(None, description="The name expected in the certificate, if not the address.")
    cert_file: str | None = Field(None, description="A client certificate (PEM).")
    key_file: str | None = Field(None, description="The client certificate's key (PEM).")


class TimeoutSpec(Strict):
    """How long to wait for a host."""

    connect: Duration | None = Field(None, description="For the connection and TLS (default 5s).")
    request: Duration | None = Field(None, description="For the whole answer (default 60s); a step may set its own.")


class HostLimits(Strict):
    """Limits of a host."""

    per_host: PerHost | None = Field(None, description="Requests at a time on this host, or auto.")


class HostSettings(Strict):
    """Settings that hosts share; a group's override the defaults, a host's override its group's."""

    scheme: Literal["https", "http"] | None = Field(
        None, description="https (default); plain http must be set explicitly."
    )
    port: int | None = Field(None, ge=1, le=65535, description="Port of the doveadm HTTP listener (default 8080).")
    auth: AuthSpec | None = Field(None, description="How to authenticate.")
    tls: TlsSpec | None = Field(None, description="TLS settings.")
    timeout: TimeoutSpec | None = Field(None, description="Timeouts.")
    limits: HostLimits | None = Field(None, description="Limits of each host.")
    capacity: int | None = Field(
        None,
        ge=1,
        description="Users that each host can serve; reviews of a drain say how close the others come to it.",
    )


class HostSpec(HostSettings):
    """One host: an address, or a mapping with an address and settings of its own."""

    address: str = Field(description="IP address or host name.")
    tags: list[str] = Field(default=[], description="Words by which selections can name this host.")


def _host(value: Any) -> Any:
    if isinstance(value, int | float):
        raise Suggested(f"an address must be text, not the number {value}; put it in quotes")
    return {"address": value} if isinstance(value, str) else value


def _hosts(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    for name in value:
        if not isinstance(name, str):
            if isinstance(name, int | float):
                raise Suggested(f"a host's name must be text, not the number {name}; put it in quotes")
            raise Suggested("a list of hosts has names only; write a mapping (name: address) to say more")
        if value.count(name) > 1:
            raise Suggested(f"the host {name!r} is given twice")
    return {name: name for name in value}


HostEntry = Annotated[HostSpec | None, BeforeValidator(_host)]


class GroupSpec(Strict):
    """Hosts of a kind."""

    hosts: Annotated[dict[str, HostEntry], BeforeValidator(_hosts)] = Field(
        description="name: address, name: {address: ..., ...}, name: (nothing: a host of another group), "
        "or a list of host names. Ranges such as b[01-20]: 10.0.0.[1-20] stand for many."
    )
    defaults: HostSettings = Field(default_factory=HostSettings, description="Settings of this group's hosts.")


class ConfigFile(Strict):
    """The configuration file."""

    defaults: HostSettings = Field(default_factory=HostSettings, description="Settings of all hosts.")
    limits: Limits = Field(default_factory=Limits, description="Limits of every run; playbooks may lower them.")
    retry: Retry = Field(default_factory=Retry, description="When operations are retried.")
    groups: dict[str, GroupSpec] = Field(description="The fleet's hosts, in groups.")
    protect: list[str] = Field(default=[], description="Selections of hosts where no playbook may change anything.")
    windows: dict[str, WindowSpec] = Field(default={}, description="Maintenance windows, by name, for --window.")
    freezes: list[FreezeSpec] = Field(default=[], description="Days on which no run may change anything.")
    conditions: list[Condition] = Field(
        default=[],
        description="What must hold for every playbook that changes something; see the manual's chapter on playbooks.",
    )
    state_dir: str | None = Field(None, description="Where run files are kept (default: XDG_STATE_HOME/orchestrator).")


class Config:
    """A configuration file that was read and found valid.

    Attributes:
        path: the file, absolute.
        document: its text with places.
        file: its values.
    """

    def __init__(self, path: Path, document: Document) -> None:
        self.path = path
        self.document = document
        self.file = build(ConfigFile, document)


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        InputError: with every problem and its place.
    """
    return Config(path.resolve(), load(path, what="configuration"))


def find_config(explicit: str | None, environ: dict[str, str] | os._Environ[str] = os.environ) -> Path:
    """The configuration file to use: -c, ORCHESTRATOR_CONFIG, ./config.yaml, the user's, then /etc.

    Raises:
        InputError: none of them exists; names the places that were tried.
    """
    if explicit:
        return expand(explicit)
    if environ.get(ENVIRONMENT):
        return expand(environ[ENVIRONMENT])
    tried = list(_usual_places(environ))
    for path in tried:
        if os.path.isfile(path):  # noqa: PTH113 - a folder that may not be looked into is no error here
            return path
    raise InputError.at(
        f"no configuration file found; looked for {', '.join(map(str, tried))}",
        "configuration",
        hint="copy config.example.yaml to config.yaml and name your hosts, or give one with -c",
    )


def _usual_places(environ: dict[str, str] | os._Environ[str]) -> Iterator[Path]:
    yield Path(FILE_NAME)
    user = home()
    if environ.get("XDG_CONFIG_HOME"):
        yield Path(environ["XDG_CONFIG_HOME"]) / "orchestrator" / FILE_NAME
    elif user:
        yield user / ".config" / "orchestrator" / FILE_NAME
    yield Path("/etc/orchestrator") / FILE_NAME
