"""A policy at its fixed place, for one command at a time: in a mount namespace of its own, /etc has it, and nobody else sees it.

The product has no option and no variable that would tell it of another place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import CommandLine

# A plain user may make such a namespace too, and is not root there to the files of root: the policy is refused.
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a policy belongs to root")

NAMESPACE = "orchestrator-plan"
MOUNT = 'mount -t overlay overlay -o "lowerdir=$0:/etc" /etc && {more} exec "$@"'


class Policed:
    """A machine with a policy, on which a command line is used.

    Args:
        cli: the command line.
        folder: for what stands in /etc there, and for keys.
    """

    def __init__(self, cli: CommandLine, folder: Path) -> None:
        self.cli = cli
        self.keys = folder / "keys"
        self.etc = folder / "etc"
        self.policy = self.etc / "orchestrator" / "policy.yaml"
        self.signers = self.etc / "orchestrator" / "signers"
        self._manifests: dict[Path, bytes] = {}
        self.policy.parent.mkdir(parents=True)
        self.keys.mkdir()
        self.mounted()

    def mounted(self, more: str = "") -> None:
        """Have the program run there.

        Args:
            more: what else is done to the machine before, in shell.
        """
        words = ["unshare", "-rm", "sh", "-c", MOUNT.replace("{more}", f"{more} &&" if more else ""), str(self.etc)]
        self.cli.program = [*words, sys.executable, "-m", "orchestrator"]

    def says(self, policy: str, **signers: str) -> None:
        """Write the policy, and who may sign: name -> the key's options in the signers file."""
        self.policy.write_text(policy, encoding="utf-8")
        self.policy.chmod(0o644)
        lines = [f"{name.replace('_at_', '@')} {options} {self.public(name)}\n" for name, options in signers.items()]
        self.signers.write_text("".join(lines))
        self.signers.chmod(0o644)

    def private(self, name: str) -> Path:
        """Somebody's key; people have one, which is made when it is asked for."""
        key = self.keys / name.partition("_at_")[0]
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
        return key

    def public(self, name: str) -> str:
        """Somebody's public key, as a signers file has it."""
        return " ".join(self.private(name).with_suffix(".pub").read_text().split()[:2])

    def sign(self, plan: Path, name: str, *, namespace: str = NAMESPACE, beside: Path | None = None) -> Path:
        """Approve a plan as somebody, with plain ssh-keygen; the signature stands beside it."""
        if plan not in self._manifests:
            shown = self.cli("show", str(plan), "--manifest")
            assert shown.code == 0, shown.said
            self._manifests[plan] = shown.out.encode()
        words = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(self.private(name))]
        signed = subprocess.run(words, input=self._manifests[plan], capture_output=True, check=True)
        target = (beside or plan).with_name(f"{(beside or plan).name}.{name}.sig")
        target.write_bytes(signed.stdout)
        return target
