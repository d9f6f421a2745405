"""Operations a second of `orchestrator run`, side by side with other ways to send the same requests.

All contenders take turns in one run of this program, against the same stub, and are compared round by round: absolute
figures change with the machine and with what else it does, ratios within a round much less. Only loopback is used.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import stub as stubs
from contenders import Contender, Job, Result, contenders, install
from measure import FLOOR_MB, BenchmarkError, machine, median, table

YARDSTICK = "bare"


@dataclass
class Series:
    """A contender's rounds.

    Attributes:
        stub_cpu: CPU ms that the stub used for an operation, by round.
    """

    contender: Contender
    results: dict[int, Result] = field(default_factory=dict)
    stub_cpu: list[float] = field(default_factory=list)

    def rate(self, number: int) -> float:
        """Operations a second of a round."""
        return self.results[number].operations / self.results[number].usage.seconds

    def cpu(self, number: int) -> float:
        """CPU ms for an operation."""
        return self.results[number].usage.cpu / self.results[number].operations * 1000

    def phase(self, name: str) -> list[float]:
        """Seconds of a phase in all rounds."""
        return [result.phases[name] for result in self.results.values() if name in result.phases]


def main() -> int:
    """Measure and print."""
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=arguments.dir))
    heading = machine()
    try:
        fleet = _chosen(arguments, folder)
        with stubs.running(folder / "stub", kind=arguments.stub, workers=arguments.stub_workers) as stub:
            series = _measure(fleet, stub, folder, arguments)
            text = "\n".join(_report(series, stub, heading, arguments))
    except BenchmarkError as error:
        _say(f"error: {error}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if arguments.output:
        arguments.output.write_text(f"{text}\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operations", type=int, default=20_000, help="of a quick contender in a round")
    parser.add_argument("--only", help="contenders, with commas: bare,tuned,orchestrator,ab,curl,xargs,ansible")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=CHECKOUT", help="measure this code too")
    parser.add_argument(
        "--install", action="store_true", help="install what is missing (root); Ansible in a temporary place"
    )
    parser.add_argument("--stub", choices=["auto", "nginx", "python"], default="auto")
    parser.add_argument("--stub-workers", type=int, default=1)
    parser.add_argument("--dir", help="where temporary files and run files go (default: the system's place)")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace, folder: Path) -> list[Contender]:
    """The contenders that can be had; the others are named on stderr."""
    variants = dict(pair.split("=", 1) for pair in arguments.variant)
    fleet = contenders({name: Path(path).resolve() for name, path in variants.items()})
    if arguments.only:
        wanted = {YARDSTICK, *arguments.only.split(","), *variants}
        fleet = [contender for contender in fleet if contender.name in wanted]
    if arguments.install:
        nginx = [] if stubs.nginx_usable() else ["nginx-light", "libnginx-mod-http-echo"]
        install([*nginx, *(contender.missing() for contender in fleet)], folder)
    for contender in fleet:
        if package := contender.missing():
            way = f"pip install {package[4:]}" if package.startswith("pip:") else f"apt-get install {package}"
            _say(f"skipped: {contender.title}; to have it: {way.replace(',', ' ')}, or --install")
    return [contender for contender in fleet if not contender.missing()]


def _measure(fleet: Sequence[Contender], stub: stubs.Stub, folder: Path, arguments: argparse.Namespace) -> list[Series]:
    """Round after round; every other one backwards, so that a drift meets all alike."""
    series = [Series(contender) for contender in fleet]
    for number in range(1, arguments.rounds + 1):
        for one in series if number % 2 else reversed(series):
            _round(one, number, stub, folder, arguments.operations)
            _say(f"round {number}: {one.contender.name:<14} {one.rate(number):>8.0f}/s  {one.cpu(number):.3f} ms CPU")
    return series


def _round(one: Series, number: int, stub: stubs.Stub, folder: Path, asked: int) -> None:
    hosts = len(stub.addresses)
    operations = max(1, int(asked * one.contender.share / hosts)) * hosts
    own = folder / f"{number}-{one.contender.name}"
    own.mkdir()
    before, cpu = stub.posts(), stub.cpu()
    one.results[number] = one.contender.work(Job(stub, operations, own))
    one.stub_cpu.append((stub.cpu() - cpu) / operations * 1000)
    after = stub.posts()
    if before is not None and after is not None and after - before != operations:
        raise BenchmarkError(f"{one.contender.title} sent {after - before} operations, not {operations}")
    shutil.rmtree(own)


# the report


def _report(series: Sequence[Series], stub: stubs.Stub, heading: str, arguments: argparse.Namespace) -> Iterator[str]:
    yield f"Measured on {heading}; {arguments.rounds} rounds, medians. Stub: {stub.name}, {len(stub.addresses)} hosts."
    yield ""
    head = ("contender", "operations", "operations/s", "x bare loop (least to most)", "CPU ms/op", "x bare by CPU")
    yield table((*head, "peak MB", "stub CPU ms/op"), map(_row, series, [_yardstick(series)] * len(series)))
    yield ""
    yield f"Whole processes, imports included. Peak memory is that of the largest process; below {FLOOR_MB} MB is not seen."
    yield _limit(series)
    if lines := list(_phases(series)):
        yield from ("", *lines)


def _yardstick(series: Sequence[Series]) -> Series | None:
    return next((one for one in series if one.contender.name == YARDSTICK), None)


def _row(one: Series, bare: Series | None) -> list[str]:
    numbers = list(one.results)
    rates = [one.rate(n) / bare.rate(n) for n in numbers] if bare else []
    by_cpu = [bare.cpu(n) / one.cpu(n) for n in numbers] if bare else []
    rss = median(result.usage.rss for result in one.results.values())
    return [
        one.contender.title,
        str(one.results[numbers[0]].operations),
        f"{rate:.0f}" if (rate := median(map(one.rate, numbers))) >= 100 else f"{rate:.1f}",
        f"{median(rates):.3g} ({min(rates):.3g} to {max(rates):.3g})" if rates else "-",
        f"{median(map(one.cpu, numbers)):.3g}",
        f"{median(by_cpu):.3g}" if by_cpu else "-",
        f"{rss:.0f}" if rss > FLOOR_MB else f"<{FLOOR_MB}",
        f"{median(one.stub_cpu):.3f}",
    ]


def _limit(series: Sequence[Series]) -> str:
    """How far the stub is from being the bottleneck."""
    quick = [one for one in series if one.contender.name == "ab"]
    if not quick:
        return "The stub's own limit was not measured: ab is missing (apt-get install apache2-utils)."
    rate, cpu = median(map(quick[0].rate, quick[0].results)), median(quick[0].stub_cpu)
    return (
        f"The stub's own limit: it answered ab {rate:.0f} times a second, and needs {cpu:.3f} ms of CPU for an answer, "
        f"so one core of it would answer {1000 / cpu:.0f} a second."
    )


def _phases(series: Sequence[Series]) -> Iterator[str]:
    """Ours by phase, and the sending alone against the bare loop's sending alone."""
    ours = [one for one in series if one.phase("planning")]
    if not ours:
        return
    bare = _yardstick(series)
    head = (
        "phase",
        "start and planning s",
        "sending s",
        "end and report s",
        "sending/s",
        "x bare loop without imports",
    )
    rows = []
    for one in ours:
        sending = [one.results[n].operations / one.results[n].phases["sending"] for n in one.results]
        ratios = (
            [bare.results[n].phases["sending"] / one.results[n].phases["sending"] for n in one.results] if bare else []
        )
        spent = [f"{median(one.phase(name)):.2f}" for name in ("planning", "sending", "reporting")]
        rows.append([one.contender.title, *spent, f"{median(sending):.0f}", f"{median(ratios):.3g}"])
    yield table(head, rows)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
