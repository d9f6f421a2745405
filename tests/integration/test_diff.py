"""How a plan differs from another one, and from now: what whoever approved it did not see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import Site

KICKS = """
name: Kick users
parameters:
  users: {type: users, required: true}
conditions:
  - name: sessions
    ask: {hosts: b1, command: dictGet, parameters: {dictUri: "file:/x", key: shared/n}}
    value: "{{ rows | column('value') | first }}"
    that: "{{ now != '' }}"
steps:
  - {name: See, hosts: b1, command: dictGet, parameters: {dictUri: "file:/x", key: shared/n}, register: seen}
  - name: Kick
    hosts: b1
    for_each: "{{ users }}"
    command: kick
    parameters: {mask: ["{{ item }}"]}
    affects: {sessions: "{{ seen.rows | column('value') | first | int }}"}
"""

DICT = 'parameters: {dictUri: "file:/x", key: shared/n}'


@pytest.fixture
def here(site: Callable[..., Site]) -> Site:
    """A site with a list of users, and a plan that was made with a look at the fleet."""
    made = site(users=0, directors=0, backends=2)
    counted(made, 4)
    (made.cli.folder / "users.txt").write_text("anna\nbert\n", encoding="utf-8")
    made.cli.playbook(KICKS)
    planned(made, "tuesday.plan", "--live")
    return made


def counted(here: Site, sessions: int) -> None:
    """Have the fleet tell another number."""
    words = ["dictUri=file:/x", "key=shared/n", f"value={sessions}", "--yes"]
    assert here.cli("exec", "b1", "dictSet", *words).code == 0


def planned(here: Site, name: str, *options: str) -> None:
    """Save a plan."""
    words = ["-e", "users=users.txt", "-o", name, *options]
    found = here.cli("plan", str(here.cli.folder / "playbook.yaml"), *words)
    assert found.code == 0, found.said


def differences(here: Site, *words: str) -> set[tuple[str, str]]:
    """What `diff` finds: subjects and sentences."""
    found = here.cli("diff", *words, "--format", "json")
    assert found.code == bool(found.json()), found.said
    return {(difference["subject"], difference["text"]) for difference in found.json()}


def test_the_same_plan_twice(here: Site) -> None:
    """Nothing differs: exit code 0."""
    same = here.cli("diff", "tuesday.plan", "tuesday.plan")
    assert (same.code, same.out) == (0, "no difference\n")


def test_a_list_and_its_requests(here: Site) -> None:
    """Another list: the lines, and the requests that come of them."""
    (here.cli.folder / "users.txt").write_text("bert\ncarl\n", encoding="utf-8")
    found = differences(here, "tuesday.plan")
    path = here.cli.folder / "users.txt"
    assert ("lists", f"{path}: 1 line added (carl); 1 line gone (anna)") in found
    assert (
        "requests",
        'step 2 (Kick): 1 request added (b1: kick {"mask": ["carl"]}); 1 request gone (b1: kick {"mask": ["anna"]})',
    ) in found


def test_the_fleet_and_the_playbook(here: Site) -> None:
    """Another address, a limit, a changed step: each is told, whether or not the old plan could still be applied."""
    config = here.cli.config.read_text(encoding="utf-8")
    assert "b2" in config
    here.cli.config.write_text(config + "protect: [b2]\n", encoding="utf-8")
    here.cli.playbook(KICKS.replace("name: See", "name: Look"))
    found = differences(here, "tuesday.plan")
    assert ("fleet", "b2 is protected now") in found
    assert ("steps", "step 1 (Look): name changed") in found
    assert {text for subject, text in found if subject == "playbook"} >= {
        f"{sign}  - {{name: {name}, hosts: b1, command: dictGet, {DICT}, register: seen}}"
        for sign, name in (("-", "See"), ("+", "Look"))
    }


def test_what_is_seen_of_the_fleet(here: Site) -> None:
    """With --live: values of conditions, and how many are affected."""
    counted(here, 9)
    found = differences(here, "tuesday.plan", "--live")
    assert found == {
        ("conditions", "sessions, the value: was 4, is 9"),
        ("fleet as seen", "step 2 (Kick), sessions: was 4, is 9"),
    }


def test_what_cannot_be_compared(here: Site) -> None:
    """A plan that is not there, a playbook that is gone: one clear error."""
    assert here.cli("diff", "nowhere.plan").code == 2
    (here.cli.folder / "playbook.yaml").unlink()
    gone = here.cli("diff", "tuesday.plan")
    assert gone.code == 2
    assert "playbook" in gone.err
    both = here.cli("diff", "tuesday.plan", "tuesday.plan", "--live")
    assert both.code == 2
