"""The manifest of a run file: canonical, complete, the same before and after the run; and a plan that was changed is noticed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import RefusedError
from orchestrator.journal.header import Header
from orchestrator.journal.sqlite.create import create
from orchestrator.journal.sqlite.planned import verify
from orchestrator.journal.sqlite.store import FileRun
from orchestrator.plan.manifest import StepText, operations
from orchestrator.plan.steps import Draft, Plan
from orchestrator.status import Ending, Status
from tests.journal.journals import HEADER, Start
from tests.strategies import fleet, plan, steps

BASE = "hosts: backends, command: who, parameters: {mask: [u1]}"
KICK = "command: kick, parameters: {mask: ['{{ item }}']}"
SAVED = replace(HEADER, authors=("alice@mx1", "root@mx1"), policy='{"require_window": true}', settings='{"limits": {}}')
LATER = [
    "hosts: d1, command: directorStatus, register: s",
    f"hosts: \"{{{{ s.rows | column('tag') }}}}\", for_each: {{file: users.txt}}, {KICK}",
    f"hosts: 'b[1-2]', for_each: [u1, u2], when: \"{{{{ item == 'u1' }}}}\", {KICK}",
    f'hosts: b1, when: "{{{{ 1 == 2 }}}}", {KICK.replace("{{ item }}", "u9")}',
    f"hosts: b2, for_each: [ü, u4], {KICK}",
]
MOVED = """
    defaults: {scheme: http, auth: {password: {env: X}}}
    groups: {directors: {hosts: {d1: 10.0.0.1, d2: 10.0.0.2}}, backends: {hosts: {b1: 10.0.1.77, "b[2-3]": "10.0.1.[2-3]", b9: 10.0.1.9}}}
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., FileRun]:
    """A function that writes a plan."""
    count = iter(range(100))

    def make(plan: Plan, header: Header = HEADER) -> FileRun:
        path = create([("r-1", tmp_path / f"{next(count)}.plan")], plan, header)
        return FileRun(path, str(path))

    return make


@pytest.fixture
def digest(made: Callable[..., FileRun]) -> Callable[..., str]:
    """A function that gives the digest of a plan."""

    def of(plan: Plan, header: Header = HEADER) -> str:
        with made(plan, header).read() as reader:
            return reader.digest

    return of


@pytest.fixture
def saved(made: Callable[..., FileRun], tmp_path: Path) -> FileRun:
    """A saved plan with steps and operations that are known, known later, and left out."""
    (tmp_path / "users.txt").write_text("u1\nu2\n")
    return made(plan(steps(*LATER), folder=tmp_path), SAVED)


def manifest(run: FileRun) -> str:
    """The manifest as text."""
    with run.read() as reader:
        return b"".join(reader.manifest()).decode()


def execute(run: FileRun, statement: str, *values: object) -> int:
    """Write into the file behind everybody's back; returns how many rows were changed."""
    with sqlite3.connect(run._path) as connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    return changed


def test_any_program_can_check_the_digest(saved: FileRun) -> None:
    """It is what `sha256sum` prints of the manifest."""
    with saved.read() as reader:
        found = subprocess.run(["sha256sum"], input=b"".join(reader.manifest()), capture_output=True, check=True)
        assert found.stdout.split()[0].decode() == reader.digest


def test_the_text_is_canonical(saved: FileRun) -> None:
    """JSON lines without spaces, keys sorted, text as it is; operations end with their parameters as they are sent."""
    text = manifest(saved)
    lines = text.splitlines()
    assert text == "".join(f"{line}\n" for line in lines)
    again = [json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False, separators=(",", ":")) for line in lines]
    assert again == lines
    assert lines[0] == '{"manifest":1}'
    assert lines[-6:] == [
        '{"command":"kick","host":"b1","id":"3.1","parameters":{"mask":["u1"]}}',
        '{"command":"kick","host":"b2","id":"3.2","parameters":{"mask":["u1"]}}',
        '{"command":"kick","host":"b1","id":"3.3","left_out":true,"parameters":{"mask":["u2"]}}',
        '{"command":"kick","host":"b2","id":"3.4","left_out":true,"parameters":{"mask":["u2"]}}',
        '{"command":"kick","host":"b2","id":"5.1","parameters":{"mask":["ü"]}}',
        '{"command":"kick","host":"b2","id":"5.2","parameters":{"mask":["u4"]}}',
    ]
    assert '{"plan":"authors","value":["alice@mx1","root@mx1"]}' in lines
    assert '{"plan":"skipped","value":["4"]}' in lines
    assert '{"plan":"ticket","value":"CHG-1"}' in lines
    host = '{"groups":["backends"],"host":"b9","protected":true,"tags":["new"],"url":"http://10.0.1.9:8080/doveadm/v1"}'
    assert host in lines
    users = next(json.loads(line) for line in lines if line.startswith('{"bytes"'))
    assert (users["bytes"], users["sha256"]) == (6, hashlib.sha256(b"u1\nu2\n").hexdigest())


