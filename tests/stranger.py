"""Runs the command line as a user that this machine does not know, as containers do: a bare uid, no home, no name."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

from tests.command_line import ROOT

UID = 41_234  # that no passwd file has

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def stranger(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with hardly any environment."""
    python, path = program()
    return subprocess.run(
        [python, "-m", "orchestrator", *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **more},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **_AS_STRANGER,
    )


def stranger_says(script: str) -> str:
    """What a script prints when the stranger runs it."""
    python, path = program()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
    done = subprocess.run(
        [python, "-c", script], env=environment, cwd="/", capture_output=True, text=True, check=True, **_AS_STRANGER
    )
    return done.stdout.strip()


def give(folder: Path) -> None:
    """Have a folder with all that is in it be the stranger's, and the way to it open."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, UID, UID)
    open_way(folder)


def open_way(folder: Path) -> None:
    """Have anybody reach a folder."""
    for above in (folder, *folder.parents):
        if above != Path("/"):
            above.chmod(above.stat().st_mode | 0o055)


@functools.cache
def program() -> tuple[str, str]:
    """A Python, and where it finds the product, that a stranger may use; root's own may be in root's home."""
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    path = os.pathsep.join([str(ROOT), packages])
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable):
        if _works(python, path):
            return python, path
    copy = Path(tempfile.mkdtemp(prefix="orchestrator-stranger-"))
    Finalize(None, shutil.rmtree, (copy, True), exitpriority=0)
    copy.chmod(0o755)
    shutil.copytree(ROOT / "orchestrator", copy / "orchestrator")
    shutil.copytree(packages, copy / "packages")
    path = os.pathsep.join([str(copy), str(copy / "packages")])
    if not _works(python, path):
        pytest.skip("there is no Python here that another user may run")
    return python, path


def _works(python: str, path: str) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", "import orchestrator, pydantic_core, httptools"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
            cwd="/",
            check=False,
            capture_output=True,
            **_AS_STRANGER,
        )
    except OSError:
        return False
    return done.returncode == 0


_AS_STRANGER = {"user": UID, "group": UID, "extra_groups": []}
