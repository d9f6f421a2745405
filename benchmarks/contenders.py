"""Ways to send one request to a host for each of many users. Each is a whole process that does N operations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure import BenchmarkError, Usage, run
from stub import Stub

HERE = Path(__file__).resolve().parent
SECRET = "a-secret-for-loopback"
AUTHORIZATION = "X-Dovecot-API YS1zZWNyZXQtZm9yLWxvb3BiYWNr"
TYPE = "Content-Type: application/json"


@dataclass(frozen=True)
class Job:
    """What a contender is to do, and where it may keep files.

    Attributes:
        operations: a multiple of the number of hosts.
        folder: its own, empty.
    """

    stub: Stub
    operations: int
    folder: Path

    @property
    def users(self) -> list[str]:
        """Each of them is sent to each host."""
        return [f"user{number:07}@example.org" for number in range(self.operations // len(self.stub.urls))]

    def users_file(self) -> Path:
        """The users, one a line."""
        path = self.folder / "users.txt"
        path.write_text("".join(f"{user}\n" for user in self.users), encoding="utf-8")
        return path

    def requests(self) -> list[tuple[str, str]]:
        """URL and body of each operation."""
        found = [(url, user) for user in self.users for url in self.stub.urls]
        return [(url, f'[["quotaRecalc",{{"user":"{user}"}},"1.{n}"]]') for n, (url, user) in enumerate(found, 1)]


@dataclass(frozen=True)
class Result:
    """A contender's usage, and what it tells of itself (seconds by phase)."""

    usage: Usage
    operations: int
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """One way to do it.

    Attributes:
        name: short, for --only.
        title: for the table.
        operations: as many of the operations asked for as it gets; slow ones get fewer.
        missing: how to install what it needs and does not find, or empty.
        work: does a job.
    """

    name: str
    title: str
    share: float
    missing: Callable[[], str]
    work: Callable[[Job], Result]


