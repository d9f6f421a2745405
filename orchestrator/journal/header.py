"""What a run says of itself when it is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.version import __version__


@dataclass(frozen=True)
class Header:
    """What a run says of itself when it is planned.

    Attributes:
        created: milliseconds since the epoch.
        given: the texts of the playbook's parameters.
        config_path: the configuration that it was planned with.
        limit: the selection of --limit, or empty.
        ticket, reason: the change that it belongs to, in the operator's words.
        authors: who made a plan that was saved: all logins by which that person is known, the most personal first, each
            with its machine; empty for what is run at once, whose sessions tell who runs it.
        policy: what the policy said then, and the hash of its signers file, JSON; null without a policy.
        settings: the limits and retries of the configuration then, JSON.
        version: of the program that planned it.
    """

    created: int
    given: Mapping[str, str]
    config_path: str
    limit: str = ""
    ticket: str = ""
    reason: str = ""
    authors: tuple[str, ...] = ()
    policy: str = "null"
    settings: str = "{}"
    version: str = __version__
