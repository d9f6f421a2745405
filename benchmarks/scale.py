"""How the costs grow with the number of operations: planning, the run file, memory, resuming. It asserts nothing.

For each size a playbook is planned (`plan`, then `plan -o`), the saved plan is made a run that was killed with 1 % left,
and that run is resumed against the stub of `throughput.py`. With --run each size is also run from the start; with
--picture the curves are drawn.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import stub as stubs
from contenders import Job, Orchestrator
from measure import BenchmarkError, Usage, machine, median, run, table
from picture import Panel, svg

SIZES = (1_000, 10_000, 100_000)
FULL = 1_000_000
REPEATS = 5  # of the quick commands
DONE = 2  # outcome.State.DONE, as run files have it


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"also {FULL} operations")
    parser.add_argument("--run", action="store_true", help="also run each size from the start")
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent, help="whose code")
    parser.add_argument("--stub", choices=["auto", "nginx", "python"], default="auto")
    parser.add_argument("--dir", help="where temporary files and run files go (default: the system's place)")
    parser.add_argument("--picture", type=Path, help="draw the curves into this SVG file")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=arguments.dir))
    heading = machine()
    try:
        with stubs.running(folder / "stub", kind=arguments.stub) as stub:
            text = "\n".join(_report(stub, folder, heading, arguments))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if arguments.output:
        arguments.output.write_text(f"{text}\n", encoding="utf-8")
    return 0


def _report(stub: stubs.Stub, folder: Path, heading: str, arguments: argparse.Namespace) -> Iterator[str]:
    yield f"Measured on {heading}. Stub: {stub.name}, {len(stub.addresses)} hosts. s: wall time, (CPU time)."
    yield ""
    yield table(("command", "s", "peak MB", "imports aiohttp"), _quick(stub, folder, arguments.checkout))
    yield ""
    sizes = (*SIZES, FULL) if arguments.full else SIZES
    head = ("operations", "plan s", "MB", "plan -o s", "MB ", "file bytes/op")
    more = ("resume of 1 %: first request after s", "end after s", "MB  ", "run s", "MB   ")
    found = [_size(size, stub, folder, arguments) for size in sizes]
    yield table((*head, *more), [size.cells() for size in found])
    if arguments.picture:
        arguments.picture.write_text(_curves(found), encoding="utf-8")


def _quick(stub: stubs.Stub, folder: Path, checkout: Path) -> Iterator[list[str]]:
    ours = _ours(folder / "quick", stub, 4, checkout)
    commands = {"--help": ["--help"], "run --help": ["run", "--help"], "validate": ["validate", str(ours.playbook)]}
    for title, words in {**commands, "runs": ["runs"]}.items():
        usages = [ours.call(*words) for _ in range(REPEATS)]
        command = [sys.executable, "-X", "importtime", "-m", "orchestrator", *words]
        imported = run(command, env=ours.env, cwd=ours.folder).errors
        shown = "yes" if any(line.split("|")[-1].strip() == "aiohttp" for line in imported.splitlines()) else "no"
        seconds, cpu = median(usage.seconds for usage in usages), median(usage.cpu for usage in usages)
        yield [title, f"{seconds:.2f} ({cpu:.2f})", f"{median(usage.rss for usage in usages):.0f}", shown]


def _ours(folder: Path, stub: stubs.Stub, operations: int, checkout: Path) -> Orchestrator:
    folder.mkdir()
    Job(stub, operations, folder).users_file()
    ours = Orchestrator(folder, checkout)
    ours.prepare(stub.addresses, stub.port)
    return ours


@dataclass(frozen=True)
class Size:
    """What so many operations cost.

    Attributes:
        file: bytes an operation in the run file.
        first: seconds from the command to the first request of a resume.
    """

    operations: int
    planned: Usage
    saved: Usage
    file: float
    resumed: Usage
    first: float
    whole: Usage | None

    def cells(self) -> list[str]:
        """A row of the table."""
        planned = [_seconds(self.planned), f"{self.planned.rss:.0f}", _seconds(self.saved), f"{self.saved.rss:.0f}"]
        resumed = [f"{self.first:.2f}", f"{self.resumed.seconds:.2f}", f"{self.resumed.rss:.0f}"]
        whole = [_seconds(self.whole), f"{self.whole.rss:.0f}"] if self.whole else ["-", "-"]
        return [f"{self.operations}", *planned, f"{self.file:.0f}", *resumed, *whole]


def _curves(sizes: Sequence[Size]) -> str:
    times = {
        "plan": [(size.operations, size.planned.seconds) for size in sizes],
        "resume of the last 1 %: first request": [(size.operations, size.first) for size in sizes],
    }
    memory = {
        "plan": [(size.operations, size.planned.rss) for size in sizes],
        "resume": [(size.operations, size.resumed.rss) for size in sizes],
    }
    if runs := [(size.operations, size.whole) for size in sizes if size.whole]:
        times["run"] = [(operations, usage.seconds) for operations, usage in runs]
        memory["run"] = [(operations, usage.rss) for operations, usage in runs]
    return svg([Panel("seconds", times), Panel("peak memory, MB", memory)])


def _size(size: int, stub: stubs.Stub, folder: Path, arguments: argparse.Namespace) -> Size:
    ours = _ours(folder / str(size), stub, size, arguments.checkout)
    planned = ours.call("plan", ours.playbook)
    saved = ours.folder / "saved.plan"
    written = ours.call("plan", ours.playbook, "-o", saved)
    per_operation = saved.stat().st_size / size
    resumed, first = _resume(ours, saved, size)
    whole = ours.call("run", ours.playbook, "--yes") if arguments.run else None
    shutil.rmtree(ours.folder)
    print(f"{time.strftime('%H:%M:%S')} {size} operations: done", file=sys.stderr, flush=True)
    return Size(size, planned, written, per_operation, resumed, first, whole)


def _seconds(usage: Usage) -> str:
    return f"{usage.seconds:.2f} ({usage.cpu:.2f})"


def _resume(ours: Orchestrator, saved: Path, size: int) -> tuple[Usage, float]:
    """Resume a run that was killed with its last 1 % left; also seconds from the command to the first request."""
    ours.state.mkdir(mode=0o700)
    with closing(sqlite3.connect(saved)) as connection, connection:
        name = connection.execute("SELECT value FROM meta WHERE key = 'run_id'").fetchone()[0]
        connection.execute(
            "UPDATE operation SET state = ?, attempts = 1, started = 1, finished = 2 WHERE seq <= ?",
            (DONE, size - size // 100),
        )
        connection.execute("UPDATE step SET state = 'running', started = 1 WHERE number = 0")
        connection.execute("INSERT INTO session (began, who) VALUES (1, 'a benchmark')")
    path = ours.state / f"{name}.run"
    saved.rename(path)
    usage = ours.call("resume", name)
    with closing(sqlite3.connect(path)) as connection:
        first = connection.execute("SELECT min(started) FROM operation WHERE started > 1").fetchone()[0]
        left = connection.execute("SELECT count(*) FROM operation WHERE state != ?", (DONE,)).fetchone()[0]
    if left:
        raise BenchmarkError(f"after the resume {left} operations are not done")
    return usage, first / 1000 - usage.begin


if __name__ == "__main__":
    sys.exit(main())
