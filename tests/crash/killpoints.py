"""Runs the command line in a process that does something to itself at a named point of the write path.

    python -m tests.crash.killpoints send:17 -- run kick.yaml --yes
    python -m tests.crash.killpoints --list

It kills itself there with SIGKILL; for the harness it can also send itself two signals there, or stand still until it is
continued. A point is passed many times in a run; the number says at which passing it is done. The named functions of the
product are wrapped at start-up, from outside: the product itself knows nothing of this.

With `--serve` the process imports everything once and then forks a child for each command that it reads, a JSON object
a line: a harness that kills hundreds of processes need not wait for as many imports.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_SQLITE = "orchestrator.journal.sqlite"

# where the function lives | its name (a method with its class) | the point before it | the point after it
_WRAPPED = (
    (f"{_SQLITE}.create", "_fill", "plan.before", "plan.after"),
    (f"{_SQLITE}.create", "os.link", "link.before", "link.after"),
    (f"{_SQLITE}.store", "FileRun.adopted_by", "adopt.before", "adopt.after"),
    (f"{_SQLITE}.store", "FileRun.claim", "claim.before", "claim.after"),
    (f"{_SQLITE}.statements", "claim", None, "claim.inside"),
    (f"{_SQLITE}.store", "FileRun.mark_applied", "applied.before", "applied.after"),
    (f"{_SQLITE}.statements", "mark_applied", None, "applied.inside"),
    (f"{_SQLITE}.session", "FileSession.__aenter__", "take.before", "take.after"),
    (f"{_SQLITE}.owner", "take", None, "take.inside"),
    (f"{_SQLITE}.statements", "_recover", "recover.before", "recover.after"),
    (f"{_SQLITE}.session", "FileSession.event", "event.before", "event.after"),
    (f"{_SQLITE}.session", "FileSession.expand", "expand.before", "expand.after"),
    (f"{_SQLITE}.statements", "expand", None, "expand.inside"),
    (f"{_SQLITE}.session", "FileSession.mark", "mark.before", "mark.after"),
    (f"{_SQLITE}.session", "FileSession.condition", "condition.before", "condition.after"),
    (f"{_SQLITE}.session", "FileSession.intend", "intent.before", "intent.after"),
    (f"{_SQLITE}.statements", "intend", None, "intent.inside"),
    ("orchestrator.dovecot.client", "Client.post", "send", "answer"),
    (f"{_SQLITE}.writer", "finish", "commit.before", "commit.inside"),
    (f"{_SQLITE}.session", "FileSession._durable", "commit.after", None),
    (f"{_SQLITE}.session", "FileSession.decide", "probe.before", "probe.after"),
    (f"{_SQLITE}.session", "FileSession.skip_rest", "rest.before", "rest.after"),
    (f"{_SQLITE}.session", "FileSession.end", "end.before", "end.after"),
    (f"{_SQLITE}.statements", "end", None, "end.inside"),
    (f"{_SQLITE}.owner", "give_back", "give.before", "give.inside"),
    (f"{_SQLITE}.statements", "decide", None, "decide.inside"),
    ("orchestrator.runs.settle", "settle", "decide.before", "decide.after"),
)

POINTS = tuple(point for *_, before, after in _WRAPPED for point in (before, after) if point)
_IN_A_SESSION = {"expand.inside"}  # planning passes it too, which is "plan"

_PRELOADED = (
    "engine.runner", "dovecot.client", "runs.work", "cli.main", "cli.run", "cli.plan", "cli.apply", "cli.resume",
    "cli.decide", "cli.conduct",
)  # fmt: skip


def die() -> None:
    """As if the machine had lost its power."""
    os.kill(os.getpid(), signal.SIGKILL)


def hold() -> None:
    """Stand still, with all threads, until somebody continues this process."""
    os.kill(os.getpid(), signal.SIGSTOP)


def interrupted_by(numbers: Sequence[int], pause: float) -> Callable[[], None]:
    """Two signals, as an impatient operator sends them.

    Args:
        numbers: of the signals.
        pause: seconds between them.
    """

    def send() -> None:
        for number, wait in zip(numbers, (pause, 0.0), strict=True):
            os.kill(os.getpid(), number)
            time.sleep(wait)

    return lambda: threading.Thread(target=send, daemon=True).start()


class Fuse:
    """Does something to this process when a point is passed for the n-th time; passings of all threads count."""

    def __init__(self, point: str, number: int, deed: Callable[[], None] = die) -> None:
        if point not in POINTS:
            raise ValueError(f"there is no point {point!r}; there are {', '.join(POINTS)}")
        self.point = point
        self.left = number
        self.deed = deed
        self._lock = threading.Lock()

    def passing(self) -> None:
        """The point is passed again."""
        if self.point in _IN_A_SESSION and threading.current_thread().name != "journal":
            return
        with self._lock:
            self.left -= 1
            if self.left == 0:
                self.deed()


def install(point: str, number: int, deed: Callable[[], None] = die) -> None:
    """Have something done to this process at the n-th passing of a point."""
    fuse = Fuse(point, number, deed)
    for module, path, before, after in _WRAPPED:
        if point not in (before, after):
            continue
        *owners, name = path.split(".")
        owner: Any = functools.reduce(getattr, owners, importlib.import_module(module))
        function = getattr(owner, name)
        wrap = _around_coroutine if inspect.iscoroutinefunction(function) else _around
        setattr(owner, name, wrap(function, fuse, first=point == before))


def _around(function: Callable[..., Any], fuse: Fuse, *, first: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if first:
            fuse.passing()
        result = function(*args, **kwargs)
        if not first:
            fuse.passing()
        return result

    return wrapped


def _around_coroutine(function: Callable[..., Any], fuse: Fuse, *, first: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if first:
            fuse.passing()
        result = await function(*args, **kwargs)
        if not first:
            fuse.passing()
        return result

    return wrapped


def serve(commands: Iterator[str]) -> None:
    """Fork a child for each command; answers its process id, and then its exit code (minus the signal's number)."""
    for module in _PRELOADED:
        importlib.import_module(f"orchestrator.{module}")
    for line in commands:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(command)
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


def _child(command: dict[str, Any]) -> None:
    """The command line, in this process, which ends with it."""
    code = 99
    try:
        os.environ.update(command["environment"])
        os.chdir(command["folder"])
        said = os.open(command["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        out = said if command.get("reads") is None else _read_for_a_while(command["reads"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in enumerate((nothing, out, out)):
            os.dup2(target, number)
        if command.get("point"):
            install(command["point"], command["number"], _deed(command))
        from orchestrator.cli.main import run

        code = run(command["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _deed(command: dict[str, Any]) -> Callable[[], None]:
    if command.get("signals"):
        send = interrupted_by(command["signals"], command["pause"])
        return lambda: (Path(command["passed"]).touch(), send())[1]
    return hold if command.get("hold") else die


def _read_for_a_while(count: int) -> int:
    """The writing end of a pipe whose reader goes away when it has read so many bytes."""
    reading, writing = os.pipe()

    def read() -> None:
        left = count
        while left > 0:
            left -= len(os.read(reading, left))
        os.close(reading)

    if count:
        threading.Thread(target=read, daemon=True).start()
    else:
        os.close(reading)
    return writing


def main(arguments: list[str]) -> int:
    """See the module's text."""
    if arguments == ["--list"]:
        print("\n".join(POINTS))
        return 0
    if arguments == ["--serve"]:
        serve(iter(sys.stdin.readline, ""))
        return 0
    if len(arguments) < 3 or arguments[1] != "--" or ":" not in arguments[0]:
        print("usage: python -m tests.crash.killpoints POINT:N -- run PLAYBOOK --yes", file=sys.stderr)
        return 2
    point, _, number = arguments[0].partition(":")
    install(point, int(number))
    from orchestrator.cli.main import run

    return run(arguments[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
