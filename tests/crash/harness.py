"""Kills runs, again and again, resumes them to their end, and compares the run file with what the servers executed.

    python -m tests.crash.harness --kills 500 --seed 1
    python -m tests.crash.harness --real --kills 50

Each round takes a workload and kills `run` at a named point or at a random time, and then its resumes, a few times;
then it resumes until the run is over, and settles what is in doubt by what the servers say. Kills cost little: see
`killpoints --serve`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from orchestrator.journal.run_file import OperationRecord, RunFile

from orchestrator.errors import DamagedRunError
from orchestrator.outcome import State
from orchestrator.report import RESUMABLE, make_report, status_of
from tests.command_line import ROOT
from tests.crash.killpoints import POINTS
from tests.crash.worlds import SIMULATED, Workload, World, real_counters

KILLED = -signal.SIGKILL
MOST_SESSIONS = 60  # of one run; more mean that it does not come to its end
LONGEST = 60.0  # seconds of one session
AT_ANY_TIME = "random time"
SESSIONS = ("run", "apply", "decide", "first resume", "second resume", "later resume")
_PARTICULAR = {"expand", "intent", "probe", "decide"}  # passed by some workloads alone
_RARE = {"plan", "link", "recover", "expand", "rest", "decide", "probe"}  # passed once or twice in a session
_OFTEN = {"mark": 6, "event": 4, "intent": 10, "commit": 20}  # passings that a session has at least, about


@dataclass
class Tally:
    """What came of all rounds.

    Attributes:
        kills: by point.
        within: kills by the command that was killed, and the how manieth session of its run it was.
        lost: operations recorded as done that no server executed, or that are not done in the end.
        doubled: unrepeatable operations that were executed more than once.
        repeated: operations that were sent again though they were recorded as done.
        unreadable: run files that could not be read after a kill.
        drafts: files that a kill while planning left behind.
        problems: whatever else is wrong, in words.
    """

    rounds: int = 0
    sessions: int = 0
    operations: int = 0
    decided: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    within: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    unreadable: int = 0
    drafts: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def true(self) -> bool:
        """Whether every run file says what the servers did."""
        return not (self.lost or self.doubled or self.repeated or self.problems)

    @property
    def good(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.true and not self.unreadable

    def table(self) -> Iterator[str]:
        """For people."""
        yield f"{'killed at':<16} {'kills':>6}"
        for point in (*POINTS, AT_ANY_TIME):
            if self.kills[point]:
                yield f"{point:<16} {self.kills[point]:>6}"
        yield f"{'all':<16} {self.kills.total():>6}"
        yield "killed in: " + ", ".join(f"{name} {self.within[name]}" for name in SESSIONS if self.within[name])
        yield f"{self.rounds} runs, {self.sessions} sessions, {self.operations} operations, {self.decided} decided"
        yield f"{self.drafts} drafts of plans were left behind"
        yield f"lost: {self.lost}   doubled: {self.doubled}   done and sent again: {self.repeated}   unreadable: {self.unreadable}"
        yield from self.problems[:20]


class Kitchen:
    """The process that forks one for each command."""

    def __enter__(self) -> Self:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("ORCHESTRATOR_", "XDG_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.killpoints", "--serve"],
            env={**plain, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def __call__(self, command: dict[str, Any], *, kill_after: float | None = None) -> int:
        """Run a command line to its end; returns its exit code, or minus the signal that killed it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        child = json.loads(self._process.stdout.readline())["pid"]
        number = signal.SIGABRT if kill_after is None else signal.SIGKILL
        watch = threading.Timer(LONGEST if kill_after is None else kill_after, _kill, (child, number))
        watch.start()
        code: int = json.loads(self._process.stdout.readline())["code"]
        watch.cancel()
        watch.join()
        return code


