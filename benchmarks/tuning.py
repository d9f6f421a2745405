"""What `per_host: auto` is worth: repairs a second on a real Dovecot 2.3 backend, against fixed limits.

Two backends: one with Debian's `service doveadm`, where each request starts a process, and one with service_count = 100.
Each setting repairs (`forceResync`) the same mailboxes; the settings take turns. Only sending is timed, from the first
request to the last answer, with all that auto needs to find its limit. Needs root and Dovecot 2.3. It asserts nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from contenders import Orchestrator
from measure import BenchmarkError, machine, median, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.ring import Ring, start_ring, unavailable

USERS = 400
FIXED = ("1", "2", "4", "8", "16")
AUTO = "auto"
PLAYBOOK = """\
name: Repair mailboxes
steps:
  - name: Repair
    hosts: b1
    for_each: {file: users.txt}
    command: forceResync
    parameters: {user: "{{ item }}", mailboxMask: INBOX}
"""


@dataclass(frozen=True)
class Backend:
    """A kind of backend.

    Attributes:
        service: further lines of `service doveadm`.
        operations: in each round, for each setting.
    """

    title: str
    service: str
    operations: int


@dataclass
class Series:
    """What was measured with one setting, round by round.

    Attributes:
        rates: operations a second.
        most: requests that were under way at a time, by the run file's account.
    """

    rates: list[float] = field(default_factory=list)
    most: list[int] = field(default_factory=list)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuned", type=int, default=2000, help="operations with service_count = 100 (0: none)")
    parser.add_argument("--stock", type=int, default=400, help="operations with the stock service (0: none)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent, help="whose code")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    arguments = parser.parse_args()
    if reason := unavailable():
        print(f"error: {reason}", file=sys.stderr)
        return 1
    try:
        text = "\n".join(_report(arguments))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text)
    if arguments.output:
        arguments.output.write_text(f"{text}\n", encoding="utf-8")
    return 0


def _report(arguments: argparse.Namespace) -> Iterator[str]:
    yield f"Measured on {machine()}. One backend, forceResync, median of {arguments.rounds} rounds."
    backends = [
        Backend("service_count = 100", "service_count = 100", arguments.tuned),
        Backend("stock service doveadm", "", arguments.stock),
    ]
    for backend in backends:
        if backend.operations:
            yield ""
            yield f"{backend.title}, {backend.operations} operations a round:"
            yield ""
            yield from _shown(_measure(backend, arguments.rounds, arguments.checkout))


def _shown(series: dict[str, Series]) -> Iterator[str]:
    best = max(FIXED, key=lambda setting: median(series[setting].rates))
    rows = []
    for setting, one in series.items():
        share = median(one.rates) / median(series[best].rates)
        spread = f"{min(one.rates):.0f} to {max(one.rates):.0f}"
        rows.append([setting, f"{median(one.rates):.0f}", spread, f"{share:.0%}", f"{max(one.most)}"])
    yield table(("per_host", "operations/s", "of the rounds", "of the best fixed", "most at a time"), rows)


def _measure(backend: Backend, rounds: int, checkout: Path) -> dict[str, Series]:
    series = {setting: Series() for setting in (*FIXED, AUTO)}
    folder = Path(tempfile.mkdtemp(prefix="tuning-"))
    try:
        with start_ring(directors=1, backends=1, users=USERS, doveadm_service=backend.service) as ring:
            ours = _prepared(ring, folder, checkout)
            _round(ours, ring, USERS, "4")  # makes the mailboxes
            for number in range(rounds):
                settings = [*series][number % len(series) :] + [*series][: number % len(series)]
                for setting in settings:
                    rate, most = _round(ours, ring, backend.operations, setting)
                    series[setting].rates.append(rate)
                    series[setting].most.append(most)
                    print(f"{time.strftime('%H:%M:%S')} {backend.title}, {setting}: {rate:.0f}/s", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return series


def _prepared(ring: Ring, folder: Path, checkout: Path) -> Orchestrator:
    ours = Orchestrator(folder, checkout)
    ours.playbook.write_text(PLAYBOOK, encoding="utf-8")
    ring.write_config(folder / "config.yaml")  # and the secrets beside it
    return ours


def _round(ours: Orchestrator, ring: Ring, operations: int, setting: str) -> tuple[float, int]:
    """Repair so many mailboxes; operations a second, and how many requests were under way at most."""
    names = "".join(f"{ring.users[number % USERS]}\n" for number in range(operations))
    (ours.folder / "users.txt").write_text(names, encoding="utf-8")
    config = ring.write_config(ours.folder / "config.yaml")
    config.write_text(f"{config.read_text(encoding='utf-8')}limits: {{per_host: {setting}}}\n", encoding="utf-8")
    ours.call("run", ours.playbook, "--yes")
    [path] = ours.state.glob("*.run")
    with closing(sqlite3.connect(path)) as connection:
        spans = connection.execute("SELECT started, finished FROM operation").fetchall()
        [attempts] = connection.execute("SELECT sum(attempts) FROM operation").fetchone()
    shutil.rmtree(ours.state)
    if attempts != operations:
        raise BenchmarkError(f"{operations} operations took {attempts} attempts")
    seconds = (max(end for _, end in spans) - min(start for start, _ in spans)) / 1000
    return operations / seconds, _at_a_time(spans)


def _at_a_time(spans: Iterable[tuple[int, int]]) -> int:
    """How many attempts overlap at most; one that begins in the millisecond in which another ends came after it."""
    most = now = 0
    for _, change in sorted(event for start, end in spans for event in ((start, 1), (end, -1))):
        now += change
        most = max(most, now)
    return most


if __name__ == "__main__":
    sys.exit(main())
