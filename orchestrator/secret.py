"""Secrets: references in configuration, resolved when the fleet is contacted, and a value that cannot be printed."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SecretError
from orchestrator.redaction import Finder, encode

__all__ = ["COMMAND_TIMEOUT", "Secret", "SecretReference", "encode"]

COMMAND_TIMEOUT = 30.0  # seconds


class Secret:
    """A password or key. `str`, `repr`, formatting and pickling never show it."""

    __slots__ = ("_finder", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._finder = Finder(value)

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

    @property
    def doubt(self) -> str:
        """What is odd about it, for whoever wonders why a host refuses it; empty when nothing is."""
        first, last = self._value[:1], self._value[-1:]
        if first.isspace() or last.isspace():
            return f"the secret {'begins' if first.isspace() else 'ends'} with a blank"
        if len(self._value) > 1 and first == last and first in "\"'":
            return "the secret stands in quotes, which are a part of it here"
        return ""

    def redact(self, text: bytes) -> bytes:
        """What a server says in words, with the secret and its base64 forms redacted, however they are escaped."""
        return self._finder.in_words(text)

    def redact_data(self, data: bytes) -> bytes:
        """JSON with the base64 forms redacted, and values that are the secret, however they are escaped."""
        return self._finder.in_data(data)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is to be had.

    Attributes:
        kind: "env", "file" or "command".
        target: the variable, the absolute path of a file that holds it alone, or the words of a command that prints it first.
    """

    kind: str
    target: str | tuple[str, ...]

    def __str__(self) -> str:
        shown = self.target if isinstance(self.target, str) else " ".join(self.target)
        return f"{self.kind}: {shown}"

    def resolve(self) -> Secret:
        """Fetch the secret.

        Raises:
            SecretError: not there, empty, of several lines, or the command failed.
        """
        value = {"env": self._from_env, "file": self._from_file, "command": self._from_command}[self.kind]()
        if not value:
            raise SecretError(f"the secret from {self} is empty")
        if any(ord(c) < 32 for c in value):
            raise SecretError(f"the secret from {self} contains control characters")
        if any(0xD800 <= ord(c) < 0xE000 for c in value):  # as Python reads bytes of the environment that are no UTF-8
            raise SecretError(f"the secret from {self} is not UTF-8 text")
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
            text = Path(str(self.target)).read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise SecretError(f"cannot read the secret file {self.target}: {reason}") from None
        if "\n" in text:
            raise SecretError(
                f"the secret file {self.target} has {text.count(chr(10)) + 1} lines",
                hint="it should hold the secret alone; for one line of many use command, such as [sed, -n, 1p, FILE]",
            )
        return text

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
        try:  # the first line: below it password managers keep names and notes
            return done.stdout.partition(b"\n")[0].rstrip(b"\r").decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SecretError(f"the secret command {self.target[0]} printed something that is not UTF-8 text") from None
