"""Running tests in a process of their own, forked from one that has loaded the libraries and nothing of the product."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = [
    "anyio.pytest_plugin", "click", "coverage", "httptools", "hypothesis.strategies", "jinja2", "jsonschema", "orjson", "pydantic", "pytest_timeout",
    "rich.console", "rich.live", "sqlite3", "tenacity", "uvloop", "xdist.plugin", "yaml",
]  # fmt: skip
MEMORY = 3 << 30  # bytes; a mistake may make a list without an end
OPTIONS = [
    "-x", "-q", "--no-header", "--no-summary", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=10",
    "-W", "ignore::pytest.PytestAssertRewriteWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning",
]  # fmt: skip
Tell = Callable[[dict[str, Any]], None]


def load_libraries() -> None:
    """Load what is the same in every trial."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def apart(work: Callable[[Tell], None], *, seconds: float) -> tuple[list[dict[str, Any]], bool]:
    """Do something in a process of its own; returns what it told, and whether it ended in time."""
    folder = tempfile.mkdtemp(prefix="mutant-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    Path(folder).chmod(0o711)  # for tests that become another user
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _within(work, writing, folder)
    os.close(writing)
    try:
        return _told(reading, seconds)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def _told(reading: int, seconds: float) -> tuple[list[dict[str, Any]], bool]:
    until = time.monotonic() + seconds
    data = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            if not (chunk := os.read(reading, 1 << 20)):
                break
            data += chunk
    lines = data.split(b"\n")[:-1]
    return [json.loads(line) for line in lines], left > 0


def _within(work: Callable[[Tell], None], writing: int, folder: str) -> None:
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.set_inheritable(writing, False)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.environ |= {"TMPDIR": folder, "HYPOTHESIS_STORAGE_DIRECTORY": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        tempfile.tempdir = folder
        work(lambda told: _write(writing, json.dumps(told).encode() + b"\n"))
    finally:
        os._exit(0)


def _write(writing: int, data: bytes) -> None:
    while data:
        data = data[os.write(writing, data) :]


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(self._text, self.path, "exec", dont_inherit=True)


class Instead(importlib.abc.MetaPathFinder):
    """Has a module loaded with another text than the one in its file, which stays as it is."""

    def __init__(self, path: str, text: str) -> None:
        self._name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._path = str(ROOT / path)
        self._text = text

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The module's, for this one module."""
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=_Loader(fullname, self._path, self._text)
        )


class Chosen:
    """Of what is collected, only some tests; tells of the first that fails."""

    def __init__(self, wanted: Mapping[str, float], tell: Tell) -> None:
        self._wanted = wanted
        self._tell = tell
        self.failed = False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The quick ones first."""
        items[:] = sorted((item for item in items if item.nodeid in self._wanted), key=self._seconds)

    def _seconds(self, item: pytest.Item) -> float:
        return self._wanted[item.nodeid]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One result."""
        if report.failed and not self.failed:
            self.failed = True
            timeout = "Timeout" in str(report.longrepr)
            self._tell({"verdict": "timeout" if timeout else "killed", "by": report.nodeid})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file whose tests cannot be had."""
        if report.failed and not self.failed:
            self.failed = True
            self._tell({"verdict": "killed", "by": report.nodeid})


def try_out(path: str, text: str, files: Sequence[tuple[str, Mapping[str, float]]]) -> Callable[[Tell], None]:
    """What a trial does: one file of tests after the other, with a module's text instead of its file's."""

    def work(tell: Tell) -> None:
        sys.meta_path.insert(0, Instead(path, text))
        for file, wanted in files:
            chosen = Chosen(wanted, tell)
            code = pytest.main([*OPTIONS, file], plugins=[chosen])
            if chosen.failed:
                return
            if code != pytest.ExitCode.OK:
                tell({"verdict": "killed", "by": f"{file}: pytest ended with {code}"})
                return
        tell({"verdict": "survived", "by": ""})

    return work
