"""The public face from outside: programs in processes of their own, with the installed package alone, far from this repository."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.simulator import BackgroundFleet, FleetSpec

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "manual" / "python.md"
USERS = 60
HEAVY = {
    "aiohttp",
    "anyio",
    "asyncio",
    "click",
    "httptools",
    "jinja2",
    "pydantic",
    "rich",
    "sqlite3",
    "tenacity",
    "yaml",
}
# -I: neither PYTHONPATH nor the working directory; then the installed package, before an editable one of this repository.
BEGIN = "import runpy, sys; sys.path.insert(0, sys.argv[1]); del sys.argv[:2]; runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what a wheel of this package has."""
    site = tmp_path_factory.mktemp("site")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    parts = {package: package for package in wheel["packages"]} | wheel["force-include"]
    for source, target in parts.items():
        shutil.copytree(ROOT / source, site / target, ignore=shutil.ignore_patterns("__pycache__"))
    return site


class Programs:
    """The programs of the manual's page, in a folder with a configuration and a list of users."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self._site = site
        self._started: list[subprocess.Popen[str]] = []
        for name, text in programs().items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "users.txt").write_text("".join(f"user{number:03}\n" for number in range(1, USERS + 1)))

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one and return at once."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", BEGIN, str(self._site), name, *arguments],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},  # no HOME, and nothing of this process
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def __call__(self, name: str, *arguments: str) -> list[str]:
        """Run one to its end; the lines that it printed."""
        out, err = self.start(name, *arguments).communicate(timeout=120)
        assert err == ""
        return out.splitlines()

    def write(self, name: str, text: str) -> str:
        """One that is not in the manual; returns its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def stop(self) -> None:
        """End what is still running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()


def programs() -> dict[str, str]:
    """The programs of the manual's page, by the names that stand in their first lines."""
    blocks = re.findall(
        r"^```python\n(# (\w+\.py)\n.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return {name: text for text, name in blocks}


@pytest.fixture
def world(tmp_path: Path, installed: Path) -> Iterator[tuple[Programs, BackgroundFleet]]:
    """The programs, and the simulated fleet that they work on; a command takes a moment there."""
    with ExitStack() as stack:
        spec = FleetSpec(directors=0, backends=2, users=USERS, accounts=USERS, latency=0.05, time_scale=0.05)
        fleet = stack.enter_context(BackgroundFleet(spec))
        (tmp_path / "config.yaml").write_text(fleet.config(tmp_path), encoding="utf-8")
        made = Programs(tmp_path, installed)
        stack.callback(made.stop)
        yield made, fleet


def kicks(fleet: BackgroundFleet) -> list[tuple[str, str]]:
    """Which host was told to kick whom, in order."""
    return [(request.host, str(request.parameters["mask"])) for request in fleet.requests if request.command == "kick"]


def test_ten_lines_plan_print_and_run(world: tuple[Programs, BackgroundFleet]) -> None:
    """The ten lines of the manual print exactly the requests that are then sent, each once, and how the run ended."""
    run, fleet = world
    said = run("kick.py")
    assert len([line for line in programs()["kick.py"].splitlines() if line and line[0] != "#"]) <= 10
    assert said[-1].startswith("done: ")
    told = [re.fullmatch(r"2\.\d+  (b\d): doveadm kick (\S+)", line) for line in said]
    assert {(found[1], f"['{found[2]}']") for found in told if found} == set(kicks(fleet))
    assert len(kicks(fleet)) == 2 * USERS


def test_watched_followed_interrupted_and_resumed(world: tuple[Programs, BackgroundFleet]) -> None:
    """A run is watched, followed from a second process, stopped by its `Control`, and resumed: nothing lost, nothing sent twice."""
    run, fleet = world
    working = run.start("watched.py")
    assert working.stdout is not None
    lines = iter(working.stdout.readline, "")
    run_id = next(line for line in lines if line.startswith("run: ")).split()[1]
    begun = next(line for line in lines if line.startswith("begins: 2"))
    following = run.start("follow.py", run_id)
    assert following.stdout is not None
    first = following.stdout.readline()
    working.send_signal(signal.SIGTERM)
    rest, err = working.communicate(timeout=120)
    followed, trouble = following.communicate(timeout=120)

    assert (err, trouble) == ("", "")
    assert begun == "begins: 2 Kick each user\n"
    assert re.fullmatch(rf"running {{.*}} pid {working.pid} on .*\n", first)
    assert re.fullmatch(r"interrupted {.*'pending': \d+.*} ", followed.splitlines()[-1])
    assert rest.splitlines()[-1].startswith("interrupted: ")
    assert 0 < len(kicks(fleet)) < 2 * USERS

    assert run("resume.py", run_id)[-1].startswith("done: ")
    assert sorted(kicks(fleet)) == sorted(set(kicks(fleet)))
    assert len(kicks(fleet)) == 2 * USERS


def test_an_observer_that_fails_changes_nothing(world: tuple[Programs, BackgroundFleet]) -> None:
    """An observer that raises is told nothing more; another one hears of that, and the run is done."""
    run, _ = world
    program = """
import asyncio, orchestrator
from orchestrator import events

class Broken(events.Observer):
    told = 0
    def tell(self, event):
        Broken.told += 1
        raise RuntimeError("no paper")

class Notes(events.Observer):
    def tell(self, event):
        if isinstance(event, events.Note):
            print(event.text)

fleet = orchestrator.load_fleet("config.yaml")
store = orchestrator.open_store("runs")
run = fleet.plan("kick-users", {"users": "users.txt"}).create(store)
report = asyncio.run(orchestrator.start(run, store, fleet, observers=[Broken(), Notes()]))
print(report.status is orchestrator.Status.DONE, Broken.told)
"""
    said = run(run.write("broken.py", program))
    assert said == ["a display was lost (no paper); the run goes on", "True 1"]


def test_a_run_whose_task_was_cancelled_is_resumed(world: tuple[Programs, BackgroundFleet]) -> None:
    """A program that cancels the call leaves a run that crashed, whose record is true, and which can be resumed."""
    run, fleet = world
    program = """
import asyncio, orchestrator
from orchestrator import events

class First(events.Observer):
    def __init__(self): self.heard = asyncio.Event()
    def tell(self, event):
        if isinstance(event, events.AttemptEnded) and event.command == "kick":
            self.heard.set()

async def main():
    fleet = orchestrator.load_fleet("config.yaml")
    store = orchestrator.open_store("runs")
    run = fleet.plan("kick-users", {"users": "users.txt"}).create(store)
    first = First()
    task = asyncio.ensure_future(orchestrator.start(run, store, fleet, observers=[first]))
    await first.heard.wait()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled")
    async for report in orchestrator.follow(run):
        print(report.status.word, repr(report.holder))

asyncio.run(main())
"""
    assert run(run.write("cancelled.py", program)) == ["cancelled", "crashed ''"]
    assert run("resume.py", "last")[-1].startswith("done: ")
    assert set(kicks(fleet)) == {(host, f"['user{n:03}']") for host in fleet.backends for n in range(1, USERS + 1)}


def test_errors_have_a_message_and_a_remedy(world: tuple[Programs, BackgroundFleet]) -> None:
    """What goes wrong is an OrchestratorError with what happened, and what to do; limits that are none are a ValueError."""
    run, fleet = world
    program = """
import asyncio, orchestrator
fleet = orchestrator.load_fleet("config.yaml")
store = orchestrator.open_store("runs")
run = fleet.plan("kick-users", {"users": "users.txt"}).create(store)
for what in (
    lambda: fleet.plan("kick-user", {}),
    lambda: store.find("nothing"),
    lambda: asyncio.run(orchestrator.resume(run, store, fleet)),
):
    try:
        what()
    except orchestrator.OrchestratorError as error:
        print(type(error).__name__, "|", error.message, "|", error.hint)
for limits in ({"rate": 0}, {"in_flight": 0}, {"max_failed": "x"}):
    try:
        orchestrator.Choices(**limits)
    except ValueError:
        print("ValueError")
"""
    said = run(run.write("errors.py", program))
    assert [line.split(" | ")[0] for line in said] == [
        "InputError", "RunNotFoundError", "RefusedError", "ValueError", "ValueError", "ValueError"
    ]  # fmt: skip
    assert "did you mean 'kick-users'?" in said[0]
    assert re.search(r"nothing to resume.*orchestrator apply", said[2])
    assert fleet.requests == []


def test_the_programs_are_typed(tmp_path: Path) -> None:
    """A strict type checker finds nothing in the programs of the manual, and finds a misspelt name."""
    for name, text in programs().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "misspelt.py").write_text("import orchestrator\n\norchestrator.load_flet()\n", encoding="utf-8")
    words = [
        "mypy",
        "--config-file",
        ROOT / "pyproject.toml",
        "--follow-imports=silent",
        *sorted(tmp_path.glob("*.py")),
    ]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert [line.rpartition("/")[2] for line in done.stdout.splitlines()[:-1]] == [
        'misspelt.py:3: error: Module has no attribute "load_flet"; maybe "load_fleet"?  [attr-defined]'
    ]


