"""Where the time of `orchestrator run` goes: samples of its stacks by py-spy, added up by layer and by function.

py-spy is taken from PATH, or installed in a temporary virtual environment with --install. It stops nothing and changes
no speed that could be seen. With --gil only samples that hold the interpreter count; with --native C code is named too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import stub as stubs
from contenders import Job, Orchestrator
from measure import BenchmarkError, run, table

# The innermost frame whose file contains the text decides; asked from the innermost frame outwards.
LAYERS = {
    "orchestrator/journal/sqlite/writer": "journal: writer thread",
    "orchestrator/journal/sqlite/statements": "journal: writer thread",
    "orchestrator/journal/sqlite/session": "journal: asking",
    "orchestrator/journal/sqlite/reader": "journal: reading (pending)",
    "orchestrator/journal/sqlite/create": "planning",
    "orchestrator/plan/": "planning",
    "orchestrator/playbook/": "planning",
    "orchestrator/text/": "planning",
    "orchestrator/dovecot/command": "body and parameters",
    "orchestrator/dovecot/classify": "reading answers",
    "orchestrator/dovecot/reply": "reading answers",
    "orchestrator/dovecot/client": "transport",
    "orchestrator/dovecot/transport": "transport",
    "orchestrator/dovecot/answer": "reading answers",
    "httptools/": "reading answers",
    "orchestrator/dovecot/ask": "sending",
    "orchestrator/engine/scheduler": "scheduler",
    "orchestrator/engine/pace": "scheduler",
    "orchestrator/engine/retry": "scheduler",
    "orchestrator/engine/concurrency": "scheduler",
    "orchestrator/engine/sending": "sending",
    "orchestrator/engine/runner": "runner",
    "orchestrator/events": "views",
    "orchestrator/views": "views",
    "orchestrator/cli": "command line",
    "aiohttp/": "aiohttp",
    "aiohappyeyeballs": "aiohttp",
    "yarl/": "aiohttp",
    "multidict/": "aiohttp",
    "anyio/": "anyio",
    "uvloop/": "event loop",
    "asyncio/": "event loop",
    "importlib": "imports",
}


def main() -> int:
    """Profile and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent, help="whose code")
    parser.add_argument("--rate", type=int, default=200, help="samples a second")
    parser.add_argument("--top", type=int, default=40, help="functions that are shown")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--gil", action="store_true")
    parser.add_argument("--install", action="store_true", help="install py-spy in a temporary place")
    parser.add_argument("--raw", type=Path, help="keep the collapsed stacks here, for a flame graph")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="profile-"))
    try:
        print("\n".join(_report(_record(_spy(arguments, folder), folder, arguments), arguments.top)))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _spy(arguments: argparse.Namespace, folder: Path) -> str:
    found = shutil.which("py-spy")
    if found:
        return found
    if not arguments.install:
        raise BenchmarkError("py-spy is missing: pip install py-spy, or give --install")
    home = folder / "py-spy"
    run([sys.executable, "-m", "venv", home])
    run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "py-spy"])
    return str(home / "bin" / "py-spy")


def _record(spy: str, folder: Path, arguments: argparse.Namespace) -> Counter[tuple[str, ...]]:
    """Stacks, outermost frame first, and how often each was seen."""
    raw = folder / "stacks"
    ours = Orchestrator(folder, arguments.checkout)
    with stubs.running(folder / "stub") as stub:
        Job(stub, arguments.operations, folder).users_file()
        ours.prepare(stub.addresses, stub.port)
        options = ["--rate", str(arguments.rate), "--format", "raw", "--threads", "--full-filenames", "--nolineno"]
        options += [name for name in ("--native", "--gil") if getattr(arguments, name[2:])]
        words = ours.command("run", ours.playbook, "--yes")
        run([spy, "record", *options, "-o", raw, "--", *words], env=ours.env, cwd=folder)
    if arguments.raw:
        shutil.copy(raw, arguments.raw)
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in raw.read_text(encoding="utf-8", errors="replace").splitlines():
        stack, _, number = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] += int(number)
    return stacks


def _report(stacks: Counter[tuple[str, ...]], top: int) -> Iterator[str]:
    total = stacks.total()
    yield f"{total} samples"
    for title, counted in (
        ("thread", _by(stacks, lambda stack: [stack[0]])),
        ("layer (innermost known frame)", _by(stacks, lambda stack: [_layer(stack)])),
        ("function, itself", _by(stacks, lambda stack: [stack[-1]])),
        ("function, with what it calls", _by(stacks, lambda stack: sorted(set(stack)))),
    ):
        yield ""
        rows = ([_short(name), f"{100 * number / total:.1f}"] for name, number in counted.most_common(top))
        yield table((title, "% of samples"), rows)


def _by(stacks: Counter[tuple[str, ...]], names: Callable[[tuple[str, ...]], Iterable[str]]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for stack, number in stacks.items():
        for name in names(stack):
            counted[name] += number
    return counted


def _layer(stack: tuple[str, ...]) -> str:
    for frame in reversed(stack):
        for text, layer in LAYERS.items():
            if text in frame:
                return layer
    return "other"


def _short(name: str) -> str:
    """A frame without the folders that all have in common."""
    for part in ("site-packages/", "python3.11/", "python3.12/", "python3.13/"):
        function, found, path = name.partition(part)
        if found:
            return function.rpartition(" (")[0] + f" ({path}"
    return name


if __name__ == "__main__":
    sys.exit(main())
