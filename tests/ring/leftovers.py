"""Ending the servers below a ring's directory and removing it, also when who started them was killed.

Run as a program (`leftovers.py ROOT`) it is a ring's guard: it waits for the end of its standard input, which the
owner holds open for as long as it lives, and then removes what is left of that one ring. It uses the standard library
only, so that it starts quickly and needs no path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PREFIX = "orchestrator-ring-"
OWNER = "owner"


def write_owner(root: Path) -> None:
    """Say that `root` is a ring's directory, and that this process looks after it."""
    (root / OWNER).write_text("\n".join(_identity(os.getpid())) + "\n")


def is_abandoned(root: Path) -> bool:
    """Whether `root` is a ring's directory whose owner is gone."""
    try:
        if root.is_symlink() or root.stat().st_uid != os.geteuid():
            return False
        pid, started, namespace = (root / OWNER).read_text().split("\n")[:3]
    except (OSError, ValueError):
        return False  # not a ring, or one about to be made or removed
    if namespace != _pid_namespace():
        return False  # the owner cannot be seen from here: perhaps it lives
    try:
        return _identity(int(pid)) != (pid, started, namespace)
    except OSError:
        return True


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the rings directly below `parent` whose owners are gone; which they were."""
    abandoned = [root for root in parent.glob(PREFIX + "*") if is_abandoned(root)]
    for root in abandoned:
        remove(root)
    return abandoned


def remove(root: Path) -> None:
    """End every server below `root` at once, and remove it; nothing to do when it is gone."""
    for _ in range(3):  # a process that was just being born may write once more
        kill_servers(root)
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            return
    raise OSError(f"{root} cannot be removed")


def kill_servers(root: Path, timeout: float = 10.0) -> None:
    """SIGKILL to every Dovecot process below `root`, until there is none."""
    deadline = time.monotonic() + timeout
    while pids := servers(root):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"Dovecot processes below {root} do not end: {pids}")
        time.sleep(0.002)


def servers(root: Path) -> list[int]:
    """The Dovecot processes that work below `root`, masters first.

    Masters and their children alike stay in their base_dir, and it is in `root` only if this fixture made it: so
    no process of anybody else is ever met, and none of ours is missed after its master died.
    """
    found: list[tuple[bool, int]] = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            directory = _link(f"/proc/{entry.name}/cwd").removesuffix(" (deleted)")
            if root not in Path(directory).parents:
                continue
            program = _link(f"/proc/{entry.name}/exe")
        except OSError:
            continue  # it ended meanwhile
        if "dovecot" in program:
            found.append((not program.endswith("/dovecot"), int(entry.name)))
    return [pid for _, pid in sorted(found)]


def _identity(pid: int) -> tuple[str, str, str]:
    # A pid alone may have gone to another process; together with its start time it is unique on this machine.
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return str(pid), fields[19], _pid_namespace()


def _pid_namespace() -> str:
    return _link("/proc/self/ns/pid")


def _link(path: str) -> str:
    return os.readlink(path)  # noqa: PTH115  # a text of the kernel's making, not always a path


def main() -> None:
    """Guard the ring in the first argument."""
    root = Path(sys.argv[1])
    sys.stdin.buffer.read()
    if root.exists():
        remove(root)


if __name__ == "__main__":
    main()