def test_importing_costs_next_to_nothing(installed: Path, tmp_path: Path) -> None:
    """`import orchestrator` imports none of the libraries that it stands on, and comes from where it was installed."""
    run = Programs(tmp_path, installed)
    program = "import json, sys, orchestrator; print(json.dumps([orchestrator.__file__, sorted(sys.modules)]))"
    file, modules = json.loads(run(run.write("cheap.py", program))[0])
    assert Path(file).is_relative_to(installed)
    assert HEAVY & set(modules) == set()
    assert [name for name in modules if name.startswith("orchestrator")] == ["orchestrator"]


def test_the_names(installed: Path, tmp_path: Path) -> None:
    """There are at most 15 public names, all documented, all in the manual's table, and none that an import could hide."""
    run = Programs(tmp_path, installed)
    program = """
import importlib, inspect, json, pkgutil, orchestrator
names = {name: getattr(orchestrator, name) for name in orchestrator.__all__}
below = {module.name for module in pkgutil.iter_modules(orchestrator.__path__)}
hidden = [name for name in below & set(names) if importlib.import_module(f"orchestrator.{name}") is not names[name]]
bare = [name for name, value in names.items() if not inspect.getdoc(value)]
print(json.dumps([sorted(names), hidden, bare, sorted(set(dir(orchestrator)) - set(names))]))
try:
    orchestrator.plans
except AttributeError as error:
    print(error)
"""
    said = run(run.write("names.py", program))
    names, hidden, bare, others = json.loads(said[0])
    assert len(names) <= 15
    assert (hidden, bare, others) == ([], [], ["__version__"])
    assert said[1] == "module 'orchestrator' has no attribute 'plans'"
    rows = re.findall(r"^\| `(\w+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == names