def test_the_digest_is_stable(digest: Callable[..., str]) -> None:
    """The same inputs have the same digest, whoever plans it and when."""
    later = replace(HEADER, created=2_000)
    assert digest(plan(steps(BASE))) == digest(plan(steps(BASE)), later)
    assert len(digest(plan(steps(BASE)))) == 64


def test_a_saved_plan_is_one_of_its_own(digest: Callable[..., str]) -> None:
    """Who made it and when is a part of what is approved."""
    later, other = replace(SAVED, created=2_000), replace(SAVED, authors=("bob@mx1",))
    found = {digest(plan(steps(BASE)), header) for header in (HEADER, SAVED, later, other)}
    assert len(found) == 4


def test_the_digest_sees_every_change(digest: Callable[..., str], tmp_path: Path) -> None:
    """Another word in the playbook, another address, value, item, host or limit gives another digest."""
    with_value = "name: P\nparameters: {x: {default: a}}\n" + steps(BASE).removeprefix("name: P\n")
    with_file = steps(f"hosts: b1, for_each: {{file: users.txt}}, {KICK}")
    (tmp_path / "users.txt").write_text("u1\n")
    found = [
        digest(plan(steps(BASE))),
        digest(plan(steps(BASE) + "# said\n")),
        digest(plan(steps(BASE.replace("u1", "u2")))),
        digest(plan(steps(BASE), inventory=fleet(MOVED))),
        digest(plan(steps(BASE), limit="b1")),
        digest(plan(steps(BASE), limit="b2")),  # as many operations, for the same users, on another host
        digest(plan(with_value)),
        digest(plan(with_value, {"x": "b"})),
        digest(plan(with_file, folder=tmp_path)),
        *(digest(plan(steps(BASE)), replace(HEADER, **{name: '{"x": 1}'})) for name in ("policy", "settings")),
    ]
    (tmp_path / "users.txt").write_text("u2\n")
    found.append(digest(plan(with_file, folder=tmp_path)))
    assert len(set(found)) == len(found)


def test_the_digest_sees_a_list_that_is_used_late(digest: Callable[..., str], tmp_path: Path) -> None:
    """A list of a step whose requests are known only at run time is a part of what is reviewed all the same."""
    found = set()
    for users in ("u1\n", "u2\n"):
        (tmp_path / "users.txt").write_text(users)
        found.add(digest(plan(steps(*LATER[:2]), folder=tmp_path)))
    assert len(found) == 2


@pytest.mark.anyio
async def test_after_the_run_it_is_what_it_was(saved: FileRun) -> None:
    """What the run adds is no part of it: operations of later steps, results, what was left out in the end."""
    before = manifest(saved)
    async with saved.work(Start({"rate": 5})) as session:
        await session.expand(1, iter([Draft("b1", '{"mask":["u7"]}', skipped=False)]))
        await session.mark(0, "running")
        await session.mark(4, "skipped", "its condition is false")
        await session.skip_rest("over")
        await session.end(Ending(Status.REFUSED, "x"))
    assert manifest(saved) == before
    with saved.read() as reader:
        reader.verify()
    execute(saved, 'UPDATE operation SET parameters = \'{"mask":["u8"]}\' WHERE seq = 3')
    with saved.read() as reader, pytest.raises(RefusedError, match="was changed after it was made"):
        reader.verify()


