"""A short fingerprint of everything that a plan would send, to compare a reviewed plan with another."""

from __future__ import annotations

import hashlib

from orchestrator.plan.steps import Draft, Plan, PlannedStep


class Digest:
    """Takes a plan, and then all its operations, into the fingerprint that it is as text."""

    def __init__(self, plan: Plan) -> None:
        self.count = 0  # operations so far
        self._hash = hashlib.blake2b(digest_size=8)
        self._hash.update(plan.origin.text.encode())
        for host in plan.inventory.hosts.values():
            self._hash.update(f"\0{host.name} {host.endpoint.url}".encode())
        for name, value in sorted(plan.values.items()):
            self._hash.update(f"\0{name}={value}".encode())
        for path, content in sorted(plan.lists.contents.items()):
            self._hash.update(f"\0{path} {len(content)} ".encode() + content)

    def add(self, step: PlannedStep, draft: Draft) -> None:
        """Take an operation into the fingerprint."""
        self.count += 1
        self._hash.update(f"\0{step.key} {draft.host} {draft.parameters} {draft.skipped:d}".encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()
