"""Bulk operations on Dovecot fleets: playbooks, plans, durable runs, over the doveadm HTTP API.

    import asyncio
    import orchestrator

    fleet = orchestrator.load_fleet("config.yaml")
    store = orchestrator.open_store(fleet=fleet)
    planned = fleet.plan("kick-users", {"users": "users.txt"})
    report = asyncio.run(orchestrator.start(planned.create(store), store, fleet))

The names of `__all__` are all that a program needs to plan, run, follow and resume a run; docs/manual/python.md describes them.
They are imported when they are first used, so that this import costs next to nothing. Nobody inside imports through here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator import events
    from orchestrator.errors import OrchestratorError
    from orchestrator.journal.base import Run
    from orchestrator.report import Report
    from orchestrator.runs.follow import follow
    from orchestrator.runs.planning import Fleet, Planned, load_fleet
    from orchestrator.runs.store import open_store
    from orchestrator.runs.work import Choices, Control, resume, retry, start
    from orchestrator.status import Status
    from orchestrator.version import __version__ as __version__

__all__ = [
    "Choices",
    "Control",
    "Fleet",
    "OrchestratorError",
    "Planned",
    "Report",
    "Run",
    "Status",
    "events",
    "follow",
    "load_fleet",
    "open_store",
    "resume",
    "retry",
    "start",
]

_HOMES = {
    "errors": ["OrchestratorError"],
    "journal.base": ["Run"],
    "report": ["Report"],
    "runs.follow": ["follow"],
    "runs.planning": ["Fleet", "Planned", "load_fleet"],
    "runs.store": ["open_store"],
    "runs.work": ["Choices", "Control", "resume", "retry", "start"],
    "status": ["Status"],
    "version": ["__version__"],
}

if not TYPE_CHECKING:  # a type checker would take every misspelt name for something

    def __getattr__(name: str) -> Any:
        """A public name, from the module that it lives in."""
        if name == "events":
            return import_module("orchestrator.events")
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"orchestrator.{home}"), name)
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is to be seen."""
    return [*__all__, "__version__"]
