"""Playbooks, configurations and expressions that are meant to harm are refused quickly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import CommandLine, Result
from tests.integration.raw_server import Raw, answered, only


def bombs() -> dict[str, str]:
    """Playbooks that are small to write and large to read."""
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    return {
        "billion laughs": laughs,
        "itself": "name: &a {b: *a}\n",
        "nested lists": "steps: " + "[" * 200_000,
        "nested closed": "steps: " + "[" * 20_000 + "]" * 20_000,
        "nested mappings": "{a: " * 50_000,
        "nested blocks": "".join(" " * n + "a:\n" for n in range(3000)),
        "nested dashes": "- " * 50_000,
        "many unknown keys": "".join(f"key{n}: {n}\n" for n in range(20_000)),
        "the same key": "name: x\n" * 20_000,
        "not YAML 1.2": "x: [" + "no, " * 20_000 + "no]\n",
        "a long number": "name: x\nsteps: " + "9" * 1_000_000 + "\n",
        "a tag": "name: !!python/object/apply:os.system ['touch pwned']\nsteps: []\n",
        "a nested expression": "name: x\nsteps:\n  - {name: y, when: '{{ "
        + "(" * 1900
        + "1"
        + ")" * 1900
        + " }}', hosts: b1, command: who}\n",
        "a long expression": "name: x\nsteps:\n  - {name: y, when: '{{ "
        + "1 + " * 100_000
        + "1 }}', hosts: b1, command: who}\n",
        "null characters": "name: \x00\x00\nsteps: []\n",
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_bomb_is_refused_quickly(tmp_path: Path, kind: str) -> None:
    """Each is refused with exit code 2 and a message of bounded length, in little time and memory, and nothing is run."""
    cli = CommandLine(tmp_path, tmp_path / "none.yaml")
    result = limited(cli, "validate", cli.playbook(bombs()[kind]))
    assert result.code == 2, (result.code, result.said[-300:])
    assert "Traceback" not in result.said
    assert not (tmp_path / "pwned").exists()
    assert len(result.said) < 50_000


@pytest.mark.parametrize("kind", ["billion laughs", "itself", "nested lists", "nested mappings"])
def test_a_bomb_as_configuration(tmp_path: Path, kind: str) -> None:
    """The configuration is read as carefully as a playbook."""
    cli = CommandLine(tmp_path, tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text(bombs()[kind])
    result = limited(cli, "check")
    assert result.code == 2, (result.code, result.said[-300:])


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A playbook of a gigabyte is refused for its size, without being read."""
    cli = CommandLine(tmp_path, tmp_path / "none.yaml")
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2**30)
    result = limited(cli, "validate", str(path))
    assert result.code == 2
    assert "larger than" in result.said


def limited(cli: CommandLine, *arguments: str) -> Result:
    """Run a command with a gigabyte of memory, and half a minute."""
    done = subprocess.run(
        ["sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh", sys.executable, "-m", "orchestrator", *arguments],
        env=cli.environment,
        cwd=cli.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Result(done.returncode, done.stdout, done.stderr)


ESCAPES = [
    "().__class__.__mro__[1].__subclasses__()",
    "''.__class__",
    "''['__class__']",
    "'' | attr('__class__')",
    "groups | attr('__class__')",
    "groups.backends[0].__init__.__globals__",
    "groups.backends[0].endpoint.secret.resolve()",
    "groups.backends[0].endpoint.secret.reveal",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__.os.popen('touch pwned').read()",
    "lipsum.__globals__",
    "namespace()",
    "range(10 ** 9) | list",
    "'x' * 1000000000",
    "['x'] * 1000000000",
    "9 ** 9 ** 9",
    "'%1000000000d' % 1",
    "'{0.__class__}'.format(1)",
    "'' | format(1)",
    "joiner().__class__",
    "x.__class__",
    "[].append",
    "groups.backends.__class__.__base__",
    "groups.keys().__class__",
    "groups | map('attr', '__class__') | list",
    "groups | map(attribute='__class__') | list",
    "groups.backends | sort(attribute='__class__') | list",
    "groups.backends | unique(attribute='__class__')",
    "groups.backends | join('', attribute='__class__')",
    "groups.backends | column('__class__')",
    "groups.backends | where('__class__', 'x')",
    "('a' ~ 'b') * 99999999",
    "(1).__class__",
    "none.__class__",
    "true.__class__.__base__",
    "1 if [].__class__ else 2",
]


@pytest.mark.parametrize("expression", ESCAPES)
def test_no_expression_reaches_python(cli_for: Callable[..., CommandLine], expression: str) -> None:
    """Attempts to reach Python's inside, or to use up the machine, end with exit code 2 or 5, quickly, and send nothing."""
    with Raw(only(lambda _head, body: answered(b"[]", body))) as server:
        cli = cli_for(server)
        step = {"name": "y", "hosts": "b1", "command": "who", "parameters": {"mask": ["{{ " + expression + " }}"]}}
        playbook = cli.playbook(json.dumps({"name": "x", "steps": [step]}))
        result = limited(cli, "run", playbook, "--yes")
        assert result.code in {2, 5}, result.said[-500:]
        assert "Traceback" not in result.said
        assert "<class" not in result.said
        assert "object at 0x" not in result.said
        assert not (cli.folder / "pwned").exists()
        assert not [body for _head, body in server.seen if body]
