"""Secrets: references in configuration, resolved when the fleet is contacted, and a value that cannot be printed."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SecretError

COMMAND_TIMEOUT = 30.0  # seconds


class Secret:
    """A password or key. `str`, `repr`, formatting and pickling never show it."""

    __slots__ = ("_encoded", "_quoted", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._quoted = json.dumps(value, ensure_ascii=False).encode()
        self._encoded = _as_json_may_write((encode("doveadm:" + value), encode(value)))

    def reveal(self) -> str:
        """The value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def redact(self, text: bytes) -> bytes:
        """What a server says in words, with the secret and its base64 forms redacted."""
        return _without(self.redact_data(text), self._value.encode())

    def redact_data(self, data: bytes) -> bytes:
        """JSON with the base64 forms redacted, and values that are the secret.

        Rows are worked with: a secret that is a usual word is not cut out of the midst of users' names.
        """
        for form in self._encoded:
            data = _without(data, form)
        return _without(data, self._quoted, b'"***"')


def _as_json_may_write(forms: Iterable[str]) -> tuple[bytes, ...]:
    """Each form, and the same with escaped slashes."""
    return tuple(dict.fromkeys(written.encode() for form in forms for written in (form, form.replace("/", "\\/"))))


def _without(data: bytes, form: bytes, instead: bytes = b"***") -> bytes:
    return data.replace(form, instead) if form in data else data


def encode(text: str) -> str:
    """Base64 of a text, as both ways of authentication use it."""
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is to be had.

    Attributes:
        kind: "env", "file" or "command".
        target: the variable, the absolute path, or the command's words.
    """

    kind: str
    target: str | tuple[str, ...]

    def __str__(self) -> str:
        shown = self.target if isinstance(self.target, str) else " ".join(self.target)
        return f"{self.kind}: {shown}"

    def resolve(self) -> Secret:
        """Fetch the secret.

        Raises:
            SecretError: not there, empty, or the command failed.
        """
        value = {"env": self._from_env, "file": self._from_file, "command": self._from_command}[self.kind]()
        if not value:
            raise SecretError(f"the secret from {self} is empty")
        if any(ord(c) < 32 for c in value):
            raise SecretError(f"the secret from {self} contains control characters")
        return Secret(value)

    def warning(self) -> str:
        """A sentence when others on this machine can read the secret, else empty."""
        if self.kind != "file":
            return ""
        try:
            mode = Path(str(self.target)).stat().st_mode
        except OSError:
            return ""
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            return f"{self.target} can be read by others (mode {mode & 0o777:04o}); chmod 600 it"
        return ""

    def _from_env(self) -> str:
        name = str(self.target)
        if name not in os.environ:
            raise SecretError(f"the environment variable {name} is not set", hint=f"export {name}=... and try again")
        return os.environ[name]

    def _from_file(self) -> str:
        try:
            return Path(str(self.target)).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise SecretError(f"cannot read the secret file {self.target}: {reason}") from None

    def _from_command(self) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own configuration names the command, as words
                list(self.target), capture_output=True, timeout=COMMAND_TIMEOUT, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = error.strerror if isinstance(error, OSError) else f"no answer within {COMMAND_TIMEOUT:.0f} s"
            raise SecretError(f"cannot run the secret command {self.target[0]}: {reason}") from None
        if done.returncode:
            raise SecretError(f"the secret command {self.target[0]} ended with exit code {done.returncode}")
        try:
            return done.stdout.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretError(f"the secret command {self.target[0]} printed something that is not UTF-8 text") from None