CHANGES = [
    'UPDATE operation SET parameters = \'{"mask":["u8"]}\' WHERE seq = 3',
    "UPDATE operation SET host = 1 - (host = 1) + 1 WHERE seq = 3",
    "UPDATE operation SET step = 4 WHERE seq = 3",
    "UPDATE operation SET state = 2 WHERE seq = 3",
    "UPDATE operation SET state = 6 WHERE seq = 3",
    "UPDATE operation SET state = 0 WHERE state = 6",
    "UPDATE operation SET attempts = 5 WHERE seq = 3",
    "UPDATE operation SET parameters = parameters || char(10) WHERE seq = 3",
    "DELETE FROM operation WHERE seq = 3",
    "INSERT INTO operation (step, host, state, parameters) VALUES (4, 1, 0, '{}')",
    "DELETE FROM left_out",
    "UPDATE step SET state = 'done' WHERE number = 0",
    "UPDATE step SET state = 'skipped' WHERE number = 0",
    "UPDATE step SET state = 'pending' WHERE state = 'skipped'",
    "UPDATE step SET operations = 1, first = 100 WHERE number = 1",
    "UPDATE step SET first = first - 1 WHERE number = 4",
    "UPDATE step SET started = 1 WHERE number = 0",
    "UPDATE step SET layout = replace(layout, 'kick', 'who')",
    "UPDATE step SET layout = '{' WHERE number = 0",
    "UPDATE step SET key = '9' WHERE number = 0",
    "UPDATE step SET role = 'finally' WHERE number = 0",
    "UPDATE step SET name = 'x' WHERE number = 0",
    "UPDATE step SET command = 'reload' WHERE number = 4",
    "UPDATE step SET effect = 'read'",
    "UPDATE host SET name = 'b7' WHERE name = 'b9'",
    "UPDATE host SET url = 'http://10.0.0.77/' WHERE name = 'b1'",
    "UPDATE host SET protected = 0",
    "UPDATE host SET tags = '[]'",
    "UPDATE host SET groups = '[]'",
    "UPDATE list SET content = CAST('u1' || char(10) || 'u3' || char(10) AS BLOB)",
    "UPDATE list SET path = path || 'x'",
    "INSERT INTO meta VALUES ('more', '1')",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_plan_is_noticed(saved: FileRun, change: str) -> None:
    """Whatever is written into the file of a plan that nobody has begun: it is refused, in one sentence."""
    with saved.read() as reader:
        reader.verify()
    assert execute(saved, change)
    with saved.read() as reader, pytest.raises(RefusedError, match=r"the plan r-1 was changed after it was made: .*\Z"):
        reader.verify()


@pytest.mark.parametrize("table", ["answer", "attempt", "condition", "remark"])
def test_results_of_a_plan_that_nobody_has_begun(saved: FileRun, table: str) -> None:
    """There are none: an answer that is there before anybody was asked would decide what is done."""
    with sqlite3.connect(saved._path) as connection:
        columns = connection.execute(f"SELECT count(*) FROM pragma_table_info('{table}')").fetchone()[0]
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('1' * columns)})")
    connection.close()
    with saved.read() as reader, pytest.raises(RefusedError, match="and nobody has begun it"):
        reader.verify()


def test_every_text_of_a_plan_is_in_it(saved: FileRun) -> None:
    """None of the texts that a plan keeps can be changed or left out unnoticed."""
    with sqlite3.connect(saved._path) as connection:
        texts = dict(connection.execute("SELECT key, value FROM meta"))
    connection.close()
    assert len(texts) > 15
    for key, text in texts.items():
        for change in (
            "UPDATE meta SET value = '\"x\"' WHERE key = ?",
            "DELETE FROM meta WHERE key = ? AND key != 'digest'",
        ):
            if key == "run_id" and change.startswith("DELETE"):
                continue
            changed = execute(saved, change, key)
            if changed:
                connection = sqlite3.connect(saved._path)
                with pytest.raises(RefusedError, match="was changed after it was made"):
                    verify(connection)
                connection.close()
            execute(saved, "INSERT OR REPLACE INTO meta VALUES (?, ?)", key, text)
    with saved.read() as reader:
        reader.verify()


def test_an_operation_cannot_be_two_lines() -> None:
    """Parameters that this program never writes are no part of a manifest: two operations cannot be made to look like one."""
    two = '{}}\n{"command":"kick","host":"b1","id":"1.2","parameters":{}'
    with pytest.raises(ValueError):
        b"".join(operations({0: StepText("1", "kick", 1)}, {1: "b1"}, [(1, 0, 1, two, 0)]))


def test_memory_does_not_grow_with_the_plan(made: Callable[..., FileRun], tmp_path: Path) -> None:
    """A manifest is handed out piece by piece, however many operations and however long a list."""
    (tmp_path / "users.txt").write_text("".join(f"user{number}@example.com\n" for number in range(20_000)))
    run = made(plan(steps(f"hosts: 'b[1-3]', for_each: {{file: users.txt}}, {KICK}"), folder=tmp_path))
    with run.read() as reader:
        tracemalloc.start()
        try:
            size = sum(map(len, reader.manifest()))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size > 5_000_000
    assert peak < size / 4