def _kill(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


@dataclass
class _Round:
    """One run: killed, resumed, brought to its end, judged."""

    kitchen: Kitchen
    random: Random
    workload: Workload
    world: World
    folder: Path
    tally: Tally
    most_kills: int
    wanted: list[str]
    resumes: int = 0
    settled: dict[str, int] = field(default_factory=dict)  # recorded as done -> how often it was sent until then

    def go(self) -> None:
        """All of it."""
        (self.folder / "items.txt").write_text("".join(f"item{n:04}\n" for n in range(self.workload.items)))
        self.world.write_config(self.folder)
        kills = self.random.randint(1, self.most_kills)
        for _ in range(MOST_SESSIONS):
            if self.status() not in {None, "planned", *RESUMABLE}:
                break
            code = self._session(kill=kills > 0)
            if code == KILLED:
                kills -= 1
            elif code == -signal.SIGABRT:
                self._wrong("a session does not end")
                return
            if self.random.random() < 0.5:
                self._note_what_is_done()
        else:
            self._wrong("the run does not come to its end")
        self._judge()

    # sessions

    @property
    def path(self) -> Path | None:
        """The run file, once there is one."""
        found = sorted((self.folder / "state").glob("[!.]*.run"))
        if len(found) > 1:
            raise AssertionError(f"there are {len(found)} runs")
        return found[0] if found else None

    def _opened(self, path: Path) -> RunFile:
        """The run file; one that the product itself calls damaged is mended, and counted."""
        try:
            return RunFile(path)
        except DamagedRunError:
            self.tally.unreadable += 1
            sqlite3.connect(path).execute("SELECT * FROM meta").close()  # whoever may write rolls back what was begun
            return RunFile(path)

    def status(self) -> str | None:
        """Of the run; None when there is none yet."""
        path = self.path
        if path is None:
            return None
        with self._opened(path) as file:
            file.check()
            return status_of(file)[0]

    def _session(self, *, kill: bool) -> int:
        path = self.path
        if path is None:
            named = self.workload.playbook == self.workload.name or "\n" not in self.workload.playbook
            playbook = self.workload.playbook if named else "playbook.yaml"
            if not named:
                (self.folder / playbook).write_text(self.workload.playbook)
            return self._command("run", playbook, *self.workload.arguments, "--yes", kill=kill)
        status = self.status()
        if status == "planned":  # killed when the file was there and nothing was sent
            return self._command("apply", path.stem, "--yes", kill=kill)
        with self._opened(path) as file:
            doubtful = list(file.operations((State.IN_DOUBT,)))
        if doubtful and status == "in doubt":
            return self._decide(path, doubtful, kill=kill)
        return self._command("resume", path.stem, kill=kill)

    def _decide(self, path: Path, doubtful: Sequence[OperationRecord], *, kill: bool) -> int:
        """Settle what is in doubt by what the servers executed; one of `done` and `retry` in a session."""
        self.world.settle()
        by_truth: dict[str, list[str]] = {}
        for record in doubtful:
            executed = self.world.executed(record.id, record.parameters, record.host)
            by_truth.setdefault("done" if executed else "retry", []).append(record.id)
        code = 0
        for verdict, operations in by_truth.items():
            code = self._command("decide", path.stem, *operations, "--as", verdict, kill=kill)
            if code == KILLED:
                return code
            self.tally.decided += len(operations)
        return self._command("resume", path.stem, kill=kill)

    def _command(self, *words: str, kill: bool) -> int:
        self.tally.sessions += 1
        point, number, after = self._doom(words[0]) if kill else (None, 0, None)
        state = {
            "ORCHESTRATOR_CONFIG": str(self.folder / "config.yaml"),
            "ORCHESTRATOR_STATE_DIR": str(self.folder / "state"),
        }
        command = {
            "arguments": words,
            "folder": str(self.folder),
            "environment": state,
            "said": str(self.folder / "said"),
            "point": point,
            "number": number,
        }
        code = self.kitchen(command, kill_after=after)
        name = words[0]
        if name == "resume":
            self.resumes += 1
            name = {1: "first resume", 2: "second resume"}.get(self.resumes, "later resume")
        if code == KILLED:
            self.tally.kills[point or AT_ANY_TIME] += 1
            self.tally.within[name] += 1
            if point in self.wanted:
                self.wanted.remove(point)
        elif code not in {0, 4, -signal.SIGABRT}:
            self._wrong(f"`{words[0]}` ended with exit code {code}")
        return code

    def _doom(self, verb: str) -> tuple[str | None, int, float | None]:
        """Where this session is to be killed: a point and its passing, or a time."""
        random = self.random
        if wanted := [point for point in self.wanted if self._fits(point, verb)]:
            point = random.choice(wanted)
            return point, 1 if point.partition(".")[0] in _RARE else random.randint(1, 2), None
        if verb == "run" and "probe" in self.workload.passes and any(p.startswith("probe") for p in self.wanted):
            return "intent.after", random.randint(1, 4), None  # leaves something to be asked about
        if random.random() < 0.25:
            return None, 0, random.uniform(0.0, self.workload.seconds)
        fitting = [point for point in POINTS if self._fits(point, verb)]
        particular = [point for point in fitting if point.partition(".")[0] in _PARTICULAR]
        point = random.choice(particular if particular and random.random() < 0.4 else fitting)
        kind = point.partition(".")[0]
        most = 1 if kind in _RARE else _OFTEN.get(kind, 60)
        return point, 1 + int(most * random.random() ** 2), None

    def _fits(self, point: str, verb: str) -> bool:
        """Whether such a command, with this workload, can pass a point."""
        kind = point.partition(".")[0]
        if kind in _PARTICULAR and kind not in self.workload.passes:
            return False
        if kind == "probe":
            return verb == "resume" and self._has_doubt()
        if verb == "decide":
            return kind == "decide"
        return kind not in ({"decide"} if verb == "run" else {"decide", "plan", "link"})

    def _has_doubt(self) -> bool:
        """Whether the next session finds operations of which nobody knows whether they were executed."""
        path = self.path
        if path is None:
            return False
        with self._opened(path) as file:
            return next(file.operations((State.RUNNING, State.IN_DOUBT)), None) is not None

    # judging

    def _note_what_is_done(self) -> None:
        """What is recorded as done must not be sent from now on."""
        path = self.path
        if path is None:
            return
        self.world.settle()
        sent = self.world.sent()
        with self._opened(path) as file:
            for record in file.operations((State.DONE,)):
                if not record.step.startswith("finally"):  # those are repeated by every session
                    self.settled.setdefault(record.id, sent.get(record.id, 0))

    def _judge(self) -> None:
        path = self.path
        if path is None:
            self._wrong("there is no run file")
            return
        self.world.settle()
        with self._opened(path) as file:
            report = make_report(file)  # asserts that what was planned is the sum of the states
            records = list(file.operations())
        if report.status != "done":
            self._wrong(f"the run is {report.status} in the end: {report.reason}")
        for record in records:
            self._judge_operation(record)
        sent = self.world.sent()
        self.tally.repeated += sum(sent.get(operation, 0) > count for operation, count in self.settled.items())
        steps = Counter(record.step for record in records)
        for key, count in self.workload.steps.items():
            if steps[key] != count:
                self._wrong(f"step {key} has {steps[key]} operations, not {count}")
        for problem in self.world.problems():
            self._wrong(problem)
        self.tally.drafts += sum(path.name.endswith(".planning") for path in (self.folder / "state").iterdir())

    def _judge_operation(self, record: OperationRecord) -> None:
        self.tally.operations += 1
        executed = self.world.executed(record.id, record.parameters, record.host)
        if record.state is not State.DONE or not executed:
            self.tally.lost += 1
            self._wrong(f"{record.id} is {record.state.word}, and was executed {executed} times")
        if executed > 1 and record.step in self.workload.unrepeatable:
            self.tally.doubled += 1
            self._wrong(f"{record.id} was executed {executed} times")

    def _wrong(self, words: str) -> None:
        said = "\n" + (self.folder / "said").read_text()[-1500:] if not self.tally.problems else ""
        self.tally.problems.append(f"{self.workload.name}, round {self.tally.rounds}: {words}{said}")


def harness(
    workloads: Callable[[int], Workload],
    kills: int,
    seed: int,
    *,
    most_kills: int = 8,
    wanted: Sequence[str] = (),
    most_rounds: int = 10_000,
    tell: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Go on with one run after the other until enough processes were killed.

    Args:
        workloads: the workload of each round.
        kills: how many, at least.
        seed: the same one kills in the same places; what was under way then is the machine's affair.
        most_kills: of one run.
        wanted: points at each of which a process is to be killed at least once; they come first.
        most_rounds: the end in any case.
        tell: takes a line about each round.
    """
    tally, random, left = Tally(), Random(seed), list(wanted)
    with Kitchen() as kitchen:
        while (tally.kills.total() < kills or left) and len(tally.problems) < 20 and tally.rounds < most_rounds:
            workload = workloads(tally.rounds)
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrator-crash-")))
                world = stack.enter_context(workload.open(random))
                begun = time.monotonic()
                most = max(1, min(most_kills, max(kills - tally.kills.total(), len(left) + 2 if left else 0)))
                _Round(kitchen, random, workload, world, folder, tally, most, left).go()
            tally.rounds += 1
            seconds, killed = time.monotonic() - begun, tally.kills.total()
            tell(f"{workload.name:<13} {seconds:5.1f} s  {killed} kills, {len(tally.problems)} problems")
    return tally


def simulated(number: int) -> Workload:
    """The workloads in turn."""
    return SIMULATED[number % len(SIMULATED)]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.harness", description="Kills runs and judges what is left."
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=8, help="kills of one run")
    parser.add_argument("--real", action="store_true", help="on a real Dovecot ring")
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    tell = print if given.verbose else lambda _: None
    if given.real:
        tally = real(given.kills, given.seed, tell=tell)
    else:
        tally = harness(simulated, given.kills, given.seed, most_kills=given.most, tell=tell)
    print("\n".join(tally.table()))
    return 0 if tally.good else 1


def real(kills: int, seed: int, *, tell: Callable[[str], None] = lambda _: None) -> Tally:
    """The counters on a ring that is made for it."""
    from tests.ring import start_ring

    with start_ring(users=5, doveadm_service="service_count = 100") as ring:
        return harness(lambda number: real_counters(ring, number), kills, seed, tell=tell)


if __name__ == "__main__":
    sys.exit(main())
