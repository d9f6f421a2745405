"""Where run files are kept, how they are named and found."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from orchestrator.errors import DamagedRunError, InputError, JournalError, RunNotFoundError, nearest
from orchestrator.user import expand, home, login

SUFFIX = ".run"
ENVIRONMENT = "ORCHESTRATOR_STATE_DIR"


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")


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

    def new_names(self, name: str) -> Iterator[tuple[str, Path]]:
        """Run ids made of the time and the playbook's name, each with its file, none of which was taken just now.

        Whoever makes the file takes the first that is still free then (`create`).
        """
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "run"
        base = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
        for number in count(1):
            run_id = base if number == 1 else f"{base}-{number}"
            if not self.path(run_id).exists():
                yield run_id, self.path(run_id)

    def path(self, run_id: str) -> Path:
        """Where a run's file is.

        Raises:
            DamagedRunError: a plan from elsewhere says that it is called by something that is no run's name.
        """
        if not _RUN_ID.match(run_id):
            raise DamagedRunError(f"{run_id!r} is not a run's name: this is not a plan of this program")
        return self.folder / f"{run_id}{SUFFIX}"

    def ids(self) -> list[str]:
        """All runs, oldest first.

        Raises:
            JournalError: the directory is there, and cannot be read.
        """
        try:
            names = [path.name for path in self.folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise JournalError(
                f"the state directory {self.folder} cannot be read: {error.strerror}",
                hint=f"look as its owner, or give another with --state-dir or {ENVIRONMENT}",
            ) from None
        return sorted(n.removesuffix(SUFFIX) for n in names if n.endswith(SUFFIX) and not n.startswith("."))

    def find(self, name: str | None) -> Path:
        """The run file that a name means: an id, an unambiguous part of one, or the newest for "last" or None.

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
        found = [run_id for run_id in ids if name in run_id]
        if len(found) == 1:
            return self.path(found[0])
        if found:
            raise RunNotFoundError(f"{name!r} could be any of {', '.join(found[-5:])}")
        near = nearest(name, ids)
        hint = f"did you mean {near}?" if near else "`orchestrator runs` lists them"
        raise RunNotFoundError(f"no run is called {name!r} in {self.folder}", hint=hint)


def state_dir(explicit: str | None, configured: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """The state directory: --state-dir, ORCHESTRATOR_STATE_DIR, the configuration's, or the user's state directory.

    Raises:
        InputError: none is given, and the user has no home directory.
    """
    environ = os.environ if environ is None else environ
    chosen = explicit or environ.get(ENVIRONMENT) or configured
    if chosen:
        return expand(chosen)
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]) / "orchestrator"
    user = home()
    if user is None:
        raise InputError.at(
            f"{login()} has no home directory to keep runs in",
            "state directory",
            hint=f"give a directory with --state-dir or {ENVIRONMENT}",
        )
    return user / ".local" / "state" / "orchestrator"


def discard(path: Path) -> None:
    """Remove a run file of which nothing was sent, with all that stands beside it."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
