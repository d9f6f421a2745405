"""From a run back to its plan: refused where the fleet is not the one that the plan rests on, with what differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import InputError, RefusedError
from orchestrator.journal.base import Reader
from orchestrator.plan.kept import keep
from orchestrator.playbook.shipped import find_playbook, shipped
from orchestrator.runs.planning import Fleet, differences, plan_of
from tests.command_line import ROOT
from tests.journal.journals import Sqlite
from tests.strategies import FLEET, config, fleet, plan, steps

TEXT = steps("hosts: 'b[1-3]', command: reload", "hosts: d1, command: who")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A run that was planned for the usual fleet."""
    with Sqlite(tmp_path).run(TEXT).read() as reader:
        yield reader


def changed(*changes: tuple[str, str]) -> str:
    """The usual fleet with other words."""
    text = FLEET
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


D2 = ("{d1: 10.0.0.1, d2: 10.0.0.2}", "{d1: 10.0.0.1}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (FLEET, []),
        (changed(D2), ["the host d2 is gone", "the members of the group directors, or their order, changed"]),
        (changed(("d2: 10.0.0.2", "d2: 10.0.0.2, d3: 10.0.0.3")), ["the host d3 is new", "the members of the group directors, or their order, changed"]),
        (changed(("d1: 10.0.0.1,", "d1: 10.0.0.9,")), ["d1 was http://10.0.0.1:8080/doveadm/v1 and is http://10.0.0.9:8080/doveadm/v1"]),
        (changed(("d1: 10.0.0.1,", "d1: {address: 10.0.0.1, port: 8081},")), ["d1 was http://10.0.0.1:8080/doveadm/v1 and is http://10.0.0.1:8081/doveadm/v1"]),
        (changed(("tags: [new]", "tags: [old, new]")), ["the tags of b9 were new and are old, new"]),
        (changed((", tags: [new]", "")), ["the tags of b9 were new and are none"]),
        (changed(("protect: [b9]", "")), ["b9 was protected"]),
        (changed(("protect: [b9]", "protect: [b9, d2]")), ["d2 is protected now"]),
        (changed(("{d1: 10.0.0.1, d2: 10.0.0.2}", "{d2: 10.0.0.2, d1: 10.0.0.1}")), ["the members of the group directors, or their order, changed", "the order of the hosts changed"]),
        (changed(("directors:", "proxies:")), ["the members of the group directors, or their order, changed", "the group proxies is new"]),
        (changed(("protect: [b9]", "  reserve: {hosts: {b9: }}\n    protect: [b9]")), ["the group reserve is new"]),
    ],
)  # fmt: skip
def test_what_a_plan_rests_on_is_compared(reader: Reader, text: str, found: list[str]) -> None:
    """Each host, address, tag, protection, group and order that is not as it was is told, and nothing else."""
    assert list(differences(reader, fleet(text))) == found


def test_hosts_that_changed_places_are_told(reader: Reader) -> None:
    """The order of hosts is the order of batches, so it is a difference of its own."""
    text = changed(('{"b[1-3]": "10.0.1.[1-3]",', "{b2: 10.0.1.2, b1: 10.0.1.1, b3: 10.0.1.3,"))
    assert list(differences(reader, fleet(text)))[-1] == "the order of the hosts changed"


def test_secrets_and_limits_may_change(reader: Reader) -> None:
    """What a plan does not rest on may be otherwise: a password, how long to wait, how much at a time."""
    text = changed(
        ("{env: DOVEADM_PASSWORD}", "{env: OTHER}"), ("scheme: http,", "scheme: http, timeout: {request: 5s},")
    )
    assert list(differences(reader, fleet(text))) == []


def test_the_plan_of_a_run_is_the_one_that_was_made(reader: Reader) -> None:
    """Where the fleet is the same, the plan is."""
    assert keep(plan_of(reader, Fleet(config()))) == keep(plan(TEXT))


def test_a_fleet_that_changed_is_refused_with_what_differs(reader: Reader) -> None:
    """The first differences are named, the others counted, and what to do is said."""
    text = "defaults: {scheme: http, auth: {password: {env: X}}}\ngroups: {directors: {hosts: {d1: 10.0.0.1}}}"
    with pytest.raises(RefusedError, match=f"the fleet has changed since run {reader.run_id} was planned: ") as caught:
        plan_of(reader, Fleet(config(text)))
    assert "the host d2 is gone; the host b1 is gone" in caught.value.message
    assert caught.value.message.endswith("; and 2 more")
    assert "-c" in caught.value.hint


def test_a_playbook_is_found_by_name_or_path(tmp_path: Path) -> None:
    """A shipped playbook needs no path; a misspelt one is suggested."""
    assert find_playbook("drain-backend") == shipped()["drain-backend"]
    assert find_playbook("./x.yaml") == Path("x.yaml")
    with pytest.raises(InputError, match="no shipped playbook of that name") as caught:
        find_playbook("drain-backnd")
    assert "drain-backend" in caught.value.message


def test_a_plan_says_what_it_was_made_of(tmp_path: Path) -> None:
    """The run of a plan keeps what was given, files by their whole paths, and the selection of --limit."""
    users = ROOT / "playbooks/examples/users.txt"
    planned = Fleet(config()).plan("kick-users", {"users": str(users), "backends": "b1"}, limit="b*")
    header = planned.header
    assert (header.given, header.limit) == ({"users": str(users), "backends": "b1"}, "b*")
    assert header.config_path == str(config().path)
    assert planned.plan.limited == {"b1", "b2", "b3", "b9"}
