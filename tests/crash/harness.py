"""Kills runs, again and again, resumes them to their end, and compares the run file with what the servers executed.

    python -m tests.crash.harness --kills 500 --seed 1
    python -m tests.crash.harness --real --kills 50

Each round takes a workload and makes trouble for `run` and then for its resumes, a few times: SIGKILL or two signals at a
named point or at a random time; a second process that wants to work on the same run; a configuration that has changed; an
output that is lost. Then it resumes until the run is over, and settles what is in doubt by what the servers say. Kills
cost little: see `killpoints --serve`.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.errors import DamagedRunError
from orchestrator.journal.base import OperationRecord
from orchestrator.journal.sqlite.reader import FileReader
from orchestrator.outcome import State
from orchestrator.report import make_report
from orchestrator.status import RESUMABLE, Status
from tests.changed_config import CHANGES, change
from tests.crash.intruders import COPIES, WAYS, WITHOUT_LOCK, intruder
from tests.crash.killpoints import POINTS
from tests.crash.kitchen import ENDLESS, KILLED, NOTHING, Kitchen, Trouble
from tests.crash.tally import AT_ANY_TIME, Tally
from tests.crash.worlds import SIMULATED, Workload, World, real_counters

MOST_SESSIONS = 80  # of one run; more mean that it does not come to its end
AT_ONCE = 15.0  # seconds within which a process ends after two signals, whatever else this machine does
KILL, SIGNALS, SECOND, OUTPUT = "kill", "signals", "second process", "output"  # kinds of trouble
SHARES = {KILL: 55, SIGNALS: 25, SECOND: 10, OUTPUT: 10}
PAIRS = (
    (signal.SIGINT, signal.SIGINT),
    (signal.SIGINT, signal.SIGTERM),
    (signal.SIGTERM, signal.SIGINT),
    (signal.SIGTERM, signal.SIGTERM),
)
LONGEST_PAUSE = 0.05  # seconds between two signals
FINE = {0, 1, 3, 4}  # exit codes of whatever comes to an end
STOPPED = {130, 143, -signal.SIGINT, -signal.SIGTERM}  # the latter of one that has not really begun
REFUSED = 5
READER_GONE = 141  # of what only prints

_PARTICULAR = {"expand", "intent", "probe", "decide", "event", "condition"}  # passed by some workloads alone
_RARE = frozenset(  # passed once or twice in a session
    [
        "plan",
        "link",
        "claim",
        "adopt",
        "applied",
        "take",
        "recover",
        "expand",
        "event",
        "rest",
        "end",
        "give",
        "decide",
        "probe",
        "condition",
    ]
)
_OFTEN = {"mark": 6, "intent": 10, "commit": 20}  # passings that a session has at least, about
# verb -> the kinds of points that it alone passes; `apply` works on a saved plan here, `start` on a run that was planned
_OWN = {
    "run": {"plan", "link"},
    "plan": {"plan", "link"},
    "apply": {"claim", "adopt", "applied", "link"},
    "decide": {"decide"},
    "resume": {"probe"},
}
_OF_SOME_VERBS = frozenset[str]().union(*_OWN.values())
_OF_DECIDING = {"take.inside", "give.before", "give.inside"}  # besides its own
_NOBODYS = {"plan", "link", "claim", "adopt", "applied", "decide"}  # kinds of points at which nobody owns the run
_NOT_OWNED = {"take.before", "end.after"}
_WRITING = ("inside", "recover", "commit", "give")  # who comes without the lock waits ten seconds for SQLite's
_NOT_YET_ON_DISK = {"take.inside", "recover.before", "recover.after"}  # that it is owned


def kind_of(point: str) -> str:
    """A point's kind: "take" of "take.before"."""
    return point.partition(".")[0]


def can_be_intruded(point: str) -> bool:
    """Whether there is a run, or a plan that is being applied, that a second process can want to work on."""
    return kind_of(point) not in {"plan", "link"}


