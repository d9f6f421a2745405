"""What a whole process costs: wall time, CPU time and peak memory, from the kernel's own account of it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A process inherits the peak memory of whoever started it, so a tiny one starts it: Linux keeps ru_maxrss across exec.
_LAUNCHER = """
import os, sys, time
begin = time.time()
child = os.fork()
if not child:
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    finally:
        os._exit(127)
_, status, used = os.wait4(child, 0)
seconds = time.time() - begin
values = begin, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)
os.write(int(sys.argv[1]), repr(list(values)).encode())
"""
FLOOR_MB = 10  # the launcher itself; less than that cannot be seen


class BenchmarkError(Exception):
    """A contender did not do its work, so there is nothing to compare."""


@dataclass(frozen=True)
class Usage:
    """A finished process, with all the children that it waited for.

    Attributes:
        begin: seconds since the epoch.
        seconds: from start to end.
        cpu: seconds, user and system together.
        rss: MB at the peak; of the largest process.
        code: exit code, or the negative number of the signal.
        output: what it wrote to stdout.
        errors: what it wrote to stderr.
    """

    begin: float
    seconds: float
    cpu: float
    rss: float
    code: int
    output: str
    errors: str

    @property
    def end(self) -> float:
        """Seconds since the epoch."""
        return self.begin + self.seconds


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Path | None = None,
    allowed: Iterable[int] = (0,),
) -> Usage:
    """Run a command to its end.

    Raises:
        BenchmarkError: it exits with another code than the allowed ones.
    """
    reader, writer = os.pipe()
    words = [sys.executable, "-ISc", _LAUNCHER, str(writer), *map(str, command)]
    with (stdin or Path(os.devnull)).open("rb") as source:
        ended = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=source,
            capture_output=True,
            pass_fds=(writer,),
            check=False,
        )
    os.close(writer)
    with os.fdopen(reader) as pipe:
        begin, seconds, cpu, rss, code = json.loads(pipe.read() or "[0, 0, 0, 0, 127]")
    output, errors = (text.decode(errors="replace") for text in (ended.stdout, ended.stderr))
    if code not in set(allowed):
        raise BenchmarkError(f"{' '.join(words[4:8])} ... exits with {code}: {(errors or output).strip()[-800:]}")
    return Usage(begin, seconds, cpu, rss, code, output, errors)


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds that running processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def median(values: Iterable[float]) -> float:
    """The median, or 0 of nothing."""
    found = list(values)
    return statistics.median(found) if found else 0.0


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


LIBRARIES = ("aiohttp", "anyio", "httptools", "orjson", "uvloop")  # on which the speed depends


def machine() -> str:
    """The machine and what it runs, for the heading of a report."""
    busy = os.getloadavg()[0]
    version = sys.version.split()[0]
    installed = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return f"{os.cpu_count()} cores, load {busy:.1f} at the start, Python {version} ({installed}), {time.strftime('%Y-%m-%d')}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
