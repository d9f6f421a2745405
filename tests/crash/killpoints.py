"""Runs the command line in a process that kills itself with SIGKILL at a named point of the write path.

    python -m tests.crash.killpoints send:17 -- run kick.yaml --yes
    python -m tests.crash.killpoints --list

A point is passed many times in a run; the number says at which passing the process dies. The named functions of the
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
from collections.abc import Callable, Iterator
from typing import Any

# where the function lives | its name (a method with its class) | the point before it | the point after it
_WRAPPED = (
    ("orchestrator.journal.create", "_fill", "plan.before", "plan.after"),
    ("orchestrator.journal.create", "os.link", "link.before", "link.after"),
    ("orchestrator.journal.session", "Session.recover", "recover.before", "recover.after"),
    ("orchestrator.journal.session", "Session.event", "event.before", "event.after"),
    ("orchestrator.journal.session", "Session.expand", "expand.before", "expand.after"),
    ("orchestrator.journal.session", "insert_operations", None, "expand.inside"),
    ("orchestrator.journal.session", "Session.mark", "mark.before", "mark.after"),
    ("orchestrator.journal.session", "Session.intend", "intent.before", "intent.after"),
    ("orchestrator.journal.session", "intend", None, "intent.inside"),
    ("orchestrator.dovecot.client", "Client.post", "send", "answer"),
    ("orchestrator.journal.writer", "_insert", "commit.before", "commit.inside"),
    ("orchestrator.journal.session", "Session._durable", "commit.after", None),
    ("orchestrator.journal.session", "Session.decide", "probe.before", "probe.after"),
    ("orchestrator.journal.session", "Session.skip_rest", "rest.before", "rest.after"),
    ("orchestrator.journal.decide", "decide", None, "decide.inside"),
    ("orchestrator.cli.decide", "settle", "decide.before", "decide.after"),
)

POINTS = tuple(point for *_, before, after in _WRAPPED for point in (before, after) if point)

_PRELOADED = ("runner", "cli.main", "cli.run", "cli.apply", "cli.resume", "cli.decide", "cli.execute")


class Fuse:
    """Kills this process when a point is passed for the n-th time; passings of all threads count."""

    def __init__(self, point: str, number: int) -> None:
        if point not in POINTS:
            raise ValueError(f"there is no point {point!r}; there are {', '.join(POINTS)}")
        self.point = point
        self.left = number
        self._lock = threading.Lock()

    def passing(self) -> None:
        """The point is passed once more."""
        with self._lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def install(point: str, number: int) -> None:
    """Have this process killed at the n-th passing of a point."""
    fuse = Fuse(point, number)
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
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in enumerate((nothing, said, said)):
            os.dup2(target, number)
        if command.get("point"):
            install(command["point"], command["number"])
        from orchestrator.cli.main import run

        code = run(command["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


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