@dataclass
class _Round:
    """One run: troubled, resumed, brought to its end, judged."""

    kitchen: Kitchen
    other: Kitchen
    random: Random
    workload: Workload
    world: World
    folder: Path
    tally: Tally
    troubles: int
    wanted: list[tuple[str, str]]  # kinds of trouble with points
    resumes: int = 0
    settled: dict[str, int] = field(default_factory=dict)  # recorded as done -> how often it was sent until then

    def go(self) -> None:
        """All of it."""
        (self.folder / "items.txt").write_text("".join(f"item{n:04}\n" for n in range(self.workload.items)))
        self.world.write_config(self.folder)
        adopting = any(kind_of(point) in {"claim", "adopt", "applied"} for _, point in self.wanted)
        self.saves = self.random.random() < (0.6 if adopting else 0.3)
        for _ in range(MOST_SESSIONS):
            if self.status() not in {None, Status.PLANNED, *RESUMABLE}:
                break
            self._maybe_with_a_changed_configuration()
            code = self._session()
            if code == ENDLESS:
                self._wrong("a session does not end")
                return
            if self.random.random() < 0.5:
                self._note_what_is_done()
        else:
            self._wrong("the run does not come to its end")
        self._judge()

    # what there is

    @property
    def path(self) -> Path | None:
        """The run file, once there is one."""
        found = sorted((self.folder / "state").glob("[!.]*.run"))
        if len(found) > 1:
            raise AssertionError(f"there are {len(found)} runs")
        return found[0] if found else None

    @property
    def saved(self) -> Path:
        """Where a plan is saved, by rounds that do so."""
        return self.folder / "saved.plan"

    @property
    def playbook(self) -> str:
        """As the command line takes it."""
        if "\n" not in self.workload.playbook:
            return self.workload.playbook
        (self.folder / "playbook.yaml").write_text(self.workload.playbook)
        return "playbook.yaml"

    def _opened(self, path: Path) -> FileReader:
        """The run file; one that the product itself calls damaged is mended, and counted."""
        try:
            return FileReader(path)
        except DamagedRunError:
            self.tally.unreadable += 1
            sqlite3.connect(path).execute("SELECT * FROM meta").close()  # whoever may write rolls back what was begun
            return FileReader(path)

    def status(self) -> Status | None:
        """Of the run; None when there is none yet."""
        path = self.path
        if path is None:
            return None
        with self._opened(path) as reader:
            reader.check()
            return reader.status()[0]

    # sessions

    def _session(self) -> int:
        """Whatever comes next for this run."""
        path, status = self.path, self.status()
        if path is None:
            if not self.saves:
                return self._command("run", self.playbook, *self.workload.arguments, "--yes")
            if not self.saved.exists():
                words = ("plan", self.playbook, *self.workload.arguments, "-o", str(self.saved))
                if code := self._command(*words):
                    return code
            return self._command("apply", str(self.saved), "--yes")
        if status is Status.PLANNED:  # killed when the file was there and nothing was sent
            return self._command("apply", path.stem, "--yes")
        with self._opened(path) as reader:
            doubtful = list(reader.operations((State.IN_DOUBT,)))
        if doubtful and status is Status.IN_DOUBT:
            return self._decide(path, doubtful)
        return self._command("resume", path.stem)

    def _decide(self, path: Path, doubtful: Sequence[OperationRecord]) -> int:
        """Settle what is in doubt by what the servers executed; one of `done` and `retry` in a session."""
        self.world.settle()
        by_truth: dict[str, list[str]] = {}
        for record in doubtful:
            executed = self.world.executed(record.id, record.parameters, record.host)
            by_truth.setdefault("done" if executed else "retry", []).append(record.id)
        for verdict, operations in by_truth.items():
            code = self._command("decide", path.stem, *operations, "--as", verdict)
            if code < 0 or code in STOPPED:
                return code
            self.tally.decided += len(operations)
        if self.status() not in RESUMABLE:  # a second process was quicker
            return 0
        return self._command("resume", path.stem)

    def _command(self, *words: str) -> int:
        verb = "start" if words[0] == "apply" and self.path is not None else words[0]
        kind, trouble = self._trouble(verb)
        self.tally.sessions += 1
        ways = list(self._ways(verb, trouble))
        begun = time.monotonic()
        longest = AT_ONCE if trouble.signals and trouble.after is not None else 60.0
        code = self.kitchen(self._order(words), trouble, held=lambda: self._intrude(trouble, ways), longest=longest)
        if trouble.signals and self._came(trouble):
            self._note_signals(trouble, code, time.monotonic() - begun - (trouble.after or 0.0))
        self._note(kind, trouble, code, words[0])
        return code

    def _order(self, words: Sequence[str], state: Path | None = None) -> dict[str, Any]:
        environment = {
            "ORCHESTRATOR_CONFIG": str(self.folder / "config.yaml"),
            "ORCHESTRATOR_STATE_DIR": str(state or self.folder / "state"),
        }
        files = {name: str(self.folder / name) for name in ("said", "passed")}
        (self.folder / "passed").unlink(missing_ok=True)
        return {"arguments": list(words), "folder": str(self.folder), "environment": environment, **files}

    def _came(self, trouble: Trouble) -> bool:
        """Whether the point was passed at which the signals were to be sent."""
        return trouble.point is None or (self.folder / "passed").exists()

    def _note(self, kind: str, trouble: Trouble, code: int, name: str) -> None:
        """What came of a session: whether the trouble came, and whether the end is one that may be."""
        point = trouble.point or AT_ANY_TIME
        if name == "resume":
            self.resumes += 1
            name = {1: "first resume", 2: "second resume"}.get(self.resumes, "later resume")
        if code == KILLED:
            self.tally.kills[point] += 1
            self.tally.within[name] += 1
        came = {KILL: code == KILLED, SIGNALS: self._came(trouble)}
        if kind and came.get(kind, True):
            self.troubles -= 1
            if kind != SECOND and (kind, point) in self.wanted:  # of those, the one who stands still knows
                self.wanted.remove((kind, point))
        self.tally.outputs += kind == OUTPUT
        fine = {SECOND: {REFUSED}, SIGNALS: STOPPED, OUTPUT: {READER_GONE} if name == "plan" else set()}
        if code not in FINE | fine.get(kind, set()) | {KILLED, ENDLESS}:
            self._wrong(f"`{name}` ended with exit code {code} ({kind} at {point} {trouble.number})")

    def _note_signals(self, trouble: Trouble, code: int, seconds: float) -> None:
        self.tally.signalled[trouble.point or AT_ANY_TIME] += 1
        self.tally.pairs[trouble.name] += 1
        if trouble.after is not None and code in STOPPED:
            self.tally.slowest = max(self.tally.slowest, seconds)

    # trouble

    def _trouble(self, verb: str) -> tuple[str, Trouble]:
        """What happens to a session."""
        random = self.random
        if wanted := [(kind, point) for kind, point in self.wanted if self._passes(verb, point, kind)]:
            kind, point = random.choice(wanted)
            number = 1 if kind_of(point) in _RARE else random.randint(1, 2)
            return kind, self._made(kind, point, number)
        if (
            verb in {"run", "apply", "start"}
            and "probe" in self.workload.passes
            and any(p.startswith("probe") for _, p in self.wanted)
        ):
            return KILL, Trouble("intent.after", random.randint(1, 4))  # leaves something to be asked about
        if self.troubles <= 0:
            return "", NOTHING
        (kind,) = random.choices(list(SHARES), list(SHARES.values()))
        if kind != SECOND and random.random() < 0.25:
            return kind, self._made(kind, None, 0)
        fitting = [point for point in POINTS if self._passes(verb, point, kind)]
        if not fitting:
            return "", NOTHING
        particular = [point for point in fitting if kind_of(point) in _PARTICULAR]
        point = random.choice(particular if particular and random.random() < 0.4 else fitting)
        most = 1 if kind_of(point) in _RARE else _OFTEN.get(kind_of(point), 60)
        return kind, self._made(kind, point, 1 + int(most * random.random() ** 2))

    def _made(self, kind: str, point: str | None, number: int) -> Trouble:
        random = self.random
        if kind == OUTPUT:
            return Trouble(reads=random.choice([0, random.randint(1, 3000)]))
        after = None if point else random.uniform(0.0, self.workload.seconds)
        if kind == SECOND:
            return Trouble(point, number, hold=True)
        if kind == SIGNALS:
            pause = random.choice([0.0, 0.0, random.uniform(0.0, LONGEST_PAUSE)])
            return Trouble(point, number, after, random.choice(PAIRS), pause)
        return Trouble(point, number, after)

    def _passes(self, verb: str, point: str, kind: str) -> bool:
        """Whether such a command, with this workload, can pass a point."""
        own = kind_of(point)
        if own in _PARTICULAR and own not in self.workload.passes:
            return False
        if kind == SECOND and not can_be_intruded(point):
            return False
        if verb == "decide":
            return own == "decide" or point in _OF_DECIDING
        if verb == "plan" or own in _OF_SOME_VERBS:
            return own in _OWN.get(verb, ()) and (own != "probe" or self._has_doubt())
        return own != "decide"

    def _has_doubt(self) -> bool:
        """Whether the next session finds operations of which nobody knows whether they were executed."""
        path = self.path
        if path is None:
            return False
        with self._opened(path) as reader:
            return next(reader.operations((State.RUNNING, State.IN_DOUBT)), None) is not None

    # a second process

    def _ways(self, verb: str, trouble: Trouble) -> list[str]:
        """How second processes reach a run; a copy of a run that nobody owns yet is a run of its own."""
        point = trouble.point or ""
        ways = [way for way in WAYS if way not in COPIES or self._is_owned(verb, point)]
        if any(word in point for word in _WRITING) and self.random.random() < 0.8:
            ways.remove(WITHOUT_LOCK)
        return self.random.sample(ways, min(2, len(ways)))

    def _is_owned(self, verb: str, point: str) -> bool:
        unowned = kind_of(point) in _NOBODYS or point in _NOT_OWNED | _NOT_YET_ON_DISK
        return not unowned and verb != "decide"

    def _intrude(self, trouble: Trouble, ways: Sequence[str]) -> None:
        """While the first process stands still, others want to work on its run."""
        path, point = self.path, trouble.point or ""
        if path is None and not self.saved.exists():
            return
        if (SECOND, point) in self.wanted:
            self.wanted.remove((SECOND, point))
        self.tally.seconds[point] += 1
        if path is None:
            self._apply_too(point)
        else:
            self._work_too(path, point, ways)

    def _apply_too(self, point: str) -> None:
        """A second process applies the same plan; one of the two is refused."""
        code = self.other(self._order(("apply", str(self.saved), "--yes")))
        if code not in FINE | {REFUSED}:
            self._wrong(f"a second `apply` at {point} ended with exit code {code}")

    def _work_too(self, path: Path, point: str, ways: Sequence[str]) -> None:
        """Second processes want to go on with the run."""
        self.world.settle()
        before = sum(self.world.sent().values())
        for way in ways:
            self.tally.ways[way] += 1
            with intruder(way, path) as second:
                verb = "apply" if self.status() is Status.PLANNED else "resume"
                words = (verb, second.target, *(["--yes"] if verb == "apply" else []))
                code = self.other(self._order(words, second.state))
            if code not in FINE | {REFUSED, 2}:
                self._wrong(f"a second `{verb}` by {way} at {point} ended with exit code {code}")
        self.world.settle()
        free = kind_of(point) in _NOBODYS or point in _NOT_OWNED
        if not free and sum(self.world.sent().values()) != before:
            self._wrong(f"two were at work at {point}, by {' or '.join(ways)}")

    # a configuration that has changed

    def _maybe_with_a_changed_configuration(self) -> None:
        path = self.path
        if path is None or not self.world.keeps_record or self.random.random() > 0.2:
            return
        what = self.random.choice(list(CHANGES))
        config, said = self.folder / "config.yaml", self.folder / "said"
        kept, before = config.read_text(), self.status()
        self.world.settle()
        sent, told = self.world.sent(), len(said.read_text())
        words = change(config, what)
        verb = ("apply", path.stem, "--yes") if before is Status.PLANNED else ("resume", path.stem)
        code = self.other(self._order(verb))
        config.write_text(kept)
        self.tally.changed[what] += 1
        answer = said.read_text()[told:]
        if code != REFUSED or words not in answer:
            self._wrong(f"with another configuration ({what}) `{verb[0]}` ended with exit code {code}: {answer}")
        if self.world.sent() != sent or self.status() is not before:
            self._wrong(f"with another configuration ({what}) something was sent, or written")

    # judging

    def _note_what_is_done(self) -> None:
        """What is recorded as done must not be sent from now on."""
        path = self.path
        if path is None:
            return
        self.world.settle()
        sent = self.world.sent()
        with self._opened(path) as reader:
            for record in reader.operations((State.DONE,)):
                if not record.step.startswith("finally"):  # those are repeated by every session
                    self.settled.setdefault(record.id, sent.get(record.id, 0))

    def _judge(self) -> None:
        path = self.path
        if path is None:
            self._wrong("there is no run file")
            return
        self.world.settle()
        with self._opened(path) as reader:
            report = make_report(reader)  # asserts that what was planned is the sum of the states
            records = list(reader.operations())
        if report.status is not Status.DONE:
            self._wrong(f"the run is {report.status.word} in the end: {report.reason}")
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
        if self.saves and self.other(self._order(("apply", str(self.saved), "--yes"))) != REFUSED:
            self._wrong("a plan was applied a second time")
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
    most: int = 10,
    wanted: Sequence[tuple[str, str]] = (),
    most_rounds: int = 10_000,
    tell: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Go on with one run after the other until enough processes were killed.

    Args:
        workloads: the workload of each round.
        kills: how many, at least.
        seed: the same one kills in the same places; what was under way then is the machine's affair.
        most: troubles of one run.
        wanted: kinds of trouble with points at which it is to come at least once; they come first.
        most_rounds: the end in any case.
        tell: takes a line about each round.
    """
    tally, random, left = Tally(), Random(seed), list(wanted)
    with Kitchen() as kitchen, Kitchen() as other:
        while (tally.kills.total() < kills or left) and len(tally.problems) < 20 and tally.rounds < most_rounds:
            workload = workloads(tally.rounds)
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrator-crash-")))
                world = stack.enter_context(workload.open(random))
                begun = time.monotonic()
                troubles = random.randint(1, most) if tally.kills.total() < kills else 0
                _Round(kitchen, other, random, workload, world, folder, tally, troubles, left).go()
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
    parser.add_argument("--most", type=int, default=10, help="troubles of one run")
    parser.add_argument("--real", action="store_true", help="on a real Dovecot ring")
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    tell = print if given.verbose else lambda _: None
    if given.real:
        tally = real(given.kills, given.seed, tell=tell)
    else:
        tally = harness(simulated, given.kills, given.seed, most=given.most, tell=tell)
    print("\n".join(tally.table()))
    return 0 if tally.good else 1


def real(kills: int, seed: int, *, tell: Callable[[str], None] = lambda _: None) -> Tally:
    """The counters on a ring that is made for it."""
    from tests.ring import start_ring

    with start_ring(users=5, doveadm_service="service_count = 100") as ring:
        return harness(lambda number: real_counters(ring, number), kills, seed, tell=tell)


if __name__ == "__main__":
    sys.exit(main())
