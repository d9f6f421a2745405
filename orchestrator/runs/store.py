"""The state directory, as a program or a command line names it."""

from __future__ import annotations

import os

from orchestrator.journal.sqlite.store import FileStore, state_dir
from orchestrator.runs.planning import Fleet


def open_store(folder: str | os.PathLike[str] | None = None, fleet: Fleet | None = None) -> FileStore:
    """Where runs are kept: `folder`, or ORCHESTRATOR_STATE_DIR, or what the configuration says, or the user's state directory.

    Raises:
        InputError: none of them is given, and the user has no home directory.
    """
    given = None if folder is None else os.fspath(folder)
    return FileStore(state_dir(given, fleet.state_dir if fleet else None))