def _needs(program: str, package: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(program) else package


def _module(name: str) -> Callable[[], str]:
    command = [sys.executable, "-c", f"import {name.replace(',', ', ')}"]
    return lambda: "" if subprocess.run(command, capture_output=True, check=False).returncode == 0 else f"pip:{name}"


def _ab(job: Job) -> Result:
    body = job.folder / "body"
    body.write_text(job.requests()[0][1], encoding="utf-8")
    command = ["ab", "-q", "-c", "16", "-n", str(job.operations), "-p", str(body), "-T", "application/json"]
    usage = run([*command, "-H", f"Authorization: {AUTHORIZATION}", job.stub.urls[0]])
    if "Failed requests:        0" not in usage.output:
        raise BenchmarkError(f"ab saw failures: {usage.output[-500:]}")
    return Result(usage, job.operations)


def _curl_parallel(job: Job) -> Result:
    """One body for all requests: a `next` for each slows curl down, and here it may show its best."""
    config = job.folder / "curl.conf"
    url_lines = "".join(f'url = "{url}"\noutput = "/dev/null"\n' for url, _ in job.requests())
    body = job.requests()[0][1].replace('"', '\\"')
    options = f'silent\nfail\nheader = "{TYPE}"\nheader = "Authorization: {AUTHORIZATION}"\ndata = "{body}"\n'
    config.write_text(options + url_lines, encoding="utf-8")
    return Result(run(["curl", "--parallel", "--parallel-max", "64", "-K", config]), job.operations)


def _xargs_curl(job: Job) -> Result:
    lines, script = job.folder / "arguments", job.folder / "curl.conf"
    lines.write_text("".join(f"{body}\n{url}\n" for url, body in job.requests()), encoding="utf-8")
    script.write_text(
        f'silent\nfail\noutput = "/dev/null"\nheader = "{TYPE}"\nheader = "Authorization: {AUTHORIZATION}"\n',
        encoding="utf-8",
    )
    command = ["xargs", "-d", "\\n", "-P", "16", "-n", "2", "curl", "-K", script, "-d"]
    return Result(run(command, stdin=lines), job.operations)


def _bare(*options: str) -> Callable[[Job], Result]:
    def work(job: Job) -> Result:
        script = HERE / "bare_aiohttp.py"
        usage = run(
            [sys.executable, script, "--authorization", AUTHORIZATION, *options, job.users_file(), *job.stub.urls]
        )
        told = json.loads(usage.output)
        if told["good"] != job.operations:
            raise BenchmarkError(f"the bare loop had {told['good']} successes of {job.operations}")
        return Result(usage, job.operations, {"sending": told["seconds"]})

    return work


_CONFIG = """\
defaults:
  scheme: http
  port: {port}
  auth: {{api_key: {{file: {secret}}}}}
limits: {{in_flight: 256, per_host: 16}}  # 64 on the wire, as the others; the rest waits for the disk
groups:
  backends:
    hosts:
{hosts}
"""

_PLAYBOOK = """\
name: Recalculate quotas
steps:
  - name: Recalculate each user's quota
    hosts: backends
    for_each: {file: users.txt}
    command: quotaRecalc
    parameters: {user: "{{ item }}"}
"""


@dataclass(frozen=True)
class Orchestrator:
    """The command line of a checkout, with a fleet and a playbook in a folder.

    Attributes:
        folder: configuration, playbook and state directory.
        checkout: whose code is run.
    """

    folder: Path
    checkout: Path = HERE.parent

    @property
    def playbook(self) -> Path:
        """The playbook's path."""
        return self.folder / "playbook.yaml"

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def env(self) -> dict[str, str]:
        """For the child."""
        return {
            "ORCHESTRATOR_STATE_DIR": str(self.state),
            "ORCHESTRATOR_CONFIG": str(self.folder / "config.yaml"),
            "PYTHONPATH": str(self.checkout),
            "PYTHONDONTWRITEBYTECODE": "",  # compiled once, as an installed package is
        }

    def prepare(self, addresses: Sequence[str], port: int) -> None:
        """Write the configuration and the playbook."""
        secret = self.folder / "secret"
        secret.write_text(f"{SECRET}\n", encoding="utf-8")
        secret.chmod(0o600)
        hosts = "\n".join(f"      b{number}: {address}" for number, address in enumerate(addresses, 1))
        config = _CONFIG.format(port=port, secret=secret, hosts=hosts)
        (self.folder / "config.yaml").write_text(config, encoding="utf-8")
        self.playbook.write_text(_PLAYBOOK, encoding="utf-8")

    def command(self, *words: str | Path) -> list[str]:
        """A command line."""
        return [sys.executable, "-m", "orchestrator", *map(str, words)]

    def call(self, *words: str | Path) -> Usage:
        """Run a command line to its end."""
        return run(self.command(*words), env=self.env, cwd=self.folder)

    def report(self) -> dict[str, object]:
        """The newest run's report."""
        report: dict[str, object] = json.loads(self.call("report", "--format", "json").output.splitlines()[-1])
        return report


def orchestrator(checkout: Path = HERE.parent) -> Callable[[Job], Result]:
    """The contender that is ours: plan, journal, run, report."""

    def work(job: Job) -> Result:
        ours = Orchestrator(job.folder, checkout)
        job.users_file()
        ours.prepare(job.stub.addresses, job.stub.port)
        usage = ours.call("run", ours.playbook, "--yes")
        report = ours.report()
        counts = report["counts"]
        if not isinstance(counts, dict) or counts.get("done") != job.operations:
            raise BenchmarkError(f"not all of {job.operations} operations are done: {counts}")
        started, finished = (float(str(report[f"{word}_at"])) / 1000 for word in ("started", "finished"))
        phases = {
            "planning": started - usage.begin,
            "sending": finished - started,
            "reporting": usage.end - finished,
        }
        return Result(usage, job.operations, phases)

    return work


_ANSIBLE = """\
- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - uri:
        url: "http://{{ inventory_hostname }}:PORT/doveadm/v1"
        method: POST
        headers: {Authorization: "AUTHORIZATION"}
        body_format: json
        body: [["quotaRecalc", {"user": "{{ item }}"}, "1.1"]]
      loop: "{{ lookup('file', 'users.txt').splitlines() }}"
"""


def _ansible(job: Job) -> Result:
    job.users_file()
    text = _ANSIBLE.replace("PORT", str(job.stub.port)).replace("AUTHORIZATION", AUTHORIZATION)
    (job.folder / "play.yaml").write_text(text, encoding="utf-8")
    hosts = ",".join(job.stub.addresses) + ","
    env = {"ANSIBLE_HOME": str(job.folder), "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "LC_ALL": "C.UTF-8"}
    command = ["ansible-playbook", "-i", hosts, "-f", "50", "play.yaml"]
    return Result(run(command, env=env, cwd=job.folder), job.operations)


def contenders(variants: Mapping[str, Path]) -> list[Contender]:
    """All of them, the yardstick first."""
    found = [
        Contender("bare", "**bare aiohttp loop**, force_close, 64 in flight", 1, _module("aiohttp"), _bare()),
        Contender("tuned", "the same, tuned, uvloop and orjson", 1, _module("aiohttp,uvloop,orjson"), _bare("--tuned")),
        Contender("orchestrator", "**orchestrator run**, journal on", 1, lambda: "", orchestrator()),
    ]
    found += [
        Contender(name, f"orchestrator run ({name})", 1, lambda: "", orchestrator(checkout))
        for name, checkout in variants.items()
    ]
    return [
        *found,
        Contender("ab", "ab, 16 connections", 1, _needs("ab", "apache2-utils"), _ab),
        Contender("curl", "curl --parallel, 64 in flight", 1, _needs("curl", "curl"), _curl_parallel),
        Contender("xargs", "xargs -P16 curl", 0.05, _needs("curl", "curl"), _xargs_curl),
        Contender("ansible", "Ansible uri, forks=50", 0.002, _needs("ansible-playbook", "pip:ansible-core"), _ansible),
    ]


def install(packages: Sequence[str], folder: Path) -> None:
    """Install Debian packages, whose services are not started, and Ansible in a virtual environment in a folder."""
    if "pip:ansible-core" in packages:
        home = folder / "ansible"
        run([sys.executable, "-m", "venv", home])
        run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "ansible-core"])
        os.environ["PATH"] += f":{home / 'bin'}"
    wanted = sorted({package for package in packages if package and not package.startswith("pip:")})
    if not wanted:
        return
    if os.geteuid() != 0:
        raise BenchmarkError(f"--install needs root; otherwise: apt-get install {' '.join(wanted)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run(["apt-get", "update"], env=quiet)
    run(["apt-get", "install", "-y", "--no-install-recommends", *wanted], env=quiet)
