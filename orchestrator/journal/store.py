"""Where run files are kept, how they are named and found."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import JournalError, RunNotFoundError, nearest

SUFFIX = ".run"
ENVIRONMENT = "ORCHESTRATOR_STATE_DIR"


class Store:
    """The state directory: run files, mode 0600, in a directory of mode 0700."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Create the directory.

        Raises:
            JournalError: it cannot be created or written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"cannot create the state directory {self.folder}: {error.strerror}",
                hint=f"give another with --state-dir or {ENVIRONMENT}",
            ) from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise JournalError(
                f"the state directory {self.folder} cannot be written",
                hint=f"give another with --state-dir or {ENVIRONMENT}",
            )

    def new_id(self, name: str) -> str:
        """A run id that is not taken: the time and the playbook's name."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "run"
        base = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
        run_id, number = base, 2
        while self.path(run_id).exists():
            run_id, number = f"{base}-{number}", number + 1
        return run_id

    def path(self, run_id: str) -> Path:
        """Where a run's file is."""
        return self.folder / f"{run_id}{SUFFIX}"

    def ids(self) -> list[str]:
        """All runs, oldest first."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"[!.]*{SUFFIX}"))

    def find(self, name: str | None) -> Path:
        """The run file that a name means: an id, an unambiguous part of one, a path, or the newest for "last" or None.

        Raises:
            RunNotFoundError: none, or several.
        """
        ids = self.ids()
        if name in {None, "last"}:
            if not ids:
                raise RunNotFoundError(f"there are no runs in {self.folder}", hint="start one with `orchestrator run`")
            return max((self.path(run_id) for run_id in ids), key=lambda path: path.stat().st_mtime_ns)
        assert name is not None  # noqa: S101
        if name in ids:
            return self.path(name)
        if ("/" in name or name.endswith(SUFFIX)) and Path(name).is_file():
            return Path(name)
        found = [run_id for run_id in ids if name in run_id]
        if len(found) == 1:
            return self.path(found[0])
        if found:
            raise RunNotFoundError(f"{name!r} could be any of {', '.join(found[-5:])}")
        near = nearest(name, ids)
        hint = f"did you mean {near}?" if near else "`orchestrator runs` lists them"
        raise RunNotFoundError(f"no run is called {name!r} in {self.folder}", hint=hint)


def state_dir(explicit: str | None, configured: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """The state directory: --state-dir, ORCHESTRATOR_STATE_DIR, the configuration's, or the user's state directory."""
    environ = os.environ if environ is None else environ
    chosen = explicit or environ.get(ENVIRONMENT) or configured
    if chosen:
        return Path(chosen).expanduser()
    home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "orchestrator"
