"""How the costs of starting and planning grow: with run files, steps, hosts and items. It asserts nothing.

`runs`, `resume` and `exec` are given a state directory with more and more runs that are over; `plan` is given longer and longer
playbooks, larger and larger fleets, and items that name their hosts. CPU time is what to compare: others may use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import stub as stubs
from contenders import Job, Orchestrator
from measure import BenchmarkError, Usage, machine, run, table

RUN_FILES = (1, 100, 1_000, 10_000)
STEPS = (1_000, 5_000)
HOSTS = (1_000, 20_000)
ITEMS = ((100_000, 100), (20_000, 1_000))  # items, hosts


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent, help="whose code")
    parser.add_argument("--stub", choices=["auto", "nginx", "python"], default="auto")
    parser.add_argument("--dir", help="where temporary files and run files go (default: the system's place)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="breadth-", dir=arguments.dir))
    try:
        with stubs.running(folder / "stub", kind=arguments.stub) as stub:
            print(f"Measured on {machine()}. s: wall time, (CPU time).\n")
            head = ("run files", "runs s", "MB", "resume s", "MB ", "exec s", "MB  ")
            print(table(head, _with_runs(stub, folder / "runs", arguments.checkout)), flush=True)
            print()
            print(table(("plan of", "s", "MB"), _plans(folder / "plans", arguments.checkout)))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _with_runs(stub: stubs.Stub, folder: Path, checkout: Path) -> Iterator[list[str]]:
    folder.mkdir()
    Job(stub, 4, folder).users_file()
    ours = Orchestrator(folder, checkout)
    ours.prepare(stub.addresses, stub.port)
    ours.call("run", ours.playbook, "--yes")
    (over,) = ours.state.glob("*.run")
    have = 1
    for count in RUN_FILES:
        for number in range(have, count):
            _copy(over, number)
        have = count
        listed = ours.call("runs")
        resumed = run(ours.command("resume"), env=ours.env, cwd=folder, allowed=(2,))  # nothing is unfinished
        sent = ours.call("exec", "b1", "kick", "mask=x", "--yes")
        newest = max(ours.state.glob("*.run"), key=lambda path: path.stat().st_mtime)
        for path in ours.state.glob(f"{newest.name}*"):
            path.unlink()
        yield [f"{count}", *_cells(listed), *_cells(resumed), *_cells(sent)]


def _copy(over: Path, number: int) -> None:
    """The same run again, half an hour earlier than the one before."""
    then = over.stat().st_mtime - 1800 * number
    name = time.strftime("%Y%m%d-%H%M%S", time.localtime(then))
    copy = over.with_name(f"{name}-copy.run")
    shutil.copyfile(over, copy)
    copy.with_name(f"{copy.name}.lock").touch()
    os.utime(copy, (then, then))


def _plans(folder: Path, checkout: Path) -> Iterator[list[str]]:
    folder.mkdir()
    ours = Orchestrator(folder, checkout)
    for count in STEPS:
        _fleet(ours, 100)
        steps = [
            {
                "name": f"Step {n}",
                "hosts": f"b{n % 100 + 1}",
                "command": "kick",
                "parameters": {"mask": f"{{{{ u }}}}{n}"},
            }
            for n in range(count)
        ]
        playbook = {"name": "Many steps", "parameters": {"u": {"default": "user"}}, "steps": steps}
        yield _planned(f"{count} steps", ours, _yaml(playbook))
        yield _planned(f"{count} steps, as JSON in one line", ours, json.dumps(playbook))
    for count in HOSTS:
        _fleet(ours, count)
        yield _planned(f"1 step on {count} hosts", ours, "name: P\nsteps: [{name: S, hosts: all, command: who}]\n")
    for count, hosts in ITEMS:
        _fleet(ours, hosts)
        rows = (f"user{n},b{n % hosts + 1}\n" for n in range(count))
        (folder / "items.csv").write_text("user,backend\n" + "".join(rows), encoding="utf-8")
        for where, words in (("b1", "on one host"), ("'{{ item.backend }}'", "each on its own host")):
            step = f"hosts: {where}, for_each: {{csv: items.csv}}, command: kick, parameters: {{mask: '{{{{ item.user }}}}'}}"
            yield _planned(f"{count} items, {hosts} hosts, {words}", ours, f"name: P\nsteps: [{{name: S, {step}}}]\n")


def _yaml(playbook: dict[str, object]) -> str:
    lines = [f"{name}: {json.dumps(value)}" for name, value in playbook.items() if name != "steps"]
    steps = playbook["steps"]
    assert isinstance(steps, list)
    return "\n".join([*lines, "steps:", *(f"  - {json.dumps(step)}" for step in steps)]) + "\n"


def _fleet(ours: Orchestrator, hosts: int) -> None:
    secret = ours.folder / "secret"
    secret.write_text("secret\n", encoding="utf-8")
    secret.chmod(0o600)
    lines = [f"      b{n}: 127.{n // 62500 + 1}.{n // 250 % 250}.{n % 250 + 1}" for n in range(1, hosts + 1)]
    head = f"defaults: {{scheme: http, auth: {{password: {{file: {secret}}}}}}}\ngroups:\n  backends:\n    hosts:\n"
    (ours.folder / "config.yaml").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


def _planned(title: str, ours: Orchestrator, playbook: str) -> list[str]:
    ours.playbook.write_text(playbook, encoding="utf-8")
    return [title, *_cells(ours.call("plan", ours.playbook))]


def _cells(usage: Usage) -> list[str]:
    return [f"{usage.seconds:.2f} ({usage.cpu:.2f})", f"{usage.rss:.0f}"]


if __name__ == "__main__":
    sys.exit(main())
