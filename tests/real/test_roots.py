"""What becomes of the tests on a day when Debian has something new, or something broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import roots
from tests.real.roots import PLACE, Suite
from tests.ring import RingError

ROOT = Path(__file__).parents[2]
BROKEN = "echo 'E: Unable to correct problems, you have held broken packages'; exit 100"
NEWER = 'for word; do case $word in */sid.new) mkdir -p "$word";; esac; done'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of programs that are found before those of this machine; roots are made in another."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv(PLACE, str(tmp_path / "roots"))
    install(folder, "debootstrap", "exit 1")
    install(folder, "apt-get", "echo 'Debian|Debian|http://192.0.2.1/debian'")
    install(folder, "apt-config", """echo 'Acquire::http::Proxy "http://192.0.2.2:3128";'; echo 'APT::Other "x";'""")
    install(folder, "chroot", "echo '2.4.9-1 (0123456789)'")
    return folder


def install(folder: Path, name: str, script: str) -> None:
    """A program of this name that does this."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_broken_archive_fails_the_stable_release_alone(
    programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a root cannot be made is told with the reason; it is a failure for trixie, and none for sid."""
    install(programs, "unshare", BROKEN)
    assert roots.main() == 1
    assert "Debian sid: Dovecot none; its root could not be made: unshare ended with 100" in capsys.readouterr().out
    (tmp_path / "roots/trixie").mkdir()
    (tmp_path / "roots/trixie/orchestrator.ready").write_text("2.4.1-4 (7d8c0e5759)\n")
    assert roots.main() == 0
    assert "held broken packages" in capsys.readouterr().out
    monkeypatch.setenv("PATH", "")  # what failed just now is not attempted again by each test
    with pytest.raises(RingError, match="held broken packages"), Suite("sid", moves=True).held():
        pass


def test_an_older_root_does_when_no_newer_one_can_be_made(programs: Path, tmp_path: Path) -> None:
    """The root of a suite that moves is made again when it is old; when that fails the old one is used."""
    suite = Suite("sid", moves=True)
    suite.root.mkdir(parents=True)
    suite.ready.write_text("2.4.5 (0cbb641e3e)\n")
    install(programs, "unshare", BROKEN)
    suite.renew()
    assert (suite.version, suite.trouble) == ("2.4.5", "")
    os.utime(suite.ready, (0, 0))
    with suite.held():  # somebody uses it
        suite.renew()
        assert suite.trouble == ""
    suite.renew()
    assert suite.version == "2.4.5"
    assert "held broken packages" in suite.trouble
    install(programs, "unshare", f"{NEWER}; echo $http_proxy > {tmp_path}/proxy")
    suite.renew()
    assert (suite.version, suite.trouble, suite.known) == ("2.4.9", "", False)
    assert (tmp_path / "proxy").read_text() == "http://192.0.2.2:3128\n"


def test_an_unknown_version_fails_nothing(programs: Path, tmp_path: Path) -> None:
    """Tests on a version whose lists are not known here do not fail the run; its end says which differ, and why."""
    suite = Suite("sid", moves=True)
    suite.root.mkdir(parents=True)
    suite.ready.write_text("2.4.9 (0123456789)\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n\n@pytest.mark.dovecot24('sid')\ndef test_differs():\n    assert False\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    more = ["-p", "tests.real.fixtures", "-p", "no:cacheprovider", str(tmp_path / "test_it.py")]
    environment = {**os.environ, "ORCHESTRATOR_DOVECOT24": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Debian sid: Dovecot 2.4.9, which is not known here yet" in done.stdout
    assert "differs: test_it.py::test_differs" in done.stdout
