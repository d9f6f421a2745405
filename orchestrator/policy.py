"""The policy of a machine: what must hold for every change that is made from it, whatever configuration is used.

It stands in one place, which no option and no environment variable changes, and belongs to root. A policy that cannot be read, or
that others could have written, is never ignored: everything is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from orchestrator.errors import RefusedError
from orchestrator.playbook.conditions import Condition
from orchestrator.text.document import Document, Strict, Suggested, build, decoded, parse
from orchestrator.text.units import Duration

PATH = Path("/etc/orchestrator/policy.yaml")
MOST = 8 * 1024 * 1024  # bytes; more is no policy and no list of signers


class ApprovalTerms(Strict):
    """Who must have approved a plan that changes something."""

    needed: int = Field(1, ge=1, le=20, description="How many people must approve a plan (default 1).")
    signers: str = Field(
        description="File of those who may approve, as ssh-keygen reads it (allowed_signers); absolute."
    )
    not_by_author: bool = Field(default=True, description="Whoever made a plan does not approve it (default).")
    valid_for: Duration = Field(
        14 * 86_400.0, description="How long after it was made a plan can be started (default 14d)."
    )

    @field_validator("signers")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            raise Suggested("must be a whole path, such as /etc/orchestrator/signers")
        return value


class PolicyFile(Strict):
    """The policy file."""

    approvals: ApprovalTerms | None = Field(None, description="Changes need a plan that was approved.")
    require_window: bool = Field(default=False, description="Changes need --window or --until.")
    protect: list[str] = Field(
        default=[], description="Selections, or addresses, of hosts where no playbook may change anything."
    )
    conditions: list[Condition] = Field(default=[], description="What must hold for every change.")


@dataclass(frozen=True)
class Policy:
    """What a policy says.

    Attributes:
        file: its values.
        signers_sha256: of the signers file; empty where no approvals are wanted.
        document: its text with places; None for one that says nothing.
    """

    file: PolicyFile
    signers_sha256: str = ""
    document: Document | None = None

    @property
    def text(self) -> str:
        """All of it as JSON; null for one that says nothing."""
        said: dict[str, Any] = self.file.model_dump(exclude_defaults=True)
        if self.file.approvals is not None:
            said["approvals"] = {**self.file.approvals.model_dump(), "signers_sha256": self.signers_sha256}
        return json.dumps(said or None, sort_keys=True, ensure_ascii=False)


def load_policy(path: Path = PATH) -> Policy:
    """The policy of this machine; one that says nothing where there is none.

    Raises:
        InputError: it has mistakes, each with its place.
        RefusedError: it, or its signers file, cannot be read, or others than root could write it.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Policy(PolicyFile())
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    text = decoded(_read(path), str(path))
    document = parse(text, source=str(path), folder=path.parent)
    file = build(PolicyFile, document)
    if file.approvals is None:
        return Policy(file, "", document)
    return Policy(file, hashlib.sha256(_read(Path(file.approvals.signers))).hexdigest(), document)


def _read(path: Path) -> bytes:
    """A file that only root can have written."""
    for folder in reversed(path.parents):
        _check(folder, _stat(folder), stat.S_ISDIR)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        _check(path, _stat(path), stat.S_ISREG)  # which says better what is wrong with a symbolic link
        raise _refused(
            path, f"cannot be read: {error.strerror}", "whoever makes changes must be able to read it"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor), stat.S_ISREG)
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise _refused(path, f"is larger than {MOST // 2**20} MiB")
    return content


def _stat(path: Path) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None


def _check(path: Path, found: os.stat_result, right_kind: Any) -> None:
    """Whether only root can change what stands under a name.

    A folder that all may write, where each may remove but what is his own (/tmp), cannot replace what root has there.
    """
    if not right_kind(found.st_mode):
        link = stat.S_ISLNK(found.st_mode)
        raise _refused(path, "is a symbolic link; put it there itself" if link else "is not what it should be")
    if found.st_uid != 0:
        raise _refused(path, "does not belong to root", f"look what it says, then: chown root:root {path}")
    if found.st_mode & 0o022 and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
        raise _refused(path, "can be written by others than root", f"look what it says, then: chmod go-w {path}")


def _refused(path: Path, why: str, hint: str = "") -> RefusedError:
    words = f"{path} {why}; without a policy that can be trusted nothing is planned or sent"
    return RefusedError(words, hint=hint or "ask whoever administers this machine")
