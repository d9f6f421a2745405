"""SSH signatures of manifests, as ssh-keygen verifies them. No key and no cryptography is handled here."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from orchestrator.approval import NAMESPACE, Approval
from orchestrator.errors import RefusedError

# Not the operator's PATH: whoever must be stopped by a signature that is missing could put another ssh-keygen there.
PLACES = "/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin"
WITHIN = 60  # seconds
MOST = 65_536  # bytes of a signature
_FINGERPRINT = re.compile(rb"SHA256:[A-Za-z0-9+/]+")
_PATTERN = set("*?!")  # of names in a signers file that mean anybody


class Signature(NamedTuple):
    """A detached signature that somebody gave.

    Attributes:
        name: what messages call it: its file's name.
        text: as ssh-keygen wrote it.
    """

    name: str
    text: str


def ssh_keygen() -> str:
    """The program.

    Raises:
        RefusedError: it is not installed.
    """
    found = shutil.which("ssh-keygen", path=PLACES)
    if found is None:
        raise RefusedError(
            "approvals are SSH signatures, and ssh-keygen, which verifies them, is not installed",
            hint="install the package openssh-client (OpenSSH 8.9 or newer)",
        )
    return found


def verify(signature: Signature, manifest: Iterable[bytes], signers: str, at: int = 0) -> Approval:
    """Whose signature of a manifest it is.

    Args:
        signature: that was given.
        manifest: is read piece by piece.
        signers: the file of those who may approve; it says of each when and for what the key may be used.
        at: the moment at which the key must have been valid, milliseconds since the epoch; 0 for now.

    Raises:
        RefusedError: it is no signature of this manifest by anybody who may approve, or ssh-keygen cannot be used.
    """
    moment = time.strftime("%Y%m%d%H%M%S", time.gmtime(at // 1000))
    when = [f"-Overify-time={moment}"] if at else []
    with NamedTemporaryFile(prefix="orchestrator-", suffix=".sig") as file:
        file.write(signature.text.encode())
        file.flush()
        found = _run(["find-principals", "-f", signers, "-s", file.name, *when])
        people = [name for name in found.stdout.decode(errors="replace").split() if not _PATTERN & set(name)]
        if found.returncode or not people:
            raise RefusedError(f"{signature.name}: by nobody who may approve ({signers}){_said(found)}")
        for_whom = ["-I", people[0], "-n", NAMESPACE, "-s", file.name, *when]
        done = _run(["verify", "-f", signers, *for_whom], manifest)
    key = _FINGERPRINT.search(done.stdout)
    if done.returncode or key is None:
        raise RefusedError(f"{signature.name}: not a signature of this plan by {people[0]}{_said(done)}")
    return Approval(tuple(people), key[0].decode(), signature.text, at or time.time_ns() // 1_000_000)


def _run(words: Sequence[str], content: Iterable[bytes] = ()) -> subprocess.CompletedProcess[bytes]:
    """Run it, hand it a text piece by piece, and refuse to go on with one that is too old."""
    command = [ssh_keygen(), "-Y", *words]
    pipe = subprocess.PIPE
    environment = {"LC_ALL": "C", "TZ": "UTC", "PATH": PLACES}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:  # noqa: S603
        assert process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it has seen enough
            for part in content:
                process.stdin.write(part)
        try:
            out, err = process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RefusedError(f"{command[0]} did not end within {WITHIN} seconds") from None
    if process.returncode and b"usage: ssh-keygen" in err:
        raise RefusedError(
            f"{command[0]} is too old to verify signatures", hint="install OpenSSH 8.9 or newer (openssh-client)"
        )
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _said(process: subprocess.CompletedProcess[bytes]) -> str:
    """What ssh-keygen had to say, without what it says of every failure."""
    lines = [line for line in process.stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line != "Could not verify signature."]
    return f"; ssh-keygen: {telling[-1]}" if telling else ""


def beside(plan: Path) -> list[Path]:
    """The signature files beside a plan: PLAN.sig and PLAN.*.sig."""
    with suppress(OSError):
        names = sorted(path.name for path in plan.parent.iterdir() if path.name.endswith(".sig"))
        return [plan.parent / name for name in names if name.startswith(f"{plan.name}.")]
    return []


def read_signature(path: Path) -> Signature:
    """A signature from its file.

    Raises:
        RefusedError: it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise RefusedError(f"{path} is no file")
        with path.open("rb") as file:
            content = file.read(MOST)
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}") from None
    return Signature(path.name, content.decode("ascii", errors="replace"))
