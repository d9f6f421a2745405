"""Users without a passwd entry, without a home, with state that is somebody else's: it works, or says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.conftest import Site
from tests.stranger import UID, give, needs_root, stranger

pytestmark = needs_root

COUNT = """
name: Count
steps:
  - name: Count
    hosts: b1
    command: dictInc
    parameters: {dictUri: "file:/x", key: shared/n, difference: 1}
"""


def as_stranger(here: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a container's environment: a bare uid, and neither HOME nor anything else."""
    give(here.cli.folder)
    return stranger(here.cli.folder, *words)


def test_no_home_and_no_name(site: Callable[..., Site]) -> None:
    """Where runs are kept must be said, and the message tells how; all else works from ./config.yaml."""
    here = site(users=0, directors=0, backends=1)
    checked = as_stranger(here, "check")
    assert checked.returncode == 0, checked.stderr
    refused = as_stranger(here, "exec", "b1", "who")
    assert refused.returncode == 2
    assert f"uid {UID} has no home directory" in refused.stderr
    assert "--state-dir" in refused.stderr
    done = as_stranger(here, "--state-dir", "runs", "exec", "b1", "who")
    assert done.returncode == 0, done.stderr


def test_who_decides_without_a_name(site: Callable[..., Site]) -> None:
    """`decide` and `resume --in-doubt` record a bare uid where there is no name."""
    here = site(users=0, directors=0, backends=1, faults=("command=dictInc,first=2,empty",))
    playbook = here.cli.playbook(COUNT)
    for verb in (["decide", "last", "1.1", "--as", "done"], ["resume", "last", "--in-doubt", "done"]):
        run = as_stranger(here, "--state-dir", "runs", "run", playbook, "--yes")
        assert run.returncode == 4, run.stderr
        decided = as_stranger(here, "--state-dir", "runs", *verb)
        assert decided.returncode == 0, decided.stderr
    shown = as_stranger(here, "--state-dir", "runs", "show", "last", "1.1")
    assert f"uid {UID}" in shown.stdout


def test_a_home_that_nobody_has(site: Callable[..., Site]) -> None:
    """A path that begins with ~ where there is no home is an error with the path."""
    here = site(users=0, directors=0, backends=1)
    done = as_stranger(here, "--state-dir", "~/runs", "exec", "b1", "who")
    assert done.returncode == 2
    assert "~/runs" in done.stderr


def test_a_state_directory_of_somebody_else(site: Callable[..., Site]) -> None:
    """A directory that this user may not enter is that, and not an empty one."""
    here = site(users=0, directors=0, backends=1)
    assert here.cli("exec", "b1", "who").code == 0
    here.cli.state.chmod(0o700)
    give(here.cli.folder)
    os.chown(here.cli.state, 0, 0)
    here.cli.state.chmod(0o700)
    for words in (("runs",), ("report",), ("exec", "b1", "who")):
        done = stranger(here.cli.folder, "--state-dir", str(here.cli.state), *words)
        assert done.returncode == 3, (words, done.stdout, done.stderr)
        assert "permission" in done.stderr.lower() or "cannot be" in done.stderr


def test_a_run_file_where_one_cannot_write(site: Callable[..., Site]) -> None:
    """A finished run in a directory of root's can be read, and nobody calls it damaged."""
    here = site(users=0, directors=0, backends=1)
    assert here.cli("exec", "b1", "who").code == 0
    public = Path("/tmp") / f"orchestrator-public-{os.getpid()}"
    public.mkdir(mode=0o755)
    try:
        run = next(here.cli.state.glob("*.run"))
        copy = public / run.name
        copy.write_bytes(run.read_bytes())
        copy.chmod(0o644)
        for words in (("report", str(copy)), ("export", str(copy)), ("show", str(copy), "--all")):
            done = as_stranger(here, *words)
            assert done.returncode == 0, (words, done.stderr)
    finally:
        for path in public.iterdir():
            path.unlink()
        public.rmdir()


def test_a_broken_event_loop_library_is_as_good_as_none(site: Callable[..., Site], tmp_path: Path) -> None:
    """What makes the program faster, and is installed badly, does not keep it from working."""
    here = site(users=0, directors=0, backends=1)
    for name in ("uvloop", "orjson"):
        broken = tmp_path / "broken" / name
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text("raise ImportError('libuv.so.1: cannot open shared object file')\n")
    path = os.pathsep.join([str(tmp_path / "broken"), here.cli.environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "exec", "b1", "who"],
        env={**here.cli.environment, "PYTHONPATH": path},
        cwd=here.cli.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "b1: done\n"), done.stderr


def test_a_folder_that_may_not_be_looked_into(site: Callable[..., Site], tmp_path: Path) -> None:
    """A playbook, a run or a configuration behind a closed folder is an error that says so, and no bug."""
    here = site(users=0, directors=0, backends=1)
    closed = here.cli.folder / "closed"
    closed.mkdir()
    (closed / "p.yaml").write_text("name: P\nsteps:\n  - {name: A, hosts: b1, command: who}\n")
    give(here.cli.folder)
    os.chown(closed, 0, 0)
    closed.chmod(0o700)
    for words in (("run", "closed/p.yaml"), ("report", "closed/x.run"), ("-c", "closed/c.yaml", "check")):
        refused = stranger(here.cli.folder, "--state-dir", "runs", *words, XDG_CONFIG_HOME=str(closed))
        assert refused.returncode in {2, 3}, refused.stderr
        assert "a bug" not in refused.stderr
